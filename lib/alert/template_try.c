/* Trying a template out before it is needed: events with every value, with none, and of sources,
 * alone and together. A template whose text is JSON for these is JSON for all, since values are
 * escaped and a number is a number or null. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alert/template_parts.h"

enum { BODY_MAX_BYTES = 4 * 1024 * 1024, TRACE_MAX = 100000 };

#define COUNTS                                                                                     \
    "{\"count\":7,\"critical\":1,\"high\":2,\"medium\":1,\"low\":1,\"informational\":1,"           \
    "\"unspecified\":1}"
#define NO_COUNTS                                                                                  \
    "{\"count\":null,\"critical\":null,\"high\":null,\"medium\":null,\"low\":null,"                \
    "\"informational\":null,\"unspecified\":null}"
#define REPORT                                                                                     \
    "{\"id\":\"r \\\"1\",\"status\":\"non_compliant\",\"baseline_id\":\"b \\\"1\","                \
    "\"baseline_name\":\"base\\\"line\",\"rule_type\":\"d \\\"\",\"report_time\":1795506828123,"   \
    "\"job_id\":\"j \\\"\",\"order_id\":\"o \\\"\",\"compliant\":" COUNTS                          \
    ",\"non_compliant\":" COUNTS "}"
#define HEAD(type)                                                                                 \
    "{\"specversion\":\"1.0\",\"id\":\"00000000-0000-5000-8000-000000000001\",\"source\":"         \
    "\"/patchwatch/prod\",\"type\":\"io.patchwatch." type "\",\"subject\":\"ECS/a \\\"b\","        \
    "\"time\":\"2026-11-24T07:53:48.123Z\",\"datacontenttype\":\"application/json\","              \
    "\"recordedtime\":\"2026-11-24T08:00:02.417Z\",\"sequence\":\"0000000000000000042\",\"data\":"

static const char full_json[] =
    HEAD("node.non_compliant") "{\"node\":{\"key\":\"ECS/a \\\"b\",\"name\":\"a \\\"b\\n\\\\\","
                               "\"instance_id\":\"a \\\"\",\"node_id\":\"n \\\"\",\"ip\":\"i "
                               "\\\"\",\"eip\":\"e \\\"\","
                               "\"region\":\"r \\\"\",\"group\":\"g "
                               "\\\"\",\"enterprise_project_id\":\"p \\\"\","
                               "\"operating_system\":\"o \\\"\",\"report_scene\":\"ECS "
                               "\\\"\",\"cce_info_id\":\"c \\\"\"},"
                               "\"from\":\"compliant\",\"to\":\"non_compliant\",\"cause\":"
                               "\"patches\",\"report\":" REPORT ",\"previous\":" REPORT
                               ",\"sweep\":97}}";
static const char bare_json[] =
    HEAD("node.missing") "{\"node\":{\"key\":\"ECS/a\",\"name\":null},\"from\":null,\"to\":null,"
                         "\"cause\":null,\"report\":{\"compliant\":" NO_COUNTS
                         ",\"non_compliant\":" NO_COUNTS "},\"previous\":null,\"sweep\":98}}";
static const char source_json[] =
    HEAD("source.failing") "{\"failure\":{\"sweeps\":3,\"since\":1795506828123,\"reason\":"
                           "\"r \\\"\",\"error_code\":\"c \\\"\",\"error_msg\":\"m "
                           "\\\"\"},\"cause\":\"failed\","
                           "\"sweep\":99}}";

static int line_of(const struct pw_template_trace *trace, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < trace->count && trace->offsets[i] <= offset; i++)
        line = trace->lines[i];
    return line;
}

static enum pw_status try_one(const struct pw_template *template, const struct pw_delivery *list,
                              const char *what, struct pw_template_trace *trace, int *line,
                              char *message, size_t size_bytes)
{
    struct pw_buffer body;
    struct pw_error err;
    enum pw_status status;
    size_t bad;

    trace->count = 0;
    pw_buffer_init(&body, BODY_MAX_BYTES);
    status = pw_template_run(template, list, &body, trace, &err);
    if (status == PW_OK && body.failed == PW_ENOMEM)
        status = PW_ENOMEM;
    if (status != PW_OK)
        goto out;
    bad = pw_json_check(pw_buffer_str(&body));
    if (body.failed == PW_ELIMIT) {
        *line = 1;
        (void)snprintf(message, size_bytes, "the body for %s is longer than %d MiB", what,
                       (int)BODY_MAX_BYTES / 1024 / 1024);
    } else if (bad != SIZE_MAX) {
        char near[40];

        *line = line_of(trace, bad);
        (void)pw_text_printable(near, sizeof near,
                                bad < body.len ? (struct pw_str){body.data + bad, body.len - bad}
                                               : pw_str_of("its end"));
        (void)snprintf(message, size_bytes, "for %s this is no JSON, at: %s", what, near);
    }
out:
    pw_buffer_free(&body);
    return status;
}

enum pw_status pw_template_try(const struct pw_template *template, int *line, char *message,
                               size_t size_bytes)
{
    struct pw_delivery full = {
        .delivery_id = 1,
        .uid = "00000000-0000-5000-8000-000000000001",
        .hook = "sample",
        .rule = "a \"rule\"",
        .type = "io.patchwatch.node.non_compliant",
        .source_name = "prod",
        .node_key = pw_str_of("ECS/a \"b"),
        .node_name = pw_str_of("a \"b\n\\"),
        .from = pw_str_of("compliant"),
        .to = pw_str_of("non_compliant"),
        .event_json = {full_json, sizeof full_json - 1},
        .attempts = 1,
    };
    struct pw_delivery bare = full, source = full, together[3];
    struct pw_template_trace trace = {.max = TRACE_MAX};
    enum pw_status status = PW_ENOMEM;

    bare.type = "io.patchwatch.node.missing";
    bare.node_name = bare.from = bare.to = PW_STR_NULL;
    bare.event_json = (struct pw_str){bare_json, sizeof bare_json - 1};
    source.type = "io.patchwatch.source.failing";
    source.node_key = source.node_name = source.from = source.to = PW_STR_NULL;
    source.event_json = (struct pw_str){source_json, sizeof source_json - 1};
    together[0] = full;
    together[1] = bare;
    together[2] = source;
    together[0].next = &together[1];
    together[1].next = &together[2];
    const struct {
        const struct pw_delivery *list;
        const char *what;
    } samples[] = {{&full, "an event with every value"},
                   {&bare, "an event with null in it"},
                   {&source, "an event of a source"},
                   {together, "three events together"}};

    *line = 0;
    trace.offsets = malloc(TRACE_MAX * sizeof *trace.offsets);
    trace.lines = malloc(TRACE_MAX * sizeof *trace.lines);
    if (trace.offsets != NULL && trace.lines != NULL)
        status = PW_OK;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0] && status == PW_OK && *line == 0; i++)
        status =
            try_one(template, samples[i].list, samples[i].what, &trace, line, message, size_bytes);
    free(trace.offsets);
    free(trace.lines);
    return status;
}

/* The placeholders of templates. Each has its line in docs/alerts.md; a test looks. */
#include <inttypes.h>
#include <string.h>

#include "alert/template_parts.h"
#include "base/json_writer.h"
#include "base/nearest.h"

enum field_kind {
    FIELD_TEXT,    /* the text at a path of the event; null as "" */
    FIELD_NUMBER,  /* the number there, or null */
    FIELD_EVENT,   /* the whole event */
    FIELD_SUMMARY, /* what happened, in words */
    FIELD_SOURCE,
    FIELD_HOOK,
    FIELD_RULE,
    FIELD_REMINDER
};

struct field {
    const char *name;
    enum field_kind kind;
    const char *path;
};

#define REPORT(of)                                                                                 \
    {of ".id", FIELD_TEXT, "data." of ".id"}, {of ".status", FIELD_TEXT, "data." of ".status"},    \
        {of ".baseline_id", FIELD_TEXT, "data." of ".baseline_id"},                                \
        {of ".baseline_name", FIELD_TEXT, "data." of ".baseline_name"},                            \
        {of ".rule_type", FIELD_TEXT, "data." of ".rule_type"},                                    \
        {of ".job_id", FIELD_TEXT, "data." of ".job_id"},                                          \
        {of ".order_id", FIELD_TEXT, "data." of ".order_id"},                                      \
        {of ".report_time", FIELD_NUMBER, "data." of ".report_time"}, COUNTS(of, "compliant"),     \
        COUNTS(of, "non_compliant")
#define COUNTS(of, what)                                                                           \
    COUNT(of, what, "count"), COUNT(of, what, "critical"), COUNT(of, what, "high"),                \
        COUNT(of, what, "medium"), COUNT(of, what, "low"), COUNT(of, what, "informational"),       \
        COUNT(of, what, "unspecified")
#define COUNT(of, what, which)                                                                     \
    {                                                                                              \
        of "." what "." which, FIELD_NUMBER, "data." of "." what "." which                         \
    }

static const struct field fields[] = {
    {"event", FIELD_EVENT, NULL},
    {"summary", FIELD_SUMMARY, NULL},
    {"hook", FIELD_HOOK, NULL},
    {"rule", FIELD_RULE, NULL},
    {"reminder", FIELD_REMINDER, NULL},
    {"source.name", FIELD_SOURCE, NULL},
    {"event.id", FIELD_TEXT, "id"},
    {"event.type", FIELD_TEXT, "type"},
    {"event.source", FIELD_TEXT, "source"},
    {"event.subject", FIELD_TEXT, "subject"},
    {"event.time", FIELD_TEXT, "time"},
    {"event.recordedtime", FIELD_TEXT, "recordedtime"},
    {"event.sequence", FIELD_TEXT, "sequence"},
    {"event.from", FIELD_TEXT, "data.from"},
    {"event.to", FIELD_TEXT, "data.to"},
    {"event.cause", FIELD_TEXT, "data.cause"},
    {"event.sweep", FIELD_NUMBER, "data.sweep"},
    {"node.key", FIELD_TEXT, "data.node.key"},
    {"node.name", FIELD_TEXT, "data.node.name"},
    {"node.instance_id", FIELD_TEXT, "data.node.instance_id"},
    {"node.node_id", FIELD_TEXT, "data.node.node_id"},
    {"node.ip", FIELD_TEXT, "data.node.ip"},
    {"node.eip", FIELD_TEXT, "data.node.eip"},
    {"node.region", FIELD_TEXT, "data.node.region"},
    {"node.group", FIELD_TEXT, "data.node.group"},
    {"node.enterprise_project_id", FIELD_TEXT, "data.node.enterprise_project_id"},
    {"node.operating_system", FIELD_TEXT, "data.node.operating_system"},
    {"node.report_scene", FIELD_TEXT, "data.node.report_scene"},
    {"node.cce_info_id", FIELD_TEXT, "data.node.cce_info_id"},
    REPORT("report"),
    REPORT("previous"),
    {"totals.nodes", FIELD_NUMBER, "data.totals.nodes"},
    {"totals.compliant", FIELD_NUMBER, "data.totals.compliant"},
    {"totals.non_compliant", FIELD_NUMBER, "data.totals.non_compliant"},
    {"totals.unknown", FIELD_NUMBER, "data.totals.unknown"},
    {"failure.sweeps", FIELD_NUMBER, "data.failure.sweeps"},
    {"failure.since", FIELD_NUMBER, "data.failure.since"},
    {"failure.reason", FIELD_TEXT, "data.failure.reason"},
    {"failure.error_code", FIELD_TEXT, "data.failure.error_code"},
    {"failure.error_msg", FIELD_TEXT, "data.failure.error_msg"},
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0], SUMMARY_MAX_BYTES = 8192 };

bool pw_template_field_of(const char *name, size_t *out, const char **near)
{
    const char *names[FIELD_COUNT + 3] = {"count", "comma"};

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        names[i + 2] = fields[i].name;
        if (strcmp(name, fields[i].name) == 0) {
            *out = i;
            return true;
        }
    }
    *near = pw_nearest(name, names);
    return false;
}

/* Text as what stands between the quotes of a JSON string. */
static void write_inside(struct pw_str text, struct pw_buffer *out)
{
    size_t start = out->len;
    struct pw_json json;

    if (text.data == NULL)
        return;
    pw_json_init(&json, out);
    pw_json_str(&json, text);
    if (out->failed != PW_OK)
        return;
    memmove(out->data + start, out->data + start + 1, out->len - start - 2);
    out->len -= 2;
    out->data[out->len] = '\0';
}

static void write_summary(const struct pw_event_view *view, struct pw_buffer *out)
{
    struct pw_buffer summary;

    pw_buffer_init(&summary, SUMMARY_MAX_BYTES);
    pw_event_view_summary(view, PW_VIEW_PLAIN, &summary);
    if (summary.failed == PW_ENOMEM && out->failed == PW_OK)
        out->failed = PW_ENOMEM;
    write_inside(pw_buffer_str(&summary), out);
    pw_buffer_free(&summary);
}

void pw_template_field_write(const struct pw_event_view *view, size_t field, struct pw_buffer *out)
{
    const char *path = fields[field].path;
    int64_t number;

    switch (fields[field].kind) {
    case FIELD_TEXT:
        write_inside(pw_event_view_text(view, path), out);
        break;
    case FIELD_NUMBER:
        if (pw_event_view_number(view, path, &number))
            (void)pw_buffer_printf(out, "%" PRId64, number);
        else
            (void)pw_buffer_append_text(out, "null");
        break;
    case FIELD_EVENT:
        (void)pw_buffer_append_str(out, view->delivery->event_json);
        break;
    case FIELD_SUMMARY:
        write_summary(view, out);
        break;
    case FIELD_SOURCE:
        write_inside(pw_str_of(view->delivery->source_name), out);
        break;
    case FIELD_HOOK:
        write_inside(pw_str_of(view->delivery->hook), out);
        break;
    case FIELD_RULE:
        write_inside(pw_str_of(view->delivery->rule), out);
        break;
    case FIELD_REMINDER:
        (void)pw_buffer_printf(out, "%" PRId64, view->delivery->reminder);
        break;
    }
}

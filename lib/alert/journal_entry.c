/* Fields of the journal: what they are called, and how they are written. Values from outside go in
 * whole: with their length before them where they hold a line break, so that none can add a field.
 */
#include "alert/journal_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/event_view.h"
#include "compliance/report.h"

#define TYPE_PREFIX "io.patchwatch."

/* As in syslog(3). */
enum { LEVEL_ERR = 3, LEVEL_WARNING = 4, LEVEL_NOTICE = 5, LEVEL_INFO = 6 };

const char *pw_journal_message_id(const char *type)
{
    /* Public for good: they stand in docs/alerts.md, and in people's filters. */
    static const struct {
        const char *type, *id;
    } ids[] = {
        {"node.non_compliant", "b15aec2a010d4c7bb24a3cf9a033b0b5"},
        {"node.compliant", "630b8a5c45a84e8794adec7ecd5efc7a"},
        {"node.discovered", "112a6b3f74724dbf9fb2275ffef80a92"},
        {"node.missing", "76a0556cf93b460db193b6058b6c49fc"},
        {"node.returned", "c776fc4286ea4960985ae5c54561f10e"},
        {"node.worsened", "a0bc2ac8280b41848c6d4be07b3c8bb6"},
        {"node.improved", "215d2b0661344a7a930fcf278b8f9afa"},
        {"node.flapping", "31bb32a1af7d4d67a59377bd31613f0b"},
        {"node.settled", "f08e430b4ca6436f82fc5ab63780c641"},
        {"fleet.shift", "b2f84b6ad2ad405da819fbf6dc9e5060"},
        {"source.baseline", "d11ec1010b164123bc10488b613dce51"},
        {"source.failing", "906061fd79a14155a43ea4b50532130b"},
        {"source.recovered", "42e74863e7484a69879973f1a8840f76"},
    };

    if (strncmp(type, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0)
        type += strlen(TYPE_PREFIX);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (strcmp(type, ids[i].type) == 0)
            return ids[i].id;
    }
    return NULL;
}

static int level_of(const struct pw_event_view *view)
{
    int64_t critical = 0;

    switch (view->role) {
    case PW_VIEW_PROBLEM:
        (void)pw_event_view_number(view, "data.report.non_compliant.critical", &critical);
        return view->matter == PW_VIEW_SOURCE || critical > 0 ? LEVEL_ERR : LEVEL_WARNING;
    case PW_VIEW_GOES_ON:
        return strcmp(view->type, "node.worsened") == 0 ? LEVEL_WARNING : LEVEL_NOTICE;
    case PW_VIEW_END:
        return LEVEL_NOTICE;
    case PW_VIEW_NEWS:
        break;
    }
    return view->matter == PW_VIEW_FLEET ? LEVEL_WARNING : LEVEL_INFO;
}

/* The null view is no field. */
static void append_field(struct pw_buffer *out, const char *name, struct pw_str value)
{
    unsigned char length[8];

    if (value.data == NULL)
        return;
    (void)pw_buffer_append_text(out, name);
    if (memchr(value.data, '\n', value.len) == NULL) {
        (void)pw_buffer_append_text(out, "=");
    } else {
        for (size_t i = 0; i < sizeof length; i++) /* little-endian */
            length[i] = (unsigned char)((uint64_t)value.len >> (8 * i) & 0xFF);
        (void)pw_buffer_append_text(out, "\n");
        (void)pw_buffer_append(out, length, sizeof length);
    }
    (void)pw_buffer_append_str(out, value);
    (void)pw_buffer_append_text(out, "\n");
}

static void append_number(struct pw_buffer *out, const char *name, int64_t number)
{
    (void)pw_buffer_printf(out, "%s=%" PRId64 "\n", name, number);
}

/* The patches that the event's report lacks. */
static void append_counts(const struct pw_event_view *view, struct pw_buffer *out)
{
    char path[64], name[64];
    int64_t count;

    if (pw_event_view_number(view, "data.report.non_compliant.count", &count))
        append_number(out, "PATCHWATCH_PATCHES", count);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        const char *severity = pw_severity_name((enum pw_severity)i);

        (void)snprintf(path, sizeof path, "data.report.non_compliant.%s", severity);
        (void)snprintf(name, sizeof name, "PATCHWATCH_%s", severity);
        for (char *c = name; *c != '\0'; c++)
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        if (pw_event_view_number(view, path, &count))
            append_number(out, name, count);
    }
}

static void append_event(const struct pw_event_view *view, struct pw_buffer *out)
{
    const struct pw_delivery *delivery = view->delivery;
    const struct {
        const char *name;
        struct pw_str value;
    } fields[] = {
        {"MESSAGE_ID", pw_str_of(pw_journal_message_id(view->type))},
        {"SYSLOG_IDENTIFIER", pw_str_of("patchwatch")},
        {"PATCHWATCH_TYPE", pw_str_of(delivery->type)},
        {"PATCHWATCH_EVENT_ID", pw_str_of(delivery->uid)},
        {"PATCHWATCH_SOURCE", pw_str_of(delivery->source_name)},
        {"PATCHWATCH_NODE_KEY", delivery->node_key},
        {"PATCHWATCH_NODE_NAME", delivery->node_name},
        {"PATCHWATCH_FROM", delivery->from},
        {"PATCHWATCH_TO", delivery->to},
        {"PATCHWATCH_HOOK", pw_str_of(delivery->hook)},
        {"PATCHWATCH_RULE", pw_str_of(delivery->rule)},
        {"PATCHWATCH_REGION", pw_event_view_text(view, "data.node.region")},
        {"PATCHWATCH_CAUSE", pw_event_view_text(view, "data.cause")},
        {"PATCHWATCH_BASELINE", pw_event_view_text(view, "data.report.baseline_name")},
        {"PATCHWATCH_EVENT", delivery->event_json},
    };

    append_number(out, "PRIORITY", level_of(view));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        append_field(out, fields[i].name, fields[i].value);
    if (delivery->reminder > 0)
        append_number(out, "PATCHWATCH_REMINDER", delivery->reminder);
    append_counts(view, out);
}

enum pw_status pw_journal_entry(const struct pw_delivery *delivery, struct pw_buffer *out,
                                struct pw_error *err)
{
    struct pw_event_view view = {0};
    struct pw_buffer message;
    enum pw_status status = pw_event_view_open(&view, delivery, err);

    pw_buffer_init(&message, 64 * 1024);
    if (status != PW_OK)
        goto out;
    pw_event_view_summary(&view, PW_VIEW_PLAIN, &message);
    append_field(out, "MESSAGE", pw_buffer_str(&message));
    append_event(&view, out);
    if (message.failed != PW_OK || out->failed != PW_OK)
        status = pw_fail(err, out->failed != PW_OK ? out->failed : message.failed,
                         "the event cannot be made an entry of the journal");
out:
    pw_buffer_free(&message);
    pw_event_view_close(&view);
    return status;
}

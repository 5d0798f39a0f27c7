/* Events taken apart and put into words. */
#include "alert/event_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/display.h"
#include "base/when.h"
#include "compliance/report.h"

#define TYPE_PREFIX "io.patchwatch."
enum { NAME_CHARACTERS = 100, REASON_CHARACTERS = 200 };

/* What it means ------------------------------------------------------------------------------- */

static bool is_non_compliant(const struct pw_delivery *delivery)
{
    return pw_str_is(delivery->to, "non_compliant");
}

static void find_meaning(struct pw_event_view *view)
{
    static const struct {
        const char *type;
        enum pw_view_matter matter;
        enum pw_view_role role;      /* of a machine that is non-compliant, or whatever it is */
        enum pw_view_role otherwise; /* of one that is not */
    } meanings[] = {
        {"node.non_compliant", PW_VIEW_STATUS, PW_VIEW_PROBLEM, PW_VIEW_PROBLEM},
        {"node.compliant", PW_VIEW_STATUS, PW_VIEW_END, PW_VIEW_END},
        {"node.discovered", PW_VIEW_STATUS, PW_VIEW_PROBLEM, PW_VIEW_NEWS},
        {"node.worsened", PW_VIEW_STATUS, PW_VIEW_GOES_ON, PW_VIEW_NEWS},
        {"node.improved", PW_VIEW_STATUS, PW_VIEW_GOES_ON, PW_VIEW_NEWS},
        {"node.flapping", PW_VIEW_STATUS, PW_VIEW_PROBLEM, PW_VIEW_PROBLEM},
        {"node.settled", PW_VIEW_STATUS, PW_VIEW_GOES_ON, PW_VIEW_NEWS},
        {"node.missing", PW_VIEW_PRESENCE, PW_VIEW_PROBLEM, PW_VIEW_PROBLEM},
        {"node.returned", PW_VIEW_PRESENCE, PW_VIEW_END, PW_VIEW_END},
        {"source.failing", PW_VIEW_SOURCE, PW_VIEW_PROBLEM, PW_VIEW_PROBLEM},
        {"source.recovered", PW_VIEW_SOURCE, PW_VIEW_END, PW_VIEW_END},
        {"fleet.shift", PW_VIEW_FLEET, PW_VIEW_NEWS, PW_VIEW_NEWS},
    };

    view->matter = PW_VIEW_STATUS;
    view->role = PW_VIEW_NEWS;
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strcmp(view->type, meanings[i].type) != 0)
            continue;
        view->matter = meanings[i].matter;
        view->role = is_non_compliant(view->delivery) ? meanings[i].role : meanings[i].otherwise;
    }
    if (strcmp(view->type, "node.settled") == 0 && pw_str_is(view->delivery->to, "compliant"))
        view->role = PW_VIEW_END;
}

enum pw_status pw_event_view_open(struct pw_event_view *view, const struct pw_delivery *delivery,
                                  struct pw_error *err)
{
    struct pw_error ignored;

    if (view->reader == NULL)
        view->reader = pw_json_reader_new();
    if (view->reader == NULL)
        return pw_fail_nomem(err);
    view->delivery = delivery;
    view->type = delivery->type;
    if (strncmp(view->type, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0)
        view->type += strlen(TYPE_PREFIX);
    if (pw_json_reader_parse(view->reader, delivery->event_json, false, &ignored) == PW_ENOMEM)
        return pw_fail_nomem(err);
    find_meaning(view);
    return PW_OK;
}

void pw_event_view_close(struct pw_event_view *view)
{
    pw_json_reader_free(view->reader);
    view->reader = NULL;
}

struct pw_str pw_event_view_text(const struct pw_event_view *view, const char *path)
{
    const struct {
        const char *path;
        struct pw_str text;
    } known[] = {
        {"id", pw_str_of(view->delivery->uid)},
        {"type", pw_str_of(view->delivery->type)},
        {"subject", view->delivery->node_key},
        {"data.node.key", view->delivery->node_key},
        {"data.node.name", view->delivery->node_name},
        {"data.from", view->delivery->from},
        {"data.to", view->delivery->to},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(path, known[i].path) == 0)
            return known[i].text;
    }
    return pw_json_reader_text(view->reader, path);
}

bool pw_event_view_number(const struct pw_event_view *view, const char *path, int64_t *out)
{
    return pw_json_reader_number(view->reader, path, out);
}

int64_t pw_event_view_time_ms(const struct pw_event_view *view)
{
    struct pw_str text = pw_json_reader_text(view->reader, "time");
    char copy[PW_ISO8601_SIZE];
    int64_t time_ms;

    if (text.data == NULL || text.len >= sizeof copy)
        return PW_TIME_NONE;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return pw_when_parse(copy, 0, &time_ms, NULL) == PW_OK ? time_ms : PW_TIME_NONE;
}

/* In words ------------------------------------------------------------------------------------ */

static void append_escaped(struct pw_buffer *out, enum pw_view_style style, const char *text,
                           size_t len)
{
    if (style == PW_VIEW_PLAIN) {
        (void)pw_buffer_append(out, text, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        switch (text[i]) {
        case '&':
            (void)pw_buffer_append_text(out, "&amp;");
            break;
        case '<':
            (void)pw_buffer_append_text(out, "&lt;");
            break;
        case '>':
            (void)pw_buffer_append_text(out, "&gt;");
            break;
        case '`': /* it would end the code that keeps the rest from meaning anything */
            (void)pw_buffer_append_text(out, "'");
            break;
        default:
            (void)pw_buffer_append(out, text + i, 1);
        }
    }
}

/* Text from outside, at most so many characters of it. In Slack's style it stands in code, where
 * neither links nor mentions nor emphasis are made of it. */
static void append_outside(struct pw_buffer *out, enum pw_view_style style, struct pw_str text,
                           size_t max_characters)
{
    size_t cut = 0, characters = 0;
    char *safe;

    if (text.len > 4 * max_characters) /* escaping all of a megabyte would be for nothing */
        text.len = 4 * max_characters;
    safe = pw_display_escape(text);
    if (safe == NULL) {
        out->failed = PW_ENOMEM;
        return;
    }
    while (safe[cut] != '\0' && characters < max_characters) {
        size_t n = pw_utf8_length(safe + cut, strlen(safe + cut));

        cut += n > 0 ? n : 1;
        characters++;
    }
    if (style == PW_VIEW_SLACK)
        (void)pw_buffer_append_text(out, "`");
    append_escaped(out, style, safe, cut);
    if (safe[cut] != '\0')
        (void)pw_buffer_append_text(out, "…");
    if (style == PW_VIEW_SLACK)
        (void)pw_buffer_append_text(out, "`");
    free(safe);
}

void pw_event_view_quote(enum pw_view_style style, struct pw_str text, struct pw_buffer *out)
{
    append_outside(out, style, text, NAME_CHARACTERS);
}

/* "2 patches (1 critical, 1 high)" of data.WHICH; false where there is no such number. */
static bool append_patches(const struct pw_event_view *view, const char *which,
                           struct pw_buffer *out)
{
    char path[64];
    int64_t count;
    bool is_first = true;

    (void)snprintf(path, sizeof path, "data.%s.non_compliant.count", which);
    if (!pw_event_view_number(view, path, &count))
        return false;
    (void)pw_buffer_printf(out, "%" PRId64 " %s", count, count == 1 ? "patch" : "patches");
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        const char *name = pw_severity_name((enum pw_severity)i);

        (void)snprintf(path, sizeof path, "data.%s.non_compliant.%s", which, name);
        if (!pw_event_view_number(view, path, &count) || count == 0)
            continue;
        (void)pw_buffer_printf(out, "%s%" PRId64 " %s", is_first ? " (" : ", ", count, name);
        is_first = false;
    }
    if (!is_first)
        (void)pw_buffer_append_text(out, ")");
    return true;
}

static void append_report(const struct pw_event_view *view, enum pw_view_style style,
                          struct pw_buffer *out)
{
    struct pw_str baseline = pw_event_view_text(view, "data.report.baseline_name");
    int64_t count;

    if (pw_event_view_number(view, "data.report.non_compliant.count", &count)) {
        (void)pw_buffer_append_text(out, ": ");
        (void)append_patches(view, "report", out);
    }
    if (!pw_str_empty(baseline)) {
        (void)pw_buffer_append_text(out, ", baseline ");
        append_outside(out, style, baseline, NAME_CHARACTERS);
    }
}

static void append_status(struct pw_str status, struct pw_buffer *out)
{
    (void)pw_buffer_append_text(out, pw_str_is(status, "non_compliant") ? "non-compliant"
                                     : pw_str_is(status, "compliant")   ? "compliant"
                                                                        : "of unknown status");
}

static void append_source_event(const struct pw_event_view *view, enum pw_view_style style,
                                struct pw_buffer *out)
{
    struct pw_str reason = pw_event_view_text(view, "data.failure.reason");
    int64_t nodes, non_compliant, sweeps;

    (void)pw_buffer_append_text(out, "source ");
    append_outside(out, style, pw_str_of(view->delivery->source_name), NAME_CHARACTERS);
    if (strcmp(view->type, "source.failing") == 0) {
        (void)pw_buffer_append_text(out, " fails");
        if (pw_event_view_number(view, "data.failure.sweeps", &sweeps))
            (void)pw_buffer_printf(out, ", %" PRId64 " sweeps in a row", sweeps);
        if (!pw_str_empty(reason)) {
            (void)pw_buffer_append_text(out, ": ");
            append_outside(out, style, reason, REASON_CHARACTERS);
        }
    } else if (strcmp(view->type, "source.recovered") == 0) {
        (void)pw_buffer_append_text(out, " is read completely again");
    } else if (strcmp(view->type, "fleet.shift") == 0) {
        (void)pw_buffer_append_text(out, ": much of the fleet changed at once");
    } else if (pw_event_view_number(view, "data.totals.nodes", &nodes) &&
               pw_event_view_number(view, "data.totals.non_compliant", &non_compliant)) {
        (void)pw_buffer_printf(
            out, ": first complete sweep, %" PRId64 " machines, %" PRId64 " of them non-compliant",
            nodes, non_compliant);
    } else {
        (void)pw_buffer_printf(out, ": %.64s", view->type);
    }
}

void pw_event_view_summary(const struct pw_event_view *view, enum pw_view_style style,
                           struct pw_buffer *out)
{
    const struct pw_delivery *delivery = view->delivery;
    struct pw_str name = delivery->node_name;

    if (delivery->reminder > 0)
        (void)pw_buffer_printf(out, "reminder %" PRId64 ": ", delivery->reminder);
    if (delivery->node_key.data == NULL) {
        append_source_event(view, style, out);
        return;
    }
    append_outside(out, style, pw_str_empty(name) ? delivery->node_key : name, NAME_CHARACTERS);
    if (strcmp(view->type, "node.non_compliant") == 0) {
        (void)pw_buffer_append_text(out, " is non-compliant");
        append_report(view, style, out);
    } else if (strcmp(view->type, "node.compliant") == 0) {
        (void)pw_buffer_append_text(out, " is compliant again");
    } else if (strcmp(view->type, "node.discovered") == 0) {
        (void)pw_buffer_append_text(out, " is new and ");
        append_status(delivery->to, out);
        if (is_non_compliant(delivery))
            append_report(view, style, out);
    } else if (strcmp(view->type, "node.missing") == 0) {
        (void)pw_buffer_append_text(out, " is missing: complete sweeps no longer show it");
    } else if (strcmp(view->type, "node.returned") == 0) {
        (void)pw_buffer_append_text(out, " is back and ");
        append_status(delivery->to, out);
    } else if (strcmp(view->type, "node.worsened") == 0 ||
               strcmp(view->type, "node.improved") == 0) {
        (void)pw_buffer_printf(out, " has %s patches to install",
                               view->type[5] == 'w' ? "more or worse" : "fewer or lesser");
        append_report(view, style, out);
        (void)pw_buffer_append_text(out, "; before: ");
        if (!append_patches(view, "previous", out))
            (void)pw_buffer_append_text(out, "not known");
    } else if (strcmp(view->type, "node.flapping") == 0) {
        (void)pw_buffer_append_text(out, " flaps: its status keeps changing");
    } else if (strcmp(view->type, "node.settled") == 0) {
        (void)pw_buffer_append_text(out, " has settled and is ");
        append_status(delivery->to, out);
    } else {
        (void)pw_buffer_printf(out, ": %.64s", view->type);
    }
}

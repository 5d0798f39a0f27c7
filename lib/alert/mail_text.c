/* Events in the words of a mail: one at length, several as a table. */
#include "alert/mail_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/event_view.h"
#include "base/clock.h"
#include "base/display.h"
#include "base/table.h"
#include "compliance/report.h"

#define TYPE_PREFIX "io.patchwatch."
enum { VALUE_CHARACTERS = 300, CELL_CHARACTERS = 60, MAX_KINDS = 16, KIND_BYTES = 48 };

/* The beginning of text, whole characters. */
static struct pw_str cut(struct pw_str text, size_t characters)
{
    size_t len = 0;

    for (; len < text.len && characters > 0; characters--) {
        size_t n = pw_utf8_length(text.data + len, text.len - len);

        len += n > 0 ? n : 1;
    }
    return (struct pw_str){text.data, len};
}

static void append_safe(struct pw_buffer *out, struct pw_str text, size_t characters)
{
    struct pw_str head = cut(text, characters);
    char *safe = pw_display_escape(head);

    if (safe == NULL) {
        out->failed = PW_ENOMEM;
        return;
    }
    (void)pw_buffer_append_text(out, safe);
    if (head.len < text.len)
        (void)pw_buffer_append_text(out, "…");
    free(safe);
}

/* "2026-11-24 07:53:48 UTC" */
static const char *utc_text(char out[PW_ISO8601_SIZE], int64_t unix_ms)
{
    char iso[PW_ISO8601_SIZE];

    if (unix_ms == PW_TIME_NONE)
        return strcpy(out, "-");
    (void)pw_iso8601(iso, unix_ms);
    if (strlen(iso) != 24)
        return strcpy(out, iso);
    (void)snprintf(out, PW_ISO8601_SIZE, "%.10s %.8s UTC", iso, iso + 11);
    return out;
}

/* "non-compliant", "missing", "source failing": the type in a word. */
static void kind_of(const struct pw_delivery *delivery, char out[KIND_BYTES])
{
    const char *type = delivery->type;

    if (strncmp(type, TYPE_PREFIX, strlen(TYPE_PREFIX)) == 0)
        type += strlen(TYPE_PREFIX);
    if (strncmp(type, "node.", 5) == 0)
        type += 5;
    (void)snprintf(out, KIND_BYTES, "%s", type);
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '_')
            *c = '-';
        else if (*c == '.')
            *c = ' ';
    }
}

/* One event ----------------------------------------------------------------------------------- */

static void append_label(struct pw_buffer *out, const char *label)
{
    (void)pw_buffer_printf(out, "%-18s", label);
}

static void append_field(struct pw_buffer *out, const char *label, struct pw_str value)
{
    if (pw_str_empty(value))
        return;
    append_label(out, label);
    append_safe(out, value, VALUE_CHARACTERS);
    (void)pw_buffer_append_text(out, "\n");
}

static void append_time(struct pw_buffer *out, const char *label, int64_t unix_ms)
{
    char text[PW_ISO8601_SIZE];

    if (unix_ms == PW_TIME_NONE)
        return;
    append_label(out, label);
    (void)pw_buffer_printf(out, "%s\n", utc_text(text, unix_ms));
}

/* "2 (2 high)": the patches that a report lacks. */
static void append_counts(const struct pw_event_view *view, struct pw_buffer *out,
                          const char *label, const char *which)
{
    const char *before = " (";
    char path[64];
    int64_t count;

    (void)snprintf(path, sizeof path, "data.%s.non_compliant.count", which);
    if (!pw_event_view_number(view, path, &count))
        return;
    append_label(out, label);
    (void)pw_buffer_printf(out, "%" PRId64, count);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        const char *name = pw_severity_name((enum pw_severity)i);

        (void)snprintf(path, sizeof path, "data.%s.non_compliant.%s", which, name);
        if (!pw_event_view_number(view, path, &count) || count == 0)
            continue;
        (void)pw_buffer_printf(out, "%s%" PRId64 " %s", before, count, name);
        before = ", ";
    }
    (void)pw_buffer_append_text(out, before[0] == ',' ? ")\n" : "\n");
}

static void append_node(const struct pw_event_view *view, struct pw_buffer *out)
{
    static const struct {
        const char *label, *path;
    } fields[] = {
        {"Machine", "data.node.name"},
        {"Key", "data.node.key"},
        {"Instance", "data.node.instance_id"},
        {"Address", "data.node.ip"},
        {"Elastic address", "data.node.eip"},
        {"Region", "data.node.region"},
        {"Group", "data.node.group"},
        {"Enterprise project", "data.node.enterprise_project_id"},
        {"System", "data.node.operating_system"},
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        append_field(out, fields[i].label, pw_event_view_text(view, fields[i].path));
}

static void append_status(const struct pw_event_view *view, struct pw_buffer *out)
{
    struct pw_str from = view->delivery->from, to = view->delivery->to;

    if (pw_str_empty(from) && pw_str_empty(to))
        return;
    append_label(out, "Status");
    append_safe(out, pw_str_empty(to) ? pw_str_of("not shown") : to, VALUE_CHARACTERS);
    if (!pw_str_empty(from)) {
        (void)pw_buffer_append_text(out, ", before: ");
        append_safe(out, from, VALUE_CHARACTERS);
    }
    (void)pw_buffer_append_text(out, "\n");
}

static void append_baseline(const struct pw_event_view *view, struct pw_buffer *out)
{
    struct pw_str now = pw_event_view_text(view, "data.report.baseline_name");
    struct pw_str before = pw_event_view_text(view, "data.previous.baseline_name");

    if (pw_str_empty(now))
        now = pw_event_view_text(view, "data.report.baseline_id");
    append_field(out, "Baseline", now);
    if (pw_str_is(pw_event_view_text(view, "data.cause"), "baseline"))
        append_field(out, "Baseline before", before);
}

static void append_source(const struct pw_event_view *view, struct pw_buffer *out)
{
    static const char *const totals[] = {"nodes", "non_compliant", "compliant", "unknown"};
    static const char *const labels[] = {"Machines", "Non-compliant", "Compliant", "Unknown"};
    char path[64];
    int64_t number;

    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        (void)snprintf(path, sizeof path, "data.totals.%s", totals[i]);
        if (!pw_event_view_number(view, path, &number))
            continue;
        append_label(out, labels[i]);
        (void)pw_buffer_printf(out, "%" PRId64 "\n", number);
    }
    if (pw_event_view_number(view, "data.failure.since", &number))
        append_time(out, "Since", number);
    if (pw_event_view_number(view, "data.failure.sweeps", &number)) {
        append_label(out, "Sweeps in a row");
        (void)pw_buffer_printf(out, "%" PRId64 "\n", number);
    }
    append_field(out, "Reason", pw_event_view_text(view, "data.failure.reason"));
    append_field(out, "Error code", pw_event_view_text(view, "data.failure.error_code"));
    append_field(out, "Error", pw_event_view_text(view, "data.failure.error_msg"));
}

/* The patches that data.patches lists, a line each. */
struct patch_list {
    struct pw_buffer *out;
    size_t object, lines;
};

static bool visit_patch(void *context, const struct pw_json_member *member)
{
    struct patch_list *list = context;

    if (member->is_number)
        return true;
    if (pw_str_is(member->key, "title")) {
        (void)pw_buffer_append_text(list->out,
                                    list->lines == 0 ? "\nMissing patches:\n  " : "\n  ");
        append_safe(list->out, member->text, VALUE_CHARACTERS);
        list->object = member->object;
        list->lines++;
    } else if (list->lines > 0 && member->object == list->object &&
               pw_str_is(member->key, "severity_level") && member->text.len > 0) {
        (void)pw_buffer_append_text(list->out, "  ");
        append_safe(list->out, member->text, CELL_CHARACTERS);
    }
    return list->lines <= PW_MAIL_MAX_ROWS;
}

static void append_patch_list(const struct pw_event_view *view, struct pw_buffer *out)
{
    struct patch_list list = {.out = out};

    pw_json_reader_walk(view->reader, 4, visit_patch, &list);
    if (list.lines > 0)
        (void)pw_buffer_append_text(out, "\n");
}

static void append_ids(const struct pw_event_view *view, struct pw_buffer *out)
{
    const struct pw_delivery *delivery = view->delivery;
    int64_t sweep;

    append_field(out, "Source", pw_str_of(delivery->source_name));
    if (pw_event_view_number(view, "data.sweep", &sweep)) {
        append_label(out, "Sweep");
        (void)pw_buffer_printf(out, "%" PRId64 "\n", sweep);
    }
    append_field(out, "Rule", pw_str_of(delivery->rule));
    append_field(out, "Hook", pw_str_of(delivery->hook));
    append_field(out, "Type", pw_str_of(delivery->type));
    append_field(out, "Event", pw_str_of(delivery->uid));
}

static void append_event(const struct pw_event_view *view, struct pw_buffer *out)
{
    bool is_problem = view->role == PW_VIEW_PROBLEM && view->delivery->node_key.data != NULL;

    pw_event_view_summary(view, PW_VIEW_PLAIN, out);
    (void)pw_buffer_append_text(out, "\n\n");
    if (view->delivery->node_key.data != NULL)
        append_node(view, out);
    else
        append_source(view, out);
    append_status(view, out);
    append_time(out, is_problem ? "Since" : "Time", pw_event_view_time_ms(view));
    append_field(out, "Cause", pw_event_view_text(view, "data.cause"));
    append_counts(view, out, "Patches missing", "report");
    append_counts(view, out, "Missing before", "previous");
    append_baseline(view, out);
    append_patch_list(view, out);
    (void)pw_buffer_append_text(out, "\n");
    append_ids(view, out);
}

/* Several events ------------------------------------------------------------------------------ */

/* How many there are of each kind, in order of appearance. */
struct kinds {
    struct {
        char name[KIND_BYTES];
        size_t events;
    } of[MAX_KINDS];
    size_t count, events;
};

static void count_kinds(const struct pw_delivery *list, struct kinds *kinds)
{
    memset(kinds, 0, sizeof *kinds);
    for (; list != NULL; list = list->next) {
        char name[KIND_BYTES];
        size_t i = 0;

        kind_of(list, name);
        while (i < kinds->count && strcmp(kinds->of[i].name, name) != 0)
            i++;
        kinds->events++;
        if (i == MAX_KINDS)
            continue; /* there are not so many */
        if (i == kinds->count)
            memcpy(kinds->of[kinds->count++].name, name, sizeof name);
        kinds->of[i].events++;
    }
}

/* "12 events: 10 non-compliant, 2 compliant" */
static void append_kinds(const struct kinds *kinds, struct pw_buffer *out)
{
    (void)pw_buffer_printf(out, "%zu events: ", kinds->events);
    for (size_t i = 0; i < kinds->count; i++)
        (void)pw_buffer_printf(out, "%s%zu %s", i > 0 ? ", " : "", kinds->of[i].events,
                               kinds->of[i].name);
}

static const struct pw_table_column columns[] = {
    {"WHAT", false, 0},   {"MACHINE", false, 0}, {"PATCHES", true, 0},   {"CRITICAL", true, 0},
    {"HIGH", true, 0},    {"REGION", false, 0},  {"BASELINE", false, 0}, {"TIME", false, 0},
    {"SOURCE", false, 0}, {"KEY", false, 0},
};
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static void add_text(struct pw_table *table, struct pw_str text)
{
    char shown[4 * CELL_CHARACTERS + 8];
    struct pw_str head = cut(text, CELL_CHARACTERS);

    (void)snprintf(shown, sizeof shown, "%.*s%s", PW_STR_ARG(head), head.len < text.len ? "…" : "");
    (void)pw_table_cell(table, pw_str_empty(text) ? PW_STR_NULL : pw_str_of(shown), PW_PAINT_NONE);
}

static void add_number(struct pw_table *table, const struct pw_event_view *view, const char *path)
{
    char text[24] = "";
    int64_t number;

    if (pw_event_view_number(view, path, &number))
        (void)snprintf(text, sizeof text, "%" PRId64, number);
    add_text(table, pw_str_of(text));
}

static void add_row(struct pw_table *table, const struct pw_event_view *view)
{
    const struct pw_delivery *delivery = view->delivery;
    struct pw_str name = delivery->node_name;
    char kind[KIND_BYTES], time[PW_ISO8601_SIZE];

    kind_of(delivery, kind);
    add_text(table, pw_str_of(kind));
    add_text(table, pw_str_empty(name) ? delivery->node_key : name);
    add_number(table, view, "data.report.non_compliant.count");
    add_number(table, view, "data.report.non_compliant.critical");
    add_number(table, view, "data.report.non_compliant.high");
    add_text(table, pw_event_view_text(view, "data.node.region"));
    add_text(table, pw_event_view_text(view, "data.report.baseline_name"));
    add_text(table, pw_str_of(utc_text(time, pw_event_view_time_ms(view))));
    add_text(table, pw_str_of(delivery->source_name));
    add_text(table, delivery->node_key);
}

static enum pw_status append_table(const struct pw_delivery *list, struct pw_event_view *view,
                                   struct pw_buffer *out, struct pw_error *err)
{
    static const struct pw_table_style style = {0, false, 0};
    enum pw_status status = PW_OK;
    struct pw_table *table;
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);

    if (file == NULL)
        return pw_fail_nomem(err);
    table = pw_table_new(file, columns, COLUMN_COUNT, &style);
    if (table == NULL)
        status = pw_fail_nomem(err);
    for (size_t i = 0; status == PW_OK && list != NULL && i < PW_MAIL_MAX_ROWS; i++) {
        status = pw_event_view_open(view, list, err);
        if (status == PW_OK)
            add_row(table, view);
        list = list->next;
    }
    if (table != NULL && pw_table_end(table) != PW_OK && status == PW_OK)
        status = pw_fail_nomem(err);
    if (fclose(file) != 0 && status == PW_OK)
        status = pw_fail_nomem(err);
    if (status == PW_OK)
        (void)pw_buffer_append(out, text, len);
    free(text);
    return status;
}

static enum pw_status append_group(const struct pw_delivery *list, const struct kinds *kinds,
                                   struct pw_event_view *view, struct pw_buffer *out,
                                   struct pw_error *err)
{
    enum pw_status status;

    append_kinds(kinds, out);
    (void)pw_buffer_append_text(out, "\n\n");
    status = append_table(list, view, out, err);
    if (kinds->events > PW_MAIL_MAX_ROWS)
        (void)pw_buffer_printf(out, "\nand %zu more\n", kinds->events - PW_MAIL_MAX_ROWS);
    (void)pw_buffer_append_text(out, "\n");
    append_field(out, "Rule", pw_str_of(list->rule));
    append_field(out, "Hook", pw_str_of(list->hook));
    return status;
}

/* --------------------------------------------------------------------------------------------- */

enum pw_status pw_mail_text(const struct pw_delivery *list, struct pw_buffer *subject,
                            struct pw_buffer *text, struct pw_error *err)
{
    struct pw_event_view view = {0};
    struct kinds kinds;
    enum pw_status status = PW_OK;

    if (list->next == NULL) {
        status = pw_event_view_open(&view, list, err);
        if (status == PW_OK) {
            pw_event_view_summary(&view, PW_VIEW_PLAIN, subject);
            append_event(&view, text);
        }
    } else {
        count_kinds(list, &kinds);
        append_kinds(&kinds, subject);
        status = append_group(list, &kinds, &view, text, err);
    }
    (void)pw_buffer_append_text(text, "\n-- \npatchwatch " PW_VERSION "\n");
    pw_event_view_close(&view);
    if (status == PW_OK && (subject->failed != PW_OK || text->failed != PW_OK))
        status = pw_fail(err, subject->failed != PW_OK ? subject->failed : text->failed,
                         "the mail cannot be put into words");
    return status;
}

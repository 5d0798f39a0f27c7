/* The part of status that tells of sources. What is configured and what is in the history are held
 * together: a source may be new, or be gone and leave its rows behind. */
#include "daemon/cli_sources.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/nearest.h"
#include "base/when.h"
#include "daemon/cli_output.h"

enum {
    STALE_INTERVALS = 3,
    FAILING_AFTER = 3, /* the option's default, for where no configuration is read */
};

struct source_view {
    const struct pw_source_config *config; /* NULL: not configured, or nothing known of that */
    bool is_gone;                          /* the configuration does not name it */
    bool is_failing, is_stale;
    bool is_unswept; /* no sweep of it ended, none runs */
    int64_t next_ms; /* PW_TIME_NONE: not known, or not to come */
};

/* What is wrong ------------------------------------------------------------------------------- */

void cli_wrong_add(struct cli_wrong *wrong, const char *format, ...)
{
    char **items = realloc(wrong->items, (wrong->count + 1) * sizeof *items);
    char *text = NULL;
    va_list arguments;
    int length = -1;

    if (items != NULL) {
        wrong->items = items;
        va_start(arguments, format);
        length = vasprintf(&text, format, arguments);
        va_end(arguments);
    }
    if (length < 0)
        wrong->is_short = true;
    else
        wrong->items[wrong->count++] = text;
}

void cli_wrong_free(struct cli_wrong *wrong)
{
    for (size_t i = 0; i < wrong->count; i++)
        free(wrong->items[i]);
    free(wrong->items);
    *wrong = (struct cli_wrong){NULL, 0, false};
}

/* A source ------------------------------------------------------------------------------------ */

static const struct pw_source_config *find_config(const struct cli *cli, struct pw_str name,
                                                  bool *seen)
{
    for (size_t i = 0; cli->config != NULL && i < cli->config->source_count; i++) {
        if (pw_str_is(name, cli->config->sources[i].name)) {
            seen[i] = true;
            return &cli->config->sources[i];
        }
    }
    return NULL;
}

static struct source_view look_at(const struct cli *cli, const struct pw_rows *rows,
                                  enum cli_running running, bool *seen)
{
    struct source_view view = {.next_ms = PW_TIME_NONE};
    int64_t started_ms = pw_rows_int(rows, "started_at", PW_TIME_NONE);
    int64_t complete_ms = pw_rows_int(rows, "last_complete_at", PW_TIME_NONE);
    int64_t running_ms = pw_rows_int(rows, "running_since", PW_TIME_NONE);
    int64_t failed = pw_rows_int(rows, "failed_sweeps", 0), interval_ms;

    view.config = find_config(cli, pw_rows_str(rows, "source"), seen);
    view.is_gone = cli->config != NULL && view.config == NULL;
    if (view.is_gone)
        return view;
    view.is_unswept = view.config != NULL && running_ms == PW_TIME_NONE &&
                      pw_rows_str(rows, "outcome").data == NULL;
    view.is_failing = pw_rows_int(rows, "failing_told_at", PW_TIME_NONE) != PW_TIME_NONE ||
                      failed >= (view.config != NULL ? view.config->failing_after : FAILING_AFTER);
    if (view.config == NULL || view.config->interval_ms <= 0)
        return view;
    interval_ms = view.config->interval_ms;
    if (running_ms != PW_TIME_NONE)
        started_ms = running_ms;
    view.is_stale =
        complete_ms != PW_TIME_NONE && cli->now_ms - complete_ms > STALE_INTERVALS * interval_ms;
    if (running != CLI_STOPPED && started_ms != PW_TIME_NONE)
        view.next_ms = started_ms + interval_ms;
    return view;
}

/* It is watched by nobody, most likely because the daemon was not reloaded. */
static void note_unswept(struct cli_wrong *wrong, const char *name)
{
    cli_wrong_add(wrong,
                  "source %s is configured and has never been swept; a running daemon learns of "
                  "it when it is reloaded",
                  name);
}

static void note_wrong(const struct cli *cli, const struct pw_rows *rows,
                       const struct source_view *view, struct cli_wrong *wrong)
{
    struct pw_str name = pw_rows_str(rows, "source"), reason = pw_rows_str(rows, "reason");
    int64_t since_ms = pw_rows_int(rows, "failing_since", PW_TIME_NONE);
    int64_t complete_ms = pw_rows_int(rows, "last_complete_at", PW_TIME_NONE);
    char when[PW_WHEN_SIZE], span[PW_WHEN_SIZE];

    if (view->is_failing)
        cli_wrong_add(wrong, "source %.*s has been failing since %s (%s): %.*s", PW_STR_ARG(name),
                      pw_when_text(when, since_ms), pw_when_relative(span, since_ms, cli->now_ms),
                      PW_STR_ARG(reason.data != NULL ? reason : pw_str_of("no reason recorded")));
    else if (view->is_stale)
        cli_wrong_add(wrong, "source %.*s: the last complete sweep ended %s, its interval is %s",
                      PW_STR_ARG(name), pw_when_relative(when, complete_ms, cli->now_ms),
                      pw_when_span(span, view->config->interval_ms));
    else if (view->is_unswept)
        note_unswept(wrong, view->config->name);
}

/* JSON ---------------------------------------------------------------------------------------- */

/* What the history does not say of a source. */
static void print_json_view(struct cli *cli, const struct source_view *view)
{
    struct pw_json *json = &cli->json;

    pw_json_key(json, "configured");
    if (cli->config == NULL)
        pw_json_null(json);
    else
        pw_json_bool(json, !view->is_gone);
    pw_json_key(json, "interval_ms");
    if (view->config == NULL)
        pw_json_null(json);
    else
        pw_json_int(json, view->config->interval_ms);
    cli_json_time(cli, "next_at", view->next_ms);
    pw_json_key(json, "failing");
    pw_json_bool(json, view->is_failing);
    pw_json_key(json, "stale");
    pw_json_bool(json, view->is_stale);
}

static void print_json(struct cli *cli, const struct pw_rows *rows, const struct source_view *view)
{
    pw_json_object_begin(&cli->json);
    cli_json_members(cli, rows);
    print_json_view(cli, view);
    pw_json_object_end(&cli->json);
}

/* The same members for a source that the history does not know. */
static void print_json_unswept(struct cli *cli, const struct pw_rows *rows,
                               const struct pw_source_config *source)
{
    struct source_view view = {.config = source, .next_ms = PW_TIME_NONE};

    pw_json_object_begin(&cli->json);
    for (int i = 0; i < pw_rows_columns(rows); i++) {
        const char *name = pw_rows_name(rows, i);

        if (cli_json_is_time(name)) {
            cli_json_time(cli, name, PW_TIME_NONE);
            continue;
        }
        pw_json_key(&cli->json, name);
        pw_json_text(&cli->json, strcmp(name, "source") == 0     ? source->name
                                 : strcmp(name, "endpoint") == 0 ? source->endpoint
                                                                 : NULL);
    }
    print_json_view(cli, &view);
    pw_json_object_end(&cli->json);
}

/* The table ----------------------------------------------------------------------------------- */

static const struct pw_table_column titles[] = {
    {"SOURCE", false, 0}, {"LAST SWEEP", false, 0}, {"ENDED", false, 0},
    {"TOOK", true, 3},    {"RECORDS", true, 2},     {"COMPLETE", false, 0},
    {"NEXT", false, 1},   {"OFFSET", false, 4},     {"NOTE", false, 0},
};

/* What the other columns do not say. */
static void write_note(const struct cli *cli, const struct pw_rows *rows,
                       const struct source_view *view, enum cli_running running, char *out,
                       size_t size_bytes)
{
    int64_t running_ms = pw_rows_int(rows, "running_since", PW_TIME_NONE);
    int64_t since_ms = pw_rows_int(rows, "failing_since", PW_TIME_NONE);
    struct pw_str reason = pw_rows_str(rows, "reason");
    char ago[PW_WHEN_SIZE];

    if (view->is_gone)
        (void)snprintf(out, size_bytes, "no longer configured");
    else if (since_ms != PW_TIME_NONE)
        (void)snprintf(out, size_bytes, "%s since %s: %.*s",
                       view->is_failing ? "FAILING" : "not complete",
                       pw_when_relative(ago, since_ms, cli->now_ms), PW_STR_ARG(reason));
    else if (view->is_stale)
        (void)snprintf(out, size_bytes, "STALE");
    else if (running_ms != PW_TIME_NONE && running == CLI_RUNNING)
        (void)snprintf(out, size_bytes, "sweeping since %s",
                       pw_when_relative(ago, running_ms, cli->now_ms));
    else if (view->is_unswept)
        (void)snprintf(out, size_bytes, "never swept");
    else if (pw_rows_int(rows, "empty_sweeps", 0) == 1)
        (void)snprintf(out, size_bytes, "suddenly empty; waits for one more sweep to say so");
    else
        out[0] = '\0';
}

static void print_row(struct cli *cli, struct pw_table *table, const struct pw_rows *rows,
                      const struct source_view *view, enum cli_running running)
{
    struct pw_str outcome = pw_rows_str(rows, "outcome");
    int64_t took_ms = pw_rows_int(rows, "took_ms", PW_TIME_NONE);
    int64_t records = pw_rows_int(rows, "records", PW_TIME_NONE);
    struct pw_str offset = pw_rows_str(rows, "offset_mode");
    char ended[PW_WHEN_SIZE], complete[PW_WHEN_SIZE], next[PW_WHEN_SIZE], number[32], took[32];
    char note[700];

    (void)snprintf(took, sizeof took, "%.1f s", (double)took_ms / 1000);
    (void)snprintf(number, sizeof number, "%" PRId64, records);
    (void)pw_when_relative(next, view->next_ms, cli->now_ms);
    write_note(cli, rows, view, running, note, sizeof note);
    (void)pw_table_cell(table, pw_rows_str(rows, "source"), PW_PAINT_NONE);
    (void)pw_table_cell(table, outcome.data != NULL ? outcome : pw_str_of("none yet"),
                        cli_paint_of(outcome));
    (void)pw_table_text(
        table, pw_when_relative(ended, pw_rows_int(rows, "ended_at", PW_TIME_NONE), cli->now_ms),
        PW_PAINT_NONE);
    (void)pw_table_text(table, took_ms == PW_TIME_NONE ? "-" : took, PW_PAINT_NONE);
    (void)pw_table_text(table, records == PW_TIME_NONE ? "-" : number, PW_PAINT_NONE);
    (void)pw_table_text(table,
                        pw_when_relative(complete,
                                         pw_rows_int(rows, "last_complete_at", PW_TIME_NONE),
                                         cli->now_ms),
                        view->is_stale ? PW_PAINT_BAD : PW_PAINT_NONE);
    (void)pw_table_text(table,
                        view->next_ms != PW_TIME_NONE && view->next_ms < cli->now_ms ? "due" : next,
                        PW_PAINT_NONE);
    (void)pw_table_cell(table, offset.data != NULL ? offset : pw_str_of("not known"),
                        PW_PAINT_NONE);
    (void)pw_table_text(table, note,
                        view->is_failing || view->is_stale || view->is_unswept ? PW_PAINT_BAD
                                                                               : PW_PAINT_NONE);
}

/* Those that the history does not know yet. */
static void print_unswept(struct cli *cli, struct pw_table *table, const struct pw_rows *rows,
                          const bool *seen, struct cli_wrong *wrong)
{
    for (size_t i = 0; cli->config != NULL && i < cli->config->source_count; i++) {
        const struct pw_source_config *source = &cli->config->sources[i];

        if (seen[i])
            continue;
        note_unswept(wrong, source->name);
        if (table != NULL) {
            (void)pw_table_text(table, source->name, PW_PAINT_NONE);
            (void)pw_table_text(table, "none yet", PW_PAINT_NONE);
            for (size_t column = 2; column + 1 < sizeof titles / sizeof *titles; column++)
                (void)pw_table_text(table, "-", PW_PAINT_NONE);
            (void)pw_table_text(table, "never swept", PW_PAINT_BAD);
        } else {
            print_json_unswept(cli, rows, source);
        }
    }
}

enum pw_status cli_print_sources(struct cli *cli, enum cli_running running, struct cli_wrong *wrong)
{
    struct pw_table_style style = {cli->width, cli->colour, 0};
    bool *seen = calloc(cli->config != NULL ? cli->config->source_count + 1 : 1, sizeof *seen);
    struct pw_table *table = NULL;
    struct pw_rows rows;
    bool row = true;
    enum pw_status status;

    if (seen == NULL)
        return pw_fail_nomem(&cli->err);
    status = pw_query_sources(cli->db, &rows, &cli->err);
    if (status != PW_OK)
        goto out;
    if (cli_is_json(cli)) {
        pw_json_key(&cli->json, "sources");
        pw_json_array_begin(&cli->json);
    } else {
        table = pw_table_new(stdout, titles, sizeof titles / sizeof *titles, &style);
        if (table == NULL) {
            status = pw_fail_nomem(&cli->err);
            goto out;
        }
    }
    while ((status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row) {
        struct source_view view = look_at(cli, &rows, running, seen);

        note_wrong(cli, &rows, &view, wrong);
        if (table != NULL)
            print_row(cli, table, &rows, &view, running);
        else
            print_json(cli, &rows, &view);
    }
    print_unswept(cli, table, &rows, seen, wrong);
    if (table == NULL)
        pw_json_array_end(&cli->json);
    else if (pw_table_end(table) != PW_OK && status == PW_OK)
        status = pw_fail_nomem(&cli->err);
    if (table != NULL)
        (void)fputc('\n', stdout);
out:
    free(seen);
    return status;
}

/* Names ----------------------------------------------------------------------------------------
 */

struct names {
    char **items; /* owned; NULL ends them */
    size_t count;
    bool is_short; /* of memory */
};

static void names_add(struct names *names, struct pw_str name)
{
    char **items = realloc(names->items, (names->count + 2) * sizeof *items);

    if (items != NULL)
        names->items = items;
    if (items == NULL || (items[names->count] = pw_str_dup(name)) == NULL)
        names->is_short = true;
    else
        items[++names->count] = NULL;
}

/* Those of the history and those of the configuration. */
static enum pw_status read_names(struct cli *cli, struct names *names)
{
    struct pw_rows rows;
    bool row = true;
    enum pw_status status = pw_query_sources(cli->db, &rows, &cli->err);

    while (status == PW_OK && (status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row)
        names_add(names, pw_rows_str(&rows, "source"));
    for (size_t i = 0; cli->config != NULL && i < cli->config->source_count; i++)
        names_add(names, pw_str_of(cli->config->sources[i].name));
    return status == PW_OK && names->is_short ? pw_fail_nomem(&cli->err) : status;
}

int cli_check_source(struct cli *cli)
{
    const char *given = cli->options[CLI_SOURCE], *near;
    struct names names = {NULL, 0, false};
    struct cli_text hold[2];
    int code = EX_OK;
    enum pw_status status = given != NULL ? read_names(cli, &names) : PW_OK;

    if (status != PW_OK) {
        code = cli_fail(cli, status);
    } else if (given != NULL) {
        size_t i = 0;

        while (i < names.count && strcmp(names.items[i], given) != 0)
            i++;
        if (i == names.count) {
            near = names.count > 0 ? pw_nearest(given, (const char *const *)names.items) : NULL;
            if (near == NULL && names.count > 0)
                near = names.items[0]; /* at least one that there is */
            code = cli_usage("--source: there is no source '%s'%s%s%s",
                             cli_printable(&hold[0], pw_str_of(given)),
                             near != NULL ? "; do you mean '" : "",
                             near != NULL ? cli_printable(&hold[1], pw_str_of(near)) : "",
                             near != NULL ? "'?" : "");
            cli_text_free(&hold[0]);
            if (near != NULL)
                cli_text_free(&hold[1]);
        }
    }
    for (size_t i = 0; i < names.count; i++)
        free(names.items[i]);
    free(names.items);
    return code;
}

/* events, sweeps, deliveries: what happened, and who is owed word of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"

enum { LOOK_AGAIN_MS = 500, SHOWN_SWEEPS = 20 };

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

static const struct cli_column event_columns[] = {
    {"RECORDED", "recorded_at", CLI_TIME, 0},
    {"TYPE", "type", CLI_TEXT, 0},
    {"NAME", "name", CLI_NAME, 0},
    {"FROM", "from_status", CLI_STATUS_OF, 2},
    {"TO", "to_status", CLI_STATUS_OF, 1},
    {"CAUSE", "cause", CLI_TEXT, 5},
    {"SOURCE", "source", CLI_TEXT, 6},
    {"REGION", "region", CLI_TEXT, 7},
    {"KEY", "node_key", CLI_TEXT, 3},
    {"HAPPENED", "occurred_at", CLI_TIME, 8},
    {"EVENT", "event_id", CLI_NUMBER, 9},
};

static const struct cli_column sweep_columns[] = {
    {"SWEEP", "sweep_id", CLI_NUMBER, 7},     {"SOURCE", "source", CLI_TEXT, 0},
    {"OUTCOME", "outcome", CLI_STATUS_OF, 0}, {"STARTED", "started_at", CLI_TIME, 0},
    {"TOOK", "took_ms", CLI_TOOK, 3},         {"RECORDS", "records", CLI_NUMBER, 2},
    {"NODES", "nodes", CLI_NUMBER, 4},        {"CHANGED", "changed", CLI_NUMBER, 4},
    {"FLIPS", "transitions", CLI_NUMBER, 4},  {"REQUESTS", "requests", CLI_NUMBER, 6},
    {"RETRIES", "retries", CLI_NUMBER, 6},    {"BYTES", "bytes", CLI_BYTES, 6},
    {"REASON", "reason", CLI_TEXT, 1},        {"ERROR", "error_code", CLI_TEXT, 5},
};

static const struct cli_column delivery_columns[] = {
    {"ID", "delivery_id", CLI_NUMBER, 0},  {"HOOK", "hook", CLI_TEXT, 0},
    {"STATE", "state", CLI_STATUS_OF, 0},  {"TYPE", "type", CLI_TEXT, 2},
    {"NAME", "name", CLI_NAME, 1},         {"OWED", "created_at", CLI_AGO, 0},
    {"TRIES", "attempts", CLI_NUMBER, 3},  {"NEXT", "next_attempt_at", CLI_AGO, 4},
    {"TOLD", "delivered_at", CLI_TIME, 4}, {"NOTE", "note", CLI_TEXT, 1},
    {"RULE", "rule", CLI_TEXT, 6},         {"KEY", "node_key", CLI_TEXT, 5},
};

/* events -------------------------------------------------------------------------------------- */

/* A line of a log: what is followed cannot wait to know how wide its columns are. */
static void print_event(struct cli *cli, const struct pw_rows *rows)
{
    struct pw_str name = pw_rows_str(rows, "name"), key = pw_rows_str(rows, "node_key");
    struct pw_str from = pw_rows_str(rows, "from_status"), to = pw_rows_str(rows, "to_status");
    struct pw_str cause = pw_rows_str(rows, "cause"), type = pw_rows_str(rows, "type");
    struct cli_text hold[3];
    char time[PW_WHEN_SIZE];

    (void)printf("%s  ", pw_when_text(time, pw_rows_int(rows, "recorded_at", PW_TIME_NONE)));
    cli_print(cli, cli_paint_of(to), "%-18s", cli_printable(&hold[0], type));
    (void)printf("  %s",
                 cli_printable(&hold[1], key.data != NULL ? key : pw_rows_str(rows, "source")));
    if (name.data != NULL)
        (void)printf(" (%s)", cli_printable(&hold[2], name));
    else
        hold[2].text = NULL;
    if (from.data != NULL && to.data != NULL)
        (void)printf("  %.*s -> %.*s", PW_STR_ARG(from), PW_STR_ARG(to));
    else if (to.data != NULL)
        (void)printf("  %.*s", PW_STR_ARG(to));
    for (size_t i = 0; i < COUNT(hold); i++)
        cli_text_free(&hold[i]);
    if (cause.data != NULL)
        (void)printf("  [%s]", cli_printable(&hold[0], cause));
    else
        hold[0].text = NULL;
    cli_text_free(&hold[0]);
    (void)fputc('\n', stdout);
}

/* Prints what the filter lets through, a line each. */
static enum pw_status print_lines(struct cli *cli, const struct pw_event_filter *filter)
{
    struct pw_rows rows;
    bool row = true;
    enum pw_status status = pw_query_events(cli->db, filter, &rows, &cli->err);

    if (status != PW_OK)
        return status;
    while ((status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row && !ferror(stdout)) {
        if (cli_is_json(cli)) {
            cli_json_row(cli, &rows);
            (void)cli_json_line(cli);
        } else {
            print_event(cli, &rows);
        }
    }
    pw_rows_stop(&rows);
    return status;
}

/* A restore puts another file in the place of the one that is open, where nothing ever comes again.
 * PW_EIO where that is so. */
static enum pw_status check_file(struct cli *cli, const struct stat *opened)
{
    int has_moved = 0;
    struct stat now;

    /* The open file is held by SQLite: its number is not given to another one meanwhile. */
    (void)sqlite3_file_control(pw_db_handle(cli->db), "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (has_moved == 0 && stat(cli->database, &now) == 0 && now.st_dev == opened->st_dev &&
        now.st_ino == opened->st_ino)
        return PW_OK;
    return pw_fail(&cli->err, PW_EIO,
                   "the database %s was removed or replaced while it was followed; start again",
                   cli->database);
}

/* What there is now, and where to go on: in one transaction, so that nothing falls between. */
static enum pw_status print_news(struct cli *cli, struct pw_event_filter *filter)
{
    int64_t last = 0;
    enum pw_status status = pw_query_begin(cli->db, &cli->err);

    if (status == PW_OK)
        status = pw_query_last_event(cli->db, &last, &cli->err);
    if (status == PW_OK && last < filter->after)
        status = pw_fail(&cli->err, PW_EIO,
                         "the events of %s went back from %" PRId64 " to %" PRId64
                         " (was a backup restored?); start again",
                         cli->database, filter->after, last);
    if (status == PW_OK && last > filter->after)
        status = print_lines(cli, filter);
    pw_query_end(cli->db);
    if (last > filter->after)
        filter->after = last;
    return status;
}

static enum pw_status follow(struct cli *cli, struct pw_event_filter *filter)
{
    struct stat opened;
    enum pw_status status;

    if (stat(cli->database, &opened) != 0)
        opened = (struct stat){.st_ino = 0}; /* then it is not what is open */
    do {
        status = check_file(cli, &opened);
        if (status == PW_OK)
            status = print_news(cli, filter);
        if (filter->after < 0)
            filter->after = 0; /* no event at all yet: the next one is news */
    } while (status == PW_OK && fflush(stdout) == 0 && !cli->has_failed &&
             cli_is_read(LOOK_AGAIN_MS));
    return status;
}

int cli_events(struct cli *cli)
{
    struct pw_event_filter filter = {.since_ms = cli->now_ms - PW_DAY_MS, .after = -1};
    char type[128];
    struct pw_rows rows;
    size_t count = 0;
    enum pw_status status;

    if (cli->options[CLI_SINCE] != NULL) {
        if (!cli_time(cli, cli->options[CLI_SINCE], &filter.since_ms))
            return EX_USAGE;
    } else if (cli->options[CLI_NODE] != NULL) {
        filter.since_ms = PW_TIME_NONE;
    }
    if (cli->options[CLI_TYPE] != NULL) {
        if (!cli_type_pattern(cli, type, sizeof type))
            return EX_USAGE;
        filter.type = type;
    }
    if (cli->options[CLI_NODE] != NULL) {
        int code = cli_find_node(cli, cli->options[CLI_NODE], NULL, &filter.node_id);

        if (code != EX_OK)
            return code;
    }
    if (cli->options[CLI_FOLLOW] != NULL) {
        status = follow(cli, &filter);
        return status == PW_OK ? EX_OK : cli_fail(cli, status);
    }
    status = pw_query_events(cli->db, &filter, &rows, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        status = cli_json_rows(cli, "events", &rows, NULL);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status = cli_table(cli, event_columns, COUNT(event_columns), 0, &rows, &count);
        if (status == PW_OK && count == 0)
            (void)puts("no events");
    }
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

/* sweeps -------------------------------------------------------------------------------------- */

int cli_sweeps(struct cli *cli)
{
    struct pw_rows rows;
    int64_t limit;
    size_t count = 0;
    int code;
    enum pw_status status;

    if (!cli_number(cli, CLI_LIMIT, 0, SHOWN_SWEEPS, &limit))
        return EX_USAGE;
    code = cli_check_source(cli);
    if (code != EX_OK)
        return code;
    status = pw_query_sweeps(cli->db, cli->options[CLI_SOURCE], limit > 0 ? limit : -1, &rows,
                             &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        status = cli_json_rows(cli, "sweeps", &rows, NULL);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status = cli_table(cli, sweep_columns, COUNT(sweep_columns), 0, &rows, &count);
        if (status == PW_OK && count == 0)
            (void)puts("no sweeps");
    }
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

/* deliveries ---------------------------------------------------------------------------------- */

/* The questions that together answer: dead and pending ones, or one by time. */
static enum pw_status ask(struct cli *cli, const char *state, int64_t since_ms, size_t part,
                          struct pw_rows *rows, bool *is_there)
{
    static const char *const owed[] = {"dead", "pending"};
    const char *hook = cli->options[CLI_HOOK];

    if (state == NULL || strcmp(state, "dead") == 0 || strcmp(state, "pending") == 0) {
        *is_there = part < (state == NULL ? COUNT(owed) : 1);
        return *is_there ? pw_query_owed(cli->db, state == NULL ? owed[part] : state, hook, rows,
                                         &cli->err)
                         : PW_OK;
    }
    *is_there = part == 0;
    return *is_there ? pw_query_deliveries(cli->db, strcmp(state, "all") == 0 ? NULL : state, hook,
                                           since_ms, rows, &cli->err)
                     : PW_OK;
}

static enum pw_status print_deliveries(struct cli *cli, int64_t since_ms, struct pw_table *table,
                                       size_t *count)
{
    const char *state = cli->options[CLI_STATE];
    struct pw_rows rows;
    bool is_there = true;
    enum pw_status status = PW_OK;

    for (size_t part = 0; status == PW_OK && !ferror(stdout); part++) {
        bool row = true;

        status = ask(cli, state, since_ms, part, &rows, &is_there);
        if (status != PW_OK || !is_there)
            break;
        while (status == PW_OK && (status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row &&
               !ferror(stdout)) {
            (*count)++;
            if (table != NULL) {
                status =
                    cli_table_row(cli, table, delivery_columns, COUNT(delivery_columns), &rows);
            } else {
                cli_json_row(cli, &rows);
                cli_json_flush(cli);
            }
        }
        pw_rows_stop(&rows);
    }
    return status;
}

/* An empty answer about a mistyped hook would look like "all was told". */
static enum pw_status note_hook(struct cli *cli)
{
    const char *hook = cli->options[CLI_HOOK];
    bool is_known = true;
    struct cli_text hold;
    enum pw_status status =
        hook != NULL ? pw_query_is_hook_known(cli->db, hook, &is_known, &cli->err) : PW_OK;

    if (!is_known) {
        (void)fprintf(stderr, "patchwatch: no delivery ever named a hook '%s'\n",
                      cli_printable(&hold, pw_str_of(hook)));
        cli_text_free(&hold);
    }
    return status;
}

int cli_deliveries(struct cli *cli)
{
    static const char *const states[] = {"pending", "delivered", "dead", "muted",
                                         "dropped", "all",       NULL};
    const char *state = cli->options[CLI_STATE];
    bool is_owed = state == NULL || strcmp(state, "dead") == 0 || strcmp(state, "pending") == 0;
    int64_t since_ms = cli->now_ms - PW_DAY_MS;
    struct pw_table_column titles[CLI_COLUMNS_MAX];
    struct pw_table *table;
    size_t count = 0;
    enum pw_status status;

    if (cli->operand_count > 0 || cli->options[CLI_DEAD] != NULL)
        return cli_manage(cli);
    if (!cli_word(cli, CLI_STATE, states))
        return EX_USAGE;
    status = pw_query_begin(cli->db, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli->options[CLI_SINCE] != NULL) {
        if (is_owed)
            return cli_usage("--since goes with --state delivered, muted, dropped or all: what is "
                             "pending or dead is shown in any case");
        if (!cli_time(cli, cli->options[CLI_SINCE], &since_ms))
            return EX_USAGE;
    }
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "deliveries");
        pw_json_array_begin(&cli->json);
        status = print_deliveries(cli, since_ms, NULL, &count);
        pw_json_array_end(&cli->json);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
        if (status == PW_OK && count == 0)
            status = note_hook(cli);
        return status == PW_OK ? EX_OK : cli_fail(cli, status);
    }
    table = cli_table_begin(cli, delivery_columns, COUNT(delivery_columns), 0, titles);
    if (table == NULL)
        return cli_fail(cli, pw_fail_nomem(&cli->err));
    status = print_deliveries(cli, since_ms, table, &count);
    if (status == PW_OK && count == 0) {
        (void)puts(!is_owed          ? "no deliveries"
                   : state == NULL   ? "nothing waits, nothing was given up"
                   : state[0] == 'd' ? "nothing was given up"
                                     : "nothing waits");
        status = note_hook(cli);
    }
    if (pw_table_end(table) != PW_OK && status == PW_OK)
        status = pw_fail_nomem(&cli->err);
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

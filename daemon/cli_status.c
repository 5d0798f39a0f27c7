/* status: the screen for three in the morning. Is it running, is each source fresh, what is broken
 * and since when, was everyone told? Exit code 1 where one of the answers is bad. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"
#include "daemon/cli_sources.h"
#include "store/care.h"

enum { SHOWN_PROBLEMS = 10 };

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

static const struct cli_column problem_columns[] = {
    {"NAME", "name", CLI_NAME, 0},
    {"SINCE", "status_since", CLI_AGO, 0},
    {"CRIT", "critical", CLI_NUMBER, 0},
    {"HIGH", "high", CLI_NUMBER, 0},
    {"ALL", "non_compliant_count", CLI_NUMBER, 3},
    {"REGION", "region", CLI_TEXT, 2},
    {"SOURCE", "source", CLI_TEXT, 4},
    {"KEY", "node_key", CLI_TEXT, 5},
};

static const struct cli_column backlog_columns[] = {
    {"HOOK", "hook", CLI_TEXT, 0},           {"STATE", "state", CLI_STATUS_OF, 0},
    {"NUMBER", "deliveries", CLI_NUMBER, 0}, {"OLDEST", "oldest_at", CLI_AGO, 0},
    {"TRIES", "attempts", CLI_NUMBER, 2},    {"ERROR", "last_error", CLI_TEXT, 1},
};

struct state {
    struct cli *cli;
    struct cli_wrong wrong;
    int64_t pending, dead; /* deliveries */
    int64_t oldest_ms;     /* pending one */
};

static bool is_text(const struct state *state)
{
    return !cli_is_json(state->cli);
}

/* The daemon ---------------------------------------------------------------------------------- */

/* Who stands in the daemon's place is named: it cannot start as long as that runs. */
static void note_daemon(struct state *state, const struct cli_daemon *daemon)
{
    if (daemon->running == CLI_STOPPED && daemon->pid > 0)
        cli_wrong_add(&state->wrong,
                      "patchwatchd is not running, and another program (%s, pid %" PRId64
                      ") holds its lock",
                      daemon->program, daemon->pid);
    else if (daemon->running == CLI_STOPPED)
        cli_wrong_add(&state->wrong, "patchwatchd is not running");
}

static enum cli_running print_daemon(struct state *state)
{
    static const char *const names[] = {
        [CLI_RUNNING] = "running", [CLI_STOPPED] = "stopped", [CLI_UNKNOWN] = "unknown"};
    struct cli *cli = state->cli;
    struct cli_text hold;
    struct cli_daemon daemon;
    enum cli_running running;
    int64_t pid;

    cli_find_daemon(cli->database, &daemon);
    running = daemon.running;
    pid = running == CLI_RUNNING ? daemon.pid : 0;
    note_daemon(state, &daemon);
    if (!is_text(state)) {
        pw_json_key(&cli->json, "daemon");
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "state");
        pw_json_text(&cli->json, names[running]);
        pw_json_key(&cli->json, "pid");
        if (pid > 0)
            pw_json_int(&cli->json, pid);
        else
            pw_json_null(&cli->json);
        pw_json_key(&cli->json, "database");
        pw_json_text(&cli->json, cli->database);
        pw_json_object_end(&cli->json);
        return running;
    }
    (void)fputs("patchwatchd ", stdout);
    if (running == CLI_RUNNING)
        cli_print(cli, PW_PAINT_GOOD, "is running");
    else if (running == CLI_STOPPED)
        cli_print(cli, PW_PAINT_BAD, "IS NOT RUNNING");
    else
        cli_print(cli, PW_PAINT_WARN, "may be running or not: %s", daemon.reason);
    if (pid > 0)
        (void)printf(" (pid %" PRId64 ")", pid);
    (void)printf(" on %s\n\n", cli_printable(&hold, pw_str_of(cli->database)));
    cli_text_free(&hold);
    return running;
}

/* A reader that stays lets the log grow; the daemon warns of it in its own log. */
static void print_wal(struct state *state)
{
    enum { MIB = 1024 * 1024, WORTH_TELLING_BYTES = 64 * MIB };
    struct cli *cli = state->cli;
    int64_t wal_bytes = pw_care_wal_bytes(cli->db);

    if (!is_text(state)) {
        pw_json_key(&cli->json, "wal_bytes");
        pw_json_int(&cli->json, wal_bytes);
    } else if (wal_bytes > WORTH_TELLING_BYTES) {
        cli_print(cli, PW_PAINT_WARN, "The write-ahead log has %" PRId64 " MiB: somebody reads on",
                  wal_bytes / MIB);
        (void)puts("\n");
    }
}

/* The fleet ----------------------------------------------------------------------------------- */

static const char *const counted[] = {"nodes", "compliant", "non_compliant", "unknown", "missing"};

static void json_counts(struct cli *cli, const int64_t counts[COUNT(counted)])
{
    for (size_t i = 0; i < COUNT(counted); i++) {
        pw_json_key(&cli->json, counted[i]);
        pw_json_int(&cli->json, counts[i]);
    }
}

static enum pw_status table_counts(struct pw_table *table, struct pw_str name,
                                   const int64_t counts[COUNT(counted)])
{
    enum pw_status status = pw_table_cell(table, name, PW_PAINT_NONE);

    for (size_t i = 0; i < COUNT(counted); i++) {
        enum pw_paint paint = counts[i] == 0 ? PW_PAINT_DIM : cli_paint_of(pw_str_of(counted[i]));
        char number[24];

        (void)snprintf(number, sizeof number, "%" PRId64, counts[i]);
        status = pw_table_text(table, number, paint);
    }
    return status;
}

static enum pw_status print_fleet(struct state *state, int64_t *broken)
{
    static const struct pw_table_column titles[] = {
        {"MACHINES", false, 0},     {"ALL", true, 0},     {"COMPLIANT", true, 0},
        {"NON_COMPLIANT", true, 0}, {"UNKNOWN", true, 0}, {"MISSING", true, 0},
    };
    struct cli *cli = state->cli;
    struct pw_table_style style = {cli->width, cli->colour, 0};
    struct pw_table *table = NULL;
    int64_t sum[COUNT(counted)] = {0}, counts[COUNT(counted)];
    struct pw_rows rows;
    bool row = true;
    size_t sources = 0;
    enum pw_status status = pw_query_totals(cli->db, &rows, &cli->err);

    if (status != PW_OK)
        return status;
    if (is_text(state)) {
        table = pw_table_new(stdout, titles, COUNT(titles), &style);
        if (table == NULL)
            return pw_fail_nomem(&cli->err);
    } else {
        pw_json_key(&cli->json, "fleet");
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "by_source");
        pw_json_array_begin(&cli->json);
    }
    while ((status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row) {
        sources++;
        for (size_t i = 0; i < COUNT(counted); i++) {
            counts[i] = pw_rows_int(&rows, counted[i], 0);
            sum[i] += counts[i];
        }
        if (table != NULL)
            (void)table_counts(table, pw_rows_str(&rows, "source"), counts);
        else
            cli_json_row(cli, &rows);
    }
    *broken = sum[2];
    if (table != NULL) {
        if (sources != 1)
            (void)table_counts(table, pw_str_of("all"), sum);
        if (pw_table_end(table) != PW_OK && status == PW_OK)
            status = pw_fail_nomem(&cli->err);
    } else {
        pw_json_array_end(&cli->json);
        pw_json_key(&cli->json, "all");
        pw_json_object_begin(&cli->json);
        json_counts(cli, sum);
        pw_json_object_end(&cli->json);
        pw_json_object_end(&cli->json);
    }
    return status;
}

static enum pw_status print_problems(struct state *state, int64_t broken)
{
    struct cli *cli = state->cli;
    struct pw_rows rows;
    size_t count = 0;
    enum pw_status status = pw_query_problems(cli->db, SHOWN_PROBLEMS, &rows, &cli->err);

    if (status != PW_OK)
        return status;
    if (!is_text(state))
        return cli_json_rows(cli, "problems", &rows, NULL);
    if (broken == 0) {
        (void)puts("\nNo machine is non-compliant.");
        return PW_OK;
    }
    (void)printf("\nNon-compliant, the newest first:\n");
    status = cli_table(cli, problem_columns, COUNT(problem_columns), 2, &rows, &count);
    if (status == PW_OK && broken > (int64_t)count)
        (void)printf("  and %" PRId64 " more: patchwatch nodes --status non_compliant\n",
                     broken - (int64_t)count);
    return status;
}

/* Who was told -------------------------------------------------------------------------------- */

static enum pw_status count_backlog(struct state *state)
{
    struct pw_rows rows;
    bool row = true;
    enum pw_status status = pw_query_backlog(state->cli->db, &rows, &state->cli->err);

    while (status == PW_OK && (status = pw_rows_next(&rows, &row, &state->cli->err)) == PW_OK &&
           row) {
        int64_t number = pw_rows_int(&rows, "deliveries", 0);
        int64_t oldest_ms = pw_rows_int(&rows, "oldest_at", state->cli->now_ms);

        if (pw_str_is(pw_rows_str(&rows, "state"), "dead")) {
            state->dead += number;
        } else {
            state->pending += number;
            if (oldest_ms < state->oldest_ms)
                state->oldest_ms = oldest_ms;
        }
    }
    return status;
}

static enum pw_status note_hooks_off(struct state *state)
{
    struct pw_rows rows;
    bool row = true;
    enum pw_status status = pw_query_hooks_off(state->cli->db, &rows, &state->cli->err);

    while (status == PW_OK && (status = pw_rows_next(&rows, &row, &state->cli->err)) == PW_OK &&
           row) {
        struct pw_str name = pw_rows_str(&rows, "name"), reason = pw_rows_str(&rows, "reason");
        char since[PW_WHEN_SIZE];

        cli_wrong_add(&state->wrong,
                      "hook %.*s is off since %s: %.*s (change its URL, or reload to try again)",
                      PW_STR_ARG(name), pw_when_text(since, pw_rows_int(&rows, "off_at", 0)),
                      PW_STR_ARG(reason));
    }
    return status;
}

static enum pw_status print_backlog(struct state *state)
{
    struct cli *cli = state->cli;
    struct pw_rows rows;
    size_t count;
    enum pw_status status = count_backlog(state);

    if (status == PW_OK)
        status = note_hooks_off(state);
    if (status == PW_OK)
        status = pw_query_backlog(cli->db, &rows, &cli->err);
    if (status != PW_OK)
        return status;
    if (state->dead > 0)
        cli_wrong_add(&state->wrong, "%" PRId64 " deliver%s given up", state->dead,
                      state->dead == 1 ? "y was" : "ies were");
    if (!is_text(state))
        return cli_json_rows(cli, "backlog", &rows, NULL);
    if (state->dead + state->pending == 0)
        return PW_OK;
    (void)puts("\nNot delivered:");
    return cli_table(cli, backlog_columns, COUNT(backlog_columns), 2, &rows, &count);
}

/* The last lines of the screen. */
static enum pw_status print_told(struct state *state)
{
    struct cli *cli = state->cli;
    struct pw_rows rows;
    bool row = false;
    char span[PW_WHEN_SIZE];
    int64_t since_ms = cli->now_ms - PW_DAY_MS, changes, nobody, held;
    enum pw_status status = pw_query_told(cli->db, since_ms, &rows, &cli->err);

    if (status == PW_OK)
        status = pw_rows_next(&rows, &row, &cli->err);
    if (status != PW_OK || !row)
        return status;
    if (!is_text(state)) {
        pw_json_key(&cli->json, "told");
        pw_json_object_begin(&cli->json);
        cli_json_time(cli, "since_at", since_ms);
        cli_json_members(cli, &rows);
        pw_json_object_end(&cli->json);
        pw_rows_stop(&rows);
        return PW_OK;
    }
    changes = pw_rows_int(&rows, "transitions", 0);
    nobody = pw_rows_int(&rows, "owed_to_nobody", 0);
    held = pw_rows_int(&rows, "held_back", 0);
    (void)fputs("\nWas everyone told? ", stdout);
    if (state->dead > 0)
        cli_print(cli, PW_PAINT_BAD, "NO: %" PRId64 " given up (patchwatch deliveries)",
                  state->dead);
    else if (state->pending > 0)
        cli_print(cli, PW_PAINT_WARN, "Not yet");
    else if (nobody > 0 && nobody == changes)
        cli_print(cli, PW_PAINT_WARN, "Nobody was: no rule names %s of the last 24h",
                  changes == 1 ? "the one change" : "any of the changes");
    else if (nobody > 0)
        cli_print(cli, PW_PAINT_WARN,
                  "Not of everything: no rule names %" PRId64 " of the changes of the last 24h",
                  nobody);
    else
        cli_print(cli, PW_PAINT_GOOD, "Yes, nobody is owed anything");
    if (state->pending > 0)
        (void)printf("%s %" PRId64 " waiting, the oldest for %s", state->dead > 0 ? ";" : ":",
                     state->pending, pw_when_span(span, cli->now_ms - state->oldest_ms));
    (void)printf(".\nLast 24h: %" PRId64 " change%s of status; %" PRId64
                 " told to all who are owed it",
                 changes, changes == 1 ? "" : "s", pw_rows_int(&rows, "told", 0));
    if (nobody > 0)
        (void)printf("; %" PRId64 " that no rule sends to anybody", nobody);
    if (held > 0)
        (void)printf("; %" PRId64 " muted or dropped", held);
    (void)puts(".");
    pw_rows_stop(&rows);
    return PW_OK;
}

/* The screen ---------------------------------------------------------------------------------- */

static void print_wrong(struct state *state)
{
    struct cli *cli = state->cli;

    if (!is_text(state)) {
        pw_json_key(&cli->json, "ok");
        pw_json_bool(&cli->json, state->wrong.count == 0);
        pw_json_key(&cli->json, "wrong");
        pw_json_array_begin(&cli->json);
        for (size_t i = 0; i < state->wrong.count; i++)
            pw_json_text(&cli->json, state->wrong.items[i]);
        pw_json_array_end(&cli->json);
        return;
    }
    if (state->wrong.count == 0)
        return;
    (void)fputc('\n', stdout);
    for (size_t i = 0; i < state->wrong.count; i++) {
        struct cli_text hold;

        cli_print(cli, PW_PAINT_BAD, "WRONG: %s",
                  cli_printable(&hold, pw_str_of(state->wrong.items[i])));
        cli_text_free(&hold);
        (void)fputc('\n', stdout);
    }
}

int cli_status(struct cli *cli)
{
    struct state state = {.cli = cli, .oldest_ms = cli->now_ms};
    int64_t broken = 0;
    enum cli_running running;
    int code;
    enum pw_status status = pw_query_begin(cli->db, &cli->err);

    if (status != PW_OK)
        return cli_fail(cli, status);
    if (!is_text(&state)) {
        pw_json_object_begin(&cli->json);
        cli_json_time(cli, "at", cli->now_ms);
    }
    running = print_daemon(&state);
    print_wal(&state);
    status = cli_print_sources(cli, running, &state.wrong);
    if (status == PW_OK)
        status = print_fleet(&state, &broken);
    if (status == PW_OK)
        status = print_problems(&state, broken);
    if (status == PW_OK)
        status = print_backlog(&state);
    if (status == PW_OK && state.wrong.is_short)
        status = pw_fail_nomem(&cli->err);
    if (status == PW_OK)
        print_wrong(&state);
    if (status == PW_OK)
        status = print_told(&state);
    if (!is_text(&state)) {
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    }
    code = status != PW_OK ? cli_fail(cli, status) : state.wrong.count > 0 ? CLI_EXIT_WRONG : EX_OK;
    pw_query_end(cli->db);
    cli_wrong_free(&state.wrong);
    return code;
}

/* nodes, at: the fleet, now and at any instant. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"
#include "store/horizon.h"

/* Half a key is of no use, and a name finds the machine too: KEY goes before the counts do. */
static const struct cli_column now_columns[] = {
    {"STATUS", "status", CLI_STATUS_OF, 0}, {"NAME", "name", CLI_NAME, 0},
    {"SINCE", "status_since", CLI_AGO, 2},  {"CRIT", "critical", CLI_NUMBER, 1},
    {"HIGH", "high", CLI_NUMBER, 1},        {"ALL", "non_compliant_count", CLI_NUMBER, 4},
    {"REGION", "region", CLI_TEXT, 5},      {"SOURCE", "source", CLI_TEXT, 6},
    {"KEY", "node_key", CLI_TEXT, 3},       {"SEEN", "last_seen_at", CLI_AGO, 7},
    {"GROUP", "group_name", CLI_TEXT, 8},
};

static const struct cli_column then_columns[] = {
    {"STATUS", "status", CLI_STATUS_OF, 0},
    {"NAME", "name", CLI_NAME, 0},
    {"CRIT", "critical", CLI_NUMBER, 1},
    {"HIGH", "high", CLI_NUMBER, 1},
    {"ALL", "non_compliant_count", CLI_NUMBER, 4},
    {"REPORT", "report_time", CLI_TIME, 2},
    {"REGION", "region", CLI_TEXT, 5},
    {"SOURCE", "source", CLI_TEXT, 6},
    {"KEY", "node_key", CLI_TEXT, 3},
};

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

/* In the order of their badness. */
static const char *const statuses[] = {"compliant", "missing", "unknown", "non_compliant", NULL};

struct totals {
    int64_t of[COUNT(statuses) - 1];
};

static void count_row(struct totals *totals, struct pw_str status)
{
    for (size_t i = 0; statuses[i] != NULL; i++) {
        if (pw_str_is(status, statuses[i]))
            totals->of[i]++;
    }
}

/* Globs are ours and not SQLite's, so that they mean what they mean in alerts.yaml. */
static bool matches(const struct cli *cli, const struct pw_rows *rows)
{
    const char *glob = cli->options[CLI_MATCH];

    return glob == NULL || pw_glob_match(glob, pw_rows_str(rows, "name")) ||
           pw_glob_match(glob, pw_rows_str(rows, "node_key")) ||
           pw_glob_match(glob, pw_rows_str(rows, "instance_id"));
}

static void print_totals(struct cli *cli, const struct totals *totals, const char *when)
{
    int64_t all = 0;

    for (size_t i = 0; statuses[i] != NULL; i++)
        all += totals->of[i];
    (void)printf("%s%" PRId64 " machine%s%s", all > 0 ? "\n" : "", all, all == 1 ? "" : "s", when);
    for (size_t i = COUNT(statuses) - 1; i-- > 0;) {
        (void)fputs(i == COUNT(statuses) - 2 ? ": " : ", ", stdout);
        cli_print(cli, totals->of[i] > 0 ? cli_paint_of(pw_str_of(statuses[i])) : PW_PAINT_NONE,
                  "%" PRId64 " %s", totals->of[i], statuses[i]);
    }
    (void)fputc('\n', stdout);
}

static void json_totals(struct cli *cli, const struct totals *totals)
{
    pw_json_key(&cli->json, "totals");
    pw_json_object_begin(&cli->json);
    for (size_t i = COUNT(statuses) - 1; i-- > 0;) {
        pw_json_key(&cli->json, statuses[i]);
        pw_json_int(&cli->json, totals->of[i]);
    }
    pw_json_object_end(&cli->json);
}

static enum pw_status print_json(struct cli *cli, struct pw_rows *rows, struct totals *totals)
{
    bool row = true;
    enum pw_status status;

    pw_json_key(&cli->json, "nodes");
    pw_json_array_begin(&cli->json);
    while ((status = pw_rows_next(rows, &row, &cli->err)) == PW_OK && row && !ferror(stdout)) {
        if (!matches(cli, rows))
            continue;
        count_row(totals, pw_rows_str(rows, "status"));
        cli_json_row(cli, rows);
        cli_json_flush(cli);
    }
    pw_json_array_end(&cli->json);
    json_totals(cli, totals);
    return status;
}

static enum pw_status print_table(struct cli *cli, const struct cli_column *columns, size_t count,
                                  struct pw_rows *rows, struct totals *totals)
{
    struct pw_table_column titles[CLI_COLUMNS_MAX];
    struct pw_table *table = cli_table_begin(cli, columns, count, 0, titles);
    bool row = true;
    enum pw_status status = PW_OK;

    if (table == NULL)
        return pw_fail_nomem(&cli->err);
    while (status == PW_OK && (status = pw_rows_next(rows, &row, &cli->err)) == PW_OK && row &&
           !ferror(stdout)) {
        if (!matches(cli, rows))
            continue;
        count_row(totals, pw_rows_str(rows, "status"));
        status = cli_table_row(cli, table, columns, count, rows);
    }
    if (pw_table_end(table) != PW_OK && status == PW_OK)
        status = pw_fail_nomem(&cli->err);
    return status;
}

static struct pw_node_filter filter_of(const struct cli *cli)
{
    return (struct pw_node_filter){cli->options[CLI_SOURCE], cli->options[CLI_STATUS],
                                   cli->options[CLI_REGION], cli->options[CLI_SCENE]};
}

int cli_nodes(struct cli *cli)
{
    struct pw_node_filter filter = filter_of(cli);
    struct totals totals = {{0}};
    struct pw_rows rows;
    int code;
    enum pw_status status;

    if (!cli_word(cli, CLI_STATUS, statuses))
        return EX_USAGE;
    code = cli_check_source(cli);
    if (code != EX_OK)
        return code;
    status = pw_query_nodes(cli->db, &filter, &rows, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        status = print_json(cli, &rows, &totals);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status = print_table(cli, now_columns, COUNT(now_columns), &rows, &totals);
        print_totals(cli, &totals, "");
    }
    pw_rows_stop(&rows);
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

/* The second that follows: what is printed can be given back, and is not refused then. */
static const char *next_second(char out[PW_WHEN_SIZE], int64_t unix_ms)
{
    return pw_when_text(out, unix_ms + 999);
}

/* What the versions cannot tell: before the first sweep nobody looked, what retention took is gone,
 * and the future is open. The first two would look like a fleet without a problem: false. */
static bool can_tell(struct cli *cli, int64_t at_ms, enum pw_status *status)
{
    struct pw_rows rows;
    bool row = false;
    int64_t first_ms = PW_TIME_NONE, kept_ms = PW_TIME_NONE;
    char text[PW_WHEN_SIZE];

    *status = pw_query_span(cli->db, cli->options[CLI_SOURCE], &rows, &cli->err);
    if (*status == PW_OK)
        *status = pw_rows_next(&rows, &row, &cli->err);
    if (*status == PW_OK && row) {
        first_ms = pw_rows_int(&rows, "first_seen_at", PW_TIME_NONE);
        pw_rows_stop(&rows);
    }
    if (*status == PW_OK)
        *status = pw_store_horizon(cli->db, &kept_ms, &cli->err);
    if (*status != PW_OK)
        return false;
    if (at_ms > cli->now_ms) {
        (void)fputs("patchwatch: that is in the future; this is what is known now\n", stderr);
    } else if (kept_ms != PW_TIME_NONE && at_ms < kept_ms) {
        (void)fprintf(stderr,
                      "patchwatch: retention has removed what was known before %s: the fleet of "
                      "that time cannot be told\n",
                      next_second(text, kept_ms));
        return false;
    } else if (first_ms != PW_TIME_NONE && at_ms < first_ms) {
        (void)fprintf(stderr, "patchwatch: the history begins at %s; nothing is known of before\n",
                      next_second(text, first_ms));
        return false;
    }
    return true;
}

int cli_at(struct cli *cli)
{
    struct pw_node_filter filter = filter_of(cli);
    struct totals totals = {{0}};
    char text[PW_WHEN_SIZE], when[PW_WHEN_SIZE + 8];
    struct pw_rows rows;
    int64_t at_ms;
    int code;
    enum pw_status status;

    if (!cli_word(cli, CLI_STATUS, statuses) || !cli_time(cli, cli->operands[0], &at_ms))
        return EX_USAGE;
    code = cli_check_source(cli);
    if (code != EX_OK)
        return code;
    status = pw_query_begin(cli->db, &cli->err);
    if (status == PW_OK && !can_tell(cli, at_ms, &status) && status == PW_OK)
        return CLI_EXIT_WRONG;
    if (status == PW_OK)
        status = pw_query_at(cli->db, at_ms, &filter, &rows, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        cli_json_time(cli, "at", at_ms);
        status = print_json(cli, &rows, &totals);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status = print_table(cli, then_columns, COUNT(then_columns), &rows, &totals);
        (void)snprintf(when, sizeof when, " at %s", pw_when_text(text, at_ms));
        print_totals(cli, &totals, when);
    }
    pw_rows_stop(&rows);
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

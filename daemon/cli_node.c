/* node: one machine, its reports, its timeline, who was told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"

enum { SHOWN_LINES = 40 };

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

static const struct cli_column candidate_columns[] = {
    {"KEY", "node_key", CLI_TEXT, 0},
    {"SOURCE", "source", CLI_TEXT, 0},
    {"NAME", "name", CLI_TEXT, 1},
    {"STATUS", "status", CLI_STATUS_OF, 2},
    {"SINCE", "status_since", CLI_AGO, 3},
    {"REGION", "region", CLI_TEXT, 4},
    {"INSTANCE", "instance_id", CLI_TEXT, 5},
};

static const struct cli_column report_columns[] = {
    {"STATUS", "status", CLI_STATUS_OF, 0},
    {"BASELINE", "baseline_name", CLI_TEXT, 0},
    {"REPORT", "report_time", CLI_TIME, 1},
    {"CRIT", "non_compliant_critical", CLI_NUMBER, 0},
    {"HIGH", "non_compliant_high", CLI_NUMBER, 0},
    {"MED", "non_compliant_medium", CLI_NUMBER, 3},
    {"LOW", "non_compliant_low", CLI_NUMBER, 3},
    {"ALL", "non_compliant_count", CLI_NUMBER, 2},
    {"READ", "valid_from", CLI_TIME, 4},
};

static const struct cli_column timeline_columns[] = {
    {"TIME", "at", CLI_TIME, 0},
    {"WHAT", "what", CLI_TEXT, 0},
    {"STATUS", "status", CLI_STATUS_OF, 0},
    {"HOOK", "hook", CLI_TEXT, 2},
    {"DETAIL", "detail", CLI_TEXT, 1},
};

static const struct cli_column told_columns[] = {
    {"EVENT", "type", CLI_TEXT, 0},        {"RECORDED", "recorded_at", CLI_TIME, 2},
    {"HOOK", "hook", CLI_TEXT, 0},         {"STATE", "state", CLI_STATUS_OF, 0},
    {"TOLD", "delivered_at", CLI_TIME, 1}, {"TRIES", "attempts", CLI_NUMBER, 3},
    {"ERROR", "last_error", CLI_TEXT, 4},
};

/* Which machine ------------------------------------------------------------------------------- */

/* How many machines text names in that way; *node_id is the last of them. */
static enum pw_status count_found(struct cli *cli, enum pw_node_by by, const char *text,
                                  const char *source, int64_t *node_id, size_t *count)
{
    struct pw_rows rows;
    bool row = true;
    enum pw_status status = pw_query_find(cli->db, by, text, source, &rows, &cli->err);

    *count = 0;
    while (status == PW_OK && (status = pw_rows_next(&rows, &row, &cli->err)) == PW_OK && row) {
        *node_id = pw_rows_int(&rows, "node_id", 0);
        (*count)++;
    }
    return status;
}

static int list_candidates(struct cli *cli, enum pw_node_by by, const char *text,
                           const char *source)
{
    struct pw_rows rows;
    size_t count;
    struct cli_text hold;
    enum pw_status status = pw_query_find(cli->db, by, text, source, &rows, &cli->err);

    if (status != PW_OK)
        return cli_fail(cli, status);
    (void)fprintf(stderr,
                  "patchwatch: '%s' names several machines; give the key of one, and --source "
                  "where that is the same:\n",
                  cli_printable(&hold, pw_str_of(text)));
    cli_text_free(&hold);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        status = cli_json_rows(cli, "candidates", &rows, NULL);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status = cli_table(cli, candidate_columns, COUNT(candidate_columns), 0, &rows, &count);
    }
    return status == PW_OK ? CLI_EXIT_WRONG : cli_fail(cli, status);
}

int cli_find_node(struct cli *cli, const char *text, const char *source, int64_t *node_id)
{
    struct cli_text hold;
    size_t count = 0;

    for (int by = PW_NODE_BY_KEY; by < PW_NODE_BY_COUNT; by++) {
        enum pw_status status =
            count_found(cli, (enum pw_node_by)by, text, source, node_id, &count);

        if (status != PW_OK)
            return cli_fail(cli, status);
        if (count > 1)
            return list_candidates(cli, (enum pw_node_by)by, text, source);
        if (count == 1)
            return EX_OK;
    }
    (void)fprintf(stderr,
                  "patchwatch: no machine has the key, instance id or name '%s'; 'patchwatch nodes "
                  "--match' takes patterns\n",
                  cli_printable(&hold, pw_str_of(text)));
    cli_text_free(&hold);
    return CLI_EXIT_WRONG;
}

/* The machine --------------------------------------------------------------------------------- */

static void print_field(const char *label, struct pw_str value)
{
    struct cli_text hold;

    if (pw_str_empty(value))
        return;
    (void)printf("  %-10s %s\n", label, cli_printable(&hold, value));
    cli_text_free(&hold);
}

static void print_time(const struct cli *cli, const char *label, int64_t unix_ms)
{
    char text[PW_WHEN_SIZE], ago[PW_WHEN_SIZE];

    if (unix_ms != PW_TIME_NONE)
        (void)printf("  %-10s %s, %s\n", label, pw_when_text(text, unix_ms),
                     pw_when_relative(ago, unix_ms, cli->now_ms));
}

static void print_facts(struct cli *cli, const struct pw_rows *rows)
{
    static const struct {
        const char *label, *column;
    } fields[] = {
        {"key", "node_key"},
        {"source", "source"},
        {"instance", "instance_id"},
        {"cluster", "cce_info_id"},
        {"node id", "cce_node_id"},
        {"region", "region"},
        {"group", "group_name"},
        {"project", "enterprise_project_id"},
        {"address", "ip"},
        {"public", "eip"},
        {"system", "operating_system"},
    };
    struct pw_str status = pw_rows_str(rows, "status");
    struct pw_str name = pw_rows_str(rows, "name");
    struct cli_text hold;
    int64_t pending = pw_rows_int(rows, "pending_sweeps", 0);

    cli_print(cli, PW_PAINT_NONE, "%s: ",
              cli_printable(&hold, name.data != NULL ? name : pw_rows_str(rows, "node_key")));
    cli_text_free(&hold);
    cli_print(cli, cli_paint_of(status), "%.*s", PW_STR_ARG(status));
    (void)fputc('\n', stdout);
    print_time(cli, "since", pw_rows_int(rows, "status_since", PW_TIME_NONE));
    if (pending > 0)
        (void)printf("  %-10s %.*s, shown by %" PRId64 " sweep%s so far\n", "to come",
                     PW_STR_ARG(pw_rows_str(rows, "pending_status")), pending,
                     pending == 1 ? "" : "s");
    for (size_t i = 0; i < COUNT(fields); i++)
        print_field(fields[i].label, pw_rows_str(rows, fields[i].column));
    print_time(cli, "first seen", pw_rows_int(rows, "first_seen_at", PW_TIME_NONE));
    print_time(cli, "last seen", pw_rows_int(rows, "last_seen_at", PW_TIME_NONE));
}

/* One part: its rows as a table with a heading, or as an array. */
static enum pw_status print_part(struct cli *cli, const char *key, const char *heading,
                                 const struct cli_column *columns, size_t column_count,
                                 struct pw_rows *rows)
{
    size_t count;
    enum pw_status status;

    if (cli_is_json(cli))
        return cli_json_rows(cli, key, rows, NULL);
    (void)printf("\n%s\n", heading);
    status = cli_table(cli, columns, column_count, 2, rows, &count);
    if (status == PW_OK && count == 0)
        (void)puts("  none");
    return status;
}

static enum pw_status print_timeline(struct cli *cli, int64_t limit, const char *source,
                                     const char *node_key)
{
    char heading[128] = "What happened";
    int64_t length = 0, skip;
    struct pw_rows rows;
    enum pw_status status = pw_query_timeline_length(cli->db, source, node_key, &length, &cli->err);

    skip = limit > 0 && length > limit ? length - limit : 0;
    if (skip > 0)
        (void)snprintf(heading, sizeof heading,
                       "What happened (%" PRId64 " older lines not shown; --limit 0 shows all)",
                       skip);
    if (status == PW_OK)
        status = pw_query_timeline(cli->db, source, node_key, skip, &rows, &cli->err);
    return status != PW_OK ? status
                           : print_part(cli, "timeline", heading, timeline_columns,
                                        COUNT(timeline_columns), &rows);
}

static enum pw_status print_node(struct cli *cli, int64_t node_id, int64_t limit)
{
    struct pw_rows rows;
    bool row = false;
    char *source = NULL, *node_key = NULL;
    enum pw_status status = pw_query_node(cli->db, node_id, &rows, &cli->err);

    if (status == PW_OK)
        status = pw_rows_next(&rows, &row, &cli->err);
    if (status == PW_OK && !row)
        status = pw_fail(&cli->err, PW_ENOTFOUND, "the machine is gone");
    if (status != PW_OK)
        return status;
    source = pw_str_dup(pw_rows_str(&rows, "source"));
    node_key = pw_str_dup(pw_rows_str(&rows, "node_key"));
    if (source == NULL || node_key == NULL) {
        status = pw_fail_nomem(&cli->err);
        goto out;
    }
    if (cli_is_json(cli)) {
        pw_json_key(&cli->json, "node");
        cli_json_row(cli, &rows);
    } else {
        print_facts(cli, &rows);
    }
    pw_rows_stop(&rows);
    status = pw_query_reports(cli->db, node_id, &rows, &cli->err);
    if (status == PW_OK)
        status =
            print_part(cli, "reports", "Reports", report_columns, COUNT(report_columns), &rows);
    if (status == PW_OK)
        status = print_timeline(cli, limit, source, node_key);
    if (status == PW_OK)
        status = pw_query_node_told(cli->db, node_id, limit > 0 ? limit : -1, &rows, &cli->err);
    if (status == PW_OK)
        status = print_part(cli, "told", "Who was told, the newest first", told_columns,
                            COUNT(told_columns), &rows);
out:
    free(node_key);
    free(source);
    return status;
}

int cli_node(struct cli *cli)
{
    int64_t node_id = 0, limit;
    enum pw_status status;
    int code;

    if (!cli_number(cli, CLI_LIMIT, 0, cli_is_json(cli) ? 0 : SHOWN_LINES, &limit))
        return EX_USAGE;
    code = cli_check_source(cli);
    if (code != EX_OK)
        return code;
    status = pw_query_begin(cli->db, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    code = cli_find_node(cli, cli->operands[0], cli->options[CLI_SOURCE], &node_id);
    if (code != EX_OK)
        return code;
    if (cli_is_json(cli))
        pw_json_object_begin(&cli->json);
    status = print_node(cli, node_id, limit);
    if (cli_is_json(cli)) {
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    }
    pw_query_end(cli->db);
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

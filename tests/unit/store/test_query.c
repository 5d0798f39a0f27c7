/* The command's questions: their answers on a history made by hand, their plans, and the fleet at
 * any instant against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "scratch.h"
#include "store/query.h"

static const char history[] =
    "INSERT INTO source (source_id, name, endpoint, offset_mode, baseline_at, last_complete_at,"
    " failed_sweeps, failing_since) VALUES"
    " (1, 'prod', 'https://p', 'page', 1000, 5000, 0, NULL),"
    " (2, 'eu', 'https://e', NULL, NULL, NULL, 2, 3000);"
    "INSERT INTO sweep (sweep_id, source_id, started_at, ended_at, outcome, records, reason) VALUES"
    " (1, 1, 900, 1000, 'complete', 4, NULL), (2, 2, 3000, 3100, 'failed', 0, 'no answer'),"
    " (3, 1, 4900, 5000, 'complete', 4, NULL), (4, 1, 6000, NULL, 'running', 0, NULL),"
    " (5, 2, 6000, 5900, 'incomplete', 1, 'a page');"
    "INSERT INTO node (node_id, source_id, node_key, name, instance_id, cce_node_id, region,"
    " report_scene, status, last_definite_status, status_since, first_seen_at, last_seen_at,"
    " missing_since) VALUES"
    " (1, 1, 'ECS/a', 'web', 'a', NULL, 'r1', 'ECS', 'non_compliant', 'non_compliant', 5000, 1000,"
    "  5000, NULL),"
    " (2, 1, 'ECS/b', 'web', 'b', NULL, 'r2', 'ECS', 'compliant', 'compliant', 1000, 1000, 1000,"
    "  NULL),"
    " (3, 1, '-/c', NULL, 'c', NULL, 'r1', NULL, 'unknown', NULL, 1000, 1000, 1000, NULL),"
    " (4, 1, 'CCE/k/d', 'db', NULL, 'd', 'r1', 'CCE', 'compliant', 'compliant', 1000, 1000, 1000,"
    "  4000),"
    " (5, 2, 'ECS/a', 'other', 'a2', NULL, 'r3', 'ECS', 'non_compliant', 'non_compliant', 3000,"
    "  3000, 3000, NULL);"
    "INSERT INTO report (node_id, baseline_id, baseline_name, status, non_compliant_count,"
    " non_compliant_critical, non_compliant_high, valid_from, valid_to) VALUES"
    " (1, 'x', 'CVE', 'compliant', 0, 0, 0, 1000, 5000),"
    " (1, 'x', 'CVE', 'non_compliant', 3, 1, 2, 5000, NULL),"
    " (1, 'y', 'Tue', 'compliant', 0, 0, 0, 1000, NULL),"
    " (2, 'x', 'CVE', 'compliant', 0, 0, 0, 1000, NULL),"
    " (3, '', NULL, 'unknown', NULL, NULL, NULL, 1000, NULL),"
    " (4, 'x', 'CVE', 'compliant', 0, 0, 0, 1000, 4000),"
    " (5, 'x', 'CVE', 'non_compliant', 9, 0, 9, 3000, NULL);"
    "INSERT INTO event (event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status,"
    " cause, occurred_at, recorded_at, data) VALUES"
    " (1, 'u1', 'io.patchwatch.source.baseline', 1, NULL, 1, NULL, NULL, NULL, 1000, 1000, '{}'),"
    " (2, 'u2', 'io.patchwatch.node.missing', 1, 4, NULL, 'compliant', NULL, 'not_shown', 4000,"
    "  4000, '{\"a\": 1}'),"
    " (3, 'u3', 'io.patchwatch.node.non_compliant', 1, 1, 3, 'compliant', 'non_compliant',"
    "  'patches', 4800, 5000, '{broken}'),"
    " (4, 'u4', 'io.patchwatch.node.compliant', 1, 2, 3, 'non_compliant', 'compliant', 'patches',"
    "  4900, 5000, '{}'),"
    " (5, 'u5', 'io.patchwatch.node.non_compliant', 2, 5, 3, 'compliant', 'non_compliant',"
    "  'patches', 4900, 5001, '{}'),"
    " (6, 'u6', 'io.patchwatch.node.compliant', 2, 5, 3, 'non_compliant', 'compliant', 'patches',"
    "  4900, 5002, '{}');"
    "INSERT INTO delivery (delivery_id, event_id, hook, rule, state, attempts, created_at,"
    " next_attempt_at, delivered_at, last_error) VALUES"
    " (1, 2, 'pager', 'r', 'pending', 2, 4000, 9000, NULL, 'HTTP 500'),"
    " (2, 3, 'pager', 'r', 'pending', 0, 5000, 5000, NULL, NULL),"
    " (3, 3, 'chat', 'r', 'delivered', 1, 5000, 5000, 5100, NULL),"
    " (4, 4, 'chat', 'r', 'delivered', 1, 5000, 5000, 5100, NULL),"
    " (5, 5, 'chat', 'r', 'dead', 9, 5000, 5000, NULL, 'gone'),"
    " (6, 6, 'mail', 'r', 'muted', 0, 5000, 5000, NULL, NULL)";

static struct pw_db *with_history(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, history);
    return db;
}

/* The named columns of every row, joined by "|" and "\n"; "-" is null. */
static const char *answer(enum pw_status status, struct pw_rows *rows, const char *const *names)
{
    static char text[16384];
    struct pw_error err = {PW_OK, ""};
    size_t used = 0;
    bool row = true;

    assert_int_equal(status, PW_OK);
    text[0] = '\0';
    while (pw_rows_next(rows, &row, &err) == PW_OK && row) {
        for (size_t i = 0; names[i] != NULL; i++) {
            struct pw_str value = pw_rows_str(rows, names[i]);

            used += (size_t)snprintf(text + used, sizeof text - used, "%s%.*s",
                                     i > 0      ? "|"
                                     : used > 0 ? "\n"
                                                : "",
                                     value.data == NULL ? 1 : (int)value.len,
                                     value.data == NULL ? "-" : value.data);
            assert_true(used < sizeof text);
        }
    }
    assert_int_equal(err.status, PW_OK);
    return text;
}
#define NAMES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void test_status(void **state)
{
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;

    assert_string_equal(
        answer(pw_query_sources(db, &rows, &err), &rows,
               NAMES("source", "outcome", "started_at", "took_ms", "last_complete_at",
                     "failing_since", "reason", "running_since", "offset_mode")),
        "eu|incomplete|6000|0|-|3000|a page|-|-\nprod|complete|4900|100|5000|-|-|6000|page");
    assert_string_equal(
        answer(pw_query_totals(db, &rows, &err), &rows,
               NAMES("source", "nodes", "compliant", "non_compliant", "unknown", "missing")),
        "eu|1|0|1|0|0\nprod|3|1|1|1|1");
    assert_string_equal(answer(pw_query_problems(db, 10, &rows, &err), &rows,
                               NAMES("source", "name", "status_since", "critical", "high")),
                        "prod|web|5000|1|2\neu|other|3000|0|9");
    assert_string_equal(answer(pw_query_problems(db, 1, &rows, &err), &rows, NAMES("source")),
                        "prod");
    assert_string_equal(
        answer(pw_query_backlog(db, &rows, &err), &rows,
               NAMES("hook", "state", "deliveries", "oldest_at", "attempts", "last_error")),
        "chat|dead|1|5000|9|gone\npager|pending|2|4000|2|HTTP 500");
    assert_string_equal(
        answer(pw_query_told(db, 0, &rows, &err), &rows,
               NAMES("transitions", "owed_to_nobody", "told", "waiting", "given_up", "held_back")),
        "4|0|1|1|1|1");
    must_run(db, "DELETE FROM delivery WHERE event_id = 4");
    assert_string_equal(answer(pw_query_told(db, 5000, &rows, &err), &rows,
                               NAMES("transitions", "owed_to_nobody", "told")),
                        "4|1|0");
    assert_string_equal(
        answer(pw_query_told(db, 5003, &rows, &err), &rows, NAMES("transitions", "told")), "0|0");
    pw_db_close(db);
}

static void test_nodes(void **state)
{
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;
    struct pw_node_filter filter = {NULL, NULL, NULL, NULL};

    assert_string_equal(answer(pw_query_nodes(db, &filter, &rows, &err), &rows,
                               NAMES("source", "node_key", "status", "status_since", "critical",
                                     "reports", "last_seen_at")),
                        "prod|ECS/a|non_compliant|5000|1|2|5000\n"
                        "eu|ECS/a|non_compliant|3000|0|1|3000\n"
                        "prod|-/c|unknown|1000|-|1|5000\n"
                        "prod|CCE/k/d|missing|4000|-|0|1000\n"
                        "prod|ECS/b|compliant|1000|0|1|5000");
    filter = (struct pw_node_filter){.source = "prod", .status = "non_compliant"};
    assert_string_equal(
        answer(pw_query_nodes(db, &filter, &rows, &err), &rows, NAMES("node_key", "source")),
        "ECS/a|prod");
    filter = (struct pw_node_filter){.status = "missing", .region = "r1"};
    assert_string_equal(answer(pw_query_nodes(db, &filter, &rows, &err), &rows, NAMES("node_key")),
                        "CCE/k/d");
    /* A missing machine is not what it was. */
    filter = (struct pw_node_filter){.status = "compliant", .region = "r1"};
    assert_string_equal(answer(pw_query_nodes(db, &filter, &rows, &err), &rows, NAMES("node_key")),
                        "");
    filter = (struct pw_node_filter){.scene = "-"};
    assert_string_equal(answer(pw_query_nodes(db, &filter, &rows, &err), &rows, NAMES("node_key")),
                        "-/c");
    filter = (struct pw_node_filter){.scene = "ECS", .source = "eu"};
    assert_string_equal(answer(pw_query_nodes(db, &filter, &rows, &err), &rows, NAMES("name")),
                        "other");
    pw_db_close(db);
}

static void test_node(void **state)
{
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;
    int64_t length;

    assert_string_equal(answer(pw_query_find(db, PW_NODE_BY_KEY, "ECS/a", NULL, &rows, &err), &rows,
                               NAMES("node_id", "source")),
                        "5|eu\n1|prod");
    assert_string_equal(answer(pw_query_find(db, PW_NODE_BY_KEY, "ECS/a", "prod", &rows, &err),
                               &rows, NAMES("node_id")),
                        "1");
    assert_string_equal(answer(pw_query_find(db, PW_NODE_BY_INSTANCE, "d", NULL, &rows, &err),
                               &rows, NAMES("node_id", "status")),
                        "4|missing");
    assert_string_equal(answer(pw_query_find(db, PW_NODE_BY_NAME, "web", NULL, &rows, &err), &rows,
                               NAMES("node_id")),
                        "1\n2");
    assert_string_equal(answer(pw_query_find(db, PW_NODE_BY_NAME, "we", NULL, &rows, &err), &rows,
                               NAMES("node_id")),
                        "");
    assert_string_equal(answer(pw_query_node(db, 4, &rows, &err), &rows,
                               NAMES("node_key", "status", "status_since", "last_definite_status")),
                        "CCE/k/d|missing|4000|compliant");
    assert_string_equal(answer(pw_query_reports(db, 1, &rows, &err), &rows,
                               NAMES("baseline_name", "status", "non_compliant_high")),
                        "CVE|non_compliant|2\nTue|compliant|0");
    /* Of a missing machine, what ended when it went. */
    assert_string_equal(
        answer(pw_query_reports(db, 4, &rows, &err), &rows, NAMES("baseline_name", "valid_to")),
        "CVE|4000");
    assert_int_equal(pw_query_timeline_length(db, "prod", "ECS/a", &length, &err), PW_OK);
    assert_int_equal(length, 6);
    assert_string_equal(answer(pw_query_timeline(db, "prod", "ECS/a", 2, &rows, &err), &rows,
                               NAMES("at", "what", "status", "hook")),
                        "5000|report|non_compliant|-\n"
                        "5000|event|non_compliant|-\n"
                        "5000|delivery|pending|pager\n"
                        "5100|delivery|delivered|chat");
    assert_string_equal(
        answer(pw_query_node_told(db, 1, -1, &rows, &err), &rows, NAMES("type", "hook", "state")),
        "node.non_compliant|chat|delivered\nnode.non_compliant|pager|pending");
    assert_string_equal(answer(pw_query_node_told(db, 1, 1, &rows, &err), &rows, NAMES("hook")),
                        "chat");
    pw_db_close(db);
}

static void test_events(void **state)
{
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;
    struct pw_event_filter filter = {.since_ms = 4000, .after = -1};
    int64_t last;

    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows,
                               NAMES("event_id", "type", "node_key", "to_status", "cloudevent")),
                        "2|node.missing|CCE/k/d|-|{\"a\":1}\n"
                        "3|node.non_compliant|ECS/a|non_compliant|-\n"
                        "4|node.compliant|ECS/b|compliant|{}\n"
                        "5|node.non_compliant|ECS/a|non_compliant|{}\n"
                        "6|node.compliant|ECS/a|compliant|{}");
    filter.type = "io.patchwatch.node.*compliant";
    filter.since_ms = 5001;
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows, NAMES("event_id")),
                        "5\n6");
    filter = (struct pw_event_filter){.since_ms = PW_TIME_NONE, .after = -1, .node_id = 5};
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows, NAMES("event_id")),
                        "5\n6");
    filter.since_ms = 5002;
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows, NAMES("event_id")),
                        "6");
    filter = (struct pw_event_filter){.since_ms = 9999, .after = 4};
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows, NAMES("event_id")),
                        "5\n6");
    filter = (struct pw_event_filter){.after = 0, .node_id = 1};
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows, NAMES("event_id")),
                        "3");
    filter = (struct pw_event_filter){.after = 0, .type = "io.patchwatch.source.*"};
    assert_string_equal(answer(pw_query_events(db, &filter, &rows, &err), &rows,
                               NAMES("event_id", "node_key", "source")),
                        "1|-|prod");
    assert_int_equal(pw_query_last_event(db, &last, &err), PW_OK);
    assert_int_equal(last, 6);
    must_run(db, "DELETE FROM delivery; DELETE FROM event");
    /* Retention takes events; that is no step back. */
    assert_int_equal(pw_query_last_event(db, &last, &err), PW_OK);
    assert_int_equal(last, 6);
    must_run(db, "DELETE FROM sqlite_sequence");
    assert_int_equal(pw_query_last_event(db, &last, &err), PW_OK);
    assert_int_equal(last, 0);
    pw_db_close(db);
}

/* A clock that was ahead in sweep 1 does not make it the last one. */
static void test_last_sweep(void **state)
{
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;

    must_run(db, "UPDATE sweep SET started_at = 90000, ended_at = 90001 WHERE sweep_id = 1");
    assert_string_equal(answer(pw_query_sources(db, &rows, &err), &rows,
                               NAMES("source", "sweep_id", "running_since")),
                        "eu|5|-\nprod|3|6000");
    assert_string_equal(
        answer(pw_query_sweeps(db, "prod", -1, &rows, &err), &rows, NAMES("sweep_id")), "4\n3\n1");
    /* One that was killed and has a successor does not run. */
    must_run(db, "INSERT INTO sweep (sweep_id, source_id, started_at, ended_at, outcome) VALUES"
                 " (6, 1, 7000, 7001, 'complete')");
    assert_string_equal(answer(pw_query_sources(db, &rows, &err), &rows,
                               NAMES("source", "sweep_id", "running_since")),
                        "eu|5|-\nprod|6|-");
    pw_db_close(db);
}

static void test_sweeps_and_deliveries(void **state)
{
    static const struct {
        const char *name;
        bool is_known;
    } hooks[] = {{"pager", true}, {"chat", true}, {"mail", true}, {"pagr", false}, {"", false}};
    struct pw_db *db = with_history(state);
    struct pw_error err;
    struct pw_rows rows;

    assert_string_equal(answer(pw_query_sweeps(db, NULL, 2, &rows, &err), &rows,
                               NAMES("sweep_id", "source", "outcome", "took_ms")),
                        "5|eu|incomplete|0\n4|prod|running|-");
    assert_string_equal(
        answer(pw_query_sweeps(db, "prod", -1, &rows, &err), &rows, NAMES("sweep_id")), "4\n3\n1");
    assert_string_equal(
        answer(pw_query_sweeps(db, "nope", -1, &rows, &err), &rows, NAMES("sweep_id")), "");
    assert_string_equal(answer(pw_query_owed(db, "pending", NULL, &rows, &err), &rows,
                               NAMES("delivery_id", "hook", "type", "name", "last_error")),
                        "1|pager|node.missing|db|HTTP 500\n2|pager|node.non_compliant|web|-");
    assert_string_equal(
        answer(pw_query_owed(db, "dead", NULL, &rows, &err), &rows, NAMES("delivery_id", "source")),
        "5|eu");
    assert_string_equal(
        answer(pw_query_owed(db, "dead", "pager", &rows, &err), &rows, NAMES("delivery_id")), "");
    assert_string_equal(answer(pw_query_deliveries(db, NULL, NULL, 5000, &rows, &err), &rows,
                               NAMES("delivery_id", "state")),
                        "3|delivered\n2|pending\n4|delivered\n5|dead\n6|muted");
    assert_string_equal(answer(pw_query_deliveries(db, "delivered", "chat", 0, &rows, &err), &rows,
                               NAMES("delivery_id")),
                        "3\n4");
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        bool is_known = i % 2 == 0;

        assert_int_equal(pw_query_is_hook_known(db, hooks[i].name, &is_known, &err), PW_OK);
        assert_int_equal(is_known, hooks[i].is_known);
    }
    must_run(db, "INSERT INTO told (source_id, node_id, event_id, hook, rule)"
                 " VALUES (1, 1, 1, 'old', 'r')");
    {
        bool is_known = false;

        assert_int_equal(pw_query_is_hook_known(db, "old", &is_known, &err), PW_OK);
        assert_true(is_known);
    }
    pw_db_close(db);
}

/* Plans ------------------------------------------------------------------------------------- */

/* A line of a plan that reads a big table whole. The partial indexes of what is pending or dead are
 * as small as the backlog. */
static bool is_full_scan(const char *line, size_t len)
{
    static const char *const big[] = {"r ", "e ", "d ", "report ", "event ", "delivery "};
    static const char *const small[] = {"INDEX delivery_queue", "INDEX delivery_dead"};
    char text[256];

    (void)snprintf(text, sizeof text, "%.*s ", (int)len, line);
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        if (strstr(text, small[i]) != NULL)
            return false;
    }
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        if (strncmp(text, "SCAN ", 5) == 0 && strncmp(text + 5, big[i], strlen(big[i])) == 0)
            return true;
    }
    return false;
}

static void expect_plans(struct pw_db *db)
{
    for (size_t i = 0; i < pw_query_text_count; i++) {
        const char *line = plan(db, pw_query_texts[i].sql);

        assert_true(line[0] != '\0');
        while (*line != '\0') {
            size_t len = strcspn(line, "\n");

            /* The one question without an index, asked about a mistyped name only. */
            if (strcmp(pw_query_texts[i].name, "hook_known") != 0 && is_full_scan(line, len))
                fail_msg("%s: %.*s", pw_query_texts[i].name, (int)len, line);
            line += len + (line[len] == '\n');
        }
    }
}

static void test_plans(void **state)
{
    struct pw_db *db = with_history(state);

    assert_true(is_full_scan("SCAN r", 6));
    assert_true(is_full_scan("SCAN e USING INDEX event_by_type", 32));
    assert_false(is_full_scan("SCAN n", 6));
    assert_true(pw_query_text_count >= 20);
    expect_plans(db);
    /* With statistics of many rows SQLite may think otherwise. */
    must_run(db, "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
                 "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                 " SELECT 2, 'z', 'compliant', i, i + 1 FROM n;"
                 "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
                 "INSERT INTO event (uid, type, source_id, node_id, occurred_at, recorded_at, data)"
                 " SELECT 'n' || i, 'io.patchwatch.node.compliant', 1, 2, i, i, '{}' FROM n;"
                 "INSERT INTO delivery (event_id, hook, rule, state, created_at, next_attempt_at,"
                 " delivered_at) SELECT event_id, 'log', 'r', 'delivered', 1, 1, 1 FROM event"
                 " WHERE event_id > 6;"
                 "ANALYZE");
    expect_plans(db);
    pw_db_close(db);
}

/* The fleet at any instant ------------------------------------------------------------------ */

enum { NODES = 6, BASELINES = 3, STEPS = 12, END = 200 };

/* Of each baseline of each node: its status at each instant; 0 none, 1 unknown, 2 compliant, 3
 * non_compliant. */
struct model {
    int at[NODES][BASELINES][END];
    int first_seen[NODES];
};

static unsigned roll(uint64_t *seed, unsigned sides)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % sides;
}

static void add_version(struct pw_db *db, struct model *model, int node, int baseline, int rank,
                        int from, int to)
{
    static const char *const names[] = {"", "unknown", "compliant", "non_compliant"};
    char sql[256], until[16];

    if (to < END)
        (void)snprintf(until, sizeof until, "%d", to);
    else
        (void)snprintf(until, sizeof until, "NULL");
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to)"
                   " VALUES (%d, 'b%d', '%s', %d, %s)",
                   node + 1, baseline, names[rank], from, until);
    must_run(db, sql);
    for (int t = from; t < to && t < END; t++)
        model->at[node][baseline][t] = rank;
}

static void make_history(struct pw_db *db, struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    must_run(db, "DELETE FROM report; DELETE FROM node;"
                 "INSERT OR IGNORE INTO source (source_id, name, endpoint) VALUES (1, 'p', 'x')");
    for (int node = 0; node < NODES; node++) {
        char sql[256];

        model->first_seen[node] = 1 + (int)roll(&seed, 60);
        (void)snprintf(
            sql, sizeof sql,
            "INSERT INTO node (node_id, source_id, node_key, status, status_since,"
            " first_seen_at, last_seen_at) VALUES (%d, 1, 'ECS/%d', 'unknown', 1, %d, 1)",
            node + 1, node, model->first_seen[node]);
        must_run(db, sql);
        for (int baseline = 0; baseline < BASELINES; baseline++) {
            int at = model->first_seen[node] + (baseline > 0 ? (int)roll(&seed, 50) : 0);

            for (int step = 0; step < STEPS && at < END; step++) {
                /* Gaps, empty versions, versions without end. */
                int to = at + (int)roll(&seed, 30);

                add_version(db, model, node, baseline, 1 + (int)roll(&seed, 3), at, to);
                at = to + (roll(&seed, 3) == 0 ? (int)roll(&seed, 20) : 0);
            }
        }
    }
}

static void compare_at(struct pw_db *db, const struct model *model, int t)
{
    static const char *const names[] = {"missing", "unknown", "compliant", "non_compliant"};
    struct pw_node_filter filter = {NULL, NULL, NULL, NULL};
    struct pw_error err;
    struct pw_rows rows;
    bool row = true;
    int seen = 0, expected_nodes = 0;

    assert_int_equal(pw_query_at(db, t, &filter, &rows, &err), PW_OK);
    while (pw_rows_next(&rows, &row, &err) == PW_OK && row) {
        struct pw_str key = pw_rows_str(&rows, "node_key"), status = pw_rows_str(&rows, "status");
        int node = key.data[4] - '0', worst = 0, reports = 0;

        for (int baseline = 0; baseline < BASELINES; baseline++) {
            int rank = model->at[node][baseline][t];

            worst = rank > worst ? rank : worst;
            reports += rank > 0;
        }
        if (!pw_str_is(status, names[worst]) || pw_rows_int(&rows, "reports", -1) != reports)
            fail_msg("node %d at %d: %.*s, not %s", node, t, PW_STR_ARG(status), names[worst]);
        assert_true(model->first_seen[node] <= t);
        seen++;
    }
    for (int node = 0; node < NODES; node++)
        expected_nodes += model->first_seen[node] <= t;
    assert_int_equal(seen, expected_nodes);
}

static void test_at_against_model(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct model *model = malloc(sizeof *model);

    assert_non_null(model);
    must_run(db, "PRAGMA synchronous = OFF");
    for (uint64_t seed = 1; seed <= 6; seed++) {
        must_run(db, "BEGIN");
        make_history(db, model, seed);
        must_run(db, "COMMIT");
        for (int t = 0; t < END; t++)
            compare_at(db, model, t);
    }
    free(model);
    pw_db_close(db);
}

/* A reader's transaction sees one instant, and asks for no lock. */
static void test_reader(void **state)
{
    const struct scratch *scratch = *state;
    struct pw_db *writer = with_history(state), *reader;
    struct pw_error err = {PW_OK, ""};
    int64_t last = 0;

    assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &reader, &err), PW_OK);
    assert_int_equal(pw_query_begin(reader, &err), PW_OK);
    assert_int_equal(pw_query_last_event(reader, &last, &err), PW_OK);
    assert_int_equal(last, 6);
    must_run(writer, "INSERT INTO event (uid, type, source_id, occurred_at, recorded_at, data)"
                     " VALUES ('u7', 'io.patchwatch.source.failing', 1, 6000, 6000, '{}')");
    assert_int_equal(pw_query_last_event(reader, &last, &err), PW_OK);
    assert_int_equal(last, 6);
    pw_query_end(reader);
    assert_int_equal(pw_query_last_event(reader, &last, &err), PW_OK);
    assert_int_equal(last, 7);
    pw_db_close(reader);
    pw_db_close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_status, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_nodes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_node, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_events, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_last_sweep, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sweeps_and_deliveries, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_plans, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_at_against_model, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_reader, scratch_setup, scratch_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

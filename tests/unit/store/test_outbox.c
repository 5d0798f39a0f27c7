/* The outbox: what is due, in which order, and that nothing is lost or made twice at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queue.h"
#include "scratch.h"
#include "store/outbox.h"

enum { NOW = 1000000 };

/* Two sources with nodes 1 and 2 in the first and 3 in the second. */
static struct pw_db *with_nodes(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO source (source_id, name, endpoint)"
                 " VALUES (1, 'prod', 'x'), (2, 'test', 'y');"
                 "INSERT INTO node (node_id, source_id, node_key, name, status, status_since,"
                 " first_seen_at, last_seen_at)"
                 " VALUES (1, 1, 'ECS/a', 'web-a', 'compliant', 1, 1, 1),"
                 "        (2, 1, 'ECS/b', 'web-b', 'compliant', 1, 1, 1),"
                 "        (3, 2, 'ECS/c', 'web-c', 'compliant', 1, 1, 1)");
    return db;
}

static enum pw_status owe(struct pw_db *db, int event_id, const char *hook, const char *rule,
                          size_t *added)
{
    struct pw_owed owed = {.hook = hook, .rule = rule};
    struct pw_outbox_entry entry = {.event_id = event_id, .owed = &owed, .now_ms = NOW};
    struct pw_error err;

    return pw_outbox_add(db, &entry, added, &err);
}

/* An event of a node (0: of source_id) that `hook` is owed. */
static void add(struct pw_db *db, int event_id, int source_id, int node_id, const char *hook)
{
    char sql[640];
    char node[16] = "NULL";
    size_t added = 0;

    if (node_id != 0)
        (void)snprintf(node, sizeof node, "%d", node_id);
    (void)snprintf(sql, sizeof sql,
                   "INSERT OR IGNORE INTO event (event_id, uid, type, source_id, node_id,"
                   " from_status, to_status, occurred_at, recorded_at, data)"
                   " VALUES (%d, 'uid-%d', 'io.patchwatch.%s', %d, %s, %s, %s, 1, 1,"
                   " '{\"data\": {\"node\": %s}}')",
                   event_id, event_id, node_id != 0 ? "node.non_compliant" : "source.baseline",
                   source_id, node, node_id != 0 ? "'compliant'" : "NULL",
                   node_id != 0 ? "'non_compliant'" : "NULL",
                   node_id != 0 ? "{\"name\": \"then\"}" : "null");
    must_run(db, sql);
    assert_int_equal(owe(db, event_id, hook, "rule", &added), PW_OK);
    assert_int_equal(added, 1);
}

/* Claims and returns the event ids as "1 2 3"; *next as pw_outbox_claim gives it. */
static const char *claim(struct pw_db *db, const char *hook, size_t max, int64_t now_ms,
                         int64_t *next)
{
    static char ids[4096];
    struct pw_delivery *list = queue_claim(db, hook, max, now_ms, next);
    size_t used = 0;

    ids[0] = '\0';
    for (const struct pw_delivery *each = list; each != NULL; each = each->next_attempt)
        used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%lld", used > 0 ? " " : "",
                                 (long long)each->event_id);
    pw_claimed_free(list);
    return ids;
}

static int64_t delivery_of(struct pw_db *db, int event_id, const char *hook)
{
    char sql[160];

    (void)snprintf(sql, sizeof sql,
                   "SELECT delivery_id FROM delivery WHERE event_id = %d AND hook = '%s'", event_id,
                   hook);
    return number(db, sql);
}

static void delivered(struct pw_db *db, int event_id, const char *hook)
{
    queue_delivered(db, delivery_of(db, event_id, hook), NOW);
}

static void retry(struct pw_db *db, int event_id, const char *hook, int64_t at_ms)
{
    queue_failed(db, delivery_of(db, event_id, hook), at_ms, "HTTP 503");
}

static void test_add_once(void **state)
{
    struct pw_db *db = with_nodes(state);
    size_t added = 5;

    add(db, 1, 1, 1, "pager");
    assert_int_equal(owe(db, 1, "pager", "other rule", &added), PW_OK);
    assert_int_equal(added, 5);
    assert_string_equal(rows(db, "SELECT hook, rule, state, attempts, created_at, next_attempt_at"
                                 " FROM delivery"),
                        "pager|rule|pending|0|1000000|1000000");
    assert_int_equal(owe(db, 99, "pager", "rule", &added), PW_EINVAL);
    pw_db_close(db);
}

static void test_fields(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_delivery *list;
    const struct pw_delivery *second;

    add(db, 1, 1, 1, "pager");
    add(db, 2, 1, 0, "pager");
    must_run(db, "UPDATE delivery SET attempts = 4 WHERE event_id = 1");
    list = queue_claim(db, "pager", 10, NOW + 5, NULL);
    assert_non_null(list);
    assert_null(list->next); /* each goes alone */
    assert_int_equal(list->reminder, 0);
    assert_int_equal(list->event_id, 1);
    assert_int_equal(list->attempts, 5);
    assert_int_equal(list->created_at_ms, NOW);
    assert_string_equal(list->uid, "uid-1");
    assert_string_equal(list->hook, "pager");
    assert_string_equal(list->rule, "rule");
    assert_string_equal(list->type, "io.patchwatch.node.non_compliant");
    assert_string_equal(list->source_name, "prod");
    assert_true(pw_str_is(list->node_key, "ECS/a"));
    assert_true(pw_str_is(list->node_name, "then")); /* not what it is called now */
    assert_true(pw_str_is(list->from, "compliant"));
    assert_true(pw_str_is(list->to, "non_compliant"));
    assert_true(pw_str_is(list->event_json, "{\"data\": {\"node\": {\"name\": \"then\"}}}"));
    second = list->next_attempt;
    assert_non_null(second);
    assert_null(second->node_key.data);
    assert_null(second->node_name.data);
    assert_null(second->from.data);
    assert_null(second->to.data);
    assert_null(second->next_attempt);
    pw_claimed_free(list);
    /* Counted before the attempt is made. */
    assert_string_equal(
        rows(db, "SELECT attempts, claimed_at, last_attempt_at FROM delivery WHERE event_id = 1"),
        "5|1000005|1000005");
    pw_db_close(db);
}

static void test_head_of_line(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    add(db, 1, 1, 1, "pager");
    add(db, 2, 1, 1, "pager");
    add(db, 3, 1, 2, "pager");
    add(db, 1, 1, 1, "chat");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1 3");
    assert_int_equal(next, PW_TIME_NONE); /* 2 waits for 1, not for a time */
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "");
    assert_string_equal(claim(db, "chat", 10, NOW, &next), "1"); /* a hook of its own */

    retry(db, 1, "pager", NOW + 500);
    assert_string_equal(claim(db, "pager", 10, NOW + 499, &next), "");
    assert_int_equal(next, NOW + 500);
    assert_string_equal(claim(db, "pager", 10, NOW + 500, &next), "1");
    delivered(db, 1, "pager");
    assert_string_equal(claim(db, "pager", 10, NOW + 500, &next), "2");
    pw_db_close(db);
}

static void test_source_events(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    add(db, 1, 1, 0, "pager");
    add(db, 2, 1, 0, "pager");
    add(db, 3, 2, 0, "pager"); /* another source */
    add(db, 4, 1, 1, "pager"); /* a node does not wait for its source */
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1 3 4");
    delivered(db, 1, "pager");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "2");
    pw_db_close(db);
}

static void test_dead_and_dropped_block_nobody(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    for (int event_id = 1; event_id <= 4; event_id++)
        add(db, event_id, 1, 1, "pager");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1");
    queue_dead(db, delivery_of(db, 1, "pager"), "gave\nup \xff");
    assert_string_equal(rows(db, "SELECT state, last_error, claimed_at FROM delivery"
                                 " WHERE event_id = 1"),
                        "dead|gave\\x0Aup \\xFF|-");
    must_run(db, "UPDATE delivery SET state = 'dropped' WHERE event_id = 2;"
                 "UPDATE delivery SET state = 'muted' WHERE event_id = 3");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "4");
    pw_db_close(db);
}

static void test_outcomes(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    add(db, 1, 1, 1, "pager");
    add(db, 2, 1, 2, "pager");
    (void)claim(db, "pager", 10, NOW, &next);
    retry(db, 1, "pager", NOW + 1);
    assert_string_equal(rows(db, "SELECT state, attempts, next_attempt_at, last_error, claimed_at"
                                 " FROM delivery WHERE event_id = 1"),
                        "pending|1|1000001|HTTP 503|-");
    (void)claim(db, "pager", 10, NOW + 1, &next);
    delivered(db, 1, "pager");
    assert_string_equal(rows(db, "SELECT state, attempts, delivered_at, last_error, claimed_at"
                                 " FROM delivery WHERE event_id = 1"),
                        "delivered|2|1000000|-|-");
    /* What succeeded stays so. */
    retry(db, 1, "pager", NOW);
    queue_dead(db, delivery_of(db, 1, "pager"), "late");
    assert_string_equal(rows(db, "SELECT state FROM delivery WHERE event_id = 1"), "delivered");
    /* Somebody dropped it while it was in flight: it is not tried again. */
    must_run(db, "UPDATE delivery SET state = 'dropped', claimed_at = NULL WHERE event_id = 2");
    retry(db, 2, "pager", NOW);
    assert_string_equal(rows(db, "SELECT state FROM delivery WHERE event_id = 2"), "dropped");
    assert_int_equal(queue_gone(db, delivery_of(db, 2, "pager"), PW_OUTCOME_FAILED), 1);
    assert_int_equal(queue_gone(db, 77, PW_OUTCOME_DELIVERED), 1);
    assert_int_equal(queue_gone(db, 77, PW_OUTCOME_FAILED), 1);
    pw_db_close(db);
}

static void test_max_and_next_due(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    assert_string_equal(claim(db, "pager", 10, NOW, &next), "");
    assert_int_equal(next, PW_TIME_NONE);
    add(db, 1, 1, 1, "pager");
    add(db, 2, 1, 2, "pager");
    add(db, 3, 2, 3, "pager");
    assert_string_equal(claim(db, "pager", 2, NOW, &next), "1 2");
    assert_true(next <= NOW); /* 3 is due at once */
    assert_string_equal(claim(db, "pager", 1, NOW, &next), "3");
    assert_int_equal(next, PW_TIME_NONE);
    retry(db, 3, "pager", NOW + 70);
    retry(db, 1, "pager", NOW + 90);
    assert_string_equal(claim(db, "pager", 2, NOW, &next), "");
    assert_int_equal(next, NOW + 70);
    pw_db_close(db);
}

/* The clock was a year ahead when the next attempt was planned. */
static void test_clock_jump(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    add(db, 1, 1, 1, "pager");
    (void)claim(db, "pager", 10, NOW, &next);
    retry(db, 1, "pager", NOW + PW_DAY_MS);
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "");
    assert_int_equal(next, NOW + PW_DAY_MS);
    must_run(db, "UPDATE delivery SET next_attempt_at = next_attempt_at + 365 * 86400000");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1");
    pw_db_close(db);
}

static void test_recover(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err;
    int64_t next;

    add(db, 1, 1, 1, "pager");
    add(db, 2, 1, 2, "pager");
    (void)claim(db, "pager", 10, NOW, &next);
    retry(db, 2, "pager", NOW + 900);
    pw_db_close(db);

    db = open_writer(*state);
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "");
    assert_int_equal(pw_outbox_recover(db, NOW, &err), PW_OK);
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1");
    assert_int_equal(next, NOW + 900); /* what waited still waits */
    assert_int_equal(number(db, "SELECT attempts FROM delivery WHERE event_id = 1"), 2);
    pw_db_close(db);
}

static void test_orphans(void **state)
{
    struct pw_db *db = with_nodes(state);
    static const char *const hooks[] = {"pager"};
    struct pw_error err;
    char text[64];
    int64_t total;

    add(db, 1, 1, 1, "pager");
    add(db, 1, 1, 1, "chat");
    add(db, 2, 1, 1, "chat");
    add(db, 1, 1, 1, "mail");
    assert_int_equal(pw_outbox_orphans(db, hooks, 1, &total, text, sizeof text, &err), PW_OK);
    assert_int_equal(total, 3);
    assert_string_equal(text, "chat: 2\nmail: 1\n");
    assert_int_equal(pw_outbox_orphans(db, hooks, 1, &total, text, 10, &err), PW_OK);
    assert_int_equal(total, 3);
    assert_string_equal(text, "chat: 2\n");
    delivered(db, 1, "mail");
    assert_int_equal(pw_outbox_orphans(db, NULL, 0, &total, text, sizeof text, &err), PW_OK);
    assert_int_equal(total, 3);
    assert_string_equal(text, "chat: 2\npager: 1\n");
    pw_db_close(db);
}

/* A failing claim takes nothing and leaves no transaction behind. */
static void test_claim_error(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_claim refused = {.hook = "pager", .max_attempts = 10, .now_ms = NOW};
    struct pw_error err;
    int64_t next;

    add(db, 1, 1, 1, "pager");
    must_run(db, "PRAGMA query_only = ON");
    assert_int_not_equal(pw_outbox_claim(db, &refused, &err), PW_OK);
    assert_null(refused.list);
    must_run(db, "PRAGMA query_only = OFF");
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1");
    pw_db_close(db);
}

/* Steps of SQLite's virtual machine that a claim took: the measure of its work that no busy machine
 * can change. */
static int64_t steps_of_claim(struct pw_db *db, size_t max, int64_t now_ms, int64_t *next)
{
    int64_t steps = 0;

    for (sqlite3_stmt *each = sqlite3_next_stmt(pw_db_handle(db), NULL); each != NULL;
         each = sqlite3_next_stmt(pw_db_handle(db), each))
        (void)sqlite3_stmt_status(each, SQLITE_STMTSTATUS_VM_STEP, 1);
    (void)claim(db, "pager", max, now_ms, next);
    for (sqlite3_stmt *each = sqlite3_next_stmt(pw_db_handle(db), NULL); each != NULL;
         each = sqlite3_next_stmt(pw_db_handle(db), each)) {
        steps += sqlite3_stmt_status(each, SQLITE_STMTSTATUS_VM_STEP, 0);
        assert_int_equal(sqlite3_stmt_status(each, SQLITE_STMTSTATUS_AUTOINDEX, 0), 0);
        assert_int_equal(sqlite3_stmt_status(each, SQLITE_STMTSTATUS_SORT, 0), 0);
    }
    return steps;
}

#define PENDING_10000(node)                                                                        \
    "WITH RECURSIVE i (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM i WHERE n < 10000)"           \
    " INSERT INTO event (event_id, uid, type, source_id, node_id, occurred_at, recorded_at, data)" \
    " SELECT n, 'u' || n, 'io.patchwatch.node.compliant', 1, " node ", 1, 1, '{}' FROM i;"         \
    "INSERT INTO delivery (event_id, hook, rule, created_at, next_attempt_at)"                     \
    " SELECT event_id, 'pager', 'r', 1, 1 FROM event"

static void test_ten_thousand_nodes(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    must_run(db, "WITH RECURSIVE i (n) AS (VALUES (4) UNION ALL SELECT n + 1 FROM i"
                 " WHERE n < 10000)"
                 " INSERT INTO node (node_id, source_id, node_key, status, status_since,"
                 " first_seen_at, last_seen_at)"
                 " SELECT n, 1, 'ECS/' || n, 'compliant', 1, 1, 1 FROM i");
    must_run(db, PENDING_10000("n"));
    (void)claim(db, "pager", 1, NOW, &next);
    assert_true(steps_of_claim(db, 10, NOW, &next) < 5000);
    assert_true(next <= NOW);
    /* All of them in backoff: one pass over an index, no more. */
    must_run(db, "UPDATE delivery SET next_attempt_at = 2000000 + event_id, claimed_at = NULL");
    assert_true(steps_of_claim(db, 10, NOW, &next) < 200000);
    assert_int_equal(next, 2000001);
    pw_db_close(db);
}

static void test_ten_thousand_of_one_node(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    must_run(db, PENDING_10000("1"));
    assert_string_equal(claim(db, "pager", 10, NOW, &next), "1");
    assert_int_equal(next, PW_TIME_NONE);
    /* Linear in what is blocked, not quadratic. */
    assert_true(steps_of_claim(db, 10, NOW, &next) < 1000000);
    pw_db_close(db);
}

/* Ten thousand that were delivered long ago cost a claim nothing. */
static void test_old_deliveries_are_free(void **state)
{
    struct pw_db *db = with_nodes(state);
    int64_t next;

    must_run(db, PENDING_10000("1"));
    must_run(db, "UPDATE delivery SET state = 'delivered', delivered_at = 2");
    add(db, 20000, 1, 1, "pager");
    assert_true(steps_of_claim(db, 10, NOW, &next) < 1000);
    assert_int_equal(number(db, "SELECT claimed_at FROM delivery WHERE event_id = 20000"), NOW);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add_once, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_fields, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_head_of_line, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_source_events, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_dead_and_dropped_block_nobody, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_outcomes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_max_and_next_due, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_clock_jump, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_recover, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_orphans, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_claim_error, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_ten_thousand_nodes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_ten_thousand_of_one_node, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_old_deliveries_are_free, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Deliveries by hand: which states can be left by it, and what is left in the row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "scratch.h"
#include "store/outbox_manage.h"

enum { NOW = 1000000 };

#define STATES                                                                                     \
    "SELECT delivery_id, state, attempts, next_attempt_at, claimed_at, reason FROM delivery"

/* 1 pending, 2 dead, 3 delivered, 4 muted, 5 dropped by hand, 6 dropped because it was over, 7 dead
 * of another hook, 8 pending in flight, 9 pending in a group. */
static struct pw_db *with_deliveries(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db,
             "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'prod', 'x');"
             "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9)"
             "INSERT INTO event (event_id, uid, type, source_id, occurred_at, recorded_at, data)"
             " SELECT i, 'uid-' || i, 'io.patchwatch.source.failing', 1, 1, 1, '{}' FROM n;"
             "INSERT INTO delivery (delivery_id, event_id, hook, rule, state, attempts, created_at,"
             " next_attempt_at, delivered_at, reason) VALUES"
             " (1, 1, 'h', 'r', 'pending', 3, 1, 77, NULL, NULL),"
             " (2, 2, 'h', 'r', 'dead', 40, 1, 77, NULL, NULL),"
             " (3, 3, 'h', 'r', 'delivered', 1, 1, 77, 5, NULL),"
             " (4, 4, 'h', 'r', 'muted', 0, 1, 77, NULL, 'muted by night'),"
             " (5, 5, 'h', 'r', 'dropped', 2, 1, 77, NULL, 'dropped by alice'),"
             " (6, 6, 'h', 'r', 'dropped', 0, 1, 77, NULL, 'over before it was due'),"
             " (7, 7, 'g', 'r', 'dead', 40, 1, 77, NULL, NULL),"
             " (8, 8, 'h', 'r', 'pending', 1, 1, 77, NULL, NULL),"
             " (9, 9, 'h', 'r', 'pending', 0, 1, 77, NULL, NULL);"
             "UPDATE delivery SET claimed_at = 70 WHERE delivery_id = 8;"
             "UPDATE delivery SET wait = 'group', wait_until = 90, held_by = 1"
             " WHERE delivery_id IN (2, 9)");
    return db;
}

static void test_revive(void **state)
{
    struct pw_db *db = with_deliveries(state);
    struct pw_error err = {PW_OK, ""};
    static const int64_t others[] = {1, 3, 4, 6, 8};

    assert_int_equal(pw_outbox_revive(db, 2, NOW, &err), PW_OK);
    assert_int_equal(pw_outbox_revive(db, 5, NOW, &err), PW_OK);
    assert_string_equal(rows(db, STATES " WHERE delivery_id IN (2, 5)"),
                        "2|pending|40|1000000|-|-\n5|pending|2|1000000|-|-");
    assert_string_equal(rows(db, "SELECT wait, wait_until, held_by FROM delivery"
                                 " WHERE delivery_id = 2"),
                        "-|-|-");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(pw_outbox_revive(db, others[i], NOW, &err), PW_EINVAL);
    assert_int_equal(pw_outbox_revive(db, 6, NOW, &err), PW_EINVAL);
    assert_string_equal(err.message, "delivery 6 is dropped already (over before it was due)");
    assert_int_equal(pw_outbox_revive(db, 99, NOW, &err), PW_ENOTFOUND);
    assert_int_equal(number(db, "SELECT count(*) FROM delivery WHERE next_attempt_at = 1000000"),
                     2);
    pw_db_close(db);
}

static void test_revive_dead(void **state)
{
    struct pw_db *db = with_deliveries(state);
    struct pw_error err = {PW_OK, ""};
    int64_t count = 7;

    assert_int_equal(pw_outbox_revive_dead(db, "nobody", NOW, &count, &err), PW_OK);
    assert_int_equal(count, 0);
    assert_int_equal(pw_outbox_revive_dead(db, "g", NOW, &count, &err), PW_OK);
    assert_int_equal(count, 1);
    assert_int_equal(pw_outbox_revive_dead(db, NULL, NOW, &count, &err), PW_OK);
    assert_int_equal(count, 1);
    assert_string_equal(rows(db, "SELECT group_concat(delivery_id) FROM delivery"
                                 " WHERE next_attempt_at = 1000000"),
                        "2,7");
    pw_db_close(db);
}

static void test_drop(void **state)
{
    struct pw_db *db = with_deliveries(state);
    struct pw_error err = {PW_OK, ""};
    static const int64_t open[] = {1, 2, 8, 9}, others[] = {3, 4, 5, 6};

    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_int_equal(pw_outbox_drop(db, open[i], "bob\n", &err), PW_OK);
    assert_string_equal(rows(db, "SELECT DISTINCT state, claimed_at, wait, held_by, reason"
                                 " FROM delivery WHERE delivery_id IN (1, 2, 8, 9)"),
                        "dropped|-|-|-|dropped by bob\\x0A");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(pw_outbox_drop(db, others[i], "bob", &err), PW_EINVAL);
    assert_int_equal(pw_outbox_drop(db, 99, NULL, &err), PW_ENOTFOUND);
    assert_int_equal(pw_outbox_drop(db, 7, NULL, &err), PW_OK);
    assert_int_equal(pw_outbox_revive(db, 7, NOW, &err), PW_OK);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_revive, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_revive_dead, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_drop, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

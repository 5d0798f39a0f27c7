/* Mutes and acknowledgements by hand: what they leave in the tables, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "scratch.h"
#include "store/ack.h"
#include "store/mute.h"

enum { NOW = 1000000, LATER = 2000000 };

static struct pw_db *with_nodes(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO source (source_id, name, endpoint)"
                 " VALUES (1, 'prod', 'x'), (2, 'test', 'y');"
                 "INSERT INTO node (node_id, source_id, node_key, name, status,"
                 " last_definite_status, status_since, first_seen_at, last_seen_at)"
                 " VALUES (1, 1, 'ECS/a', 'a', 'non_compliant', 'non_compliant', 1, 1, 1),"
                 "        (2, 1, 'ECS/b', 'b', 'compliant', 'compliant', 1, 1, 1),"
                 "        (3, 2, 'ECS/a', 'a', 'unknown', 'non_compliant', 1, 1, 1),"
                 "        (4, 2, 'ECS/d', 'd', 'unknown', NULL, 1, 1, 1)");
    return db;
}

static int64_t add_mute(struct pw_db *db, int64_t from_ms, int64_t until_ms)
{
    struct pw_mute_row mute = {"{\"region\":\"r\"}", from_ms, until_ms, "alice", NULL};
    struct pw_error err = {PW_OK, ""};
    int64_t id = 0;

    assert_int_equal(pw_mute_add(db, &mute, NOW, &id, &err), PW_OK);
    return id;
}

static void test_mute_is_added(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err = {PW_OK, ""};
    struct pw_mute_row mute = {"{}", NOW, LATER, "bob", "it's \"night\""};
    int64_t id = 0;

    assert_int_equal(add_mute(db, PW_TIME_NONE, PW_TIME_NONE), 1);
    assert_int_equal(pw_mute_add(db, &mute, NOW, &id, &err), PW_OK);
    assert_string_equal(rows(db, "SELECT mute_id, match, from_at, until_at, author, comment,"
                                 " created_at, removed_by FROM mute"),
                        "1|{\"region\":\"r\"}|-|-|alice|-|1000000|-\n"
                        "2|{}|1000000|2000000|bob|it's \"night\"|1000000|-");
    pw_db_close(db);
}

static void test_mute_that_cannot_be(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err = {PW_OK, ""};
    struct pw_mute_row over = {"{}", 1, NOW, NULL, NULL};
    struct pw_mute_row backwards = {"{}", LATER, LATER, NULL, NULL};
    struct pw_mute_row no_json = {"all", NOW, LATER, NULL, NULL};
    int64_t id = 7;

    assert_int_equal(pw_mute_add(db, &over, NOW, &id, &err), PW_EINVAL);
    assert_int_equal(pw_mute_add(db, &backwards, NOW, &id, &err), PW_EINVAL);
    assert_non_null(strstr(err.message, "before it begins"));
    assert_int_equal(pw_mute_add(db, &no_json, NOW, &id, &err), PW_EINVAL);
    assert_int_equal(number(db, "SELECT count(*) FROM mute"), 0);
    pw_db_close(db);
}

static void test_mute_is_removed(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err = {PW_OK, ""};
    bool had_begun = false;
    int64_t always = add_mute(db, PW_TIME_NONE, PW_TIME_NONE), open = add_mute(db, NOW, LATER);
    int64_t future = add_mute(db, LATER, PW_TIME_NONE);

    assert_int_equal(pw_mute_remove(db, always, "bob", NOW + 5, &had_begun, &err), PW_OK);
    assert_true(had_begun);
    assert_int_equal(pw_mute_remove(db, open, "bob", NOW + 6, &had_begun, &err), PW_OK);
    assert_int_equal(pw_mute_remove(db, future, "bob", NOW + 7, &had_begun, &err), PW_OK);
    assert_false(had_begun);
    assert_string_equal(rows(db, "SELECT mute_id, until_at, removed_by FROM mute"),
                        "1|1000005|bob\n2|1000006|bob");
    assert_int_equal(pw_mute_remove(db, open, "eve", NOW + 8, &had_begun, &err), PW_EINVAL);
    assert_non_null(strstr(err.message, "ended already"));
    assert_int_equal(pw_mute_remove(db, 99, "eve", NOW, &had_begun, &err), PW_ENOTFOUND);
    assert_string_equal(rows(db, "SELECT DISTINCT removed_by FROM mute"), "bob");
    /* One that begins at this very moment has muted nothing. */
    future = add_mute(db, NOW, PW_TIME_NONE);
    assert_int_equal(pw_mute_remove(db, future, NULL, NOW, &had_begun, &err), PW_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM mute"), 2);
    pw_db_close(db);
}

/* The list as "id:state id:state". */
static const char *list(struct pw_db *db, bool all, int64_t now_ms)
{
    static char text[256];
    struct pw_error err = {PW_OK, ""};
    struct pw_rows found;
    bool row = true;

    text[0] = '\0';
    assert_int_equal(pw_mute_list(db, all, now_ms, &found, &err), PW_OK);
    while (pw_rows_next(&found, &row, &err) == PW_OK && row) {
        size_t len = strlen(text);

        (void)snprintf(text + len, sizeof text - len, "%s%d:%.*s", len > 0 ? " " : "",
                       (int)pw_rows_int(&found, "mute_id", 0),
                       PW_STR_ARG(pw_rows_str(&found, "state")));
    }
    return text;
}

static void test_list(void **state)
{
    struct pw_db *db = with_nodes(state);

    (void)add_mute(db, PW_TIME_NONE, PW_TIME_NONE);
    (void)add_mute(db, NOW, LATER);
    (void)add_mute(db, LATER, LATER + 1);
    assert_string_equal(list(db, false, NOW), "1:active 2:active 3:future");
    assert_string_equal(list(db, false, LATER), "1:active 3:active");
    assert_string_equal(list(db, true, LATER), "1:active 2:ended 3:active");
    assert_string_equal(list(db, false, LATER + 1), "1:active");
    pw_db_close(db);
}

static enum pw_status acknowledge(struct pw_db *db, const char *source, const char *key,
                                  int64_t until_ms, int64_t now_ms, bool *renewed,
                                  struct pw_error *err)
{
    struct pw_ack_row ack = {source, key, until_ms, "alice", "on it"};
    int64_t id = 0;

    return pw_ack_add(db, &ack, now_ms, &id, renewed, err);
}

static void test_ack(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err = {PW_OK, ""};
    bool renewed = true;
    int64_t id = 0;

    assert_int_equal(acknowledge(db, "prod", "ECS/a", PW_TIME_NONE, NOW, &renewed, &err), PW_OK);
    assert_false(renewed);
    /* The other source's machine of the same key is another one; unknown now, its problem is open.
     */
    assert_int_equal(acknowledge(db, "test", "ECS/a", LATER, NOW, &renewed, &err), PW_OK);
    assert_false(renewed);
    assert_int_equal(acknowledge(db, "prod", "ECS/a", LATER, NOW + 1, &renewed, &err), PW_OK);
    assert_true(renewed);
    assert_int_equal(pw_ack_end(db, "prod", "ECS/a", NOW + 2, &id, &err), PW_OK);
    assert_int_equal(id, 3);
    assert_string_equal(rows(db, "SELECT node_id, until_at, created_at, ended_at, ended_by"
                                 " FROM ack"),
                        "1|-|1000000|1000001|renewal\n3|2000000|1000000|-|-\n"
                        "1|2000000|1000001|1000002|command");
    pw_db_close(db);
}

static void test_ack_that_cannot_be(void **state)
{
    struct pw_db *db = with_nodes(state);
    struct pw_error err = {PW_OK, ""};
    bool renewed;
    int64_t id;

    assert_int_equal(acknowledge(db, "prod", "ECS/b", PW_TIME_NONE, NOW, &renewed, &err),
                     PW_EINVAL);
    assert_non_null(strstr(err.message, "nothing to acknowledge"));
    assert_int_equal(acknowledge(db, "test", "ECS/d", PW_TIME_NONE, NOW, &renewed, &err),
                     PW_EINVAL);
    assert_int_equal(acknowledge(db, "prod", "ECS/x", PW_TIME_NONE, NOW, &renewed, &err),
                     PW_ENOTFOUND);
    assert_int_equal(acknowledge(db, "none", "ECS/a", PW_TIME_NONE, NOW, &renewed, &err),
                     PW_ENOTFOUND);
    assert_int_equal(acknowledge(db, "prod", "ECS/a", NOW, NOW, &renewed, &err), PW_EINVAL);
    assert_int_equal(pw_ack_end(db, "prod", "ECS/a", NOW, &id, &err), PW_EINVAL);
    assert_int_equal(pw_ack_end(db, "prod", "ECS/x", NOW, &id, &err), PW_ENOTFOUND);
    assert_int_equal(number(db, "SELECT count(*) FROM ack"), 0);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mute_is_added, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_mute_that_cannot_be, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_mute_is_removed, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_list, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_ack, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_ack_that_cannot_be, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

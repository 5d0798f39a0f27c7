/* Which reports are about to turn their nodes non-compliant: told before a sweep is applied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "history.h"
#include "scratch.h"

#define NOW_MS (100 * HOUR_MS)

struct world {
    struct pw_db *db;
    int64_t source_id;
    int64_t sweep_id;
};

static void stage(struct world *world, const char *node, const char *id, const char *status,
                  int64_t report_time_ms)
{
    struct pw_report report = {
        .instance_id = pw_str_of(node),
        .report_scene = pw_str_of("ECS"),
        .id = pw_str_of(id),
        .baseline_id = pw_str_of("base"),
        .status_text = pw_str_of(status),
        .status = pw_compliance_of(pw_str_of(status)),
        .report_time_ms = report_time_ms,
        .non_compliant = {.total = 7},
    };
    struct pw_error err;

    assert_int_equal(pw_apply_stage(world->db, world->sweep_id, &report, 1, &err), PW_OK);
}

/* A first sweep of a compliant, a non-compliant, an unknown and a compliant node; a second one has
 * begun. */
static void open_world(struct world *world, void **state)
{
    struct pw_error err;

    world->db = open_writer(*state);
    world->source_id = open_prod(world->db);
    (void)sweep_fleet(world->db, world->source_id, "cnuc", NOW_MS);
    assert_int_equal(
        pw_apply_begin(world->db, world->source_id, NOW_MS + HOUR_MS, &world->sweep_id, &err),
        PW_OK);
}

/* The ids in the book, each with a blank behind it. */
static const char *turning(struct world *world, int64_t confirm)
{
    static char ids[4096];
    struct pw_patch_book *book = pw_patch_book_new();
    struct pw_apply_params params = {.source_id = world->source_id,
                                     .sweep_id = world->sweep_id,
                                     .confirm = confirm,
                                     .now_ms = NOW_MS + HOUR_MS};
    struct pw_error err = {PW_OK, ""};

    assert_non_null(book);
    assert_int_equal(pw_apply_turning(world->db, &params, book, &err), PW_OK);
    ids[0] = '\0';
    for (size_t i = 0; i < book->count; i++) {
        (void)strcat(strcat(ids, book->lists[i].report_id), " ");
        assert_int_equal(book->lists[i].expected, 7);
    }
    pw_patch_book_free(book);
    return ids;
}

static void test_nothing_staged(void **state)
{
    struct world world;

    open_world(&world, state);
    assert_string_equal(turning(&world, 1), "");
    pw_db_close(world.db);
}

/* Of all that is staged only a compliant node's bad report turns it. */
static void test_who_turns(void **state)
{
    struct world world;

    open_world(&world, state);
    stage(&world, "i-0", "turns", "non_compliant", NOW_MS + 1);
    stage(&world, "i-1", "was-bad", "non_compliant", NOW_MS + 1);
    stage(&world, "i-2", "was-unknown", "non_compliant", NOW_MS + 1);
    stage(&world, "i-3", "stays", "compliant", NOW_MS + 1);
    stage(&world, "i-9", "is-new", "non_compliant", NOW_MS + 1);
    assert_string_equal(turning(&world, 1), "turns ");
    assert_string_equal(turning(&world, 2), ""); /* has to be confirmed */
    must_run(world.db, "UPDATE node SET pending_status = 'non_compliant', pending_sweeps = 1,"
                       " pending_cause = 'patches' WHERE node_key = 'ECS/i-0'");
    assert_string_equal(turning(&world, 2), "turns ");
    assert_string_equal(turning(&world, 3), "");
    world.source_id++;
    assert_string_equal(turning(&world, 1), ""); /* another source's node of that key */
    pw_db_close(world.db);
}

/* An older record replaces nothing, unless what is stored came from a clock that was wrong. */
static void test_stale(void **state)
{
    struct world world;

    open_world(&world, state);
    stage(&world, "i-0", "older", "non_compliant", NOW_MS - HOUR_MS);
    stage(&world, "i-3", "unknown-time", "non_compliant", PW_TIME_NONE);
    assert_string_equal(turning(&world, 1), "unknown-time ");
    must_run(world.db, "UPDATE report SET report_time = report_time + 10 * 86400000");
    assert_string_equal(strstr(turning(&world, 1), "older"), "older ");
    pw_db_close(world.db);
}

static void test_more_than_a_book_holds(void **state)
{
    static char letters[PW_PATCH_LISTS_MAX + 21];
    struct world world;
    struct pw_patch_book *book = pw_patch_book_new();
    struct pw_apply_params params = {.confirm = 1, .now_ms = NOW_MS + HOUR_MS};
    struct pw_error err;

    assert_non_null(book);
    world.db = open_writer(*state);
    world.source_id = open_prod(world.db);
    memset(letters, 'c', sizeof letters - 1);
    (void)sweep_fleet(world.db, world.source_id, letters, NOW_MS);
    assert_int_equal(
        pw_apply_begin(world.db, world.source_id, NOW_MS + HOUR_MS, &world.sweep_id, &err), PW_OK);
    for (int i = 0; letters[i] != '\0'; i++) {
        char node[16];

        (void)snprintf(node, sizeof node, "i-%d", i);
        stage(&world, node, node, "non_compliant", NOW_MS + 1);
    }
    params.source_id = world.source_id;
    params.sweep_id = world.sweep_id;
    assert_int_equal(pw_apply_turning(world.db, &params, book, &err), PW_OK);
    assert_int_equal(book->count, PW_PATCH_LISTS_MAX);
    assert_true(book->left_out);
    pw_patch_book_free(book);
    pw_db_close(world.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_staged, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_who_turns, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_stale, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_more_than_a_book_holds, scratch_setup,
                                        scratch_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

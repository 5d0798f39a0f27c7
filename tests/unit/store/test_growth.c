/* What does not change costs no room: a sweep of an unchanged fleet is one row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "compliance/report.h"
#include "history.h"
#include "scratch.h"
#include "store/care.h"

/* With the address sanitizer 100,000 take half of a test's time limit. */
#ifdef __SANITIZE_ADDRESS__
enum { NODES = 30000 };
#else
enum { NODES = 100000 };
#endif
enum { PAGE = 1000, SWEEPS = 5 };

static void stage_page(struct pw_db *db, int64_t sweep_id, int first)
{
    static char ids[PAGE][48];
    static struct pw_report reports[PAGE];
    struct pw_error err;

    for (int i = 0; i < PAGE; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%08d-0000-4000-8000-000000000000", first + i);
        reports[i] = (struct pw_report){
            .instance_id = pw_str_of(ids[i]),
            .report_scene = pw_str_of("ECS"),
            .id = pw_str_of(ids[i]),
            .baseline_id = pw_str_of("base"),
            .status_text = pw_str_of("compliant"),
            .status = PW_COMPLIANT,
            .report_time_ms = HOUR_MS,
            .compliant = {.total = 1},
            .place = first + i,
        };
    }
    assert_int_equal(pw_apply_stage(db, sweep_id, reports, PAGE, &err), PW_OK);
}

/* Worse than what the daemon does, whose index keeps unchanged records from being staged: here the
 * store itself is shown every one of them again. */
static void sweep_all(struct pw_db *db, int64_t source_id, int shown, int64_t now_ms)
{
    struct pw_apply_params params = {
        .source_id = source_id,
        .source_name = "prod",
        .confirm = 1,
        .missing_after = 1,
        .failing_after = 3,
        .failing_repeat_ms = 24 * HOUR_MS,
        .facts = {.outcome = PW_SWEEP_COMPLETE,
                  .reported_count = NODES,
                  .records = NODES,
                  .nodes = NODES,
                  .pages = NODES / PAGE},
        .now_ms = now_ms,
    };
    struct pw_apply_result result;
    struct pw_error err;

    assert_int_equal(pw_apply_begin(db, source_id, now_ms, &params.sweep_id, &err), PW_OK);
    for (int first = 0; first < shown; first += PAGE)
        stage_page(db, params.sweep_id, first);
    assert_int_equal(pw_apply_finish(db, &params, &result, &err), PW_OK);
    pw_apply_result_free(&result);
}

static int64_t file_bytes(struct pw_db *db, const struct scratch *scratch)
{
    struct stat info;
    int64_t left_bytes;
    struct pw_error err;

    assert_int_equal(pw_care_shrink_wal(db, &left_bytes, &err), PW_OK);
    assert_int_equal(left_bytes, 0);
    assert_int_equal(stat(scratch->path, &info), 0);
    return info.st_size;
}

static void test_unchanged_nodes_cost_no_room(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    int64_t source_id = open_prod(db), before_bytes;

    sweep_all(db, source_id, NODES, HOUR_MS);
    assert_int_equal(number(db, "SELECT count(*) FROM node"), NODES);
    before_bytes = file_bytes(db, scratch);
    assert_true(before_bytes > (int64_t)NODES * 100);
    /* Once all of it, then as the daemon does it. */
    sweep_all(db, source_id, NODES, 2 * HOUR_MS);
    for (int i = 1; i < SWEEPS; i++)
        sweep_all(db, source_id, 0, (2 + i) * HOUR_MS);
    /* 1 KiB each. */
    assert_in_range(file_bytes(db, scratch) - before_bytes, 0, SWEEPS * 1024);
    assert_int_equal(number(db, "SELECT count(*) FROM report"), NODES);
    assert_int_equal(number(db, "SELECT count(*) FROM sweep"), SWEEPS + 1);
    assert_string_equal(rows(db, "SELECT DISTINCT last_seen_at FROM node"), "3600000");
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unchanged_nodes_cost_no_room, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

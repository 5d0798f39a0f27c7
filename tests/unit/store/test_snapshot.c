/* What a start reads back: sources, and an index that knows exactly what the API said before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/snapshot.h"

static struct pw_source_row open_source(struct pw_db *db, const char *name, const char *endpoint)
{
    struct pw_source_row source;
    struct pw_error err = {PW_OK, ""};

    if (pw_source_open(db, name, endpoint, &source, &err) != PW_OK)
        fail_msg("%s", err.message);
    return source;
}

static void test_source(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_error err;
    struct pw_source_row prod = open_source(db, "prod", "https://a");
    struct pw_source_row test = open_source(db, "test", "https://b");
    struct pw_source_row again;

    assert_int_not_equal(prod.source_id, test.source_id);
    assert_int_equal(prod.offset_mode, PW_OFFSET_UNKNOWN);
    assert_int_equal(prod.baseline_at_ms, PW_TIME_NONE);
    assert_int_equal(prod.last_ended_at_ms, PW_TIME_NONE);

    assert_int_equal(pw_source_set_offset_mode(db, prod.source_id, PW_OFFSET_RECORD, &err), PW_OK);
    must_run(db, "UPDATE source SET baseline_at = 50 WHERE name = 'prod';"
                 "INSERT INTO sweep (source_id, started_at, ended_at, outcome)"
                 " VALUES (1, 40, 50, 'complete'), (1, 60, 70, 'failed'), (2, 80, 90, 'complete');"
                 "INSERT INTO sweep (source_id, started_at) VALUES (1, 100)");
    pw_db_close(db);

    db = open_writer(*state);
    again = open_source(db, "prod", "https://a");
    assert_int_equal(again.source_id, prod.source_id);
    assert_int_equal(again.offset_mode, PW_OFFSET_RECORD);
    assert_int_equal(again.baseline_at_ms, 50);
    assert_int_equal(again.last_ended_at_ms, 70);
    /* Another server may count its offset otherwise. */
    again = open_source(db, "prod", "https://c");
    assert_int_equal(again.source_id, prod.source_id);
    assert_int_equal(again.offset_mode, PW_OFFSET_UNKNOWN);
    assert_string_equal(rows(db, "SELECT endpoint FROM source WHERE name = 'prod'"), "https://c");
    assert_int_equal(pw_source_set_offset_mode(db, prod.source_id, PW_OFFSET_PAGE, &err), PW_OK);
    assert_int_equal(open_source(db, "prod", "https://c").offset_mode, PW_OFFSET_PAGE);
    assert_int_equal(pw_source_set_offset_mode(db, prod.source_id, PW_OFFSET_UNKNOWN, &err), PW_OK);
    assert_int_equal(open_source(db, "prod", "https://c").offset_mode, PW_OFFSET_UNKNOWN);
    pw_db_close(db);
}

static void bind_counts(sqlite3_stmt *statement, int first, const struct pw_patch_counts *counts)
{
    pw_db_bind_int_or_null(statement, first, counts->total, PW_COUNT_NONE);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++)
        pw_db_bind_int_or_null(statement, first + 1 + i, counts->by_severity[i], PW_COUNT_NONE);
}

/* Stores a report the way the columns are meant: the node's fields in node 1, the rest in a current
 * version. */
static void store(struct pw_db *db, const struct pw_report *report)
{
    static const char put_node[] =
        "INSERT OR REPLACE INTO node (node_id, source_id, node_key, status, status_since,"
        " first_seen_at, last_seen_at, name, instance_id, cce_node_id, ip, eip, region, group_name,"
        " enterprise_project_id, operating_system, report_scene, cce_info_id)"
        " VALUES (1, 1, 'ECS/i', 'unknown', 1, 1, 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    static const char put_report[] =
        "INSERT INTO report (node_id, valid_from, report_id, baseline_id, baseline_name, rule_type,"
        " status_text, job_id, order_id, status, report_time,"
        " compliant_count, compliant_critical, compliant_high, compliant_medium, compliant_low,"
        " compliant_informational, compliant_unspecified, non_compliant_count,"
        " non_compliant_critical, non_compliant_high, non_compliant_medium, non_compliant_low,"
        " non_compliant_informational, non_compliant_unspecified)"
        " VALUES (1, 1, ?1, ifnull(?2, ''), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";
    const struct pw_str of_node[] = {
        report->name,
        report->instance_id,
        report->node_id,
        report->ip,
        report->eip,
        report->region,
        report->group,
        report->enterprise_project_id,
        report->operating_system,
        report->report_scene,
        report->cce_info_id,
    };
    const struct pw_str of_report[] = {
        report->id,          report->baseline_id, report->baseline_name, report->rule_type,
        report->status_text, report->job_id,      report->order_id,
    };
    sqlite3_stmt *statement;
    struct pw_error err;

    must_run(db, "DELETE FROM report; DELETE FROM node");
    assert_int_equal(pw_db_prepare(db, put_node, &statement, &err), PW_OK);
    for (int i = 0; i < 11; i++)
        pw_db_bind_str(statement, i + 1, of_node[i]);
    assert_int_equal(pw_db_run(db, statement, &err), PW_OK);
    assert_int_equal(pw_db_prepare(db, put_report, &statement, &err), PW_OK);
    for (int i = 0; i < 7; i++)
        pw_db_bind_str(statement, i + 1, of_report[i]);
    pw_db_bind_text(statement, 8, pw_compliance_name(report->status));
    pw_db_bind_int_or_null(statement, 9, report->report_time_ms, PW_TIME_NONE);
    bind_counts(statement, 10, &report->compliant);
    bind_counts(statement, 17, &report->non_compliant);
    assert_int_equal(pw_db_run(db, statement, &err), PW_OK);
}

/* The index after a start knows the record by the key and digest that the API's record has. */
static void assert_round_trip(struct pw_db *db, const struct pw_report *report)
{
    struct pw_index *index = pw_index_new();
    struct pw_error err;
    struct pw_index_entry *entry;

    store(db, report);
    assert_non_null(index);
    assert_int_equal(pw_index_load(db, 1, index, &err), PW_OK);
    assert_int_equal(pw_index_count(index), 1);
    entry = pw_index_find(index, pw_report_key_of(pw_str_of("ECS/i"), report->baseline_id));
    assert_non_null(entry);
    assert_true(entry->digest == pw_report_digest(report));
    assert_int_equal(entry->node_id, 1);
    assert_int_equal(entry->restless, 0);
    pw_index_free(index);
}

/* Every text field in turn null, empty, and not ASCII; every count in turn null and great. */
static void test_round_trip(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_report report;
    struct pw_str *const texts[] = {
        &report.name,
        &report.instance_id,
        &report.node_id,
        &report.ip,
        &report.eip,
        &report.region,
        &report.group,
        &report.enterprise_project_id,
        &report.operating_system,
        &report.report_scene,
        &report.cce_info_id,
        &report.id,
        &report.baseline_id,
        &report.baseline_name,
        &report.rule_type,
        &report.status_text,
        &report.job_id,
        &report.order_id,
    };
    static const char *const words[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                        "j", "k", "l", "m", "n", "o", "p", "q", "r"};
    static const struct pw_str odd[] = {
        {NULL, 0}, {"", 0}, {"\xe8\xa1\xa5\xe4\xb8\x81 \xff", 8}, {"x\0y", 3}, {"007", 3}};
    enum { TEXTS = sizeof texts / sizeof *texts };

    (void)open_source(db, "prod", "https://a");
    for (int i = 0; i < TEXTS; i++)
        *texts[i] = pw_str_of(words[i]);
    report.status = PW_NON_COMPLIANT;
    report.report_time_ms = INT64_C(1763971200123);
    report.compliant.total = 7;
    report.non_compliant.total = 8;
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        report.compliant.by_severity[i] = 10 + i;
        report.non_compliant.by_severity[i] = 20 + i;
    }
    assert_round_trip(db, &report);
    for (int i = 0; i < TEXTS; i++) {
        struct pw_str before = *texts[i];
        for (size_t j = 0; j < sizeof odd / sizeof *odd; j++) {
            *texts[i] = odd[j];
            assert_round_trip(db, &report);
        }
        *texts[i] = before;
    }
    report.report_time_ms = PW_TIME_NONE;
    report.status = PW_UNKNOWN;
    report.compliant.total = INT64_MAX;
    report.non_compliant.total = PW_COUNT_NONE;
    assert_round_trip(db, &report);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        report.compliant.by_severity[i] = PW_COUNT_NONE;
        report.non_compliant.by_severity[i] = INT64_MAX;
        assert_round_trip(db, &report);
    }
    pw_db_close(db);
}

static void test_what_is_loaded(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_index *index = pw_index_new();
    struct pw_error err;
    struct pw_index_entry *entry;

    (void)open_source(db, "prod", "https://a");
    (void)open_source(db, "test", "https://b");
    must_run(db,
             "INSERT INTO node (node_id, source_id, node_key, status, status_since, first_seen_at,"
             " last_seen_at, missing_since, pending_status, pending_sweeps, missed_sweeps) VALUES"
             " (1, 1, 'ECS/still', 'compliant', 1, 1, 1, NULL, NULL, 0, 0),"
             " (2, 1, 'ECS/waits', 'compliant', 1, 1, 1, NULL, 'non_compliant', 1, 0),"
             " (3, 1, 'ECS/missed', 'compliant', 1, 1, 1, NULL, NULL, 0, 2),"
             " (4, 1, 'ECS/missing', 'compliant', 1, 1, 1, 9, NULL, 0, 3),"
             " (5, 2, 'ECS/other', 'compliant', 1, 1, 1, NULL, NULL, 0, 0);"
             "INSERT INTO report (node_id, baseline_id, status, valid_from, valid_to) VALUES"
             " (1, 'b', 'compliant', 1, 2), (1, 'b', 'compliant', 2, NULL),"
             " (1, 'c', 'compliant', 1, NULL), (2, 'b', 'compliant', 1, NULL),"
             " (3, 'b', 'compliant', 1, NULL), (4, 'b', 'compliant', 1, 9),"
             " (5, 'b', 'compliant', 1, NULL)");
    assert_non_null(index);
    assert_int_equal(pw_index_load(db, 1, index, &err), PW_OK);
    assert_int_equal(pw_index_count(index), 4);
    entry = pw_index_find(index, pw_report_key_of(pw_str_of("ECS/still"), pw_str_of("c")));
    assert_non_null(entry);
    assert_int_equal(entry->restless, 0);
    entry = pw_index_find(index, pw_report_key_of(pw_str_of("ECS/waits"), pw_str_of("b")));
    assert_int_equal(entry->restless, 1);
    assert_int_equal(entry->node_id, 2);
    entry = pw_index_find(index, pw_report_key_of(pw_str_of("ECS/missed"), pw_str_of("b")));
    assert_int_equal(entry->restless, 1);
    assert_null(pw_index_find(index, pw_report_key_of(pw_str_of("ECS/missing"), pw_str_of("b"))));
    assert_int_equal(pw_index_load(db, 1, index, &err), PW_EINVAL); /* not empty */
    pw_index_free(index);
    pw_db_close(db);
}

/* The index has room for 32 bits of a node's row. */
static void test_node_id_too_great(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_index *index = pw_index_new();
    struct pw_error err;

    (void)open_source(db, "prod", "https://a");
    must_run(db, "INSERT INTO node (node_id, source_id, node_key, status, status_since,"
                 " first_seen_at, last_seen_at) VALUES (4294967296, 1, 'k', 'unknown', 1, 1, 1);"
                 "INSERT INTO report (node_id, status, valid_from)"
                 " VALUES (4294967296, 'unknown', 1)");
    assert_non_null(index);
    assert_int_equal(pw_index_load(db, 1, index, &err), PW_ELIMIT);
    pw_index_free(index);
    pw_db_close(db);
}

static void test_names(void **state)
{
    (void)state;
    assert_null(pw_offset_mode_name(PW_OFFSET_UNKNOWN));
    assert_string_equal(pw_offset_mode_name(PW_OFFSET_PAGE), "page");
    assert_string_equal(pw_offset_mode_name(PW_OFFSET_RECORD), "record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_source, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_loaded, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_node_id_too_great, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

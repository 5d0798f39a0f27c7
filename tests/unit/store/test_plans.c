/* No query that docs/history.md shows, and no statement that the daemon runs, goes through the
 * tables that grow for ever from one end to the other. Read from SQLite's own program for each
 * (EXPLAIN): a Rewind or Last of a cursor on such a table, or on an index of all its rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "compliance/index.h"
#include "history.h"
#include "queue.h"
#include "scratch.h"
#include "store/care.h"
#include "store/outbox.h"
#include "store/snapshot.h"

enum { MAX_CURSORS = 400, NAME_BYTES = 64 };

/* The table whose rows a page holds all of: "" for others, partial indexes above all. */
static void name_of_page(sqlite3 *handle, int page, char out[NAME_BYTES])
{
    static const char sql[] = "SELECT tbl_name FROM sqlite_schema WHERE rootpage = ?1"
                              " AND tbl_name IN ('report', 'event', 'delivery')"
                              " AND (type = 'table' OR sql IS NULL OR sql NOT LIKE '% WHERE %')";
    sqlite3_stmt *statement;

    out[0] = '\0';
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK);
    (void)sqlite3_bind_int(statement, 1, page);
    if (sqlite3_step(statement) == SQLITE_ROW)
        (void)snprintf(out, NAME_BYTES, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
}

/* The first table that the statement goes through in full; "" where there is none. */
static const char *scanned(sqlite3 *handle, const char *sql)
{
    static char names[MAX_CURSORS][NAME_BYTES];
    static char found[NAME_BYTES];
    char *explain;
    sqlite3_stmt *program;

    memset(names, 0, sizeof names);
    found[0] = '\0';
    assert_true(asprintf(&explain, "EXPLAIN %s", sql) > 0);
    if (sqlite3_prepare_v2(handle, explain, -1, &program, NULL) != SQLITE_OK)
        fail_msg("%s\n%s", sqlite3_errmsg(handle), sql);
    while (sqlite3_step(program) == SQLITE_ROW) {
        const char *opcode = (const char *)sqlite3_column_text(program, 1);
        int cursor = sqlite3_column_int(program, 2), page = sqlite3_column_int(program, 3);

        if (sqlite3_column_int(program, 0) == 0) /* a trigger's own program, with its own cursors */
            memset(names, 0, sizeof names);
        if ((strcmp(opcode, "OpenRead") == 0 || strcmp(opcode, "OpenWrite") == 0) &&
            sqlite3_column_int(program, 4) == 0) {
            assert_in_range(cursor, 0, MAX_CURSORS - 1);
            name_of_page(handle, page, names[cursor]);
        } else if ((strcmp(opcode, "Rewind") == 0 || strcmp(opcode, "Last") == 0) &&
                   cursor < MAX_CURSORS && names[cursor][0] != '\0' && found[0] == '\0') {
            memcpy(found, names[cursor], NAME_BYTES);
        }
    }
    sqlite3_finalize(program);
    free(explain);
    return found;
}

/* Walks that end after a row or a few, whatever the size of the table: from its front up to what
 * retention takes in one step. */
static bool is_short_walk(const char *table, const char *sql)
{
    static const struct {
        const char *table, *part;
    } walks[] = {
        {"event", "SELECT min(event_id) FROM event"},
        {"event", "DELETE FROM event WHERE event_id <= ?1"},
        {"event", "WHERE e.event_id <= ?1"},
        {"event", "l.recorded_at < ?3"}, /* asked of an event of the future alone */
        {"delivery", "DELETE FROM delivery WHERE event_id <= ?1"},
    };

    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        if (strcmp(table, walks[i].table) == 0 && strstr(sql, walks[i].part) != NULL)
            return true;
    }
    return false;
}

/* Makes the connection prepare all that the daemon ever does to the database. */
static void do_everything(struct pw_db *db)
{
    static const char *const hooks[] = {"other"};
    struct pw_prune prune = {.cutoff_ms = 5 * HOUR_MS};
    struct pw_index *index = pw_index_new();
    int64_t source_id = open_prod(db), total;
    struct pw_delivery *claimed;
    char text[256];
    struct pw_error err;

    (void)sweep_fleet_told(db, source_id, "ccccccn", HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nnuncc-", 2 * HOUR_MS);
    assert_int_equal(pw_outbox_recover(db, 2 * HOUR_MS, &err), PW_OK);
    claimed = queue_claim(db, "pager", 3, 2 * HOUR_MS, NULL);
    assert_non_null(claimed);
    queue_delivered(db, claimed->delivery_id, 2 * HOUR_MS);
    queue_failed(db, claimed->next_attempt->delivery_id, 3 * HOUR_MS, "x");
    queue_dead(db, claimed->next_attempt->next_attempt->delivery_id, "x");
    assert_int_equal(queue_gone(db, 1000, PW_OUTCOME_FAILED), 1);
    pw_claimed_free(claimed);
    assert_int_equal(pw_outbox_orphans(db, hooks, 1, &total, text, sizeof text, &err), PW_OK);
    (void)sweep_fleet_told(db, source_id, "cccccc-", 3 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "c-c-c-c", 4 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "ccccccc", 3 * HOUR_MS); /* the clock is set back */
    record_event(db, source_id, 5 * HOUR_MS);
    assert_int_equal(pw_index_load(db, source_id, index, &err), PW_OK);
    pw_index_free(index);
    assert_int_equal(pw_source_set_offset_mode(db, source_id, PW_OFFSET_PAGE, &err), PW_OK);
    while (prune.stage != PW_PRUNE_DONE)
        assert_int_equal(pw_prune_step(db, &prune, 6 * HOUR_MS, &err), PW_OK);
}

static int look_at_statements(struct pw_db *db)
{
    sqlite3 *handle = pw_db_handle(db);
    const char *sqls[256];
    int count = 0;

    for (sqlite3_stmt *statement = sqlite3_next_stmt(handle, NULL); statement != NULL;
         statement = sqlite3_next_stmt(handle, statement)) {
        assert_true(count < 256);
        sqls[count++] = sqlite3_sql(statement);
    }
    for (int i = 0; i < count; i++) {
        const char *table = scanned(handle, sqls[i]);

        if (table[0] != '\0' && !is_short_walk(table, sqls[i]))
            fail_msg("goes through the whole table %s: %s", table, sqls[i]);
    }
    return count;
}

static void test_statements_of_the_daemon(void **state)
{
    struct pw_db *db = open_writer(*state);

    do_everything(db);
    assert_true(look_at_statements(db) > 50);
    /* Statistics may turn the planner's mind. */
    must_run(db, "ANALYZE");
    assert_true(look_at_statements(db) > 50);
    pw_db_close(db);
}

/* The indented blocks of the document that begin with a query, up to the empty line behind. */
static char *next_query(char **at)
{
    char *line = *at;

    while (line != NULL && *line != '\0') {
        bool is_query = strncmp(line, "    SELECT ", 11) == 0 || strncmp(line, "    WITH ", 9) == 0;
        char *end = strstr(line, "\n\n");

        if (is_query) {
            if (end != NULL)
                *end = '\0';
            *at = end != NULL ? end + 2 : NULL;
            return line;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    *at = NULL;
    return NULL;
}

static char *read_document(void)
{
    FILE *file = fopen(PW_DOCS "/history.md", "r");
    char *text = calloc(1, 200000);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 199999, file) > 1000);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* A query over the whole history reads the whole history; nothing else may. */
static bool is_about_everything(const char *sql)
{
    return strstr(sql, "fleet_daily") != NULL;
}

/* The history of the document's own examples, near enough for each of its questions to have an
 * answer: times around October 2024, and some of this week. */
static void make_documented_history(struct pw_db *db)
{
    static const int64_t oct_4_ms = INT64_C(1728003600000); /* 01:00 */
    int64_t source_id = open_prod(db), now_ms = pw_clock_wall_ms(pw_clock_system());
    struct pw_delivery *claimed;

    (void)sweep_fleet_told(db, source_id, "ccncccc", oct_4_ms);
    (void)sweep_fleet_told(db, source_id, "ncncccc", oct_4_ms + 24 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nccccc-", oct_4_ms + 48 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "cnncccc", oct_4_ms + 96 * HOUR_MS);
    claimed = queue_claim(db, "pager", 1, now_ms, NULL);
    assert_non_null(claimed);
    queue_delivered(db, claimed->delivery_id, now_ms);
    pw_claimed_free(claimed);
    (void)sweep_fleet_told(db, source_id, "cnnncc-", now_ms - HOUR_MS);
    must_run(db, "UPDATE node SET name = 'web-a', region = 'cn-north-4' WHERE node_key = 'ECS/i-0';"
                 "UPDATE node SET name = 'db-d', region = 'cn-north-4' WHERE node_key = 'ECS/i-1';"
                 "UPDATE node SET node_key = 'ECS/a' WHERE node_key = 'ECS/i-0';"
                 "UPDATE report SET non_compliant_critical = 1 WHERE status = 'non_compliant';"
                 "INSERT INTO sweep (source_id, started_at, ended_at, outcome, reason)"
                 " VALUES (1, 1, 2, 'incomplete', 'the list changed under way')");
}

static void test_documented_queries(void **state)
{
    struct pw_db *db = open_writer(*state);
    char *document = read_document();

    char *at = document, *sql;
    int count = 0, bad = 0;

    make_documented_history(db);
    while ((sql = next_query(&at)) != NULL) {
        const char *table = scanned(pw_db_handle(db), sql);

        if (rows(db, sql)[0] == '\0') {
            print_error("gives no row:\n%s\n", sql);
            bad++;
        }
        count++;
        if (table[0] != '\0' && !is_about_everything(sql)) {
            print_error("goes through the whole table %s:\n%s\n", table, sql);
            bad++;
        }
    }
    assert_true(count >= 19);
    assert_int_equal(bad, 0);
    free(document);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statements_of_the_daemon, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_documented_queries, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

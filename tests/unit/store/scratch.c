/* Helpers of the store's tests. */
#include "scratch.h"

#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static char text[65536];

int scratch_setup(void **state)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);

    assert_non_null(scratch);
    (void)snprintf(scratch->directory, sizeof scratch->directory, "/tmp/pw-store-XXXXXX");
    assert_non_null(mkdtemp(scratch->directory));
    (void)snprintf(scratch->path, sizeof scratch->path, "%s/history.db", scratch->directory);
    *state = scratch;
    return 0;
}

int scratch_teardown(void **state)
{
    struct scratch *scratch = *state;
    DIR *directory = opendir(scratch->directory);
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    (void)closedir(directory);
    assert_int_equal(rmdir(scratch->directory), 0);
    free(scratch);
    return 0;
}

struct pw_db *open_writer(const struct scratch *scratch)
{
    struct pw_db *db;
    struct pw_error err = {PW_OK, ""};

    if (pw_db_open(scratch->path, PW_DB_WRITE, &db, &err) != PW_OK)
        fail_msg("%s", err.message);
    return db;
}

void must_run(struct pw_db *db, const char *sql)
{
    struct pw_error err = {PW_OK, ""};

    if (pw_db_exec(db, sql, &err) != PW_OK)
        fail_msg("%s\n%s", err.message, sql);
}

void must_refuse(struct pw_db *db, const char *sql, const char *why)
{
    struct pw_error err = {PW_OK, ""};

    if (pw_db_exec(db, sql, &err) == PW_OK)
        fail_msg("was not refused: %s", sql);
    if (strstr(err.message, why) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\"", err.message, why);
}

static sqlite3_stmt *prepare(struct pw_db *db, const char *sql)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(pw_db_handle(db), sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s\n%s", sqlite3_errmsg(pw_db_handle(db)), sql);
    return statement;
}

int64_t number(struct pw_db *db, const char *sql)
{
    sqlite3_stmt *statement = prepare(db, sql);
    int64_t value;

    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static const char *collect(struct pw_db *db, const char *sql, int first_column)
{
    sqlite3_stmt *statement = prepare(db, sql);
    size_t used = 0;

    text[0] = '\0';
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int column = first_column; column < sqlite3_column_count(statement); column++) {
            const char *value = (const char *)sqlite3_column_text(statement, column);
            int len = snprintf(text + used, sizeof text - used, "%s%s",
                               column > first_column ? "|"
                               : used > 0            ? "\n"
                                                     : "",
                               value == NULL ? "-" : value);
            used += (size_t)len;
            assert_true(used < sizeof text);
        }
    }
    sqlite3_finalize(statement);
    return text;
}

const char *rows(struct pw_db *db, const char *sql)
{
    return collect(db, sql, 0);
}

const char *plan(struct pw_db *db, const char *sql)
{
    char explain[8192];

    assert_true((size_t)snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql) <
                sizeof explain);
    return collect(db, explain, 3);
}

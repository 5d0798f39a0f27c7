/* Opening: what is created, what is refused and left as it is, and who may read beside the daemon.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"
#include "store/migrate.h"

enum { NOBODY = 65534 };

static void open_fails(const char *path, enum pw_db_mode mode, enum pw_status status,
                       const char *words)
{
    struct pw_db *db;
    struct pw_error err = {PW_OK, ""};

    assert_int_equal(pw_db_open(path, mode, &db, &err), status);
    assert_null(db);
    assert_int_equal(err.status, status);
    if (strstr(err.message, words) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\"", err.message, words);
    if (strstr(err.message, path) == NULL)
        fail_msg("\"%s\" does not name %s", err.message, path);
}

static void put_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static mode_t mode_of(const struct scratch *scratch, const char *suffix)
{
    char path[128];
    struct stat info;

    (void)snprintf(path, sizeof path, "%s%s", scratch->path, suffix);
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void test_create_and_reopen(void **state)
{
    struct scratch *scratch = *state;
    mode_t umask_before = umask(0077);
    struct pw_db *db = open_writer(scratch);

    (void)umask(umask_before);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(mode_of(scratch, ""), 0640);
    assert_int_equal(mode_of(scratch, "-wal"), 0640);
    assert_int_equal(mode_of(scratch, "-shm"), 0640);
    assert_int_equal(mode_of(scratch, ".lock"), 0600);
    assert_int_equal(number(db, "PRAGMA synchronous"), 2);
    assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(db, "PRAGMA trusted_schema"), 0);
    assert_int_equal(number(db, "PRAGMA journal_size_limit"), 67108864);
    must_refuse(db, "SELECT \"typo\" FROM source", "no such column");
    must_refuse(db, "SELECT load_extension('x')", "not authorized");
    pw_db_close(db);

    db = open_writer(scratch);
    assert_string_equal(rows(db, "SELECT name FROM source"), "prod");
    pw_db_close(db);
    pw_db_close(NULL);
}

static void test_empty_file_is_fresh(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db;

    put_file(scratch->path, "", 0);
    open_fails(scratch->path, PW_DB_READ, PW_ENOTFOUND, "is empty");
    db = open_writer(scratch);
    assert_int_equal(number(db, "PRAGMA user_version"), PW_DB_SCHEMA_VERSION);
    pw_db_close(db);
}

static void test_one_writer(void **state)
{
    struct scratch *scratch = *state;
    char other_name[128];
    struct pw_db *db = open_writer(scratch);

    open_fails(scratch->path, PW_DB_WRITE, PW_EBUSY, "another patchwatchd");
    /* Not by another name of the file either. */
    (void)snprintf(other_name, sizeof other_name, "%s/link.db", scratch->directory);
    assert_int_equal(symlink("history.db", other_name), 0);
    {
        struct pw_db *second;
        struct pw_error err;
        assert_int_equal(pw_db_open(other_name, PW_DB_WRITE, &second, &err), PW_EBUSY);
    }
    /* The first one is none the worse for it. */
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    pw_db_close(db);
    pw_db_close(open_writer(scratch));
}

static void test_bad_paths(void **state)
{
    struct scratch *scratch = *state;
    char path[160];

    open_fails(scratch->path, PW_DB_READ, PW_ENOTFOUND, "no database");
    assert_int_equal(access(scratch->path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/none/history.db", scratch->directory);
    open_fails(path, PW_DB_WRITE, PW_ENOTFOUND, "create it with");
    open_fails(path, PW_DB_READ, PW_ENOTFOUND, "no database");
    (void)snprintf(path, sizeof path, "%s/", scratch->directory);
    open_fails(path, PW_DB_WRITE, PW_EINVAL, "names no database file");
    path[strlen(path) - 1] = '\0';
    open_fails(path, PW_DB_WRITE, PW_EINVAL, "is a directory");
    open_fails(path, PW_DB_READ, PW_EINVAL, "is a directory");
    assert_int_equal(symlink("nowhere", scratch->path), 0);
    open_fails(scratch->path, PW_DB_WRITE, PW_ENOTFOUND, "symbolic link to nowhere");
    assert_int_equal(unlink(scratch->path), 0);
    assert_int_equal(mkfifo(scratch->path, 0600), 0);
    open_fails(scratch->path, PW_DB_WRITE, PW_EINVAL, "not a regular file");
}

static void make_with(const char *path, const char *sql)
{
    sqlite3 *handle;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static void test_foreign_files(void **state)
{
    struct scratch *scratch = *state;
    static const enum pw_db_mode modes[] = {PW_DB_WRITE, PW_DB_READ};

    for (int i = 0; i < 2; i++) {
        (void)unlink(scratch->path);
        make_with(scratch->path, "CREATE TABLE bookmarks (url TEXT)");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "not a patchwatch history");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "name another file");
        make_with(scratch->path, "PRAGMA application_id = 42");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "0x0000002a");
        make_with(scratch->path, "PRAGMA application_id = 1347900483; PRAGMA user_version = 99");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "has schema version 99");
        make_with(scratch->path, "PRAGMA user_version = 0");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "damaged");
        /* Not one of them was touched. */
        make_with(scratch->path, "INSERT INTO bookmarks VALUES ('x'); PRAGMA journal_mode=delete");
        (void)unlink(scratch->path);
        make_with(scratch->path, "PRAGMA application_id = 1347900483; PRAGMA user_version = 1");
        open_fails(scratch->path, modes[i], PW_ECORRUPT, "damaged");
    }
}

/* The writer does not go on with a file whose guards somebody took away, or who put a trigger of
 * his own there. What cannot falsify anything is let be. */
static void test_tampered_schema(void **state)
{
    struct scratch *scratch = *state;
    static const struct {
        const char *sql, *words, *undo;
    } changes[] = {
        {"CREATE TRIGGER hush AFTER INSERT ON delivery BEGIN DELETE FROM delivery; END",
         "the trigger hush is not ours, and may falsify what is written to delivery; nothing is "
         "written to it: find out who made it, then remove it",
         "DROP TRIGGER hush"},
        {"DROP TRIGGER report_ends_once",
         "the trigger report_ends_once is missing; nothing is written to it: restore a backup",
         "CREATE TRIGGER report_ends_once AFTER UPDATE OF valid_to ON report BEGIN SELECT 1; END"},
        {"SELECT 1", "the trigger report_ends_once was changed", "DROP TRIGGER report_ends_once"},
        {"DROP INDEX report_current", "(and 1 more)", "SELECT 1"},
    };

    pw_db_close(open_writer(scratch));
    make_with(scratch->path, "CREATE TABLE notes (text); CREATE VIEW mine AS SELECT 1;"
                             "CREATE INDEX by_ip ON node (ip); DROP VIEW remediation");
    pw_db_close(open_writer(scratch));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct pw_db *db;

        make_with(scratch->path, changes[i].sql);
        open_fails(scratch->path, PW_DB_WRITE, PW_ECORRUPT, changes[i].words);
        /* It can still be read, and verified. */
        assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &db, NULL), PW_OK);
        pw_db_close(db);
        make_with(scratch->path, changes[i].undo);
    }
}

/* A reader who lacks what he cannot make himself is told so. */
static void test_reader_without_log(void **state)
{
    struct scratch *scratch = *state;
    char path[128];
    pid_t child;
    int wait_status;

    if (geteuid() != 0)
        skip();
    pw_db_close(open_writer(scratch));
    assert_int_equal(chmod(scratch->directory, 0755), 0);
    assert_int_equal(chmod(scratch->path, 0644), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s%s", scratch->path, i == 0 ? "-shm" : "-wal");
        assert_int_equal(unlink(path), 0);
    }
    child = fork();
    if (child == 0) {
        struct pw_db *db;
        struct pw_error err = {PW_OK, ""};
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(99);
        if (pw_db_open(scratch->path, PW_DB_READ, &db, &err) == PW_OK)
            _exit(1);
        _exit(strstr(err.message, "start patchwatchd once, which makes them") != NULL ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_int_equal(WEXITSTATUS(wait_status), 0);
}

/* A file as version 1 wrote it, with a source in it. */
static void make_version_1(const char *path)
{
    sqlite3 *handle;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, pw_sql_schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, pw_sql_views, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle,
                                  "PRAGMA application_id = 1347900483; PRAGMA user_version = 1;"
                                  "INSERT INTO source (name, endpoint) VALUES ('old', 'https://x')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static void test_file_of_version_1(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db;

    make_version_1(scratch->path);
    db = open_writer(scratch);
    assert_int_equal(number(db, "PRAGMA user_version"), PW_DB_SCHEMA_VERSION);
    assert_int_equal(number(db, "SELECT count(*) FROM source WHERE name = 'old'"), 1);
    assert_int_equal(number(db, "SELECT failed_sweeps + empty_sweeps FROM source"), 0);
    assert_int_equal(number(db, "SELECT failing_since IS NULL AND failing_told_at IS NULL"
                                " FROM source"),
                     1);
    pw_db_close(db);
}

static void test_garbage_and_truncation(void **state)
{
    struct scratch *scratch = *state;
    char garbage[4096];
    char wal[128];
    struct stat before;
    struct stat after;
    struct pw_db *db;

    memset(garbage, 'x', sizeof garbage);
    put_file(scratch->path, garbage, sizeof garbage);
    open_fails(scratch->path, PW_DB_WRITE, PW_ECORRUPT, ".dump");
    open_fails(scratch->path, PW_DB_READ, PW_ECORRUPT, ".dump");
    assert_int_equal(stat(scratch->path, &after), 0);
    assert_int_equal(after.st_size, sizeof garbage);

    assert_int_equal(unlink(scratch->path), 0);
    db = open_writer(scratch);
    pw_db_close(db);
    (void)snprintf(wal, sizeof wal, "%s-wal", scratch->path);
    assert_int_equal(unlink(wal), 0); /* checkpointed: all is in the file itself */
    assert_int_equal(stat(scratch->path, &before), 0);
    assert_int_equal(truncate(scratch->path, before.st_size / 2), 0);
    open_fails(scratch->path, PW_DB_WRITE, PW_ECORRUPT, ".dump");
    assert_int_equal(stat(scratch->path, &after), 0);
    assert_int_equal(after.st_size, before.st_size / 2);
}

static void test_reader(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch);
    struct pw_db *reader;
    struct pw_error err;

    must_run(writer, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &reader, &err), PW_OK);
    assert_string_equal(rows(reader, "SELECT name FROM source"), "prod");
    must_refuse(reader, "DELETE FROM source", "readonly");
    /* A reader in the middle of a query holds up no writer. */
    must_run(reader, "BEGIN; SELECT * FROM source");
    must_run(writer, "INSERT INTO source (name, endpoint) VALUES ('test', 'y')");
    assert_int_equal(number(reader, "SELECT count(*) FROM source"), 1);
    must_run(reader, "COMMIT");
    assert_int_equal(number(reader, "SELECT count(*) FROM source"), 2);
    pw_db_close(reader);
    pw_db_close(writer);
}

/* In a child as a member of the file's group and nothing more. Exit 0: it read `expected` sources.
 */
static int read_as_group_member(const struct scratch *scratch, int64_t expected)
{
    pid_t child = fork();
    int wait_status;

    assert_true(child >= 0);
    if (child == 0) {
        static const gid_t group[] = {NOBODY};
        struct pw_db *db;
        struct pw_error err = {PW_OK, ""};
        sqlite3_stmt *statement;
        if (setgroups(1, group) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(10);
        if (pw_db_open(scratch->path, PW_DB_READ, &db, &err) != PW_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            _exit(11);
        }
        if (pw_db_prepare(db, "SELECT count(*) FROM source", &statement, &err) != PW_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
            _exit(12);
        if (sqlite3_column_int64(statement, 0) != expected)
            _exit(13);
        pw_db_close(db);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 99;
}

static void test_group_member_reads(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(scratch->directory, 0, NOBODY), 0);
    assert_int_equal(chmod(scratch->directory, 02750), 0);
    db = open_writer(scratch);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(read_as_group_member(scratch, 1), 0); /* daemon running */
    pw_db_close(db);
    assert_int_equal(read_as_group_member(scratch, 1), 0); /* stopped cleanly */
    assert_int_equal(mode_of(scratch, "-wal"), 0640);
    db = open_writer(scratch); /* and it starts again, whatever the reader left */
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('test', 'y')");
    assert_int_equal(read_as_group_member(scratch, 2), 0);
    pw_db_close(db);
}

/* A killed writer: its lock goes with it, its last commit does not. */
static void test_killed_writer(void **state)
{
    struct scratch *scratch = *state;
    pid_t child = fork();
    int wait_status;
    struct pw_db *db;

    if (child == 0) {
        db = open_writer(scratch);
        must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x');"
                     "BEGIN; INSERT INTO source (name, endpoint) VALUES ('half', 'x')");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    db = open_writer(scratch);
    assert_string_equal(rows(db, "SELECT name FROM source"), "prod");
    assert_string_equal(rows(db, "PRAGMA integrity_check"), "ok");
    pw_db_close(db);
}

static int open_as_nobody(const char *path, enum pw_db_mode mode)
{
    pid_t child = fork();
    int wait_status;

    assert_true(child >= 0);
    if (child == 0) {
        struct pw_db *db;
        if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(99);
        _exit((int)pw_db_open(path, mode, &db, NULL));
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    return WEXITSTATUS(wait_status);
}

static void test_permissions(void **state)
{
    struct scratch *scratch = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(scratch->directory, 0755), 0);
    assert_int_equal(open_as_nobody(scratch->path, PW_DB_WRITE), PW_EPERM);
    pw_db_close(open_writer(scratch));
    assert_int_equal(open_as_nobody(scratch->path, PW_DB_WRITE), PW_EPERM);
    assert_int_equal(open_as_nobody(scratch->path, PW_DB_READ), PW_EPERM);
}

static void test_transactions(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_error err;

    assert_int_equal(pw_db_begin(db, &err), PW_OK);
    assert_int_equal(pw_db_begin(db, &err), PW_EINVAL);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    pw_db_rollback(db);
    pw_db_rollback(db);
    assert_int_equal(number(db, "SELECT count(*) FROM source"), 0);
    assert_int_equal(pw_db_commit(db, &err), PW_EIO);
    assert_int_equal(pw_db_begin(db, &err), PW_OK);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(pw_db_commit(db, &err), PW_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM source"), 1);
    pw_db_close(db);
}

/* The database may not grow: SQLite may roll back by itself, and all must be as before. */
static void test_full(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_error err = {PW_OK, ""};

    (void)number(db, "PRAGMA max_page_count = 40");
    assert_int_equal(pw_db_begin(db, &err), PW_OK);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(pw_db_exec(db,
                                "INSERT INTO source (name, endpoint)"
                                " VALUES ('big', replace(hex(zeroblob(500000)), '0', 'ab'))",
                                &err),
                     PW_EFULL);
    assert_non_null(strstr(err.message, "SQLITE_FULL"));
    pw_db_rollback(db);
    assert_int_equal(number(db, "SELECT count(*) FROM source"), 0);
    assert_int_equal(pw_db_begin(db, &err), PW_OK);
    must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
    assert_int_equal(pw_db_commit(db, &err), PW_OK);
    pw_db_close(db);
}

static void test_statements(void **state)
{
    static const char insert[] = "INSERT INTO source (name, endpoint, baseline_at)"
                                 " VALUES (?1, ?2, ?3)";
    static const char select[] = "SELECT name, endpoint, baseline_at, offset_mode FROM source"
                                 " ORDER BY source_id";
    /* More constants than the cache starts with: all different addresses. */
    static char many[200][16];
    struct pw_db *db = open_writer(*state);
    struct pw_error err;
    sqlite3_stmt *statement;
    sqlite3_stmt *again;
    bool row;

    assert_int_equal(pw_db_prepare(db, "SELECT nonsense", &statement, &err), PW_EINVAL);
    assert_null(statement);
    assert_int_equal(pw_db_prepare(db, insert, &statement, &err), PW_OK);
    pw_db_bind_text(statement, 1, "prod");
    pw_db_bind_str(statement, 2, (struct pw_str){"", 0});
    pw_db_bind_int_or_null(statement, 3, 7, -1);
    assert_int_equal(pw_db_run(db, statement, &err), PW_OK);
    pw_db_bind_null(statement, 1);
    assert_int_equal(pw_db_run(db, statement, &err), PW_EINVAL);
    assert_int_equal(pw_db_prepare(db, insert, &again, &err), PW_OK);
    assert_ptr_equal(again, statement);
    pw_db_bind_text(statement, 1, "test");
    pw_db_bind_text(statement, 2, "y");
    pw_db_bind_int_or_null(statement, 3, -1, -1);
    assert_int_equal(pw_db_run(db, statement, &err), PW_OK);

    assert_int_equal(pw_db_prepare(db, select, &statement, &err), PW_OK);
    assert_int_equal(pw_db_step(db, statement, &row, &err), PW_OK);
    assert_true(row);
    assert_true(pw_str_is(pw_db_column_str(statement, 1), "")); /* empty, not null */
    assert_non_null(pw_db_column_str(statement, 1).data);
    assert_null(pw_db_column_str(statement, 3).data);
    assert_int_equal(pw_db_column_int_or(statement, 2, -1), 7);
    assert_int_equal(pw_db_step(db, statement, &row, &err), PW_OK);
    assert_int_equal(pw_db_column_int_or(statement, 2, -1), -1);
    assert_int_equal(pw_db_step(db, statement, &row, &err), PW_OK);
    assert_false(row);

    for (int i = 0; i < 200; i++) {
        (void)snprintf(many[i], sizeof many[i], "SELECT %d", i);
        assert_int_equal(pw_db_prepare(db, many[i], &statement, &err), PW_OK);
    }
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pw_db_prepare(db, many[i], &statement, &err), PW_OK);
        assert_int_equal(pw_db_step(db, statement, &row, &err), PW_OK);
        assert_int_equal(sqlite3_column_int(statement, 0), i);
    }
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_and_reopen, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_empty_file_is_fresh, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_one_writer, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_paths, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_tampered_schema, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_reader_without_log, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_file_of_version_1, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_garbage_and_truncation, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_reader, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_group_member_reads, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_killed_writer, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_permissions, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_transactions, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_full, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_statements, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Backups: whole, in one piece, never in the place of something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history.h"
#include "scratch.h"
#include "store/backup.h"

static struct pw_db *open_reader(const char *path)
{
    struct pw_db *db;
    struct pw_error err = {PW_OK, ""};

    if (pw_db_open(path, PW_DB_READ, &db, &err) != PW_OK)
        fail_msg("%s", err.message);
    return db;
}

static int files_in(const char *directory)
{
    DIR *open_directory = opendir(directory);
    int count = 0;

    assert_non_null(open_directory);
    while (readdir(open_directory) != NULL)
        count++;
    (void)closedir(open_directory);
    return count - 2;
}

static void refused(struct pw_db *reader, const char *path, bool overwrite, enum pw_status status,
                    const char *words)
{
    struct pw_error err = {PW_OK, ""};

    assert_int_equal(pw_store_backup(reader, path, overwrite, NULL, &err), status);
    if (strstr(err.message, words) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\"", err.message, words);
}

static void test_backup(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader, *copy;
    char path[128];
    struct stat info;
    struct pw_error err;
    int64_t bytes = 0;
    int before;

    make_history(writer, 50);
    reader = open_reader(scratch->path);
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    before = files_in(scratch->directory);
    assert_int_equal(pw_store_backup(reader, path, false, &bytes, &err), PW_OK);
    assert_int_equal(files_in(scratch->directory), before + 1); /* no -wal, no temporary file */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(info.st_size, bytes);

    copy = open_reader(path);
    assert_int_equal(number(copy, "SELECT count(*) FROM event"), 101);
    assert_string_equal(verify(copy), "");
    assert_string_equal(rows(copy, "PRAGMA journal_mode"), "delete");
    assert_int_equal(number(copy, "PRAGMA auto_vacuum"), 2);
    pw_db_close(copy);

    /* What was there stays, unless that is asked for. */
    (void)sweep_fleet(writer, 1, "n", 9 * HOUR_MS);
    refused(reader, path, false, PW_EBUSY, "exists");
    copy = open_reader(path);
    assert_int_equal(number(copy, "SELECT count(*) FROM event"), 101);
    pw_db_close(copy);
    assert_int_equal(pw_store_backup(reader, path, true, NULL, &err), PW_OK);
    copy = open_reader(path);
    assert_true(number(copy, "SELECT count(*) FROM event") > 101);
    pw_db_close(copy);

    refused(reader, scratch->path, true, PW_EINVAL, "the history itself");
    refused(reader, scratch->directory, true, PW_EINVAL, "not a regular file");
    refused(reader, "/nowhere/copy.db", false, PW_ENOTFOUND, "/nowhere/copy.db");
    refused(reader, "/proc/copy.db", false, PW_ENOTFOUND, "/proc/copy.db");
    assert_int_equal(files_in(scratch->directory), before + 1);

    pw_db_close(reader);
    /* A copy that the daemon is put on: it goes on where the history stood. */
    {
        struct scratch restored = *scratch;
        (void)snprintf(restored.path, sizeof restored.path, "%s/copy.db", scratch->directory);
        copy = open_writer(&restored);
        assert_true(pw_db_is_unclean(copy)); /* nobody knows who put it there */
        assert_string_equal(rows(copy, "PRAGMA journal_mode"), "wal");
        assert_string_equal(verify(copy), "");
        pw_db_close(copy);
    }
    pw_db_close(writer);
}

/* The writer goes on while a copy is made, and the copy is of one moment. */
static void test_backup_while_writing(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader, *copy;
    char path[128];
    struct pw_error err;

    make_history(writer, 200);
    reader = open_reader(scratch->path);
    must_run(writer, "BEGIN IMMEDIATE; DELETE FROM event; DELETE FROM report");
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    assert_int_equal(pw_store_backup(reader, path, false, NULL, &err), PW_OK);
    must_run(writer, "COMMIT");
    copy = open_reader(path);
    assert_int_equal(number(copy, "SELECT count(*) FROM event"), 401);
    assert_string_equal(verify(copy), "");
    pw_db_close(copy);
    pw_db_close(reader);
    pw_db_close(writer);
}

/* No room: told as such, and nothing is left behind. */
static void test_no_room(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader;
    struct rlimit before, small = {.rlim_cur = 64 * 1024};
    char path[128];
    int files;
    struct pw_error err;

    make_history(writer, 300);
    reader = open_reader(scratch->path);
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    files = files_in(scratch->directory);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(pw_store_backup(reader, path, false, NULL, &err), PW_EFULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(files_in(scratch->directory), files);
    assert_int_equal(access(path, F_OK), -1);
    pw_db_close(reader);
    pw_db_close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backup, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_backup_while_writing, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_room, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Backups: whole, in one piece, never in the place of something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history.h"
#include "scratch.h"
#include "store/backup.h"

static const struct pw_backup_params kept = {.overwrite = false};
static const struct pw_backup_params replaced = {.overwrite = true};

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

    struct pw_backup_params params = {.overwrite = overwrite};

    assert_int_equal(pw_store_backup(reader, path, &params, NULL, &err), status);
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
    assert_int_equal(pw_store_backup(reader, path, &kept, &bytes, &err), PW_OK);
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
    assert_int_equal(pw_store_backup(reader, path, &replaced, NULL, &err), PW_OK);
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
    assert_int_equal(pw_store_backup(reader, path, &kept, NULL, &err), PW_OK);
    must_run(writer, "COMMIT");
    copy = open_reader(path);
    assert_int_equal(number(copy, "SELECT count(*) FROM event"), 401);
    assert_string_equal(verify(copy), "");
    pw_db_close(copy);
    pw_db_close(reader);
    pw_db_close(writer);
}

/* Called between the steps: the writer writes, and empties its log as far as it may. */
struct meddler {
    struct pw_db *writer;
    int calls, cancel_at; /* 0 = never */
};

static bool meddle(void *context)
{
    struct meddler *meddler = context;
    char sql[128];

    if (meddler->writer != NULL) {
        (void)snprintf(sql, sizeof sql,
                       "UPDATE event SET cause = 'step %d'; PRAGMA wal_checkpoint(PASSIVE)",
                       meddler->calls);
        must_run(meddler->writer, sql);
    }
    return ++meddler->calls == meddler->cancel_at;
}

/* Commits between the steps neither get into the copy nor make it begin anew. */
static void test_steps(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader, *copy;
    struct meddler meddler = {.writer = writer};
    struct pw_backup_params params = {.is_canceled = meddle, .context = &meddler, .step_pages = 2};
    char path[128];
    int64_t pages;
    struct pw_error err;

    make_history(writer, 200);
    reader = open_reader(scratch->path);
    pages = number(reader, "PRAGMA page_count");
    assert_true(pages > 20);
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    assert_int_equal(pw_store_backup(reader, path, &params, NULL, &err), PW_OK);
    assert_in_range(meddler.calls, pages / 2, pages / 2 + 3);
    copy = open_reader(path);
    assert_int_equal(number(copy, "SELECT count(*) FROM event WHERE cause LIKE 'step%'"), 0);
    assert_string_equal(verify(copy), "");
    pw_db_close(copy);
    /* The reader is free again. */
    assert_true(number(reader, "SELECT count(*) FROM event WHERE cause LIKE 'step%'") > 0);
    pw_db_close(reader);
    pw_db_close(writer);
}

static void test_canceled(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader;
    struct meddler meddler = {.cancel_at = 3};
    struct pw_backup_params params = {
        .overwrite = true, .is_canceled = meddle, .context = &meddler, .step_pages = 2};
    char path[128];
    int files;
    struct stat before, after;
    struct pw_error err;

    make_history(writer, 50);
    reader = open_reader(scratch->path);
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    assert_int_equal(pw_store_backup(reader, path, &kept, NULL, &err), PW_OK);
    assert_int_equal(stat(path, &before), 0);
    files = files_in(scratch->directory);
    assert_int_equal(pw_store_backup(reader, path, &params, NULL, &err), PW_ECANCELED);
    assert_int_equal(meddler.calls, 3);
    assert_int_equal(files_in(scratch->directory), files);
    assert_int_equal(stat(path, &after), 0); /* what was there is as it was */
    assert_int_equal(before.st_ino, after.st_ino);
    /* Also where the signal comes when all pages are copied. */
    meddler = (struct meddler){.cancel_at = 2};
    params.step_pages = 0;
    assert_int_equal(pw_store_backup(reader, path, &params, NULL, &err), PW_ECANCELED);
    assert_int_equal(files_in(scratch->directory), files);
    pw_db_close(reader);
    pw_db_close(writer);
}

/* What stands in the place of the file that grows. */
static void test_part(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader, *copy;
    char path[128], part[160], other[128];
    struct pw_error err;
    FILE *file;
    int fd;

    make_history(writer, 10);
    reader = open_reader(scratch->path);
    (void)snprintf(path, sizeof path, "%s/copy.db", scratch->directory);
    (void)snprintf(part, sizeof part, "%s.part", path);
    (void)snprintf(other, sizeof other, "%s/other", scratch->directory);
    file = fopen(other, "w");
    assert_non_null(file);
    assert_true(fputs("precious", file) >= 0);
    assert_int_equal(fclose(file), 0);

    assert_int_equal(symlink(other, part), 0);
    refused(reader, path, false, PW_EINVAL, part);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(link(other, part), 0);
    refused(reader, path, false, PW_EINVAL, "in the way");
    assert_int_equal(unlink(part), 0);
    assert_int_equal(mkfifo(part, 0600), 0);
    refused(reader, path, false, PW_EINVAL, "in the way");
    assert_int_equal(unlink(part), 0);
    if (geteuid() == 0) {
        assert_int_equal(rename(other, part), 0);
        assert_int_equal(chown(part, 12345, 12345), 0);
        refused(reader, path, false, PW_EINVAL, "in the way");
        assert_int_equal(chown(part, 0, 0), 0);
        assert_int_equal(rename(part, other), 0);
    }
    /* Another backup is running: its lock counts, its file stays. */
    fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    refused(reader, path, false, PW_EBUSY, "another backup");
    assert_int_equal(access(part, F_OK), 0);
    /* It was killed: what it left is used, however long it is. */
    assert_int_equal(ftruncate(fd, 100000000), 0);
    (void)close(fd);
    assert_int_equal(pw_store_backup(reader, path, &kept, NULL, &err), PW_OK);
    assert_int_equal(access(part, F_OK), -1);
    copy = open_reader(path);
    assert_string_equal(verify(copy), "");
    pw_db_close(copy);
    file = fopen(other, "r");
    assert_non_null(file);
    assert_int_equal(fgetc(file), 'p');
    (void)fclose(file);
    pw_db_close(reader);
    pw_db_close(writer);
}

/* What the daemon lives on is no target, whether it is there or not, by no name. */
static void test_own_files(void **state)
{
    static const char *const beside[] = {"-wal", "-shm", "-journal", ".lock", ".room"};
    struct scratch *scratch = *state;
    struct pw_db *writer = open_writer(scratch), *reader;
    char path[160], hard[160];

    make_history(writer, 10);
    reader = open_reader(scratch->path);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        (void)snprintf(path, sizeof path, "%s%s", scratch->path, beside[i]);
        refused(reader, path, true, PW_EINVAL, beside[i]);
        refused(reader, path, false, PW_EINVAL, beside[i]);
        (void)snprintf(hard, sizeof hard, "%s/hard%d", scratch->directory, (int)i);
        if (link(path, hard) == 0)
            refused(reader, hard, true, PW_EINVAL, beside[i]);
    }
    assert_int_equal(number(reader, "SELECT count(*) > 0 FROM event"), 1);
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
    assert_int_equal(pw_store_backup(reader, path, &kept, NULL, &err), PW_EFULL);
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
        cmocka_unit_test_setup_teardown(test_steps, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_canceled, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_part, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_own_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_room, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

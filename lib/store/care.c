/* One step of care at a time. Nothing here keeps memory or state between calls. */
#include "store/care.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    BUSY_TIMEOUT_MS = 5000, /* as db.c sets it */
    LOOK_EVERY_OPS = 10000, /* how often the check looks at the clock, in SQLite's instructions */
    CHUNK_BYTES = 64 * 1024,
};

/* Checking ------------------------------------------------------------------------------------ */

struct limit {
    int64_t end_ms; /* monotonic */
    const atomic_bool *cancel;
};

static int is_over(void *context)
{
    const struct limit *limit = context;

    return (limit->cancel != NULL && atomic_load(limit->cancel)) ||
           pw_clock_monotonic_ms(pw_clock_system()) > limit->end_ms;
}

static enum pw_status quick_check(struct pw_db *db, char *said, size_t size_bytes,
                                  struct pw_error *err)
{
    static const char sql[] = "PRAGMA quick_check(1)";
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);
    bool row;

    said[0] = '\0';
    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        (void)pw_text_printable(said, size_bytes, pw_db_column_str(statement, 0));
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_care_verdict pw_care_check(struct pw_db *db, int64_t limit_ms, const atomic_bool *cancel,
                                   struct pw_error *err)
{
    struct limit limit = {pw_clock_monotonic_ms(pw_clock_system()) + limit_ms, cancel};
    const char *path = sqlite3_db_filename(pw_db_handle(db), "main");
    char said[200];
    enum pw_status status;

    sqlite3_progress_handler(pw_db_handle(db), LOOK_EVERY_OPS, is_over, &limit);
    status = quick_check(db, said, sizeof said, err);
    sqlite3_progress_handler(pw_db_handle(db), 0, NULL, NULL);
    if (status == PW_ECANCELED)
        return PW_CARE_UNFINISHED;
    if (status == PW_OK && strcmp(said, "ok") == 0)
        return PW_CARE_SOUND;
    if (status != PW_OK && status != PW_ECORRUPT) {
        return PW_CARE_UNFINISHED; /* no memory, say: it proves nothing either way */
    }
    pw_db_distrust(db);
    if (status == PW_OK)
        (void)pw_fail(
            err, PW_ECORRUPT,
            "%s is damaged: %s; the file is left as it is: restore a backup, or save what "
            "can be read with: sqlite3 %s .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 "
            "recovered.db (operations.md says how to go on)",
            path, said, path);
    return PW_CARE_DAMAGED;
}

enum pw_status pw_care_optimize(struct pw_db *db, struct pw_error *err)
{
    return pw_db_exec(db, "PRAGMA analysis_limit = 400; PRAGMA optimize", err);
}

/* Room ---------------------------------------------------------------------------------------- */

int64_t pw_care_wal_bytes(struct pw_db *db)
{
    const char *path = sqlite3_db_filename(pw_db_handle(db), "main");
    struct stat info;

    if (path == NULL || path[0] == '\0' || stat(sqlite3_filename_wal(path), &info) != 0)
        return 0;
    return info.st_size;
}

enum pw_status pw_care_shrink_wal(struct pw_db *db, int64_t *left_bytes, struct pw_error *err)
{
    enum pw_status status;

    /* A reader that holds the log may hold it for hours. */
    (void)sqlite3_busy_timeout(pw_db_handle(db), 0);
    status = pw_db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", err);
    (void)sqlite3_busy_timeout(pw_db_handle(db), BUSY_TIMEOUT_MS);
    *left_bytes = pw_care_wal_bytes(db);
    return status;
}

/* Writes so many bytes to a file that has no name any more. */
static enum pw_status try_room(const char *name, int64_t room_bytes, struct pw_error *err)
{
    unsigned char *chunk = malloc(CHUNK_BYTES);
    int fd = -1;
    enum pw_status status = PW_OK;

    if (chunk == NULL)
        return pw_fail_nomem(err);
    memset(chunk, 0x5a, CHUNK_BYTES); /* zeros might take no room */
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST) { /* of a process that was killed just here */
        (void)unlink(name);
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (fd >= 0)
        (void)unlink(name);
    for (int64_t done = 0; fd >= 0 && done < room_bytes;) {
        ssize_t wrote = write(fd, chunk, CHUNK_BYTES);

        if (wrote <= 0)
            break;
        done += wrote;
        if (done >= room_bytes && fsync(fd) == 0)
            goto out;
    }
    status = pw_fail(
        err, fd >= 0 && errno != ENOSPC && errno != EDQUOT && errno != EFBIG ? PW_EIO : PW_EFULL,
        "writing %lld bytes beside the database: %s", (long long)room_bytes, strerror(errno));
out:
    if (fd >= 0)
        (void)close(fd);
    free(chunk);
    return status;
}

/* The smallest transaction that there is: the first page, with what it says already. */
static enum pw_status try_transaction(struct pw_db *db, struct pw_error *err)
{
    static const char get_sql[] = "PRAGMA user_version";
    char set_sql[64];
    sqlite3_stmt *statement;
    bool row;
    int64_t version = 0;
    enum pw_status status = pw_db_begin(db, err);

    if (status == PW_OK)
        status = pw_db_prepare(db, get_sql, &statement, err);
    if (status == PW_OK)
        status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK) {
        version = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
        (void)snprintf(set_sql, sizeof set_sql, "PRAGMA user_version = %lld", (long long)version);
        status = pw_db_exec(db, set_sql, err);
    }
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status != PW_OK)
        pw_db_rollback(db);
    return status;
}

enum pw_status pw_care_try_write(struct pw_db *db, int64_t room_bytes, struct pw_error *err)
{
    const char *path = sqlite3_db_filename(pw_db_handle(db), "main");
    int64_t left_bytes;
    struct pw_error ignored;
    char *name = NULL;
    enum pw_status status;

    /* What a failed transaction left in the log would otherwise pass for room. */
    if (pw_care_shrink_wal(db, &left_bytes, &ignored) != PW_OK)
        pw_log_debug("the write-ahead log stays as it is: %s", ignored.message);
    if (asprintf(&name, "%s.room", path) < 0)
        return pw_fail_nomem(err);
    status = try_room(name, room_bytes, err);
    free(name);
    return status == PW_OK ? try_transaction(db, err) : status;
}

/* The backup: SQLite's backup API (sqlite.org/backup.html) from a reading connection. One read
 * transaction spans its steps: without it SQLite starts anew whenever the daemon writes. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COPY_MODE = 0640,
    STEP_PAGES = 4096, /* 16 MiB: at most moments between two looks at the signals */
    LOCK_TRIES = 10,
};

/* Where the copy goes. All of it is owned. */
struct target {
    char *path; /* its directory without symbolic links */
    char *directory;
    char *part;
    int fd; /* of part, locked; -1: not ours */
};

static enum pw_status fail_file(struct pw_error *err, const char *what, const char *path)
{
    int code = errno;
    enum pw_status status = PW_EIO;

    if (code == EACCES || code == EPERM || code == EROFS)
        status = PW_EPERM;
    else if (code == ENOENT || code == ENOTDIR)
        status = PW_ENOTFOUND;
    else if (code == ENOSPC || code == EDQUOT || code == EFBIG)
        status = PW_EFULL;
    else if (code == EEXIST)
        status = PW_EBUSY;
    else if (code == ELOOP)
        status = PW_EINVAL;
    return pw_fail(err, status, "%s %s: %s", what, path, strerror(code));
}

/* The target ---------------------------------------------------------------------------------- */

/* Makes one name of all names of a file, but for its own last part: that is what gets replaced. */
static enum pw_status resolve(const char *path, struct target *target, struct pw_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    char *given = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    enum pw_status status = PW_OK;

    if (given == NULL)
        return pw_fail_nomem(err);
    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        status = pw_fail(err, PW_EINVAL, "\"%s\" is not a regular file", path);
        goto out;
    }
    target->directory = realpath(given, NULL);
    if (target->directory == NULL) {
        status = fail_file(err, "the directory of", path);
        goto out;
    }
    if (asprintf(&target->path, "%s/%s", target->directory, base) < 0)
        target->path = NULL;
    if (target->path == NULL || asprintf(&target->part, "%s.part", target->path) < 0) {
        target->part = NULL;
        status = pw_fail_nomem(err);
    }
out:
    free(given);
    return status;
}

static bool is_same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Refuses what the daemon lives on, by its name even where it is not there at the moment. */
static enum pw_status check_is_foreign(struct pw_db *db, const char *path, struct pw_error *err)
{
    static const char *const beside[] = {"", "-wal", "-shm", "-journal", ".lock", ".room"};
    const char *source = sqlite3_db_filename(pw_db_handle(db), "main");
    char *history = source != NULL ? realpath(source, NULL) : NULL;
    enum pw_status status = PW_OK;

    if (history == NULL) /* gone while it is open; its name still says what is meant */
        history = strdup(source != NULL ? source : "");
    if (history == NULL)
        return pw_fail_nomem(err);
    for (size_t i = 0; i < sizeof beside / sizeof *beside && status == PW_OK; i++) {
        char *name = NULL;

        if (asprintf(&name, "%s%s", history, beside[i]) < 0) {
            status = pw_fail_nomem(err);
            break;
        }
        if (strcmp(name, path) == 0 || is_same_file(name, path))
            status = i == 0
                         ? pw_fail(err, PW_EINVAL, "%s is the history itself", path)
                         : pw_fail(err, PW_EINVAL, "%s belongs to the history: it is its %s file",
                                   path, beside[i]);
        free(name);
    }
    free(history);
    return status;
}

static enum pw_status check_target(struct pw_db *db, const struct target *target, bool overwrite,
                                   struct pw_error *err)
{
    const char *path = target->path;
    struct stat info;
    enum pw_status status = check_is_foreign(db, path, err);

    if (status == PW_OK)
        status = check_is_foreign(db, target->part, err);
    if (status != PW_OK)
        return status;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? PW_OK : fail_file(err, "looking at", path);
    if (!S_ISREG(info.st_mode))
        return pw_fail(err, PW_EINVAL, "%s is not a regular file", path);
    if (!overwrite)
        return pw_fail(err, PW_EBUSY, "%s exists; it is not overwritten unless that is asked for",
                       path);
    return PW_OK;
}

/* The file that grows ------------------------------------------------------------------------- */

/* Whether the name still leads to the open file: another backup may have renamed or removed it. */
static bool is_still(const char *path, int fd)
{
    struct stat named, opened;

    return lstat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

static enum pw_status check_part(const char *path, int fd, struct pw_error *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return fail_file(err, "looking at", path);
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || info.st_nlink > 1)
        return pw_fail(err, PW_EINVAL,
                       "%s is in the way: it is no file of ours alone that a backup left behind",
                       path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return PW_OK;
    return errno == EWOULDBLOCK
               ? pw_fail(err, PW_EBUSY, "another backup to this file is running (it holds %s)",
                         path)
               : fail_file(err, "locking", path);
}

/* Opens and locks PATH.part, empties it, and leaves its fd in target. */
static enum pw_status take_part(struct target *target, struct pw_error *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        enum pw_status status;
        /* O_NONBLOCK: not to hang at a FIFO of that name. */
        int fd = open(target->part,
                      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, COPY_MODE);

        if (fd < 0)
            return fail_file(err, "creating", target->part);
        status = check_part(target->part, fd, err);
        if (status == PW_OK && !is_still(target->part, fd)) {
            (void)close(fd);
            continue;
        }
        if (status == PW_OK && (ftruncate(fd, 0) != 0 || fchmod(fd, COPY_MODE) != 0))
            status = fail_file(err, "emptying", target->part);
        if (status == PW_OK)
            target->fd = fd;
        else
            (void)close(fd);
        return status;
    }
    return pw_fail(err, PW_EBUSY, "other backups to this file come and go (%s)", target->part);
}

static void target_free(struct target *target, bool is_done)
{
    if (target->fd >= 0) {
        if (!is_done && is_still(target->part, target->fd))
            (void)unlink(target->part);
        (void)close(target->fd); /* and with it goes the lock */
    }
    free(target->part);
    free(target->directory);
    free(target->path);
}

/* The copy ------------------------------------------------------------------------------------ */

static enum pw_status fail_copy(struct pw_error *err, sqlite3 *copy, int code, const char *path)
{
    int system_error = sqlite3_system_errno(copy);
    enum pw_status status = PW_EIO;

    if ((code & 0xff) == SQLITE_FULL || system_error == ENOSPC || system_error == EDQUOT ||
        system_error == EFBIG)
        status = PW_EFULL;
    else if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
        status = PW_ECORRUPT;
    else if ((code & 0xff) == SQLITE_NOMEM)
        status = PW_ENOMEM;
    else if ((code & 0xff) == SQLITE_BUSY)
        status = PW_EBUSY;
    return pw_fail(err, status, "copying to %s: %s", path, sqlite3_errstr(code));
}

static bool is_canceled(const struct pw_backup_params *params)
{
    return params->is_canceled != NULL && params->is_canceled(params->context);
}

/* All pages, step by step. *canceled: not all of them. Gives a code of SQLite. */
static int copy_steps(sqlite3 *from, sqlite3 *copy, const struct pw_backup_params *params,
                      bool *canceled)
{
    sqlite3_backup *backup = sqlite3_backup_init(copy, "main", from, "main");
    int code = SQLITE_OK, end;

    if (backup == NULL)
        return sqlite3_extended_errcode(copy);
    while (code == SQLITE_OK && !*canceled) {
        code =
            sqlite3_backup_step(backup, params->step_pages > 0 ? params->step_pages : STEP_PAGES);
        *canceled = is_canceled(params);
    }
    end = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? end : code;
}

static enum pw_status copy_pages(sqlite3 *from, const char *part,
                                 const struct pw_backup_params *params, struct pw_error *err)
{
    sqlite3 *copy = NULL;
    bool canceled = false;
    /* NOFOLLOW: the directory is resolved, so that only the file itself could be a link. */
    int code = sqlite3_open_v2(
        part, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW, NULL);
    enum pw_status status = PW_OK;

    if (code == SQLITE_OK)
        /* It is synced once, at its end. */
        code = sqlite3_exec(copy, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", NULL, NULL,
                            NULL);
    if (code == SQLITE_OK)
        code = copy_steps(from, copy, params, &canceled);
    if (code != SQLITE_OK)
        status = copy != NULL ? fail_copy(err, copy, code, part) : pw_fail_nomem(err);
    else if (canceled)
        status = pw_fail(err, PW_ECANCELED, "the backup was interrupted; nothing is left of it");
    if (sqlite3_close(copy) != SQLITE_OK && status == PW_OK)
        status = pw_fail(err, PW_EIO, "closing %s", part);
    return status;
}

/* In a transaction that begins with a read, for only that fixes the instant. */
static enum pw_status copy_snapshot(struct pw_db *db, const char *part,
                                    const struct pw_backup_params *params, struct pw_error *err)
{
    bool is_own = sqlite3_get_autocommit(pw_db_handle(db)) != 0;
    enum pw_status status = is_own ? pw_db_exec(db, "BEGIN", err) : PW_OK;

    if (status == PW_OK)
        status = pw_db_exec(db, "SELECT count(*) FROM sqlite_schema", err);
    if (status == PW_OK)
        status = copy_pages(pw_db_handle(db), part, params, err);
    if (is_own)
        pw_db_rollback(db);
    return status;
}

/* The copied header says "write-ahead log", which a reader without rights to the directory could
 * not open. Both numbers 1: a rollback journal (sqlite.org/fileformat2.html, 1.3.3); where PRAGMA
 * journal_mode does this it makes a log first, which a killed backup would leave behind. */
static enum pw_status finish_part(const struct target *target, int64_t *bytes, struct pw_error *err)
{
    static const char rollback_journal[] = {1, 1};
    struct stat info;

    if (pwrite(target->fd, rollback_journal, sizeof rollback_journal, 18) !=
            (ssize_t)sizeof rollback_journal ||
        fsync(target->fd) != 0 || fstat(target->fd, &info) != 0)
        return fail_file(err, "syncing", target->part);
    if (!is_still(target->part, target->fd))
        return pw_fail(err, PW_EIO, "%s was replaced while it was written", target->part);
    if (bytes != NULL)
        *bytes = info.st_size;
    return PW_OK;
}

/* Without `overwrite` not even a file that came in the meantime is replaced. */
static bool move(const char *part, const char *path, bool overwrite)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, overwrite ? 0 : RENAME_NOREPLACE) == 0)
        return true;
    /* NFS and others know no such flag. */
    return !overwrite && errno == EINVAL && link(part, path) == 0 && unlink(part) == 0;
}

static enum pw_status put_in_place(const struct target *target, bool overwrite, bool *is_done,
                                   struct pw_error *err)
{
    int fd;
    enum pw_status status = PW_OK;

    if (!move(target->part, target->path, overwrite))
        return fail_file(err, "renaming the copy to", target->path);
    *is_done = true;
    fd = open(target->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        status = fail_file(err, "syncing", target->directory);
    if (fd >= 0)
        (void)close(fd);
    return status;
}

enum pw_status pw_store_backup(struct pw_db *db, const char *path,
                               const struct pw_backup_params *params, int64_t *bytes,
                               struct pw_error *err)
{
    struct target target = {.fd = -1};
    bool is_done = false;
    enum pw_status status = resolve(path, &target, err);

    if (status == PW_OK)
        status = check_target(db, &target, params->overwrite, err);
    if (status == PW_OK)
        status = take_part(&target, err);
    if (status == PW_OK)
        status = copy_snapshot(db, target.part, params, err);
    if (status == PW_OK)
        status = finish_part(&target, bytes, err);
    if (status == PW_OK && is_canceled(params))
        status = pw_fail(err, PW_ECANCELED, "the backup was interrupted; nothing is left of it");
    if (status == PW_OK)
        status = put_in_place(&target, params->overwrite, &is_done, err);
    target_free(&target, is_done);
    return status;
}

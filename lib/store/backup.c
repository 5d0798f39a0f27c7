/* The backup: SQLite's backup API (sqlite.org/backup.html) in one step, from a reading connection,
 * so that what is copied is one snapshot and the writer goes on. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_MODE = 0640 };

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
    return pw_fail(err, status, "%s %s: %s", what, path, strerror(code));
}

static enum pw_status check_target(struct pw_db *db, const char *path, bool overwrite,
                                   struct pw_error *err)
{
    const char *source = sqlite3_db_filename(pw_db_handle(db), "main");
    struct stat target, history;

    if (stat(path, &target) != 0)
        return errno == ENOENT ? PW_OK : fail_file(err, "looking at", path);
    if (source != NULL && stat(source, &history) == 0 && history.st_dev == target.st_dev &&
        history.st_ino == target.st_ino)
        return pw_fail(err, PW_EINVAL, "%s is the history itself", path);
    if (!S_ISREG(target.st_mode))
        return pw_fail(err, PW_EINVAL, "%s is not a regular file", path);
    if (!overwrite)
        return pw_fail(err, PW_EBUSY, "%s exists; it is not overwritten unless that is asked for",
                       path);
    return PW_OK;
}

/* Ours alone from the beginning, whoever may write to the directory. *out is freed by the caller.
 */
static enum pw_status make_temporary(const char *path, char **out, struct pw_error *err)
{
    int fd;
    enum pw_status status = PW_OK;

    if (asprintf(out, "%s.XXXXXX", path) < 0) {
        *out = NULL;
        return pw_fail_nomem(err);
    }
    fd = mkostemp(*out, O_CLOEXEC);
    if (fd < 0) {
        status = fail_file(err, "creating a file beside", path);
        free(*out);
        *out = NULL;
        return status;
    }
    if (fchmod(fd, COPY_MODE) != 0) {
        status = fail_file(err, "setting the mode of", *out);
        (void)unlink(*out);
        free(*out);
        *out = NULL;
    }
    (void)close(fd);
    return status;
}

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

/* Copies all pages and leaves a file that needs no write-ahead log beside it. */
static enum pw_status copy_pages(struct pw_db *db, const char *temporary, struct pw_error *err)
{
    sqlite3 *copy = NULL;
    sqlite3_backup *backup;
    int code =
        sqlite3_open_v2(temporary, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
    enum pw_status status = PW_OK;

    if (code == SQLITE_OK)
        /* It is synced once, at its end. */
        code = sqlite3_exec(copy, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF", NULL, NULL,
                            NULL);
    if (code == SQLITE_OK) {
        backup = sqlite3_backup_init(copy, "main", pw_db_handle(db), "main");
        if (backup == NULL) {
            code = sqlite3_extended_errcode(copy);
        } else {
            code = sqlite3_backup_step(backup, -1);
            if (code == SQLITE_DONE)
                code = sqlite3_backup_finish(backup);
            else
                (void)sqlite3_backup_finish(backup);
        }
    }
    if (code == SQLITE_OK)
        code = sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    if (code != SQLITE_OK)
        status = copy != NULL ? fail_copy(err, copy, code, temporary) : pw_fail_nomem(err);
    if (sqlite3_close(copy) != SQLITE_OK && status == PW_OK)
        status = pw_fail(err, PW_EIO, "closing %s", temporary);
    return status;
}

static enum pw_status sync_file(const char *path, int flags, int64_t *bytes, struct pw_error *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    struct stat info;
    enum pw_status status = PW_OK;

    if (fd < 0)
        return fail_file(err, "opening", path);
    if (fsync(fd) != 0 || fstat(fd, &info) != 0)
        status = fail_file(err, "syncing", path);
    else if (bytes != NULL)
        *bytes = info.st_size;
    (void)close(fd);
    return status;
}

/* Without `overwrite` not even a file that came in the meantime is replaced. */
static enum pw_status put_in_place(const char *temporary, const char *path, bool overwrite,
                                   struct pw_error *err)
{
    char *copy;
    enum pw_status status;

    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, overwrite ? 0 : RENAME_NOREPLACE) != 0)
        return fail_file(err, "renaming the copy to", path);
    copy = strdup(path);
    if (copy == NULL)
        return pw_fail_nomem(err);
    status = sync_file(dirname(copy), O_RDONLY | O_DIRECTORY, NULL, err);
    free(copy);
    return status;
}

enum pw_status pw_store_backup(struct pw_db *db, const char *path, bool overwrite, int64_t *bytes,
                               struct pw_error *err)
{
    char *temporary = NULL;
    enum pw_status status = check_target(db, path, overwrite, err);

    if (status == PW_OK)
        status = make_temporary(path, &temporary, err);
    if (status == PW_OK)
        status = copy_pages(db, temporary, err);
    if (status == PW_OK)
        status = sync_file(temporary, O_RDWR, bytes, err);
    if (status == PW_OK)
        status = put_in_place(temporary, path, overwrite, err);
    if (status != PW_OK && temporary != NULL)
        (void)unlink(temporary);
    free(temporary);
    return status;
}

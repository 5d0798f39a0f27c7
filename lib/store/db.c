/* Opening and closing history.db. The writer holds an exclusive lock on PATH.lock as long as it is
 * open: one process both writes and checkpoints, because SQLite before 3.51.3 can corrupt a file
 * that two connections checkpoint at once ("WAL-reset bug", sqlite.org/wal.html). */
#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "store/connection.h"
#include "store/migrate.h"
#include "store/schema_compare.h"

enum {
    BUSY_TIMEOUT_MS = 5000,
    FILE_MODE = 0640, /* the group may read */
    LOCK_MODE = 0600, /* who can open it can lock it: nobody else may keep the daemon out */
    LOCK_WAIT_MS = 2000,
    LOCK_STEP_MS = 20,
};

static const char writer_settings[] = "PRAGMA synchronous = FULL;"
                                      "PRAGMA journal_size_limit = 67108864;"
                                      "PRAGMA cache_size = -16384;" /* KiB */
                                      "PRAGMA cell_size_check = ON;"
                                      "PRAGMA temp_store = FILE;"
                                      "PRAGMA mmap_size = 0;";
static const char reader_settings[] = "PRAGMA query_only = ON;"
                                      "PRAGMA cell_size_check = ON;"
                                      "PRAGMA mmap_size = 0;";

/* Paths ------------------------------------------------------------------------------------- */

static enum pw_status fail_path(struct pw_error *err, const char *what, const char *path)
{
    int code = errno;
    enum pw_status status = PW_EIO;

    if (code == EACCES || code == EPERM || code == EROFS)
        status = PW_EPERM;
    else if (code == ENOENT || code == ENOTDIR)
        status = PW_ENOTFOUND;
    else if (code == ENOSPC || code == EDQUOT)
        status = PW_EFULL;
    else if (code == ENOMEM)
        status = PW_ENOMEM;
    return pw_fail(err, status, "%s %s: %s", what, path, strerror(code));
}

/* The path without symbolic links, so that two names of one file share one lock. The file need not
 * exist, its directory must. *out is freed by the caller. */
static enum pw_status resolve(const char *path, char **out, struct pw_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    char *given = NULL;
    char *directory = NULL;
    enum pw_status status = PW_OK;

    *out = NULL;
    if (*base == '\0')
        return pw_fail(err, PW_EINVAL, "\"%s\" names no database file", path);
    *out = realpath(path, NULL);
    if (*out != NULL)
        return PW_OK;
    if (errno != ENOENT)
        return fail_path(err, "database", path);

    given = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    if (given == NULL)
        return pw_fail_nomem(err);
    directory = realpath(given, NULL);
    if (directory == NULL) {
        if (errno == ENOENT)
            status = pw_fail(err, PW_ENOTFOUND,
                             "database %s: there is no directory %s; create it with: "
                             "install -d -m 2750 -o patchwatch -g patchwatch %s",
                             path, given, given);
        else
            status = fail_path(err, "database directory", given);
        goto out;
    }
    if (asprintf(out, "%s/%s", directory, base) < 0) {
        *out = NULL;
        status = pw_fail_nomem(err);
    }
out:
    free(directory);
    free(given);
    return status;
}

/* The command holds the lock for the moment of a change while no daemon runs: whoever starts then
 * waits for it. */
static bool lock_soon(int fd)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

    for (int waited_ms = 0;; waited_ms += LOCK_STEP_MS) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK || waited_ms >= LOCK_WAIT_MS)
            return false;
        (void)nanosleep(&step, NULL);
        errno = EWOULDBLOCK;
    }
}

/* What root makes beside the database of another user must be that user's. */
static void give_to_owner(int fd, const char *path)
{
    struct stat database, file;

    if (geteuid() == 0 && stat(path, &database) == 0 && fstat(fd, &file) == 0 &&
        (database.st_uid != file.st_uid || database.st_gid != file.st_gid) &&
        fchown(fd, database.st_uid, database.st_gid) != 0)
        pw_log_warning("%s.lock: its owner is not that of the database: %s", path, strerror(errno));
}

static enum pw_status take_lock(const char *path, int *lock_fd, struct pw_error *err)
{
    char *name = NULL;
    int fd = -1;
    enum pw_status status = PW_OK;

    if (asprintf(&name, "%s.lock", path) < 0)
        return pw_fail_nomem(err);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0) {
        status = fail_path(err, "opening", name);
        goto out;
    }
    if (!lock_soon(fd)) {
        status =
            errno == EWOULDBLOCK
                ? pw_fail(err, PW_EBUSY, "another patchwatchd is running on %s (it holds %s.lock)",
                          path, path)
                : fail_path(err, "locking", name);
        goto out;
    }
    give_to_owner(fd, path);
    *lock_fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        (void)close(fd);
    free(name);
    return status;
}

/* The mark of a file that its writer closed, in PATH.lock. Anything else, nothing above all, means
 * that nobody knows how the last writer ended. */
static const char closed_mark[] = "closed\n";

/* Reads the mark that the last writer left. */
static bool has_closed_mark(int lock_fd)
{
    char mark[sizeof closed_mark] = "";

    return pread(lock_fd, mark, sizeof mark, 0) == (ssize_t)sizeof closed_mark - 1 &&
           memcmp(mark, closed_mark, sizeof closed_mark - 1) == 0;
}

/* From here on a power failure leaves an unclean file. Needs no room on the disk. */
static enum pw_status take_mark(struct pw_db *db, const char *path, struct pw_error *err)
{
    if (ftruncate(db->lock_fd, 0) != 0 || fsync(db->lock_fd) != 0)
        return fail_path(err, "marking as open", path);
    db->is_marked = true;
    return PW_OK;
}

/* Where it cannot be written the next start checks the file once more. */
static void put_closed_mark(struct pw_db *db)
{
    if (!db->is_marked || db->is_distrusted)
        return;
    if (pwrite(db->lock_fd, closed_mark, sizeof closed_mark - 1, 0) !=
            (ssize_t)sizeof closed_mark - 1 ||
        fsync(db->lock_fd) != 0)
        pw_log_debug("the database is not marked as closed: %s", strerror(errno));
}

static enum pw_status fail_directory(struct pw_error *err, const char *path)
{
    return pw_fail(err, PW_EINVAL,
                   "database %s is a directory: name the file, history.db in it say", path);
}

/* Creates the file empty, with its mode whatever the umask is; SQLite gives -wal and -shm the same.
 * A file that exists is not even opened: closing it would drop the POSIX locks that another
 * connection of this process may hold on it. */
static enum pw_status create_file(const char *path, struct pw_error *err)
{
    struct stat info;
    enum pw_status status = PW_OK;
    int fd;

    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return fail_directory(err, path);
        if (!S_ISREG(info.st_mode))
            return pw_fail(err, PW_EINVAL, "database %s is not a regular file", path);
        return PW_OK;
    }
    if (errno != ENOENT)
        return fail_path(err, "database", path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        if (errno == EEXIST) /* and yet stat saw nothing */
            return pw_fail(err, PW_ENOTFOUND, "database %s is a symbolic link to nowhere", path);
        return fail_path(err, "creating", path);
    }
    if (fchmod(fd, FILE_MODE) != 0)
        status = fail_path(err, "setting the mode of", path);
    (void)close(fd);
    return status;
}

static enum pw_status check_readable(const char *path, struct pw_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0 && errno == ENOENT)
        return pw_fail(err, PW_ENOTFOUND,
                       "there is no database %s: patchwatchd makes it when it first starts", path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return fail_directory(err, path);
    if (access(path, R_OK) == 0)
        return PW_OK;
    if (errno == EACCES)
        return pw_fail(err, PW_EPERM,
                       "database %s: permission denied; members of its group may read it", path);
    return fail_path(err, "database", path);
}

/* The connection ---------------------------------------------------------------------------- */

static enum pw_status harden(struct pw_db *db, struct pw_error *err)
{
    static const struct {
        int option;
        int value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0}, /* else a misspelt "name" is silently a string */
        {SQLITE_DBCONFIG_DQS_DDL, 0},     {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int now = -1;
        if (sqlite3_db_config(db->handle, settings[i].option, settings[i].value, &now) !=
                SQLITE_OK ||
            now != settings[i].value)
            return pw_db_fail(db, err, "configuring SQLite");
    }
    /* Only the writer checkpoints. */
    if (db->mode == PW_DB_READ &&
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) != SQLITE_OK)
        return pw_db_fail(db, err, "configuring SQLite");
    return PW_OK;
}

static enum pw_status use_wal(struct pw_db *db, const char *path, struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row = false;
    bool is_wal;
    int persist = 1;
    enum pw_status status = pw_db_prepare(db, "PRAGMA journal_mode = WAL", &statement, err);

    if (status == PW_OK)
        status = pw_db_step(db, statement, &row, err);
    if (status != PW_OK)
        return pw_fail_in(err, "%s: write-ahead log", path);
    is_wal = row && pw_str_is(pw_db_column_str(statement, 0), "wal");
    sqlite3_reset(statement);
    if (!is_wal)
        return pw_fail(err, PW_EIO, "%s: the file system cannot carry a write-ahead log", path);
    /* Without these files beside it a member of the group, who cannot create them, could not read
     * the history while the daemon is stopped. */
    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &persist) != SQLITE_OK)
        return pw_db_fail(db, err, "keeping the write-ahead log");
    return PW_OK;
}

static enum pw_status set_up_writer(struct pw_db *db, const char *path, struct pw_error *err)
{
    enum pw_db_kind kind;
    enum pw_status status = pw_db_identify(db, path, &kind, err);

    /* Nothing is written before it is known that the file is ours. How free pages are given back
     * must be said before there is a table. */
    if (status == PW_OK && kind == PW_DB_FRESH)
        status = pw_db_exec(db, "PRAGMA auto_vacuum = INCREMENTAL", err);
    if (status == PW_OK)
        status = use_wal(db, path, err);
    if (status == PW_OK)
        status = pw_db_exec(db, writer_settings, err);
    if (status == PW_OK && kind != PW_DB_CURRENT)
        status = pw_db_migrate(db, path, err);
    if (status == PW_OK && kind == PW_DB_CURRENT)
        status = pw_schema_require(db, path, err);
    if (status == PW_OK) {
        db->is_unclean = kind != PW_DB_FRESH && !has_closed_mark(db->lock_fd);
        status = take_mark(db, path, err);
    }
    return status;
}

static enum pw_status set_up_reader(struct pw_db *db, const char *path, struct pw_error *err)
{
    enum pw_db_kind kind;
    enum pw_status status = pw_db_exec(db, reader_settings, err);

    if (status == PW_OK)
        status = pw_db_identify(db, path, &kind, err);
    if (status != PW_OK)
        return status;
    if (kind == PW_DB_FRESH)
        return pw_fail(err, PW_ENOTFOUND, "database %s is empty: patchwatchd has not started on it",
                       path);
    if (kind == PW_DB_OLD)
        return pw_fail(err, PW_EINVAL,
                       "database %s is of an older schema version: start the new patchwatchd once",
                       path);
    return PW_OK;
}

enum pw_status pw_db_open(const char *path, enum pw_db_mode mode, struct pw_db **out,
                          struct pw_error *err)
{
    struct pw_db *db = calloc(1, sizeof *db);
    char *real_path = NULL;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (mode == PW_DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    enum pw_status status;

    *out = NULL;
    if (db == NULL)
        return pw_fail_nomem(err);
    db->mode = mode;
    db->lock_fd = -1;
    if (mode == PW_DB_WRITE) {
        status = resolve(path, &real_path, err);
        if (status == PW_OK)
            status = take_lock(real_path, &db->lock_fd, err);
        if (status == PW_OK)
            status = create_file(real_path, err);
    } else {
        status = check_readable(path, err);
    }
    if (status != PW_OK)
        goto out;

    if (sqlite3_open_v2(real_path != NULL ? real_path : path, &db->handle, flags, NULL) !=
        SQLITE_OK) {
        status = db->handle == NULL ? pw_fail_nomem(err) : pw_db_fail(db, err, path);
        goto out;
    }
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    status = harden(db, err);
    if (status == PW_OK)
        status = mode == PW_DB_WRITE ? set_up_writer(db, path, err) : set_up_reader(db, path, err);
    if (status != PW_OK && mode == PW_DB_READ)
        status = pw_db_advise_reader(db, path, status, err);
    if (status != PW_OK && strstr(err != NULL ? err->message : path, path) == NULL)
        status = pw_fail_in(err, "%s", path);
out:
    free(real_path);
    if (status != PW_OK) {
        pw_db_close(db);
        return status;
    }
    *out = db;
    return PW_OK;
}

void pw_db_close(struct pw_db *db)
{
    if (db == NULL)
        return;
    if (db->handle != NULL) {
        pw_db_rollback(db);
        pw_db_statements_free(db);
        if (sqlite3_close(db->handle) != SQLITE_OK)
            pw_log_err("closing the database: %s", sqlite3_errmsg(db->handle));
        else
            put_closed_mark(db);
    }
    /* Last, so that nobody else writes before the final checkpoint is over. */
    if (db->lock_fd >= 0)
        (void)close(db->lock_fd);
    free(db);
}

bool pw_db_is_unclean(const struct pw_db *db)
{
    return db->is_unclean;
}

void pw_db_distrust(struct pw_db *db)
{
    db->is_distrusted = true;
}

sqlite3 *pw_db_handle(struct pw_db *db)
{
    return db->handle;
}

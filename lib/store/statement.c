/* Statements, transactions and errors of a connection. Prepared statements belong to the connection
 * and are found again by the address of their SQL constant. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "store/connection.h"

/* Errors ------------------------------------------------------------------------------------ */

enum pw_status pw_db_status_of(int extended_code, int system_errno)
{
    /* EFBIG: RLIMIT_FSIZE, or the largest file that the file system can carry. */
    bool disk_full = system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG;

    if (extended_code == SQLITE_IOERR_NOMEM)
        return PW_ENOMEM;
    switch (extended_code & 0xff) {
    case SQLITE_FULL:
        return PW_EFULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return PW_ECORRUPT;
    case SQLITE_NOMEM:
        return PW_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return PW_EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return PW_EPERM;
    case SQLITE_CANTOPEN:
        if (disk_full)
            return PW_EFULL;
        return system_errno == EACCES || system_errno == EPERM || system_errno == EROFS ? PW_EPERM
                                                                                        : PW_EIO;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
    case SQLITE_MISUSE:
    case SQLITE_ERROR:
        return PW_EINVAL;
    case SQLITE_TOOBIG:
        return PW_ELIMIT;
    case SQLITE_INTERRUPT:
        return PW_ECANCELED;
    default: /* SQLITE_IOERR and whatever else */
        return disk_full ? PW_EFULL : PW_EIO;
    }
}

static const char *code_name(int extended_code)
{
    switch (extended_code & 0xff) {
    case SQLITE_FULL:
        return "SQLITE_FULL";
    case SQLITE_CORRUPT:
        return "SQLITE_CORRUPT";
    case SQLITE_NOTADB:
        return "SQLITE_NOTADB";
    case SQLITE_NOMEM:
        return "SQLITE_NOMEM";
    case SQLITE_BUSY:
        return "SQLITE_BUSY";
    case SQLITE_LOCKED:
        return "SQLITE_LOCKED";
    case SQLITE_READONLY:
        return "SQLITE_READONLY";
    case SQLITE_PERM:
        return "SQLITE_PERM";
    case SQLITE_CANTOPEN:
        return "SQLITE_CANTOPEN";
    case SQLITE_CONSTRAINT:
        return "SQLITE_CONSTRAINT";
    case SQLITE_IOERR:
        return "SQLITE_IOERR";
    case SQLITE_ERROR:
        return "SQLITE_ERROR";
    default:
        return "SQLite";
    }
}

enum pw_status pw_db_fail(struct pw_db *db, struct pw_error *err, const char *what)
{
    int code = sqlite3_extended_errcode(db->handle);
    enum pw_status status = pw_db_status_of(code, sqlite3_system_errno(db->handle));
    const char *path = sqlite3_db_filename(db->handle, "main");

    /* Copied into err before anything else may change the connection's message. */
    if (status == PW_ECORRUPT) {
        pw_db_distrust(db);
        return pw_fail(
            err, status,
            "%s: %s (%s %d); the file is left as it is: restore a backup, or save what "
            "can be read with: sqlite3 %s .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 "
            "recovered.db (operations.md says how to go on)",
            what, sqlite3_errmsg(db->handle), code_name(code), code, path != NULL ? path : "FILE");
    }
    return pw_fail(err, status, "%s: %s (%s %d)", what, sqlite3_errmsg(db->handle), code_name(code),
                   code);
}

/* A reader of a write-ahead log needs the two files beside the database. */
static bool lacks_files(struct pw_db *db)
{
    int code = sqlite3_extended_errcode(db->handle);

    return (code & 0xff) == SQLITE_CANTOPEN || code == SQLITE_READONLY_CANTINIT ||
           code == SQLITE_READONLY_RECOVERY || code == SQLITE_READONLY_DIRECTORY;
}

enum pw_status pw_db_advise_reader(struct pw_db *db, const char *path, enum pw_status status,
                                   struct pw_error *err)
{
    struct pw_error what = err != NULL ? *err : (struct pw_error){status, ""};

    if (!lacks_files(db))
        return status;
    return pw_fail(
        err, status,
        "%s: %s-wal or %s-shm is missing or may not be read, and cannot be made here: "
        "start patchwatchd once, which makes them, or copy the database into a directory "
        "of your own (%s)",
        path, path, path, what.message);
}

/* Prepared statements ----------------------------------------------------------------------- */

static size_t slot_of(const char *sql, size_t capacity)
{
    uint64_t hash = (uint64_t)(uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(hash >> 32) & (capacity - 1);
}

static struct pw_db_statement *find_slot(struct pw_db_statement *slots, size_t capacity,
                                         const char *sql)
{
    size_t at = slot_of(sql, capacity);

    while (slots[at].sql != NULL && slots[at].sql != sql)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static enum pw_status grow(struct pw_db *db, struct pw_error *err)
{
    size_t capacity = db->statement_capacity == 0 ? 64 : db->statement_capacity * 2;
    struct pw_db_statement *slots = calloc(capacity, sizeof *slots);

    if (slots == NULL)
        return pw_fail_nomem(err);
    for (size_t i = 0; i < db->statement_capacity; i++) {
        if (db->statements[i].sql != NULL)
            *find_slot(slots, capacity, db->statements[i].sql) = db->statements[i];
    }
    free(db->statements);
    db->statements = slots;
    db->statement_capacity = capacity;
    return PW_OK;
}

void pw_db_statements_free(struct pw_db *db)
{
    for (size_t i = 0; i < db->statement_capacity; i++)
        sqlite3_finalize(db->statements[i].prepared);
    free(db->statements);
    db->statements = NULL;
    db->statement_capacity = 0;
    db->statement_count = 0;
}

enum pw_status pw_db_prepare(struct pw_db *db, const char *sql, sqlite3_stmt **out,
                             struct pw_error *err)
{
    struct pw_db_statement *slot;
    sqlite3_stmt *prepared = NULL;

    *out = NULL;
    if (db->statement_count * 4 >= db->statement_capacity * 3) {
        enum pw_status status = grow(db, err);
        if (status != PW_OK)
            return status;
    }
    slot = find_slot(db->statements, db->statement_capacity, sql);
    if (slot->sql != NULL) {
        sqlite3_reset(slot->prepared);
        sqlite3_clear_bindings(slot->prepared);
        *out = slot->prepared;
        return PW_OK;
    }
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, NULL) !=
        SQLITE_OK)
        return pw_db_fail(db, err, "preparing a statement");
    slot->sql = sql;
    slot->prepared = prepared;
    db->statement_count++;
    *out = prepared;
    return PW_OK;
}

enum pw_status pw_db_step(struct pw_db *db, sqlite3_stmt *statement, bool *row,
                          struct pw_error *err)
{
    int code = sqlite3_step(statement);
    enum pw_status status;

    *row = code == SQLITE_ROW;
    if (code == SQLITE_ROW)
        return PW_OK;
    if (code == SQLITE_DONE) {
        sqlite3_reset(statement);
        return PW_OK;
    }
    status = pw_db_fail(db, err, db->mode == PW_DB_WRITE ? "database" : "reading the database");
    sqlite3_reset(statement);
    return status;
}

enum pw_status pw_db_run(struct pw_db *db, sqlite3_stmt *statement, struct pw_error *err)
{
    bool row;
    enum pw_status status = pw_db_step(db, statement, &row, err);

    if (status == PW_OK && row)
        sqlite3_reset(statement);
    return status;
}

enum pw_status pw_db_exec(struct pw_db *db, const char *sql, struct pw_error *err)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return pw_db_fail(db, err, "database");
    return PW_OK;
}

/* Transactions ------------------------------------------------------------------------------ */

enum pw_status pw_db_begin(struct pw_db *db, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, "BEGIN IMMEDIATE", &statement, err);

    return status == PW_OK ? pw_db_run(db, statement, err) : status;
}

enum pw_status pw_db_commit(struct pw_db *db, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;

    /* After a full disk or an I/O error SQLite may have rolled back by itself; a COMMIT would then
     * say only that there is no transaction. */
    if (sqlite3_get_autocommit(db->handle) != 0)
        return pw_fail(err, PW_EIO, "commit: the transaction was rolled back before");
    status = pw_db_prepare(db, "COMMIT", &statement, err);
    if (status != PW_OK)
        return status;
    pw_failpoint("commit-before");
    status = pw_db_run(db, statement, err);
    if (status == PW_OK)
        pw_failpoint("commit-after");
    return status;
}

void pw_db_rollback(struct pw_db *db)
{
    /* A statement in the middle of its rows would hold its read lock on. */
    for (sqlite3_stmt *statement = sqlite3_next_stmt(db->handle, NULL); statement != NULL;
         statement = sqlite3_next_stmt(db->handle, statement))
        sqlite3_reset(statement);
    if (sqlite3_get_autocommit(db->handle) != 0)
        return;
    /* Not prepared beforehand: sqlite3_exec needs memory that may be short, but then SQLite has
     * nearly always rolled back by itself. */
    if (sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK &&
        sqlite3_get_autocommit(db->handle) == 0)
        pw_log_err("database: rollback failed: %s", sqlite3_errmsg(db->handle));
}

/* Binding and reading ----------------------------------------------------------------------- */

/* Static text is not copied, so that only an index out of range can make a binding fail. */
static void bound(int code)
{
    assert(code == SQLITE_OK);
    (void)code;
}

void pw_db_bind_str(sqlite3_stmt *statement, int index, struct pw_str value)
{
    if (value.data == NULL)
        bound(sqlite3_bind_null(statement, index));
    else
        bound(sqlite3_bind_text64(statement, index, value.data, value.len, SQLITE_STATIC,
                                  SQLITE_UTF8));
}

void pw_db_bind_text(sqlite3_stmt *statement, int index, const char *value)
{
    pw_db_bind_str(statement, index, pw_str_of(value));
}

void pw_db_bind_int(sqlite3_stmt *statement, int index, int64_t value)
{
    bound(sqlite3_bind_int64(statement, index, value));
}

void pw_db_bind_null(sqlite3_stmt *statement, int index)
{
    bound(sqlite3_bind_null(statement, index));
}

void pw_db_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t size_bytes)
{
    bound(sqlite3_bind_blob64(statement, index, bytes, size_bytes, SQLITE_STATIC));
}

void pw_db_bind_int_or_null(sqlite3_stmt *statement, int index, int64_t value, int64_t none)
{
    if (value == none)
        pw_db_bind_null(statement, index);
    else
        pw_db_bind_int(statement, index, value);
}

struct pw_str pw_db_column_str(sqlite3_stmt *statement, int column)
{
    struct pw_str value = PW_STR_NULL;

    /* The text before its length: that is the order in which SQLite converts. */
    value.data = (const char *)sqlite3_column_text(statement, column);
    if (value.data != NULL)
        value.len = (size_t)sqlite3_column_bytes(statement, column);
    return value;
}

int64_t pw_db_column_int_or(sqlite3_stmt *statement, int column, int64_t none)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return none;
    return sqlite3_column_int64(statement, column);
}

/* One SQLite connection to history.db: opening (create, migrate, refuse), prepared statements,
 * transactions, errors in words. A pw_db belongs to one thread at a time. */
#ifndef PW_STORE_DB_H
#define PW_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define PW_DB_APPLICATION_ID 0x50575443 /* "PWTC" */

enum pw_db_mode {
    PW_DB_WRITE, /* create or migrate, take the writer's lock; one per file */
    PW_DB_READ   /* read-only; the file must exist and be of a version that we know */
};

struct pw_db;

/* Opens path. A missing file is created (PW_DB_WRITE), an older schema migrated in one transaction.
 * PW_ECORRUPT: not a database, damaged, another program's (application_id) or newer than we are;
 * PW_EBUSY: another patchwatchd has it open for writing; PW_EPERM, PW_EIO, PW_EFULL as they say.
 * The file is never deleted or overwritten. *out is closed with pw_db_close. */
PW_MUST_CHECK enum pw_status pw_db_open(const char *path, enum pw_db_mode mode, struct pw_db **out,
                                        struct pw_error *err);
/* Finalizes all statements and closes; NULL is fine. */
void pw_db_close(struct pw_db *db);

sqlite3 *pw_db_handle(struct pw_db *db);

/* PW_DB_WRITE: whether the last writer did not close it: killed, a power failure, or a file that
 * was put there by hand. Then it is to be checked (store/care.h) before it is trusted. */
bool pw_db_is_unclean(const struct pw_db *db);
/* The file is damaged: whatever happens, the next start finds it unclean. */
void pw_db_distrust(struct pw_db *db);

/* The prepared statement of sql, reset and without bindings. It is kept and prepared once: sql must
 * be a string constant, known by its address. Owned by db. */
PW_MUST_CHECK enum pw_status pw_db_prepare(struct pw_db *db, const char *sql, sqlite3_stmt **out,
                                           struct pw_error *err);
/* Steps a statement: *row true with a row, false at its end (then it is reset). */
PW_MUST_CHECK enum pw_status pw_db_step(struct pw_db *db, sqlite3_stmt *statement, bool *row,
                                        struct pw_error *err);
/* Steps a statement that gives no rows, and resets it. */
PW_MUST_CHECK enum pw_status pw_db_run(struct pw_db *db, sqlite3_stmt *statement,
                                       struct pw_error *err);
/* Runs constant SQL without bindings (several statements allowed). */
PW_MUST_CHECK enum pw_status pw_db_exec(struct pw_db *db, const char *sql, struct pw_error *err);

PW_MUST_CHECK enum pw_status pw_db_begin(struct pw_db *db, struct pw_error *err); /* IMMEDIATE */
PW_MUST_CHECK enum pw_status pw_db_commit(struct pw_db *db, struct pw_error *err);
/* After it the transaction is as if it had never begun, whatever SQLite itself had rolled back. */
void pw_db_rollback(struct pw_db *db);

/* The last SQLite failure as status and message: "WHAT: disk is full (SQLITE_FULL)". */
enum pw_status pw_db_fail(struct pw_db *db, struct pw_error *err, const char *what);

/* Binding and reading, null included. Text is not copied: it must live until the statement is
 * reset. */
void pw_db_bind_str(sqlite3_stmt *statement, int index, struct pw_str value);
void pw_db_bind_text(sqlite3_stmt *statement, int index, const char *value);
void pw_db_bind_int(sqlite3_stmt *statement, int index, int64_t value);
void pw_db_bind_null(sqlite3_stmt *statement, int index);
void pw_db_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t size_bytes);
/* NULL for value == none. */
void pw_db_bind_int_or_null(sqlite3_stmt *statement, int index, int64_t value, int64_t none);
/* Valid until the next step or reset. */
struct pw_str pw_db_column_str(sqlite3_stmt *statement, int column);
int64_t pw_db_column_int_or(sqlite3_stmt *statement, int column, int64_t none);

#endif

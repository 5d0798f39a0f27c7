/* What the files behind store/db.h share: the connection itself. Private to lib/store. */
#ifndef PW_STORE_CONNECTION_H
#define PW_STORE_CONNECTION_H

#include <stddef.h>

#include "store/db.h"

struct pw_db_statement {
    const char *sql; /* the constant's address is the key; NULL = free slot */
    sqlite3_stmt *prepared;
};

struct pw_db {
    sqlite3 *handle;
    enum pw_db_mode mode;
    int lock_fd;     /* of PATH.lock, -1 where no lock is held */
    bool is_unclean; /* the last writer did not say that it closed the file */
    bool is_marked;  /* that mark is ours now: the file counts as unclean until we close it */
    bool is_distrusted;
    bool is_behind_told; /* that the clock is behind what is recorded */
    struct pw_db_statement *statements;
    size_t statement_count;
    size_t statement_capacity; /* a power of two, or 0 */
};

/* Finalizes every cached statement and frees the cache. */
void pw_db_statements_free(struct pw_db *db);
/* Where a reader failed for want of the files of the write-ahead log: says so instead, and what to
 * do. Gives status. */
enum pw_status pw_db_advise_reader(struct pw_db *db, const char *path, enum pw_status status,
                                   struct pw_error *err);
/* What an SQLite result means to us; SQLITE_OK gives PW_EIO, since the caller says it failed. */
enum pw_status pw_db_status_of(int extended_code, int system_errno);

#endif

/* Helpers of the store's tests: a scratch directory, and SQL in one line. Everything here fails the
 * test by itself where it cannot do what it says. */
#ifndef PW_TEST_STORE_SCRATCH_H
#define PW_TEST_STORE_SCRATCH_H

#include <stdint.h>

#include "store/db.h"

struct scratch {
    char directory[64];
    char path[96]; /* of history.db in it */
};

/* cmocka setup and teardown: *state is a struct scratch. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* Opens scratch's database for writing. */
struct pw_db *open_writer(const struct scratch *scratch);
/* Runs SQL that must work. */
void must_run(struct pw_db *db, const char *sql);
/* Runs SQL that SQLite must refuse; error messages must contain `why`. */
void must_refuse(struct pw_db *db, const char *sql, const char *why);
int64_t number(struct pw_db *db, const char *sql);
/* All rows: columns joined by "|", rows by "\n"; NULL is "-". Static buffer of the last call. */
const char *rows(struct pw_db *db, const char *sql);
/* The plan of a query, its lines joined by "\n". Static buffer, the same as of rows. */
const char *plan(struct pw_db *db, const char *sql);

#endif

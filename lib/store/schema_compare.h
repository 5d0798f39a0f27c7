/* Whether a file's schema is the one that our migrations make: somebody with his own sqlite3 can
 * drop what guards the history, or add a trigger that changes what is written. Private to
 * lib/store. */
#ifndef PW_STORE_SCHEMA_COMPARE_H
#define PW_STORE_SCHEMA_COMPARE_H

#include "base/text.h"
#include "store/db.h"

enum pw_schema_fault { PW_SCHEMA_MISSING, PW_SCHEMA_CHANGED, PW_SCHEMA_FOREIGN };

struct pw_schema_difference {
    enum pw_schema_fault fault;
    struct pw_str type; /* table, index, trigger, view */
    struct pw_str name;
    struct pw_str table; /* that it belongs to; its own name for tables and views */
};

/* Calls found for each difference, in the order of type and name; its texts are views that end with
 * the call. SQLite's own tables and indexes ("sqlite_…") are not looked at. Reads only. The errors
 * are those of a statement. */
PW_MUST_CHECK enum pw_status
pw_schema_compare(struct pw_db *db,
                  void (*found)(void *context, const struct pw_schema_difference *difference),
                  void *context, struct pw_error *err);

/* For the writer, before it writes: refuses (PW_ECORRUPT) where a table, an index or a trigger of
 * ours is missing or changed, or where there is a foreign trigger; err says what to do. What cannot
 * falsify anything is only warned of: foreign tables, indexes and views, and our own views. */
PW_MUST_CHECK enum pw_status pw_schema_require(struct pw_db *db, const char *path,
                                               struct pw_error *err);

#endif

/* The schema's versions: is this file ours, and bringing it to the newest version. Private to
 * lib/store. */
#ifndef PW_STORE_MIGRATE_H
#define PW_STORE_MIGRATE_H

#include "store/db.h"

#define PW_DB_SCHEMA_VERSION 5

/* The SQL files of this folder, by embed.cmake. */
extern const char pw_sql_schema[];
extern const char pw_sql_views[];
extern const char pw_sql_migration_2[];
extern const char pw_sql_migration_3[];
extern const char pw_sql_migration_3_views[];
extern const char pw_sql_migration_4[];
extern const char pw_sql_migration_5[];

enum pw_db_kind {
    PW_DB_FRESH,   /* nothing in it yet */
    PW_DB_OLD,     /* ours, needs migration */
    PW_DB_CURRENT, /* ours, of our version */
};

/* Looks whose the file is. PW_ECORRUPT: another program's, newer than we are, or damaged; path is
 * for the message. Reads only. */
PW_MUST_CHECK enum pw_status pw_db_identify(struct pw_db *db, const char *path,
                                            enum pw_db_kind *kind, struct pw_error *err);

/* All migrations, on a database that is empty, without a word in the log. */
PW_MUST_CHECK enum pw_status pw_db_build(struct pw_db *db, struct pw_error *err);

/* An empty database of the newest version in memory, in a struct of the caller's; after an error,
 * too, it is closed with pw_db_close_memory. */
PW_MUST_CHECK enum pw_status pw_db_open_memory(struct pw_db *db, struct pw_error *err);
void pw_db_close_memory(struct pw_db *db);

/* Brings a fresh or old file to PW_DB_SCHEMA_VERSION in one transaction. */
PW_MUST_CHECK enum pw_status pw_db_migrate(struct pw_db *db, const char *path,
                                           struct pw_error *err);

#endif

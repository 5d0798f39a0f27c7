/* Schema versions of history.db. A new version is one more row in `migrations`; nothing else. */
#include "store/migrate.h"

#include <stddef.h>
#include <stdio.h>

#include "base/log.h"
#include "store/chain.h"
#include "store/connection.h"
#include "store/schema_compare.h"

enum { MIGRATION_PARTS = 2 };

struct migration {
    int version;                      /* user_version after it */
    const char *sql[MIGRATION_PARTS]; /* run in order; NULL ends early */
    /* What SQL alone cannot do, after it; NULL: nothing. */
    enum pw_status (*finish)(struct pw_db *db, struct pw_error *err);
};

static const struct migration migrations[] = {
    {1, {pw_sql_schema, pw_sql_views}, NULL},
    {2, {pw_sql_migration_2}, NULL},
    {3, {pw_sql_migration_3, pw_sql_migration_3_views}, pw_chain_migrate},
    {4, {pw_sql_migration_4}, NULL},
    {5, {pw_sql_migration_5}, NULL},
};
enum { MIGRATION_COUNT = sizeof migrations / sizeof *migrations };

static enum pw_status read_number(struct pw_db *db, const char *sql, int64_t *out,
                                  struct pw_error *err)
{
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);

    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status != PW_OK)
        return status;
    *out = row ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return PW_OK;
}

enum pw_status pw_db_identify(struct pw_db *db, const char *path, enum pw_db_kind *kind,
                              struct pw_error *err)
{
    int64_t application_id = 0;
    int64_t version = 0;
    int64_t objects = 0;
    enum pw_status status = read_number(db, "PRAGMA application_id", &application_id, err);

    if (status == PW_OK)
        status = read_number(db, "PRAGMA user_version", &version, err);
    if (status == PW_OK)
        status = read_number(db, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (status != PW_OK)
        return status;

    if (application_id == 0 && version == 0 && objects == 0) {
        *kind = PW_DB_FRESH;
        return PW_OK;
    }
    if (application_id != PW_DB_APPLICATION_ID)
        return pw_fail(err, PW_ECORRUPT,
                       "%s is not a patchwatch history: it belongs to another program "
                       "(application_id 0x%08llx) and is left as it is: name another file "
                       "(database = in [daemon], or --database), or move this one away",
                       path, (unsigned long long)(application_id & 0xffffffff));
    if (version > PW_DB_SCHEMA_VERSION)
        return pw_fail(err, PW_ECORRUPT,
                       "%s has schema version %lld, this program knows %d: upgrade patchwatch, or "
                       "restore a backup from before the upgrade",
                       path, (long long)version, PW_DB_SCHEMA_VERSION);
    if (version < 1 || objects == 0)
        return pw_fail(err, PW_ECORRUPT, "%s is damaged: schema version %lld with %lld tables",
                       path, (long long)version, (long long)objects);
    *kind = version < PW_DB_SCHEMA_VERSION ? PW_DB_OLD : PW_DB_CURRENT;
    return PW_OK;
}

static enum pw_status run_migration(struct pw_db *db, const struct migration *migration,
                                    struct pw_error *err)
{
    char set_version[64];
    enum pw_status status = PW_OK;

    for (int part = 0; part < MIGRATION_PARTS && status == PW_OK; part++) {
        if (migration->sql[part] != NULL)
            status = pw_db_exec(db, migration->sql[part], err);
    }
    if (status == PW_OK && migration->finish != NULL)
        status = migration->finish(db, err);
    if (status != PW_OK)
        return status;
    (void)snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", migration->version);
    return pw_db_exec(db, set_version, err);
}

enum pw_status pw_db_build(struct pw_db *db, struct pw_error *err)
{
    enum pw_status status = PW_OK;

    for (int i = 0; i < MIGRATION_COUNT && status == PW_OK; i++)
        status = run_migration(db, &migrations[i], err);
    return status;
}

enum pw_status pw_db_open_memory(struct pw_db *db, struct pw_error *err)
{
    *db = (struct pw_db){.mode = PW_DB_WRITE, .lock_fd = -1};
    if (sqlite3_open_v2(":memory:", &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return db->handle == NULL ? pw_fail_nomem(err)
                                  : pw_db_fail(db, err, "a database in memory");
    return pw_db_build(db, err);
}

void pw_db_close_memory(struct pw_db *db)
{
    pw_db_statements_free(db);
    (void)sqlite3_close(db->handle);
    db->handle = NULL;
}

enum pw_status pw_db_migrate(struct pw_db *db, const char *path, struct pw_error *err)
{
    char set_application_id[64];
    int64_t version = 0;
    enum pw_status status = pw_db_begin(db, err);

    if (status != PW_OK)
        return status;
    status = read_number(db, "PRAGMA user_version", &version, err);
    if (status != PW_OK)
        goto out;
    (void)snprintf(set_application_id, sizeof set_application_id, "PRAGMA application_id = %d",
                   PW_DB_APPLICATION_ID);
    status = pw_db_exec(db, set_application_id, err);
    for (int i = 0; i < MIGRATION_COUNT && status == PW_OK; i++) {
        if (migrations[i].version > version)
            status = run_migration(db, &migrations[i], err);
    }
    /* Before it is for good: a file that is refused is left to the version that wrote it. */
    if (status == PW_OK && version > 0)
        status = pw_schema_require(db, path, err);
    if (status == PW_OK)
        status = pw_db_commit(db, err);
out:
    if (status != PW_OK) {
        pw_db_rollback(db);
        return pw_fail_in(err, "%s: bringing it from schema version %lld to %d", path,
                          (long long)version, PW_DB_SCHEMA_VERSION);
    }
    pw_log_info("%s: schema version %lld -> %d", path, (long long)version, PW_DB_SCHEMA_VERSION);
    return PW_OK;
}

/* Two walks side by side in one order: the file's schema, and that of an empty database in memory
 * which the same migrations made. */
#include "store/schema_compare.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "store/connection.h"
#include "store/migrate.h"

enum { TYPE, NAME, TABLE, SQL };

/* Nobody can make a trigger or a view of such a name but by writing sqlite_schema itself: those are
 * looked at. */
static const char schema_sql[] =
    "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    " WHERE type NOT IN ('table', 'index') OR name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    " ORDER BY type, name";

/* One of the two walks. */
struct walk {
    struct pw_db *db;
    sqlite3_stmt *statement;
    bool row;
};

static enum pw_status walk_on(struct walk *walk, struct pw_error *err)
{
    return pw_db_step(walk->db, walk->statement, &walk->row, err);
}

static enum pw_status walk_start(struct walk *walk, struct pw_db *db, struct pw_error *err)
{
    enum pw_status status = pw_db_prepare(db, schema_sql, &walk->statement, err);

    walk->db = db;
    return status == PW_OK ? walk_on(walk, err) : status;
}

static struct pw_str text_of(const struct walk *walk, int column)
{
    return pw_db_column_str(walk->statement, column);
}

/* As SQLite orders texts: by their bytes. */
static int compare(struct pw_str a, struct pw_str b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both > 0 ? memcmp(a.data, b.data, both) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* < 0: ours stands before theirs. A walk that is at its end stands behind everything. */
static int order_of(const struct walk *ours, const struct walk *theirs)
{
    int order;

    if (!ours->row || !theirs->row)
        return ours->row ? -1 : 1;
    order = compare(text_of(ours, TYPE), text_of(theirs, TYPE));
    return order != 0 ? order : compare(text_of(ours, NAME), text_of(theirs, NAME));
}

static void tell(const struct walk *walk, enum pw_schema_fault fault,
                 void (*found)(void *context, const struct pw_schema_difference *difference),
                 void *context)
{
    struct pw_schema_difference difference = {fault, text_of(walk, TYPE), text_of(walk, NAME),
                                              text_of(walk, TABLE)};

    found(context, &difference);
}

enum pw_status pw_schema_compare(struct pw_db *db,
                                 void (*found)(void *context,
                                               const struct pw_schema_difference *difference),
                                 void *context, struct pw_error *err)
{
    struct pw_db fresh;
    struct walk ours = {0}, theirs = {0};
    enum pw_status status = pw_db_open_memory(&fresh, err);

    if (status == PW_OK)
        status = walk_start(&ours, &fresh, err);
    if (status == PW_OK)
        status = walk_start(&theirs, db, err);
    while (status == PW_OK && (ours.row || theirs.row)) {
        int order = order_of(&ours, &theirs);

        if (order < 0)
            tell(&ours, PW_SCHEMA_MISSING, found, context);
        else if (order > 0)
            tell(&theirs, PW_SCHEMA_FOREIGN, found, context);
        else if (!pw_str_eq(text_of(&ours, TABLE), text_of(&theirs, TABLE)) ||
                 !pw_str_eq(text_of(&ours, SQL), text_of(&theirs, SQL)))
            tell(&theirs, PW_SCHEMA_CHANGED, found, context);
        if (order <= 0)
            status = walk_on(&ours, err);
        if (order >= 0 && status == PW_OK)
            status = walk_on(&theirs, err);
    }
    if (theirs.statement != NULL)
        (void)sqlite3_reset(theirs.statement);
    pw_db_close_memory(&fresh);
    return status;
}

/* The writer's view of it ----------------------------------------------------------------------
 */

struct requiring {
    const char *path;
    char fault[600]; /* the worst: a foreign trigger before what is missing or changed */
    bool is_trigger;
    int more;
};

static int shown(struct pw_str text)
{
    return (int)(text.len < 100 ? text.len : 100);
}

static void weigh(void *context, const struct pw_schema_difference *difference)
{
    static const char *const words[] = {"is missing", "was changed", "is not ours"};
    struct requiring *require = context;
    bool is_foreign = difference->fault == PW_SCHEMA_FOREIGN;
    bool is_trigger = is_foreign && pw_str_is(difference->type, "trigger");

    if (!is_trigger && (is_foreign || pw_str_is(difference->type, "view"))) {
        pw_log_warning("%s: the %.*s %.*s %s: it is let be", require->path, shown(difference->type),
                       difference->type.data, shown(difference->name), difference->name.data,
                       words[difference->fault]);
        return;
    }
    if (require->fault[0] != '\0')
        require->more++;
    if (require->fault[0] == '\0' || (is_trigger && !require->is_trigger))
        (void)snprintf(require->fault, sizeof require->fault, "the %.*s %.*s %s%s%.*s",
                       shown(difference->type), difference->type.data, shown(difference->name),
                       difference->name.data, words[difference->fault],
                       is_trigger ? ", and may falsify what is written to " : "",
                       is_trigger ? shown(difference->table) : 0, difference->table.data);
    require->is_trigger = require->is_trigger || is_trigger;
}

enum pw_status pw_schema_require(struct pw_db *db, const char *path, struct pw_error *err)
{
    struct requiring require = {.path = path};
    char more[40] = "";
    enum pw_status status = pw_schema_compare(db, weigh, &require, err);

    if (status != PW_OK || require.fault[0] == '\0')
        return status;
    if (require.more > 0)
        (void)snprintf(more, sizeof more, " (and %d more)", require.more);
    return pw_fail(
        err, PW_ECORRUPT,
        "%s was tampered with: %s%s; nothing is written to it: %s; \"patchwatch verify\" "
        "names all that is wrong",
        path, require.fault, more,
        require.is_trigger
            ? "find out who made it, then remove it (sqlite3 FILE \"DROP TRIGGER NAME\") "
              "or restore a backup"
            : "restore a backup");
}

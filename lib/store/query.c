/* Questions to the history: preparing and binding them, reading their rows by name. */
#include "store/query.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "store/query_sql.h"

enum pw_status pw_query_begin(struct pw_db *db, struct pw_error *err)
{
    /* Deferred: a reader may not ask for the writer's lock. */
    return pw_db_exec(db, "BEGIN", err);
}

void pw_query_end(struct pw_db *db)
{
    pw_db_rollback(db);
}

/* Rows -------------------------------------------------------------------------------------- */

enum pw_status pw_rows_next(struct pw_rows *rows, bool *row, struct pw_error *err)
{
    return pw_db_step(rows->db, rows->statement, row, err);
}

void pw_rows_stop(struct pw_rows *rows)
{
    (void)sqlite3_reset(rows->statement);
}

static int find_column(const struct pw_rows *rows, const char *name)
{
    int count = sqlite3_column_count(rows->statement);

    for (int i = 0; i < count; i++) {
        if (strcmp(pw_rows_name(rows, i), name) == 0)
            return i;
    }
    assert(0 && "no such column");
    return -1; /* SQLite gives NULL for it */
}

struct pw_str pw_rows_str(const struct pw_rows *rows, const char *column)
{
    return pw_db_column_str(rows->statement, find_column(rows, column));
}

int64_t pw_rows_int(const struct pw_rows *rows, const char *column, int64_t none)
{
    return pw_db_column_int_or(rows->statement, find_column(rows, column), none);
}

int pw_rows_columns(const struct pw_rows *rows)
{
    return sqlite3_column_count(rows->statement);
}

const char *pw_rows_name(const struct pw_rows *rows, int column)
{
    const char *name = sqlite3_column_name(rows->statement, column);

    return name != NULL ? name : ""; /* no memory */
}

/* Asking ------------------------------------------------------------------------------------ */

static enum pw_status ask(struct pw_db *db, const char *sql, struct pw_rows *out,
                          struct pw_error *err)
{
    out->db = db;
    return pw_db_prepare(db, sql, &out->statement, err);
}

/* One row with one number. */
static enum pw_status ask_number(struct pw_rows *rows, int64_t *out, struct pw_error *err)
{
    bool row = false;
    enum pw_status status = pw_rows_next(rows, &row, err);

    *out = 0;
    if (status == PW_OK && row) {
        *out = sqlite3_column_int64(rows->statement, 0);
        pw_rows_stop(rows);
    }
    return status;
}

enum pw_status pw_query_sources(struct pw_db *db, struct pw_rows *out, struct pw_error *err)
{
    return ask(db, pw_sql_sources, out, err);
}

enum pw_status pw_query_totals(struct pw_db *db, struct pw_rows *out, struct pw_error *err)
{
    return ask(db, pw_sql_totals, out, err);
}

enum pw_status pw_query_problems(struct pw_db *db, int64_t limit, struct pw_rows *out,
                                 struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_problems, out, err);

    if (status == PW_OK)
        pw_db_bind_int(out->statement, 1, limit);
    return status;
}

enum pw_status pw_query_hooks_off(struct pw_db *db, struct pw_rows *out, struct pw_error *err)
{
    return ask(db, pw_sql_hooks_off, out, err);
}

enum pw_status pw_query_backlog(struct pw_db *db, struct pw_rows *out, struct pw_error *err)
{
    return ask(db, pw_sql_backlog, out, err);
}

enum pw_status pw_query_told(struct pw_db *db, int64_t since_ms, struct pw_rows *out,
                             struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_told, out, err);

    if (status == PW_OK)
        pw_db_bind_int(out->statement, 1, since_ms);
    return status;
}

static void bind_node_filter(sqlite3_stmt *statement, const struct pw_node_filter *filter)
{
    pw_db_bind_text(statement, 1, filter->source);
    pw_db_bind_text(statement, 2, filter->status);
    pw_db_bind_text(statement, 3, filter->region);
    pw_db_bind_text(statement, 4, filter->scene);
}

enum pw_status pw_query_nodes(struct pw_db *db, const struct pw_node_filter *filter,
                              struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_nodes, out, err);

    if (status == PW_OK)
        bind_node_filter(out->statement, filter);
    return status;
}

enum pw_status pw_query_at(struct pw_db *db, int64_t at_ms, const struct pw_node_filter *filter,
                           struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_at, out, err);

    if (status == PW_OK) {
        bind_node_filter(out->statement, filter);
        pw_db_bind_int(out->statement, 5, at_ms);
    }
    return status;
}

enum pw_status pw_query_span(struct pw_db *db, const char *source, struct pw_rows *out,
                             struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_span, out, err);

    if (status == PW_OK)
        pw_db_bind_text(out->statement, 1, source);
    return status;
}

enum pw_status pw_query_find(struct pw_db *db, enum pw_node_by by, const char *text,
                             const char *source, struct pw_rows *out, struct pw_error *err)
{
    static const char *const sql[PW_NODE_BY_COUNT] = {pw_sql_find_key, pw_sql_find_instance,
                                                      pw_sql_find_name};
    enum pw_status status = ask(db, sql[by], out, err);

    if (status == PW_OK) {
        pw_db_bind_text(out->statement, 1, text);
        pw_db_bind_text(out->statement, 2, source);
    }
    return status;
}

/* A question whose first parameter is the machine, and its second perhaps a number. */
static enum pw_status ask_node(struct pw_db *db, const char *sql, int64_t node_id,
                               struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask(db, sql, out, err);

    if (status == PW_OK)
        pw_db_bind_int(out->statement, 1, node_id);
    return status;
}

enum pw_status pw_query_node(struct pw_db *db, int64_t node_id, struct pw_rows *out,
                             struct pw_error *err)
{
    return ask_node(db, pw_sql_node, node_id, out, err);
}

enum pw_status pw_query_reports(struct pw_db *db, int64_t node_id, struct pw_rows *out,
                                struct pw_error *err)
{
    return ask_node(db, pw_sql_reports, node_id, out, err);
}

enum pw_status pw_query_timeline_length(struct pw_db *db, const char *source, const char *node_key,
                                        int64_t *count, struct pw_error *err)
{
    struct pw_rows rows;
    enum pw_status status = ask(db, pw_sql_timeline_length, &rows, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_text(rows.statement, 1, node_key);
    pw_db_bind_text(rows.statement, 2, source);
    return ask_number(&rows, count, err);
}

enum pw_status pw_query_timeline(struct pw_db *db, const char *source, const char *node_key,
                                 int64_t skip, struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_timeline, out, err);

    if (status == PW_OK) {
        pw_db_bind_text(out->statement, 1, node_key);
        pw_db_bind_text(out->statement, 2, source);
        pw_db_bind_int(out->statement, 3, skip);
    }
    return status;
}

enum pw_status pw_query_node_told(struct pw_db *db, int64_t node_id, int64_t limit,
                                  struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask_node(db, pw_sql_node_told, node_id, out, err);

    if (status == PW_OK)
        pw_db_bind_int(out->statement, 2, limit);
    return status;
}

enum pw_status pw_query_events(struct pw_db *db, const struct pw_event_filter *filter,
                               struct pw_rows *out, struct pw_error *err)
{
    bool is_after = filter->after >= 0;
    bool is_of_node = !is_after && filter->node_id != 0;
    enum pw_status status = ask(db,
                                is_after     ? pw_sql_events_after
                                : is_of_node ? pw_sql_events_of_node
                                             : pw_sql_events_since,
                                out, err);

    if (status != PW_OK)
        return status;
    if (is_after)
        pw_db_bind_int(out->statement, 1, filter->after);
    else if (is_of_node)
        pw_db_bind_int_or_null(out->statement, 1, filter->since_ms, PW_TIME_NONE);
    else
        pw_db_bind_int(out->statement, 1, filter->since_ms);
    pw_db_bind_text(out->statement, 2, filter->type);
    if (is_after || is_of_node)
        pw_db_bind_int(out->statement, 3, filter->node_id);
    return PW_OK;
}

enum pw_status pw_query_last_event(struct pw_db *db, int64_t *event_id, struct pw_error *err)
{
    struct pw_rows rows;
    enum pw_status status = ask(db, pw_sql_last_event, &rows, err);

    return status == PW_OK ? ask_number(&rows, event_id, err) : status;
}

enum pw_status pw_query_sweeps(struct pw_db *db, const char *source, int64_t limit,
                               struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status =
        ask(db, source != NULL ? pw_sql_sweeps_of_source : pw_sql_sweeps, out, err);

    if (status != PW_OK)
        return status;
    if (source != NULL)
        pw_db_bind_text(out->statement, 1, source);
    pw_db_bind_int(out->statement, 2, limit);
    return PW_OK;
}

enum pw_status pw_query_owed(struct pw_db *db, const char *state, const char *hook,
                             struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status =
        ask(db, strcmp(state, "dead") == 0 ? pw_sql_dead : pw_sql_pending, out, err);

    if (status == PW_OK)
        pw_db_bind_text(out->statement, 1, hook);
    return status;
}

enum pw_status pw_query_deliveries(struct pw_db *db, const char *state, const char *hook,
                                   int64_t since_ms, struct pw_rows *out, struct pw_error *err)
{
    enum pw_status status = ask(db, pw_sql_deliveries, out, err);

    if (status == PW_OK) {
        pw_db_bind_text(out->statement, 1, hook);
        pw_db_bind_text(out->statement, 2, state);
        pw_db_bind_int(out->statement, 3, since_ms);
    }
    return status;
}

enum pw_status pw_query_is_hook_known(struct pw_db *db, const char *hook, bool *is_known,
                                      struct pw_error *err)
{
    struct pw_rows rows;
    int64_t number = 0;
    enum pw_status status = ask(db, pw_sql_hook_known, &rows, err);

    *is_known = false;
    if (status != PW_OK)
        return status;
    pw_db_bind_text(rows.statement, 1, hook);
    status = ask_number(&rows, &number, err);
    *is_known = number != 0;
    return status;
}

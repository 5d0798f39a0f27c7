/* Questions to the history, as the command asks them: read-only, prepared, each by an index. The
 * columns of a row are known by the names that its SQL gives them (store/query_sql.c); they are
 * also the member names of the command's JSON, so that renaming one breaks somebody's script. */
#ifndef PW_STORE_QUERY_H
#define PW_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/db.h"

/* A read transaction: what is asked between the two speaks of one instant. */
PW_MUST_CHECK enum pw_status pw_query_begin(struct pw_db *db, struct pw_error *err);
void pw_query_end(struct pw_db *db);

/* The rows of an answer. One of a kind may be open at a time in a connection. */
struct pw_rows {
    struct pw_db *db;
    sqlite3_stmt *statement;
};
/* The next row; *row false at the end. Views of the last row end. */
PW_MUST_CHECK enum pw_status pw_rows_next(struct pw_rows *rows, bool *row, struct pw_error *err);
/* Done before the end. */
void pw_rows_stop(struct pw_rows *rows);
/* A value by the name of its column, which must be there. Null: the null view, or `none`. */
struct pw_str pw_rows_str(const struct pw_rows *rows, const char *column);
int64_t pw_rows_int(const struct pw_rows *rows, const char *column, int64_t none);
/* All columns in their order, for whoever prints them all. */
int pw_rows_columns(const struct pw_rows *rows);
const char *pw_rows_name(const struct pw_rows *rows, int column);

/* In all of these, text that is NULL is not asked for. Strings must live as long as the rows. */

/* The sources, with their last sweep that ended and the one that runs. */
PW_MUST_CHECK enum pw_status pw_query_sources(struct pw_db *db, struct pw_rows *out,
                                              struct pw_error *err);
/* Machines by status, a row a source. */
PW_MUST_CHECK enum pw_status pw_query_totals(struct pw_db *db, struct pw_rows *out,
                                             struct pw_error *err);
/* The newest `limit` machines that are non_compliant. */
PW_MUST_CHECK enum pw_status pw_query_problems(struct pw_db *db, int64_t limit, struct pw_rows *out,
                                               struct pw_error *err);
/* What is pending or dead, a row a hook and state. */
PW_MUST_CHECK enum pw_status pw_query_backlog(struct pw_db *db, struct pw_rows *out,
                                              struct pw_error *err);
/* Hooks that their receivers turned off while they are owed something. */
PW_MUST_CHECK enum pw_status pw_query_hooks_off(struct pw_db *db, struct pw_rows *out,
                                                struct pw_error *err);
/* One row: the transitions recorded since then, and how many of them were told. */
PW_MUST_CHECK enum pw_status pw_query_told(struct pw_db *db, int64_t since_ms, struct pw_rows *out,
                                           struct pw_error *err);

struct pw_node_filter {
    const char *source;
    const char *status; /* compliant, non_compliant, unknown, missing */
    const char *region;
    const char *scene;
};
/* Machines, present and missing, the worst first. */
PW_MUST_CHECK enum pw_status pw_query_nodes(struct pw_db *db, const struct pw_node_filter *filter,
                                            struct pw_rows *out, struct pw_error *err);
/* Every machine that had been seen by then, as the versions of its reports say that it stood. */
PW_MUST_CHECK enum pw_status pw_query_at(struct pw_db *db, int64_t at_ms,
                                         const struct pw_node_filter *filter, struct pw_rows *out,
                                         struct pw_error *err);
/* One row: begin and end of what the versions can tell of a source (NULL: of all), so far as is
 * known. */
PW_MUST_CHECK enum pw_status pw_query_span(struct pw_db *db, const char *source,
                                           struct pw_rows *out, struct pw_error *err);

enum pw_node_by { PW_NODE_BY_KEY, PW_NODE_BY_INSTANCE, PW_NODE_BY_NAME, PW_NODE_BY_COUNT };
/* The machines that `text` names in that way; instance: instance_id or the cluster's node id. */
PW_MUST_CHECK enum pw_status pw_query_find(struct pw_db *db, enum pw_node_by by, const char *text,
                                           const char *source, struct pw_rows *out,
                                           struct pw_error *err);
/* One row: the machine. */
PW_MUST_CHECK enum pw_status pw_query_node(struct pw_db *db, int64_t node_id, struct pw_rows *out,
                                           struct pw_error *err);
/* Its current reports; those that ended when it went missing, where it is missing. */
PW_MUST_CHECK enum pw_status pw_query_reports(struct pw_db *db, int64_t node_id,
                                              struct pw_rows *out, struct pw_error *err);
/* Its timeline, oldest first, without the first `skip` rows; *count is how long it is in all. */
PW_MUST_CHECK enum pw_status pw_query_timeline_length(struct pw_db *db, const char *source,
                                                      const char *node_key, int64_t *count,
                                                      struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_query_timeline(struct pw_db *db, const char *source,
                                               const char *node_key, int64_t skip,
                                               struct pw_rows *out, struct pw_error *err);
/* Who was told of what about it, the newest first; limit -1 = all. */
PW_MUST_CHECK enum pw_status pw_query_node_told(struct pw_db *db, int64_t node_id, int64_t limit,
                                                struct pw_rows *out, struct pw_error *err);

struct pw_event_filter {
    int64_t since_ms; /* recorded then or later; PW_TIME_NONE = ever */
    int64_t after;    /* with an event_id greater than that; -1: by time */
    int64_t node_id;  /* 0 = of all */
    const char *type; /* GLOB over the whole type */
};
/* Events, oldest first. */
PW_MUST_CHECK enum pw_status pw_query_events(struct pw_db *db, const struct pw_event_filter *filter,
                                             struct pw_rows *out, struct pw_error *err);
/* The greatest event_id that was ever given, 0 where none was. */
PW_MUST_CHECK enum pw_status pw_query_last_event(struct pw_db *db, int64_t *event_id,
                                                 struct pw_error *err);

/* Sweeps, the newest first; limit -1 = all. */
PW_MUST_CHECK enum pw_status pw_query_sweeps(struct pw_db *db, const char *source, int64_t limit,
                                             struct pw_rows *out, struct pw_error *err);

/* Deliveries that are pending or dead, the oldest event first. state must be one of the two. */
PW_MUST_CHECK enum pw_status pw_query_owed(struct pw_db *db, const char *state, const char *hook,
                                           struct pw_rows *out, struct pw_error *err);
/* Deliveries of any state (or one) of events recorded since then. */
PW_MUST_CHECK enum pw_status pw_query_deliveries(struct pw_db *db, const char *state,
                                                 const char *hook, int64_t since_ms,
                                                 struct pw_rows *out, struct pw_error *err);

/* Whether any delivery ever named the hook. Reads all deliveries where none did. */
PW_MUST_CHECK enum pw_status pw_query_is_hook_known(struct pw_db *db, const char *hook,
                                                    bool *is_known, struct pw_error *err);

/* Every SQL text of this header, for the test of their plans. */
struct pw_query_text {
    const char *name;
    const char *sql;
};
extern const struct pw_query_text pw_query_texts[];
extern const size_t pw_query_text_count;

#endif

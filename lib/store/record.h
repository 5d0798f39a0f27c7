/* Writing rows of the snapshot and its history, inside the caller's transaction: nodes, versions of
 * reports, events with the deliveries that they owe. */
#ifndef PW_STORE_RECORD_H
#define PW_STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "compliance/batch.h"
#include "compliance/diff.h"
#include "store/apply.h"
#include "store/db.h"

/* A node as it is stored. */
struct pw_node_row {
    int64_t node_id; /* 0 = not stored yet */
    struct pw_node_state state;
    int64_t flapping_since_ms; /* PW_TIME_NONE = it does not */
};

/* Finds a node by its key. state.exists says whether it is there. */
PW_MUST_CHECK enum pw_status pw_node_find(struct pw_db *db, int64_t source_id,
                                          struct pw_str node_key, struct pw_node_row *out,
                                          struct pw_error *err);
/* The same by its id; its key goes to node_key (cleared first). PW_ENOTFOUND. */
PW_MUST_CHECK enum pw_status pw_node_get(struct pw_db *db, int64_t node_id,
                                         struct pw_buffer *node_key, struct pw_node_row *out,
                                         struct pw_error *err);
/* Its current reports; those that ended when it went missing, where it is missing. Appended. */
PW_MUST_CHECK enum pw_status pw_node_reports(struct pw_db *db, const struct pw_node_row *node,
                                             struct pw_batch *out, struct pw_error *err);
/* The last report of the node that has ended and had that status. Appended, if there is one. */
PW_MUST_CHECK enum pw_status pw_node_last_ended(struct pw_db *db, int64_t node_id,
                                                enum pw_compliance status, struct pw_batch *out,
                                                struct pw_error *err);
/* Adds the node with the fields of facts; sets node->node_id. */
PW_MUST_CHECK enum pw_status pw_node_add(struct pw_db *db, int64_t source_id,
                                         struct pw_str node_key, const struct pw_report *facts,
                                         struct pw_node_row *node, int64_t now_ms,
                                         struct pw_error *err);
/* Rewrites its state; its fields too where facts is not NULL. */
PW_MUST_CHECK enum pw_status pw_node_update(struct pw_db *db, const struct pw_node_row *node,
                                            const struct pw_report *facts, int64_t last_seen_ms,
                                            struct pw_error *err);

/* Begins a version of a report; ends the current one. */
PW_MUST_CHECK enum pw_status pw_report_open(struct pw_db *db, int64_t node_id,
                                            const struct pw_report *report, int64_t now_ms,
                                            struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_report_end(struct pw_db *db, int64_t node_id,
                                           struct pw_str baseline_id, int64_t now_ms,
                                           struct pw_error *err);

/* A hook, and the rule on whose behalf it is told. */
struct pw_hook_of_rule {
    const char *hook, *rule;
    int64_t after_ms; /* an escalation, due after so long; 0 = at once */
};

/* What is particular about who is owed an event. */
struct pw_owing {
    const char *muted_reason; /* not NULL: its deliveries are muted for good, for this reason */
    int64_t held_by;          /* not 0: nobody is told before the sweep of that id lets them go */
    const struct pw_hook_of_rule *also; /* hooks that are told whatever the rules say of the type */
    size_t also_count;
};

/* Records the event (sets its sequence and uid) and what it owes: to the hooks that the router
 * names, and for a recovery to those that were owed the problem; owing (NULL: nothing particular)
 * says more. *deliveries counts up. */
PW_MUST_CHECK enum pw_status pw_event_record(struct pw_db *db, struct pw_event *event,
                                             int64_t source_id, int64_t node_id,
                                             const struct pw_router *router,
                                             const struct pw_owing *owing, size_t *deliveries,
                                             struct pw_error *err);

#endif

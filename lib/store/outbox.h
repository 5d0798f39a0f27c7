/* The outbox: the delivery table as a durable queue. Head of line per (hook, node): a delivery is
 * due only when no older pending one of the same hook and node is left, so that order holds; source
 * events (no node) queue per (hook, source). Runs on the thread that owns db. */
#ifndef PW_STORE_OUTBOX_H
#define PW_STORE_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/db.h"

/* One delivery that was claimed: its attempt is already counted. All memory is one block, freed
 * with pw_delivery_free. */
struct pw_delivery {
    int64_t delivery_id;
    int64_t event_id;
    const char *uid;
    const char *hook;
    const char *rule;
    const char *type; /* "io.patchwatch.node.non_compliant" */
    const char *source_name;
    struct pw_str node_key;  /* null for source events */
    struct pw_str node_name; /* as recorded in the event, null where it was null */
    struct pw_str from;      /* null or the status */
    struct pw_str to;
    struct pw_str event_json; /* the CloudEvent, one line */
    int64_t attempts;         /* this one included */
    int64_t created_at_ms;
    int64_t reminder; /* 0 = the event is told for the first time, n = the nth reminder of it */
    struct pw_delivery *next;
};
void pw_delivery_free(struct pw_delivery *delivery);

/* Adds the delivery that `hook` is owed of an event, due at once; a second one for the same (event,
 * hook) changes nothing. Inside the caller's transaction. *added counts up by one where it is new.
 */
PW_MUST_CHECK enum pw_status pw_outbox_add(struct pw_db *db, int64_t event_id, const char *hook,
                                           const char *rule, int64_t now_ms, size_t *added,
                                           struct pw_error *err);

/* After a start: what was in flight when the last process ended is due now (at least once). */
PW_MUST_CHECK enum pw_status pw_outbox_recover(struct pw_db *db, int64_t now_ms,
                                               struct pw_error *err);

/* Claims up to `max` due deliveries of `hook` in order of event_id, in one transaction that counts
 * their attempts before any is made, sets claimed_at and last_attempt_at. *out is a list in order.
 * *next_due_ms: the earliest next_attempt_at of what was not claimed and is not in flight
 * (PW_TIME_NONE if nothing waits); it is ≤ now_ms where more is due at once. */
PW_MUST_CHECK enum pw_status pw_outbox_claim(struct pw_db *db, const char *hook, size_t max,
                                             int64_t now_ms, struct pw_delivery **out,
                                             int64_t *next_due_ms, struct pw_error *err);

/* The outcomes of an attempt. Each clears claimed_at. */
PW_MUST_CHECK enum pw_status pw_outbox_delivered(struct pw_db *db, int64_t delivery_id,
                                                 int64_t now_ms, struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_outbox_retry(struct pw_db *db, int64_t delivery_id,
                                             int64_t next_attempt_at_ms, const char *why,
                                             struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_outbox_dead(struct pw_db *db, int64_t delivery_id, const char *why,
                                            struct pw_error *err);

/* Pending deliveries to hooks whose names are not in hooks[count]: "hook: n" lines for the log,
 * since they are kept until the hook comes back. Writes up to max_bytes. *total is their number. */
PW_MUST_CHECK enum pw_status pw_outbox_orphans(struct pw_db *db, const char *const *hooks,
                                               size_t count, int64_t *total, char *text,
                                               size_t max_bytes, struct pw_error *err);

#endif

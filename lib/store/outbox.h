/* The outbox: the delivery table as a durable queue. Head of line per (hook, node): a delivery is
 * due only when no older pending one of the same hook and node is left, so that order holds; source
 * events (no node) queue per (hook, source). Everything that waits, for its group, as an
 * escalation, for the end of a mute, for the next reminder, waits in its row. Runs on the thread
 * that owns db. */
#ifndef PW_STORE_OUTBOX_H
#define PW_STORE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/db.h"
#include "store/router.h"

/* One delivery that was claimed: its attempt is already counted. All memory is one block. */
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
    struct pw_delivery *next;         /* goes in the same attempt */
    struct pw_delivery *next_attempt; /* of the first of an attempt: the first of the next one */
};
void pw_delivery_free(struct pw_delivery *list); /* and all that goes with it; NULL is fine */

/* Adding ------------------------------------------------------------------------------------- */

/* How a delivery comes to be. */
struct pw_outbox_entry {
    int64_t event_id;
    const struct pw_owed *owed;
    const char *state;      /* NULL = pending; "muted", "dropped" */
    const char *reason;     /* of a state that is not pending */
    int64_t muted_until_ms; /* muted: when to look whether it is let go; PW_TIME_NONE = never */
    int64_t held_by;        /* a sweep that must let it go first; 0 = none */
    int64_t now_ms;
};

/* Adds what a hook is owed of an event; a second one for the same (event, hook) changes nothing.
 * Inside the caller's transaction. *added counts up by one where it is new. */
PW_MUST_CHECK enum pw_status pw_outbox_add(struct pw_db *db, const struct pw_outbox_entry *entry,
                                           size_t *added, struct pw_error *err);

/* Claiming ----------------------------------------------------------------------------------- */

struct pw_claim {
    const char *hook;
    const char *target; /* of the hook as it is configured, see the table hook; NULL = "" */
    const struct pw_router *router; /* for mutes and groups; NULL: neither */
    size_t max_attempts;
    int64_t now_ms;
    int64_t lease_ms;    /* after so long a reminder that nobody reported on is due again */
    bool groups_are_due; /* --once: groups do not wait */
    /* out */
    struct pw_delivery *list; /* attempts in order, see next_attempt */
    /* When something is due next that was not claimed and is not in flight: PW_TIME_NONE if nothing
     * waits; <= now_ms where more is due at once. */
    int64_t next_due_ms;
    bool is_off; /* the receiver turned the hook off: nothing is claimed */
};

/* Claims attempts that are due, in order of event_id, in one transaction that counts them before
 * any is made; holds back what is muted by now, lets go what no longer is. */
PW_MUST_CHECK enum pw_status pw_outbox_claim(struct pw_db *db, struct pw_claim *claim,
                                             struct pw_error *err);

/* Frees attempts that were claimed and are not made. */
void pw_claimed_free(struct pw_delivery *attempts);

/* Recording ---------------------------------------------------------------------------------- */

enum pw_outcome_kind {
    PW_OUTCOME_DELIVERED,
    PW_OUTCOME_FAILED, /* tried again, or dead where it is owed for too long */
    PW_OUTCOME_REFUSED /* failed, and what went together is tried one by one from now on */
};

struct pw_outcome {
    enum pw_outcome_kind kind;
    const struct pw_router *router; /* for reminders; NULL: none */
    int64_t now_ms;
    int64_t next_attempt_at_ms; /* failed */
    int64_t dead_before_ms;     /* failed: those that were owed before are dead */
    const char *why;
    /* out */
    size_t dead, gone; /* how many became so; gone: dropped meanwhile, or not there any more */
};

/* What became of an attempt, for all of its deliveries in one transaction. A delivery that somebody
 * dropped while it was in flight stays dropped, unless it was delivered. */
PW_MUST_CHECK enum pw_status pw_outbox_record(struct pw_db *db, const struct pw_delivery *list,
                                              struct pw_outcome *outcome, struct pw_error *err);

/* The receiver turned the hook off: nothing is claimed for it until its target is another one or
 * pw_outbox_turn_on was called. */
PW_MUST_CHECK enum pw_status pw_outbox_turn_off(struct pw_db *db, const char *hook,
                                                const char *target, const char *reason,
                                                int64_t now_ms, struct pw_error *err);
/* Somebody loaded the rules anew: every hook is tried again. */
PW_MUST_CHECK enum pw_status pw_outbox_turn_on(struct pw_db *db, struct pw_error *err);

/* At start and with new rules --------------------------------------------------------------- */

/* After a start: what was in flight when the last process ended is due now (at least once). */
PW_MUST_CHECK enum pw_status pw_outbox_recover(struct pw_db *db, int64_t now_ms,
                                               struct pw_error *err);
/* The rules are new: reminders follow them, and what is muted is looked at again. */
PW_MUST_CHECK enum pw_status pw_outbox_follow(struct pw_db *db, const struct pw_router *router,
                                              int64_t now_ms, struct pw_error *err);

/* A mute has changed: what is muted is looked at again. */
PW_MUST_CHECK enum pw_status pw_outbox_look_again(struct pw_db *db, struct pw_error *err);

/* Pending deliveries to hooks whose names are not in hooks[count]: "hook: n" lines for the log,
 * since they are kept until the hook comes back. Writes up to max_bytes. *total is their number. */
PW_MUST_CHECK enum pw_status pw_outbox_orphans(struct pw_db *db, const char *const *hooks,
                                               size_t count, int64_t *total, char *text,
                                               size_t max_bytes, struct pw_error *err);

/* The state of the world -------------------------------------------------------------------- */

/* For receivers that forget: the newest deliveries, one a machine or source, of problems that the
 * hook was told and that are still open, and of those that ended after ended_since_ms. At most max
 * of them beyond after_id, in order of delivery_id, as one list that is freed with
 * pw_delivery_free; *last_id is where to go on (0: that was all). Claims nothing. */
PW_MUST_CHECK enum pw_status pw_outbox_standing(struct pw_db *db, const char *hook,
                                                int64_t ended_since_ms, int64_t after_id,
                                                size_t max, struct pw_delivery **out,
                                                int64_t *last_id, struct pw_error *err);

#endif

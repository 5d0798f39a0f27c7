/* What rules would have done with the events of the past: the events are told again, in a database
 * in memory, by the very code that tells them in earnest, with hooks that take everything at once.
 */
#ifndef PW_STORE_REPLAY_H
#define PW_STORE_REPLAY_H

#include "base/error.h"
#include "store/outbox.h"
#include "store/router.h"

struct pw_replay_params {
    const struct pw_router *router;
    const char *const *hooks; /* all that the rules may name */
    size_t hook_count;
    int64_t since_ms, until_ms; /* events recorded from then on; how far time goes on after them */
    void *context;
    /* One attempt: what went together, and when. */
    void (*told)(void *context, const struct pw_delivery *list, int64_t at_ms);
};

struct pw_replay_result {
    int64_t events;
    int64_t unheard; /* of these nobody was told: no rule names them, muted, or over before it was
                        due */
};

/* Mutes of the table count as they were; flapping machines and mass changes as they were recorded.
 * What was told before since_ms is not known here. db is only read. PW_ELIMIT: reminders without
 * end. */
PW_MUST_CHECK enum pw_status pw_replay(struct pw_db *db, const struct pw_replay_params *params,
                                       struct pw_replay_result *result, struct pw_error *err);

#endif

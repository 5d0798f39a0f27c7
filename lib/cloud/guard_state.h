/* How credentials ask the guard. Internal to this room. */
#ifndef PW_CLOUD_GUARD_STATE_H
#define PW_CLOUD_GUARD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "cloud/guard.h"

/* A salted hash of what is shown to a server. Of no use outside this process. */
struct pw_guard_print {
    unsigned char bytes[16];
};

struct pw_guard_entry;

/* One asker's hold on one credential. guard, go, context and proof_ms are the asker's to set before
 * the first question; the rest is the guard's. */
struct pw_guard_turn {
    struct pw_guard *guard;
    /* It is the asker's turn, or there is an answer: ask again. Called from within other askers'
     * calls, so it may do no more than take note. */
    void (*go)(void *context);
    void *context;
    int64_t proof_ms; /* how long a proof counts; INT64_MAX = until it is refuted */
    struct pw_guard_entry *entry;
    struct pw_guard_turn *next;
    bool is_waiting;
};

enum pw_guard_answer {
    PW_GUARD_GO,     /* show it: it is proven, or the asker is the one to prove it */
    PW_GUARD_WAIT,   /* another one is proving it; go will be called */
    PW_GUARD_REFUSED /* it was refused, and its time has not come again */
};

/* The print of some texts in their order. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_guard_fingerprint(const struct pw_guard *guard,
                                                  const struct pw_str *parts, size_t count,
                                                  struct pw_guard_print *out, struct pw_error *err);
/* May the asker show it? Lets go of another credential that it asked for before. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_guard_ask(struct pw_guard_turn *turn,
                                          const struct pw_guard_print *print,
                                          enum pw_guard_answer *answer, struct pw_error *err);
/* A server took it; it refused it. */
void pw_guard_accepted(struct pw_guard_turn *turn);
void pw_guard_refused(struct pw_guard_turn *turn);
/* No answer came and none will: waits no more, and lets another one prove it. */
void pw_guard_rest(struct pw_guard_turn *turn);
/* Rests, and forgets what was asked for. */
void pw_guard_leave(struct pw_guard_turn *turn);
/* Whether what was asked for last was refused meanwhile, by whomever. */
bool pw_guard_is_barred(const struct pw_guard_turn *turn);
/* PW_EPERM with the times. what: "the access key". */
enum pw_status pw_guard_explain(const struct pw_guard_turn *turn, const char *what,
                                struct pw_error *err);

/* What nobody holds is forgotten beyond so many, the oldest proven first. */
enum { PW_GUARD_MAX_IDLE = 1024 };
size_t pw_guard_count(const struct pw_guard *guard);

#endif

/* The small interface behind which a kind of hook stands. */
#ifndef PW_ALERT_HOOK_H
#define PW_ALERT_HOOK_H

#include <uv.h>

#include "alert/alerts.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/outbox.h"

enum pw_hook_outcome {
    PW_HOOK_DELIVERED,
    PW_HOOK_RETRY,   /* try again later */
    PW_HOOK_REFUSED, /* the receiver takes offence at what it was sent: events that went together
                        are tried again one by one, so that a bad one does not keep back others */
    PW_HOOK_GONE     /* the receiver says that it will never take anything again (410) */
};

/* How an attempt ended; borrowed for the time of the call. */
struct pw_hook_result {
    enum pw_hook_outcome outcome;
    const char *why;        /* for last_error; "" when delivered */
    int64_t retry_after_ms; /* the receiver asked not to be tried again before; 0 = it did not */
};

/* What hooks work with. */
struct pw_hook_tools {
    uv_loop_t *loop;
    struct pw_http *http; /* NULL in tests of hooks that need none */
    const struct pw_clock *clock;
};

struct pw_http;
struct pw_hook_run; /* one running attempt; its kind's */

/* Called once, on the loop, never from within start, when all that belongs to the attempt is over
 * and freed. */
typedef void (*pw_hook_done)(void *context, const struct pw_hook_result *result);

struct pw_hook_kind {
    /* Starts one attempt for the deliveries of a list, in its order: one, or those of a group.
     * tools, hook and list are borrowed until done. Not PW_OK: done is not called and err says why
     * (the attempt counts as failed). */
    enum pw_status (*start)(const struct pw_hook_tools *tools, const struct pw_hook_config *hook,
                            const struct pw_delivery *list, pw_hook_done done, void *context,
                            struct pw_hook_run **out, struct pw_error *err);
    /* How often the deliveries that stand (see store/outbox.h) are sent again, for receivers that
     * forget; NULL: never. */
    int64_t (*resend_ms)(const struct pw_hook_config *hook);
    /* Ends it early (shutdown): asks it to stop now; done follows. */
    void (*stop)(struct pw_hook_run *run);
};

extern const struct pw_hook_kind pw_hook_exec, pw_hook_webhook, pw_hook_alertmanager, pw_hook_email,
    pw_hook_journal;

static inline const struct pw_hook_kind *pw_hook_kind_of(const struct pw_hook_config *hook)
{
    switch (hook->type) {
    case PW_HOOK_EXEC:
        break;
    case PW_HOOK_WEBHOOK:
        return &pw_hook_webhook;
    case PW_HOOK_ALERTMANAGER:
        return &pw_hook_alertmanager;
    case PW_HOOK_EMAIL:
        return &pw_hook_email;
    case PW_HOOK_JOURNAL:
        return &pw_hook_journal;
    }
    return &pw_hook_exec;
}

#endif

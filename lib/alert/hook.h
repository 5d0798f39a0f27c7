/* The small interface behind which a kind of hook stands. */
#ifndef PW_ALERT_HOOK_H
#define PW_ALERT_HOOK_H

#include <uv.h>

#include "alert/alerts.h"
#include "base/error.h"
#include "store/outbox.h"

enum pw_hook_outcome {
    PW_HOOK_DELIVERED,
    PW_HOOK_RETRY, /* try again later */
};

struct pw_hook_run; /* one running attempt; its kind's */

/* Called once, on the loop, when all that belongs to the attempt is over and freed. why is for
 * last_error ("" when delivered). */
typedef void (*pw_hook_done)(void *context, enum pw_hook_outcome outcome, const char *why);

struct pw_hook_kind {
    /* Starts one attempt for one delivery; hook and delivery are borrowed until done. Not PW_OK:
     * done is not called and err says why (the attempt counts as failed). */
    enum pw_status (*start)(uv_loop_t *loop, const struct pw_hook_config *hook,
                            const struct pw_delivery *delivery, pw_hook_done done, void *context,
                            struct pw_hook_run **out, struct pw_error *err);
    /* Ends it early (shutdown): asks it to stop now; done follows. */
    void (*stop)(struct pw_hook_run *run);
};

extern const struct pw_hook_kind pw_hook_exec;

static inline const struct pw_hook_kind *pw_hook_kind_of(const struct pw_hook_config *hook)
{
    switch (hook->type) {
    case PW_HOOK_EXEC:
        break;
    }
    return &pw_hook_exec;
}

#endif

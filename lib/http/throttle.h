/* A token bucket on the loop: at most so many requests per period, in order of arrival. */
#ifndef PW_HTTP_THROTTLE_H
#define PW_HTTP_THROTTLE_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct pw_throttle;

/* count per period_ms (count 0 = no limit); a burst of at most max(1, one second's worth) is let
 * through at once. */
PW_MUST_CHECK enum pw_status pw_throttle_new(uv_loop_t *loop, int64_t count, int64_t period_ms,
                                             struct pw_throttle **out, struct pw_error *err);
/* Frees it in the timer's close callback. No waiter may be left. */
void pw_throttle_close(struct pw_throttle *throttle);
/* Changes the limit; waiters stay in line and are called from the loop. */
void pw_throttle_set(struct pw_throttle *throttle, int64_t count, int64_t period_ms);

/* Embed it in what waits. */
struct pw_throttle_waiter {
    void (*go)(
        struct pw_throttle_waiter *waiter); /* a token was taken for you; may be called at once */
    struct pw_throttle_waiter *next, *previous; /* the throttle's */
    struct pw_throttle *in;                     /* where it waits, NULL when it does not */
};
void pw_throttle_wait(struct pw_throttle *throttle, struct pw_throttle_waiter *waiter);
void pw_throttle_forget(
    struct pw_throttle_waiter *waiter); /* leaves the line; harmless if not in it */

#endif

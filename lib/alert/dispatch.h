/* Dispatch: drives the hooks from the delivery table alone. Claims what is due through the store
 * thread, starts it, records the outcome; a stuck hook delays no other. */
#ifndef PW_ALERT_DISPATCH_H
#define PW_ALERT_DISPATCH_H

#include <uv.h>

#include "alert/alerts.h"
#include "alert/hook.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/thread.h"

struct pw_dispatch;

/* tools is copied. alerts is borrowed until pw_dispatch_use replaces it or close has ended. store
 * must take jobs until close has ended. */
PW_MUST_CHECK enum pw_status pw_dispatch_new(const struct pw_hook_tools *tools,
                                             struct pw_store *store, const struct pw_alerts *alerts,
                                             struct pw_dispatch **out, struct pw_error *err);
/* Recovers what was in flight at the last end, and begins to deliver. */
void pw_dispatch_start(struct pw_dispatch *dispatch);
/* New deliveries were committed: look now. */
void pw_dispatch_poke(struct pw_dispatch *dispatch);
/* After a reload: hooks come, change and go. What is in flight ends by its old configuration, for
 * which `released` is called on the loop, later, once nothing of dispatch uses the old alerts and
 * every job that was submitted to the store before this call is done (so that a sweep that was
 * routed by them is over). PW_ENOMEM: nothing has changed, released is not called. */
PW_MUST_CHECK enum pw_status pw_dispatch_use(struct pw_dispatch *dispatch,
                                             const struct pw_alerts *alerts,
                                             void (*released)(void *context), void *context);
/* Calls idle once, later, when nothing is in flight and nothing is due at this moment (--once).
 * While the store fails, what cannot be claimed counts as not due, and an outcome that cannot be
 * stored is given up after 30 s, so that the wait ends. Not called any more once close began. */
void pw_dispatch_when_idle(struct pw_dispatch *dispatch, void (*idle)(void *context),
                           void *context);
/* Stops claiming, gives hooks that run `grace_ms` to end, then ends them by TERM and KILL (their
 * deliveries stay pending, to be made again after the next start); frees all; then calls closed. */
void pw_dispatch_close(struct pw_dispatch *dispatch, int64_t grace_ms,
                       void (*closed)(void *context), void *context);

#endif

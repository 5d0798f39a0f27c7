/* One synthetic event through one hook, to see whether it works. Nothing is written anywhere. */
#ifndef PW_ALERT_HOOK_TEST_H
#define PW_ALERT_HOOK_TEST_H

#include <stdint.h>

#include "alert/alerts.h"
#include "alert/hook.h"
#include "base/error.h"

struct pw_hook_test; /* one that runs */

/* Borrowed for the time of the call. */
struct pw_hook_test_result {
    enum pw_hook_outcome outcome;
    const char *why; /* "" where it was delivered */
    int64_t took_ms;
};
/* Called once, on the loop, never from within start, when all that belongs to it is freed. */
typedef void (*pw_hook_test_done)(void *context, const struct pw_hook_test_result *result);

/* Sends a node.non_compliant of an invented machine whose name says that it is a test, data marked
 * "test": true. tools and hook are borrowed until done. Not PW_OK: done is not called and err says
 * why it could not be started. */
PW_MUST_CHECK enum pw_status pw_hook_test_start(const struct pw_hook_tools *tools,
                                                const struct pw_hook_config *hook,
                                                pw_hook_test_done done, void *context,
                                                struct pw_hook_test **out, struct pw_error *err);
/* Ends it early; done follows. */
void pw_hook_test_stop(struct pw_hook_test *test);

/* The name that is most like one that there is not; NULL where none is. */
const char *pw_hook_test_nearest(const struct pw_alerts *alerts, const char *name);

#endif

/* What a test of a hook came to, as an answer; from the daemon, or the command where none runs. */
#ifndef PW_DAEMON_HOOK_ANSWER_H
#define PW_DAEMON_HOOK_ANSWER_H

#include "alert/hook_test.h"
#include "daemon/answer.h"

/* Exit code 0 where it was delivered, else 1. */
void pw_hook_test_answer(struct pw_answer *answer, const char *hook,
                         const struct pw_hook_test_result *result);
/* There is no hook of that name: exit code 66. */
void pw_hook_test_answer_unknown(struct pw_answer *answer, const struct pw_alerts *alerts,
                                 const char *name);

#endif

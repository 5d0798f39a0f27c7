/* What an exec hook is given: its environment, and its standard input. */
#ifndef PW_ALERT_HOOK_ENV_H
#define PW_ALERT_HOOK_ENV_H

#include "base/error.h"
#include "store/outbox.h"

enum { PW_HOOK_ENV_VALUE_MAX_BYTES = 8192 };

/* The whole environment of one attempt for the deliveries of list, the first of which it tells of,
 * NULL-terminated; freed with pw_hook_env_free. Each value is at most PW_HOOK_ENV_VALUE_MAX_BYTES
 * long (cut between characters; the event on standard input has it whole), a NUL in it becomes
 * U+FFFD, null is "". NULL where memory is short. */
char **pw_hook_env_new(const struct pw_delivery *list);
void pw_hook_env_free(char **env); /* NULL is fine */

/* An in-memory file (memfd_create(2)) that holds the events, each on a line, sealed, at its start.
 * A pipe would block where the hook reads slowly, and break where it does not read at all. The
 * caller closes *out_fd. PW_EIO. */
PW_MUST_CHECK enum pw_status pw_hook_stdin_new(const struct pw_delivery *list, int *out_fd,
                                               struct pw_error *err);

#endif

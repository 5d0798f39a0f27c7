/* The guard against locked credentials: five failed uses lock an access key, and failed log-ins
 * lock an IAM user. One for the process, shared by all sources: it remembers, by a salted hash of
 * what is shown to a server, which credentials were refused, so that none is shown again soon, by
 * whatever source, after whatever reload; and as long as nobody knows whether a credential is good,
 * one source alone shows it. */
#ifndef PW_CLOUD_GUARD_H
#define PW_CLOUD_GUARD_H

#include "base/clock.h"
#include "base/error.h"

struct pw_guard;

/* clock must outlive it. The caller frees it. PW_ENOMEM, PW_EIO (no random bytes). */
PW_MUST_CHECK enum pw_status pw_guard_new(const struct pw_clock *clock, struct pw_guard **out,
                                          struct pw_error *err);
/* After the last pw_credentials of it were closed (their closed was called). NULL is nothing. */
void pw_guard_free(struct pw_guard *guard);

#endif

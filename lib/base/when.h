/* Times as people write and read them: "24h", "3d ago", "2026-11-24 07:53", "@1795506828". What has
 * no zone is local time (TZ), as in date(1) and journalctl(1). Pure but for the time zone. */
#ifndef PW_BASE_WHEN_H
#define PW_BASE_WHEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A point in time, Unix milliseconds:
 *   now; today, yesterday (0:00 local time)
 *   DURATION [ago]           so long before now_ms; the units of pw_parse_duration_ms
 *   DATE[(T| )H:M[:S[.F]]]   DATE is YYYY-MM-DD; then Z, +H:M, +HM or nothing (local time)
 *   @SECONDS[.F]             Unix time, and a bare number of 12 or 13 digits: Unix milliseconds
 * PW_EINVAL with a message that says what is allowed. */
PW_MUST_CHECK enum pw_status pw_when_parse(const char *text, int64_t now_ms, int64_t *out_ms,
                                           struct pw_error *err);

#define PW_WHEN_SIZE 48
/* "2026-11-24 08:53:48+01:00", local time with its offset ("Z" where there is none), so that it can
 * be given back to pw_when_parse. PW_TIME_NONE gives "-". Returns out. */
const char *pw_when_text(char out[PW_WHEN_SIZE], int64_t unix_ms);

/* A span that has passed, as short as it is useful: "12s", "4m", "3h12m", "5d4h". Negative ones
 * (a clock was set back) count as "0s". Returns out. */
const char *pw_when_span(char out[PW_WHEN_SIZE], int64_t span_ms);

/* "3h12m ago", "in 4m" or "now", seen from now_ms; PW_TIME_NONE gives "-". Returns out. */
const char *pw_when_relative(char out[PW_WHEN_SIZE], int64_t unix_ms, int64_t now_ms);

#endif

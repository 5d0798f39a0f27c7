/* What is tried again, and when. Pure. Internal to this room. */
#ifndef PW_HTTP_RETRY_H
#define PW_HTTP_RETRY_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* A server may make us wait this long with Retry-After, not longer. */
#define PW_RETRY_AFTER_MAX_MS INT64_C(300000)

/* Whether an answer with this HTTP status may be followed by a better one: 408, 425, 429 and 5xx
 * but 501. */
bool pw_retry_status(long http_status);

/* What a transfer that libcurl gave up means, and whether another attempt may do better. */
enum pw_status pw_retry_code(CURLcode code, bool *retry);

/* Retry-After (RFC 9110, 10.2.3): seconds or an HTTP-date. now_ms is the server's own time where it
 * sent one, so that a wrong clock on either side does no harm. -1 where the text is neither; a date
 * that has passed gives 0. */
int64_t pw_retry_after_parse_ms(const char *text, int64_t now_ms);

/* Milliseconds from the end of attempt number `attempt` (≥ 1) to the next. Without a wish of the
 * server's (asked_ms < 0) full jitter up to base · 2^(attempt-1), at most cap. With one, that wish
 * (at most PW_RETRY_AFTER_MAX_MS) plus such a jitter, so that those who were told the same second
 * do not all come back in it. */
int64_t pw_retry_wait_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, int64_t asked_ms,
                         uint64_t random);

#endif

/* Time as a parameter: whoever needs it is handed a clock, so that tests can move it. */
#ifndef PW_BASE_CLOCK_H
#define PW_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define PW_TIME_NONE INT64_MIN /* "no time": the API said null */
#define PW_SECOND_MS INT64_C(1000)
#define PW_DAY_MS INT64_C(86400000)

struct pw_clock {
    int64_t (*wall_ms)(const struct pw_clock *clock); /* Unix milliseconds */
    int64_t (*monotonic_ms)(const struct pw_clock *clock);
};

/* The system's clock. It owns nothing and lives for ever. */
const struct pw_clock *pw_clock_system(void);

/* A clock that stands still until it is moved. */
struct pw_clock_manual {
    struct pw_clock clock;
    int64_t now_ms;
};
void pw_clock_manual_init(struct pw_clock_manual *manual, int64_t now_ms);

static inline int64_t pw_clock_wall_ms(const struct pw_clock *clock)
{
    return clock->wall_ms(clock);
}

static inline int64_t pw_clock_monotonic_ms(const struct pw_clock *clock)
{
    return clock->monotonic_ms(clock);
}

#define PW_ISO8601_SIZE 32
/* "2026-11-24T07:53:48.123Z" (RFC 3339, UTC) into out; a time outside the years 0 to 9999 gives its
 * number. Returns out. */
const char *pw_iso8601(char out[PW_ISO8601_SIZE], int64_t unix_ms);

#endif

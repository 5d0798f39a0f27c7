/* The system's clock, the clock that tests move, and ISO 8601. */
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(id, &now); /* cannot fail for these two ids */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall(const struct pw_clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic(const struct pw_clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

const struct pw_clock *pw_clock_system(void)
{
    static const struct pw_clock clock = {system_wall, system_monotonic};
    return &clock;
}

static int64_t manual_now(const struct pw_clock *clock)
{
    return ((const struct pw_clock_manual *)clock)->now_ms;
}

void pw_clock_manual_init(struct pw_clock_manual *manual, int64_t now_ms)
{
    manual->clock = (struct pw_clock){manual_now, manual_now};
    manual->now_ms = now_ms;
}

const char *pw_iso8601(char out[PW_ISO8601_SIZE], int64_t unix_ms)
{
    int64_t milliseconds = ((unix_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((unix_ms - milliseconds) / 1000);
    struct tm utc;
    size_t used;

    if (unix_ms < INT64_C(-62167219200000) || unix_ms > INT64_C(253402300799999) ||
        gmtime_r(&seconds, &utc) == NULL) {
        (void)snprintf(out, PW_ISO8601_SIZE, "%" PRId64, unix_ms);
        return out;
    }
    used = strftime(out, PW_ISO8601_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + used, PW_ISO8601_SIZE - used, ".%03dZ", (int)milliseconds);
    return out;
}

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
    int milliseconds = (int)(((unix_ms % 1000) + 1000) % 1000);
    time_t seconds;
    struct tm utc;
    size_t used;

    if (unix_ms < INT64_C(-62167219200000) || unix_ms > INT64_C(253402300799999))
        goto number;
    seconds = (time_t)((unix_ms - milliseconds) / 1000);
    if (gmtime_r(&seconds, &utc) == NULL)
        goto number;
    /* RFC 3339 wants four digits, and strftime's %Y writes the year 999 with three. */
    used = (size_t)snprintf(out, PW_ISO8601_SIZE, "%04u", (unsigned)(utc.tm_year + 1900) % 10000);
    used += strftime(out + used, PW_ISO8601_SIZE - used, "-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + used, PW_ISO8601_SIZE - used, ".%03dZ", milliseconds);
    return out;
number:
    (void)snprintf(out, PW_ISO8601_SIZE, "%" PRId64, unix_ms);
    return out;
}

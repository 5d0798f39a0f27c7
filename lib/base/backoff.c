/* Backoff with full jitter. */
#include "base/backoff.h"

#include <sys/random.h>
#include <time.h>

int64_t pw_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, int64_t floor_ms,
                      uint64_t random)
{
    int64_t top = base_ms;

    for (unsigned i = 1; i < attempt && top > 0 && top < cap_ms; i++)
        top = top > cap_ms / 2 ? cap_ms : top * 2;
    if (top > cap_ms)
        top = cap_ms;
    if (top <= floor_ms)
        return floor_ms;
    return floor_ms + (int64_t)(random % ((uint64_t)(top - floor_ms) + 1));
}

uint64_t pw_random(void)
{
    uint64_t value;
    struct timespec now = {0, 0};

    if (getrandom(&value, sizeof value, GRND_NONBLOCK) == (ssize_t)sizeof value)
        return value;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec * UINT64_C(0x9E3779B97F4A7C15);
}

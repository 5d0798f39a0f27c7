/* Multiplicative decrease, additive increase, as TCP does it (RFC 5681): it finds what a server
 * bears without being told. */
#include "coc/pace.h"

enum {
    FULL_SHARE = 1000,
    LEAST_SHARE = 10,
    SHARE_STEP = 50,      /* a twentieth back at a time */
    GOOD_ANSWERS = 20,    /* between two steps up, at full speed */
    UNLIMITED_COUNT = 50, /* where no rate was configured and the server complains: per second */
    SECOND_MS = 1000,
};

void pw_pace_configure(struct pw_pace *pace, int64_t rate_count, int64_t rate_period_ms,
                       int64_t concurrency)
{
    if (pace->share != 0 && pace->rate_count == rate_count &&
        pace->rate_period_ms == rate_period_ms && pace->concurrency == concurrency)
        return;
    *pace = (struct pw_pace){.rate_count = rate_count,
                             .rate_period_ms = rate_period_ms,
                             .concurrency = concurrency,
                             .share = FULL_SHARE,
                             .allowed = concurrency};
}

/* In proportion to the rate, so that a step takes the same time at any: from the least share back
 * to all of it would take hours else. */
static int64_t answers_needed(const struct pw_pace *pace)
{
    int64_t count = GOOD_ANSWERS * pace->share / FULL_SHARE;

    return count > 1 ? count : 1;
}

bool pw_pace_good(struct pw_pace *pace)
{
    if (pace->share == FULL_SHARE && pace->allowed == pace->concurrency)
        return false;
    if (++pace->good < answers_needed(pace))
        return false;
    pace->good = 0;
    if (pace->allowed < pace->concurrency)
        pace->allowed++;
    if (pace->share == FULL_SHARE)
        return false;
    pace->share = pace->share + SHARE_STEP < FULL_SHARE ? pace->share + SHARE_STEP : FULL_SHARE;
    return true;
}

struct pw_pace_mark pw_pace_mark(const struct pw_pace *pace)
{
    return (struct pw_pace_mark){pace->throttled, pace->strained};
}

bool pw_pace_throttled(struct pw_pace *pace, struct pw_pace_mark mark)
{
    if (mark.throttled != pace->throttled)
        return false;
    pace->throttled++;
    pw_pace_strained(pace, mark);
    if (pace->share == LEAST_SHARE)
        return false;
    pace->share = pace->share / 2 > LEAST_SHARE ? pace->share / 2 : LEAST_SHARE;
    return true;
}

void pw_pace_strained(struct pw_pace *pace, struct pw_pace_mark mark)
{
    pace->good = 0;
    if (mark.strained != pace->strained)
        return;
    pace->strained++;
    if (pace->allowed > 1)
        pace->allowed = (pace->allowed + 1) / 2;
}

void pw_pace_rate(const struct pw_pace *pace, int64_t *count, int64_t *period_ms)
{
    *count = pace->rate_count;
    *period_ms = pace->rate_period_ms;
    if (pace->share == FULL_SHARE)
        return;
    if (*count == 0) {
        *count = UNLIMITED_COUNT;
        *period_ms = SECOND_MS;
    }
    /* A longer period rather than a smaller count, so that nothing is lost to rounding. */
    *period_ms = *period_ms * FULL_SHARE / pace->share;
}

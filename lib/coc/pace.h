/* How fast a source is asked: slower at once where its server says "too many" (429) or stops
 * bearing the load, and step by step back to what was configured. Pure. */
#ifndef PW_COC_PACE_H
#define PW_COC_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pw_pace {
    /* as configured */
    int64_t rate_count; /* per rate_period_ms; 0 = no limit */
    int64_t rate_period_ms;
    int64_t concurrency;
    /* as of now */
    int64_t share;                /* of the configured rate, in thousandths; 1000 = all of it */
    int64_t allowed;              /* requests under way at once, 1 to concurrency */
    int64_t good;                 /* answers since the last change */
    unsigned throttled, strained; /* steps down so far, of either kind */
};

/* When an attempt began. */
struct pw_pace_mark {
    unsigned throttled, strained;
};

/* A configuration, new or reloaded: at full speed where it differs from the last one. */
void pw_pace_configure(struct pw_pace *pace, int64_t rate_count, int64_t rate_period_ms,
                       int64_t concurrency);

/* One attempt has ended. Both return true where the rate is another one now: then
 * pw_pace_rate says which. The requests that were under way together are refused together, and that
 * is one reason to go slower, not several: hence the mark of when each began. */
struct pw_pace_mark pw_pace_mark(const struct pw_pace *pace);
bool pw_pace_good(struct pw_pace *pace);                                /* it was answered */
bool pw_pace_throttled(struct pw_pace *pace, struct pw_pace_mark mark); /* 429 */
/* The server did not bear it (timeout, reset, 502 to 504): fewer at once, at the same rate. */
void pw_pace_strained(struct pw_pace *pace, struct pw_pace_mark mark);

/* The rate to go by: *count per *period_ms, 0 = no limit. */
void pw_pace_rate(const struct pw_pace *pace, int64_t *count, int64_t *period_ms);

#endif

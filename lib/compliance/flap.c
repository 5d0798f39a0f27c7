/* The share of changes, in whole numbers: a weight is in units of 1 / (10 · (window - 1)). */
#include "compliance/flap.h"

enum { OLDEST_TENTHS = 8, SPREAD_TENTHS = 4, PPM = 1000000 };

/* The intervals between the oldest and the newest sweep; a window of one has its one at the middle.
 */
static int64_t span_of(int64_t window)
{
    return window > 1 ? window - 1 : 2;
}

void pw_flap_note(struct pw_flap_tally *tally, int64_t age)
{
    int64_t span = span_of(tally->window);
    int64_t place = tally->window > 1 ? tally->window - 1 - age : 1;

    if (age < 0 || age >= tally->window)
        return;
    tally->changes++;
    tally->weight += OLDEST_TENTHS * span + SPREAD_TENTHS * place;
}

struct pw_flapping pw_flap_result(const struct pw_flap_tally *tally)
{
    int64_t whole = 10 * span_of(tally->window) * tally->window;
    int64_t share_ppm = tally->weight >= whole ? PPM : tally->weight * PPM / whole;

    return (struct pw_flapping){
        .changes = tally->changes, .sweeps = tally->window, .share_ppm = share_ppm};
}

/* The token bucket. Credit is kept in whole numbers: each millisecond earns `count` units, one
 * token costs `period_ms` units, so that nothing is lost to rounding. Owns its timer; the waiters
 * belong to those who wait. */
#include "http/throttle.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"

/* Keeps count × period within 64 bits; nobody limits to more than this on purpose. */
#define COUNT_MAX INT64_C(1000000)
#define PERIOD_MAX_MS PW_DAY_MS

struct pw_throttle {
    uv_timer_t timer;
    int64_t count; /* 0 = no limit */
    int64_t period_ms;
    int64_t credit;      /* units, at most burst × period_ms */
    uint64_t counted_at; /* loop time up to which credit was earned */
    struct pw_throttle_waiter *first, *last;
    bool is_closing;
};

static int64_t full_credit(const struct pw_throttle *throttle)
{
    int64_t burst = throttle->count * PW_SECOND_MS / throttle->period_ms;

    return (burst > 1 ? burst : 1) * throttle->period_ms;
}

static void earn(struct pw_throttle *throttle)
{
    uint64_t now = uv_now(throttle->timer.loop);
    int64_t full = full_credit(throttle);
    uint64_t passed_ms = now - throttle->counted_at;

    throttle->counted_at = now;
    if (throttle->count == 0)
        return;
    if (passed_ms > (uint64_t)((full - throttle->credit) / throttle->count))
        throttle->credit = full;
    else
        throttle->credit += (int64_t)passed_ms * throttle->count;
}

static bool take(struct pw_throttle *throttle)
{
    if (throttle->count == 0)
        return true;
    if (throttle->credit < throttle->period_ms)
        return false;
    throttle->credit -= throttle->period_ms;
    return true;
}

static void on_timer(uv_timer_t *timer);

/* Wakes us when the first in line can have its token. */
static void arm(struct pw_throttle *throttle)
{
    int64_t missing;

    if (throttle->is_closing)
        return;
    if (throttle->first == NULL) {
        (void)uv_timer_stop(&throttle->timer);
        return;
    }
    missing = throttle->count == 0 ? 0 : throttle->period_ms - throttle->credit;
    if (missing > 0)
        missing = (missing + throttle->count - 1) / throttle->count;
    (void)uv_timer_start(&throttle->timer, on_timer, missing > 0 ? (uint64_t)missing : 0, 0);
}

/* go() may put others into the line, take them out, change the limit or close the throttle. */
static void serve(struct pw_throttle *throttle)
{
    earn(throttle);
    while (throttle->first != NULL && take(throttle)) {
        struct pw_throttle_waiter *waiter = throttle->first;
        throttle->first = waiter->next;
        if (waiter->next != NULL)
            waiter->next->previous = NULL;
        else
            throttle->last = NULL;
        waiter->next = waiter->previous = NULL;
        waiter->in = NULL;
        waiter->go(waiter);
    }
    arm(throttle);
}

static void on_timer(uv_timer_t *timer)
{
    serve(timer->data);
}

static void set_limit(struct pw_throttle *throttle, int64_t count, int64_t period_ms)
{
    throttle->count = count < 0 ? 0 : count < COUNT_MAX ? count : COUNT_MAX;
    throttle->period_ms = period_ms < 1 ? 1 : period_ms < PERIOD_MAX_MS ? period_ms : PERIOD_MAX_MS;
}

enum pw_status pw_throttle_new(uv_loop_t *loop, int64_t count, int64_t period_ms,
                               struct pw_throttle **out, struct pw_error *err)
{
    struct pw_throttle *throttle = calloc(1, sizeof *throttle);

    *out = NULL;
    if (throttle == NULL)
        return pw_fail_nomem(err);
    (void)uv_timer_init(loop, &throttle->timer);
    throttle->timer.data = throttle;
    set_limit(throttle, count, period_ms);
    throttle->credit = full_credit(throttle);
    throttle->counted_at = uv_now(loop);
    *out = throttle;
    return PW_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void pw_throttle_close(struct pw_throttle *throttle)
{
    if (throttle == NULL || throttle->is_closing)
        return;
    throttle->is_closing = true;
    uv_close((uv_handle_t *)&throttle->timer, on_closed);
}

void pw_throttle_set(struct pw_throttle *throttle, int64_t count, int64_t period_ms)
{
    bool was_unlimited = throttle->count == 0;
    int64_t tokens, full;

    earn(throttle);
    tokens = throttle->credit / throttle->period_ms;
    set_limit(throttle, count, period_ms);
    full = full_credit(throttle);
    /* Whole tokens stay earned; the fraction under way is forgotten. */
    if (was_unlimited || tokens > full / throttle->period_ms)
        throttle->credit = full;
    else
        throttle->credit = tokens * throttle->period_ms;
    /* From the loop, since our caller does not expect go() to run under its feet. */
    arm(throttle);
}

void pw_throttle_wait(struct pw_throttle *throttle, struct pw_throttle_waiter *waiter)
{
    earn(throttle);
    if (throttle->first == NULL && take(throttle)) {
        waiter->next = waiter->previous = NULL;
        waiter->in = NULL;
        waiter->go(waiter);
        return;
    }
    waiter->in = throttle;
    waiter->next = NULL;
    waiter->previous = throttle->last;
    if (throttle->last != NULL)
        throttle->last->next = waiter;
    else
        throttle->first = waiter;
    throttle->last = waiter;
    if (throttle->first == waiter)
        arm(throttle);
}

void pw_throttle_forget(struct pw_throttle_waiter *waiter)
{
    struct pw_throttle *throttle = waiter->in;

    if (throttle == NULL)
        return;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        throttle->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        throttle->last = waiter->previous;
    waiter->next = waiter->previous = NULL;
    waiter->in = NULL;
    if (throttle->first == NULL)
        arm(throttle);
}

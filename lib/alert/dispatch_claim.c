/* Claiming what is due, as far as there are places, and starting it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alert/dispatch_lanes.h"
#include "base/failpoint.h"
#include "base/log.h"

enum {
    /* Where nothing could be claimed although something is said to be due. */
    EMPTY_CLAIM_MS = 1000,
    /* next_attempt_at is wall clock, which can be set: look at least this often. */
    LOOK_AT_LEAST_MS = 60000,
    /* How long an attempt may take beyond its timeout, until its outcome is stored. */
    LEASE_MORE_MS = 60000
};

static size_t places_used(const struct pw_lane *lane)
{
    return lane->slots_used + (lane->claiming ? lane->claim.max_attempts : 0);
}

/* How many more this lane may have: its own maximum, and of the common places those that are left
 * when every idle lane keeps one. A lane without any always gets one. */
static size_t free_places(const struct pw_dispatch *dispatch, const struct pw_lane *lane)
{
    size_t own = places_used(lane);
    size_t concurrency = (size_t)lane->hook->concurrency;
    size_t want = concurrency > own ? concurrency - own : 0;
    size_t taken = 0, left;

    for (const struct pw_lane *l = dispatch->lanes; l != NULL; l = l->next) {
        size_t used = places_used(l);

        taken += used == 0 && l != lane ? 1 : used;
    }
    left = taken < PW_DISPATCH_MAX_RUNS ? PW_DISPATCH_MAX_RUNS - taken : 0;
    if (want > left)
        want = left;
    return want == 0 && own == 0 ? 1 : want;
}

/* Keeps an attempt that was claimed in a slot until it is started. */
static void make_ready(struct pw_lane *lane, struct pw_delivery *list,
                       struct pw_generation *generation, const struct pw_hook_config *hook)
{
    struct pw_slot *slot = lane->slots;

    while (slot->state != PW_SLOT_FREE)
        slot++; /* there is one: the claim kept it */
    slot->lane = lane;
    slot->state = PW_SLOT_READY;
    slot->generation = generation;
    slot->hook = hook;
    slot->list = list;
    lane->slots_used++;
    pw_generation_use(generation);
}

static void start(struct pw_slot *slot)
{
    struct pw_dispatch *dispatch = slot->lane->dispatch;
    struct pw_error err = {PW_OK, ""};

    slot->state = PW_SLOT_RUNNING;
    if (pw_hook_kind_of(slot->hook)
            ->start(&dispatch->tools, slot->hook, slot->list, pw_slot_finish, slot, &slot->run,
                    &err) != PW_OK)
        pw_slot_conclude(slot,
                         &(struct pw_hook_result){.outcome = PW_HOOK_RETRY, .why = err.message});
}

void pw_dispatch_start_one(struct pw_dispatch *dispatch)
{
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        for (size_t i = 0; i < PW_HOOK_MAX_CONCURRENCY; i++) {
            if (lane->slots[i].state != PW_SLOT_READY)
                continue;
            if (dispatch->closing)
                pw_slot_clear(&lane->slots[i]); /* due again after the next start */
            else
                start(&lane->slots[i]);
            return;
        }
    }
}

/* The rate of a hook, as a debt (the generic cell rate algorithm): each attempt adds its share of
 * the period; up to a second's worth, or one attempt, may be in advance. */
static int64_t rate_step_us(const struct pw_hook_config *hook)
{
    return hook->rate_period_ms * 1000 / hook->rate_count;
}

size_t pw_lane_rate_left(const struct pw_lane *lane, int64_t now_ms, int64_t *at_ms)
{
    int64_t now_us = now_ms * 1000, step_us, burst_us, left;

    *at_ms = now_ms;
    if (lane->hook == NULL || lane->hook->rate_count <= 0)
        return PW_HOOK_MAX_CONCURRENCY;
    step_us = rate_step_us(lane->hook);
    if (step_us < 1)
        return PW_HOOK_MAX_CONCURRENCY;
    burst_us = step_us > 1000000 ? step_us : 1000000;
    left = lane->rate_paid_us > now_us ? (burst_us - (lane->rate_paid_us - now_us)) / step_us
                                       : burst_us / step_us;
    if (left > 0)
        return left < PW_HOOK_MAX_CONCURRENCY ? (size_t)left : PW_HOOK_MAX_CONCURRENCY;
    *at_ms = (lane->rate_paid_us - burst_us + step_us) / 1000 + 1;
    return 0;
}

static void pay_rate(struct pw_lane *lane, const struct pw_hook_config *hook, int64_t now_ms)
{
    if (hook->rate_count <= 0)
        return;
    if (lane->rate_paid_us < now_ms * 1000)
        lane->rate_paid_us = now_ms * 1000;
    lane->rate_paid_us += rate_step_us(hook);
}

/* Run on the store thread. */
static void claim_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_lane *lane =
        (struct pw_lane *)(void *)((char *)job - offsetof(struct pw_lane, claim_job));

    lane->claim_status = pw_outbox_claim(db, &lane->claim, &lane->claim_error);
}

static void claim_failed(struct pw_lane *lane, int64_t now_ms)
{
    int64_t delay_ms = pw_dispatch_delay_ms(++lane->claim_errors);

    if (strcmp(lane->claim_complaint, lane->claim_error.message) != 0) {
        (void)snprintf(lane->claim_complaint, sizeof lane->claim_complaint, "%s",
                       lane->claim_error.message);
        pw_log_err("hook %s: cannot read what it is owed, trying again: %s", lane->name,
                   lane->claim_error.message);
    }
    lane->due_ms = now_ms + delay_ms;
}

static void note_next_due(struct pw_lane *lane, int64_t now_ms)
{
    const struct pw_claim *claim = &lane->claim;
    int64_t wait_ms;

    lane->claim_errors = 0;
    lane->claim_complaint[0] = '\0';
    if (lane->look_again) {
        lane->due_ms = INT64_MIN;
        return;
    }
    if (claim->next_due_ms == PW_TIME_NONE) {
        lane->due_ms = PW_DISPATCH_NEVER;
        return;
    }
    if (claim->next_due_ms <= claim->now_ms)
        wait_ms = claim->list != NULL ? 0 : EMPTY_CLAIM_MS;
    else if (claim->next_due_ms - LOOK_AT_LEAST_MS >= claim->now_ms)
        wait_ms = LOOK_AT_LEAST_MS;
    else
        wait_ms = claim->next_due_ms - claim->now_ms;
    lane->due_ms = now_ms + wait_ms;
}

static void claim_done(struct pw_store_job *job)
{
    struct pw_lane *lane =
        (struct pw_lane *)(void *)((char *)job - offsetof(struct pw_lane, claim_job));
    struct pw_dispatch *dispatch = lane->dispatch;
    struct pw_generation *generation = lane->claim_generation;
    const struct pw_hook_config *hook = pw_alerts_hook(generation->alerts, lane->name);
    int64_t now_ms = pw_clock_monotonic_ms(dispatch->clock);
    struct pw_delivery *list = NULL;

    dispatch->jobs--;
    lane->is_off = lane->claim.is_off;
    if (lane->claim_status != PW_OK) {
        claim_failed(lane, now_ms);
    } else {
        note_next_due(lane, now_ms);
        list = lane->claim.list;
    }
    lane->claim.list = NULL;
    if (list != NULL)
        pw_failpoint("claim");
    while (list != NULL) {
        struct pw_delivery *attempt = list;

        list = attempt->next_attempt;
        attempt->next_attempt = NULL;
        if (dispatch->closing) {
            pw_delivery_free(attempt); /* claimed and not made: due again after the next start */
        } else {
            pay_rate(lane, hook, now_ms);
            make_ready(lane, attempt, generation, hook);
        }
    }
    lane->claiming = false;
    lane->look_again = false;
    pw_generation_release(generation);
    pw_dispatch_settle(dispatch);
}

static void claim(struct pw_lane *lane, size_t max)
{
    struct pw_dispatch *dispatch = lane->dispatch;

    lane->claiming = true;
    lane->look_again = false;
    lane->claim = (struct pw_claim){
        .hook = lane->name,
        .target = lane->hook->target,
        .router = &dispatch->current->alerts->router,
        .max_attempts = max,
        .now_ms = pw_clock_wall_ms(dispatch->clock),
        .lease_ms = lane->hook->timeout_ms + LEASE_MORE_MS,
        .groups_are_due = dispatch->groups_are_due,
    };
    lane->claim_generation = dispatch->current;
    pw_generation_use(dispatch->current);
    lane->claim_job = (struct pw_store_job){.run = claim_run, .done = claim_done};
    pw_dispatch_submit(dispatch, &lane->claim_job);
}

void pw_dispatch_pump(struct pw_dispatch *dispatch)
{
    int64_t now_ms = pw_clock_monotonic_ms(dispatch->clock);
    struct pw_lane **end = &dispatch->lanes;

    /* Another lane is the first each time, so that none always takes the last common places. */
    while (*end != NULL)
        end = &(*end)->next;
    if (dispatch->lanes != NULL && dispatch->lanes->next != NULL) {
        *end = dispatch->lanes;
        dispatch->lanes = dispatch->lanes->next;
        (*end)->next = NULL;
    }
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        size_t places, allowed;
        int64_t allowed_at_ms;

        if (lane->hook == NULL)
            continue;
        /* What is told again and what is new go one after the other: a problem that was read before
         * it ended must not be told after its end. */
        pw_resend_pump(lane, now_ms);
        if (pw_resend_is_busy(lane) || pw_resend_due_ms(lane) <= now_ms)
            continue;
        if (lane->claiming || lane->due_ms > now_ms ||
            lane->slots_used >= (size_t)lane->hook->concurrency)
            continue;
        allowed = pw_lane_rate_left(lane, now_ms, &allowed_at_ms);
        if (allowed == 0) {
            lane->due_ms = allowed_at_ms;
            continue;
        }
        places = free_places(dispatch, lane);
        if (places > 0)
            claim(lane, places < allowed ? places : allowed);
    }
}

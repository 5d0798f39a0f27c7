/* The life of dispatch: start, reload, idle, close; its one timer. Owns the lanes. */
#include "alert/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "alert/dispatch_lanes.h"
#include "base/log.h"

enum {
    DELAY_MIN_MS = 1000,
    DELAY_MAX_MS = 30000,
    START_AGAIN_MS = 1 /* a timer of 0 would go off in the same turn of the loop */
};

int64_t pw_dispatch_delay_ms(int64_t errors)
{
    int64_t delay_ms = DELAY_MIN_MS;

    for (int64_t i = 1; i < errors && delay_ms < DELAY_MAX_MS; i++)
        delay_ms *= 2;
    return delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS;
}

void pw_dispatch_submit(struct pw_dispatch *dispatch, struct pw_store_job *job)
{
    dispatch->jobs++;
    pw_store_submit(dispatch->store, job);
}

/* Lanes ---------------------------------------------------------------------------------------- */

static void lane_free(struct pw_lane *lane)
{
    pw_resend_free(lane);
    free(lane->name);
    free(lane);
}

static void lanes_free(struct pw_lane *lane)
{
    while (lane != NULL) {
        struct pw_lane *next = lane->next;

        lane_free(lane);
        lane = next;
    }
}

static struct pw_lane *find_lane(struct pw_dispatch *dispatch, const char *name)
{
    struct pw_lane *lane = dispatch->lanes;

    while (lane != NULL && strcmp(lane->name, name) != 0)
        lane = lane->next;
    return lane;
}

/* A lane for each hook that has none; PW_ENOMEM adds none. */
static enum pw_status add_lanes(struct pw_dispatch *dispatch, const struct pw_alerts *alerts)
{
    struct pw_lane *added = NULL;

    for (size_t i = 0; i < alerts->hook_count; i++) {
        struct pw_lane *lane;

        if (find_lane(dispatch, alerts->hooks[i].name) != NULL)
            continue;
        lane = calloc(1, sizeof *lane);
        if (lane == NULL || (lane->name = strdup(alerts->hooks[i].name)) == NULL) {
            free(lane);
            lanes_free(added);
            return PW_ENOMEM;
        }
        lane->dispatch = dispatch;
        lane->next = added;
        added = lane;
    }
    while (added != NULL) {
        struct pw_lane *lane = added;

        added = lane->next;
        lane->next = dispatch->lanes;
        dispatch->lanes = lane;
    }
    return PW_OK;
}

/* Points the lanes at the current generation; all of them look at once. */
static void bind_lanes(struct pw_dispatch *dispatch)
{
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        lane->hook = pw_alerts_hook(dispatch->current->alerts, lane->name);
        lane->due_ms = INT64_MIN;
        lane->look_again = true;
        if (pw_resend_bind(lane) != PW_OK)
            pw_log_err("hook %s: no memory to repeat what it was told", lane->name);
    }
}

/* Frees lanes of hooks that are gone, once they have ended what they had begun. */
static void reap_lanes(struct pw_dispatch *dispatch)
{
    struct pw_lane **at = &dispatch->lanes;

    while (*at != NULL) {
        struct pw_lane *lane = *at;

        if (lane->hook == NULL && !lane->claiming && lane->slots_used == 0 &&
            !pw_resend_is_busy(lane)) {
            *at = lane->next;
            lane_free(lane);
        } else {
            at = &lane->next;
        }
    }
}

/* Recovery ------------------------------------------------------------------------------------- */

/* Run on the store thread. */
static void recover_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_dispatch *dispatch =
        (struct pw_dispatch *)(void *)((char *)job - offsetof(struct pw_dispatch, recover_job));

    dispatch->recover_status =
        pw_outbox_recover(db, dispatch->recover_now_ms, &dispatch->recover_error);
}

static void recover_done(struct pw_store_job *job)
{
    struct pw_dispatch *dispatch =
        (struct pw_dispatch *)(void *)((char *)job - offsetof(struct pw_dispatch, recover_job));

    dispatch->jobs--;
    dispatch->recovering = false;
    if (dispatch->recover_status == PW_OK) {
        dispatch->recovered = true;
        if (!dispatch->closing)
            pw_generation_take_over(dispatch->current, false);
    } else {
        if (++dispatch->recover_errors == 1)
            pw_log_err("cannot read the deliveries that are owed, trying again: %s",
                       dispatch->recover_error.message);
        dispatch->recover_due_ms =
            pw_clock_monotonic_ms(dispatch->clock) + pw_dispatch_delay_ms(dispatch->recover_errors);
    }
    pw_dispatch_settle(dispatch);
}

/* Nothing is claimed before: recovery would make due again what we ourselves had claimed. */
static void recover(struct pw_dispatch *dispatch)
{
    if (dispatch->recovering || dispatch->recover_due_ms > pw_clock_monotonic_ms(dispatch->clock))
        return;
    dispatch->recovering = true;
    dispatch->recover_now_ms = pw_clock_wall_ms(dispatch->clock);
    dispatch->recover_job = (struct pw_store_job){.run = recover_run, .done = recover_done};
    pw_dispatch_submit(dispatch, &dispatch->recover_job);
}

/* Going on ------------------------------------------------------------------------------------- */

static size_t slots_used(const struct pw_dispatch *dispatch)
{
    size_t used = 0;

    for (const struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next)
        used += lane->slots_used + (pw_resend_is_busy(lane) ? 1 : 0);
    return used;
}

/* Stores again the outcomes that could not be stored, at their time or, while closing, at once. */
static void record_waiting(struct pw_dispatch *dispatch)
{
    int64_t now_ms = pw_clock_monotonic_ms(dispatch->clock);

    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        for (size_t i = 0; i < PW_HOOK_MAX_CONCURRENCY; i++) {
            struct pw_slot *slot = &lane->slots[i];

            if (slot->state == PW_SLOT_WAITING &&
                (dispatch->closing || slot->record_again_ms <= now_ms))
                pw_slot_record(slot);
        }
    }
}

static void stop_running(struct pw_dispatch *dispatch)
{
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        pw_resend_stop(lane);
        for (size_t i = 0; i < PW_HOOK_MAX_CONCURRENCY; i++) {
            struct pw_slot *slot = &lane->slots[i];

            if (slot->state != PW_SLOT_RUNNING || slot->stopped)
                continue;
            slot->stopped = true;
            pw_hook_kind_of(slot->hook)->stop(slot->run);
        }
    }
}

static void earlier(int64_t *at_ms, int64_t candidate_ms)
{
    if (candidate_ms < *at_ms)
        *at_ms = candidate_ms;
}

/* When something is to be done that no job or hook will wake us for. */
static int64_t next_wake_ms(const struct pw_dispatch *dispatch)
{
    int64_t at_ms = PW_DISPATCH_NEVER;

    if (dispatch->closing)
        earlier(&at_ms, dispatch->stop_at_ms);
    else if (dispatch->started && !dispatch->recovered && !dispatch->recovering)
        earlier(&at_ms, dispatch->recover_due_ms);
    for (const struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        /* A lane that is due and was given no place waits for one, not for the time. */
        if (dispatch->recovered && lane->hook != NULL && !lane->claiming &&
            lane->due_ms > pw_clock_monotonic_ms(dispatch->clock))
            earlier(&at_ms, lane->due_ms);
        for (size_t i = 0; i < PW_HOOK_MAX_CONCURRENCY; i++) {
            if (lane->slots[i].state == PW_SLOT_WAITING)
                earlier(&at_ms, lane->slots[i].record_again_ms);
            else if (lane->slots[i].state == PW_SLOT_READY)
                earlier(&at_ms, pw_clock_monotonic_ms(dispatch->clock) + START_AGAIN_MS);
        }
        /* One that is due and waits is begun when what it waits for is over. */
        if (dispatch->recovered && !dispatch->closing &&
            pw_resend_due_ms(lane) > pw_clock_monotonic_ms(dispatch->clock))
            earlier(&at_ms, pw_resend_due_ms(lane));
    }
    return at_ms;
}

static void on_timer(uv_timer_t *timer)
{
    struct pw_dispatch *dispatch = timer->data;

    pw_dispatch_start_one(dispatch);
    pw_dispatch_settle(dispatch);
}

static void set_timer(struct pw_dispatch *dispatch)
{
    int64_t at_ms = next_wake_ms(dispatch);
    int64_t now_ms = pw_clock_monotonic_ms(dispatch->clock);

    if (at_ms == PW_DISPATCH_NEVER)
        (void)uv_timer_stop(&dispatch->timer);
    else
        (void)uv_timer_start(&dispatch->timer, on_timer,
                             at_ms > now_ms ? (uint64_t)(at_ms - now_ms) : 0, 0);
}

static bool is_idle(const struct pw_dispatch *dispatch)
{
    int64_t now_ms = pw_clock_monotonic_ms(dispatch->clock);

    if (dispatch->jobs > 0 || !dispatch->started)
        return false;
    if (!dispatch->recovered)
        return dispatch->recover_due_ms > now_ms;
    for (const struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        if (lane->slots_used > 0 || (lane->hook != NULL && lane->due_ms <= now_ms))
            return false;
    }
    return true;
}

static void tell_idle(struct pw_dispatch *dispatch)
{
    void (*idle)(void *context) = dispatch->idle;

    if (idle == NULL || !is_idle(dispatch))
        return;
    dispatch->idle = NULL;
    idle(dispatch->idle_context);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_dispatch *dispatch = handle->data;
    void (*closed)(void *context) = dispatch->closed;
    void *context = dispatch->closed_context;

    lanes_free(dispatch->lanes);
    pw_generation_release(dispatch->current);
    free(dispatch);
    if (closed != NULL)
        closed(context);
}

static void settle_closing(struct pw_dispatch *dispatch)
{
    record_waiting(dispatch);
    if (dispatch->stop_at_ms <= pw_clock_monotonic_ms(dispatch->clock)) {
        dispatch->stop_at_ms = PW_DISPATCH_NEVER;
        stop_running(dispatch);
    }
    if (dispatch->jobs > 0 || slots_used(dispatch) > 0) {
        set_timer(dispatch);
    } else if (!dispatch->timer_closed) {
        dispatch->timer_closed = true;
        uv_close((uv_handle_t *)&dispatch->timer, on_closed);
    }
}

void pw_dispatch_settle(struct pw_dispatch *dispatch)
{
    if (dispatch->closing) {
        settle_closing(dispatch);
        return;
    }
    if (!dispatch->started)
        return;
    reap_lanes(dispatch);
    record_waiting(dispatch);
    if (dispatch->recovered)
        pw_dispatch_pump(dispatch);
    else
        recover(dispatch);
    set_timer(dispatch);
    tell_idle(dispatch);
}

/* The face ------------------------------------------------------------------------------------- */

enum pw_status pw_dispatch_new(const struct pw_hook_tools *tools, struct pw_store *store,
                               const struct pw_alerts *alerts, struct pw_dispatch **out,
                               struct pw_error *err)
{
    struct pw_dispatch *dispatch = calloc(1, sizeof *dispatch);

    *out = NULL;
    if (dispatch == NULL)
        return pw_fail_nomem(err);
    dispatch->tools = *tools;
    dispatch->store = store;
    dispatch->clock = tools->clock;
    dispatch->recover_due_ms = INT64_MIN;
    dispatch->current = pw_generation_new(dispatch, alerts);
    if (dispatch->current == NULL || add_lanes(dispatch, alerts) != PW_OK) {
        free(dispatch->current);
        free(dispatch);
        return pw_fail_nomem(err);
    }
    (void)uv_timer_init(tools->loop, &dispatch->timer); /* cannot fail */
    dispatch->timer.data = dispatch;
    bind_lanes(dispatch);
    *out = dispatch;
    return PW_OK;
}

void pw_dispatch_start(struct pw_dispatch *dispatch)
{
    dispatch->started = true;
    pw_dispatch_settle(dispatch);
}

void pw_dispatch_poke(struct pw_dispatch *dispatch)
{
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        lane->look_again = true;
        /* While the store fails, its delay stands. */
        if (lane->claim_errors == 0)
            lane->due_ms = INT64_MIN;
    }
    pw_dispatch_settle(dispatch);
}

enum pw_status pw_dispatch_use(struct pw_dispatch *dispatch, const struct pw_alerts *alerts,
                               void (*released)(void *context), void *context)
{
    struct pw_generation *old = dispatch->current;
    struct pw_generation *generation = pw_generation_new(dispatch, alerts);

    if (generation == NULL || add_lanes(dispatch, alerts) != PW_OK) {
        free(generation);
        return PW_ENOMEM;
    }
    dispatch->current = generation;
    bind_lanes(dispatch);
    pw_generation_retire(old, released, context);
    if (dispatch->recovered)
        pw_generation_take_over(dispatch->current, true);
    pw_dispatch_settle(dispatch);
    return PW_OK;
}

void pw_dispatch_when_idle(struct pw_dispatch *dispatch, void (*idle)(void *context), void *context)
{
    dispatch->idle = idle;
    dispatch->idle_context = context;
    dispatch->groups_are_due = true;
    for (struct pw_lane *lane = dispatch->lanes; lane != NULL; lane = lane->next) {
        if (lane->claim_errors == 0)
            lane->due_ms = INT64_MIN;
        lane->look_again = true;
    }
    if (!dispatch->closing)
        (void)uv_timer_start(&dispatch->timer, on_timer, 0, 0);
}

void pw_dispatch_close(struct pw_dispatch *dispatch, int64_t grace_ms,
                       void (*closed)(void *context), void *context)
{
    if (dispatch->closing)
        return;
    dispatch->closing = true;
    dispatch->idle = NULL;
    dispatch->closed = closed;
    dispatch->closed_context = context;
    dispatch->stop_at_ms = pw_clock_monotonic_ms(dispatch->clock) + (grace_ms > 0 ? grace_ms : 0);
    pw_dispatch_settle(dispatch);
}

/* From the end of an attempt to its stored outcome. An outcome that cannot be stored is kept and
 * tried again: forgetting it would run the hook a second time for nothing. */
#include <inttypes.h>
#include <stdio.h>

#include "alert/dispatch_lanes.h"
#include "base/backoff.h"
#include "base/log.h"

#define RETRY_BASE_MS PW_SECOND_MS
#define RETRY_CAP_MS (INT64_C(900) * PW_SECOND_MS)
#define RETRY_FLOOR_MS INT64_C(100)

enum {
    RECORD_AGAIN_MS = 1000,
    RECORD_TRIES_WHEN_AWAITED = 30 /* --once must end even where the disk stays full */
};

void pw_slot_clear(struct pw_slot *slot)
{
    struct pw_generation *generation = slot->generation;

    pw_delivery_free(slot->list);
    slot->list = NULL;
    slot->generation = NULL;
    slot->hook = NULL;
    slot->run = NULL;
    slot->stopped = slot->is_gone = false;
    slot->record_tries = 0;
    slot->state = PW_SLOT_FREE;
    slot->lane->slots_used--;
    pw_generation_release(generation); /* last, for it may call out */
}

static size_t count_of(const struct pw_delivery *list)
{
    size_t count = 0;

    for (; list != NULL; list = list->next)
        count++;
    return count;
}

/* "hook=pager event=… type=… node=… and 3 more" */
static const char *describe(char *out, size_t size_bytes, const struct pw_slot *slot)
{
    const struct pw_delivery *delivery = slot->list;
    size_t more = count_of(delivery->next);
    char node[256], others[32] = "";

    if (more > 0)
        (void)snprintf(others, sizeof others, " and %zu more", more);
    (void)snprintf(out, size_bytes, "hook=%s event=%s type=%s node=%s%s%s", delivery->hook,
                   delivery->uid, delivery->type,
                   pw_text_printable(node, sizeof node, delivery->node_key), others,
                   delivery->reminder > 0 ? " (reminder)" : "");
    return out;
}

/* Run on the store thread. */
static void record_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_slot *slot = (struct pw_slot *)(void *)((char *)job - offsetof(struct pw_slot, job));

    slot->job_status = PW_OK;
    if (slot->is_gone)
        slot->job_status = pw_outbox_turn_off(db, slot->hook->name, slot->hook->target, slot->why,
                                              slot->outcome.now_ms, &slot->job_error);
    if (slot->job_status == PW_OK)
        slot->job_status = pw_outbox_record(db, slot->list, &slot->outcome, &slot->job_error);
}

static void record_failed(struct pw_slot *slot)
{
    struct pw_dispatch *dispatch = slot->lane->dispatch;
    char what[768];

    slot->record_tries++;
    if (slot->record_tries == 1)
        pw_log_err("outcome not stored, trying again: %s: %s", describe(what, sizeof what, slot),
                   slot->job_error.message);
    if (dispatch->closing ||
        (dispatch->idle != NULL && slot->record_tries >= RECORD_TRIES_WHEN_AWAITED)) {
        pw_log_err("outcome given up, the delivery will be made again: %s",
                   describe(what, sizeof what, slot));
        pw_slot_clear(slot);
        return;
    }
    slot->state = PW_SLOT_WAITING;
    slot->record_again_ms = pw_clock_monotonic_ms(dispatch->clock) + RECORD_AGAIN_MS;
}

static void log_dead(const struct pw_slot *slot, const char *what)
{
    char span[32];

    pw_log_err("%s %s: it was tried for more than %s: %s",
               slot->outcome.dead == 1 ? "delivery is dead:" : "deliveries are dead:", what,
               pw_duration_text(span, sizeof span, slot->hook->retry_for_ms), slot->why);
}

static void record_done(struct pw_store_job *job)
{
    struct pw_slot *slot = (struct pw_slot *)(void *)((char *)job - offsetof(struct pw_slot, job));
    struct pw_lane *lane = slot->lane;
    char what[768];

    lane->dispatch->jobs--;
    if (slot->job_status != PW_OK) {
        record_failed(slot);
    } else {
        (void)describe(what, sizeof what, slot);
        if (slot->outcome.gone > 0)
            pw_log_warning("the delivery was dropped meanwhile, its outcome with it: %s", what);
        else if (slot->outcome.kind == PW_OUTCOME_DELIVERED)
            pw_log_info("delivered: %s", what);
        if (slot->outcome.dead > 0)
            log_dead(slot, what);
        pw_slot_clear(slot);
        /* The next one of this node may go now, or this one waits for its time. */
        lane->due_ms = INT64_MIN;
        lane->look_again = true;
    }
    pw_dispatch_settle(lane->dispatch);
}

void pw_slot_record(struct pw_slot *slot)
{
    slot->state = PW_SLOT_RECORDING;
    slot->job = (struct pw_store_job){.run = record_run, .done = record_done};
    pw_dispatch_submit(slot->lane->dispatch, &slot->job);
}

/* By the one that was tried most often: a new one that goes with it must not hurry it. */
static int64_t most_attempts(const struct pw_delivery *list)
{
    int64_t most = 1;

    for (; list != NULL; list = list->next) {
        if (list->attempts > most)
            most = list->attempts;
    }
    return most < 1000 ? most : 1000;
}

static void decide_failure(struct pw_slot *slot, const struct pw_hook_result *result)
{
    struct pw_outcome *outcome = &slot->outcome;
    int64_t attempts = most_attempts(slot->list);
    int64_t delay_ms =
        pw_backoff_ms((unsigned)attempts, RETRY_BASE_MS, RETRY_CAP_MS, RETRY_FLOOR_MS, pw_random());
    char what[768], wait[32];

    if (delay_ms < result->retry_after_ms)
        delay_ms = result->retry_after_ms < PW_DAY_MS ? result->retry_after_ms : PW_DAY_MS;
    (void)snprintf(slot->why, sizeof slot->why, "%s", result->why);
    (void)describe(what, sizeof what, slot);
    outcome->kind = result->outcome == PW_HOOK_REFUSED ? PW_OUTCOME_REFUSED : PW_OUTCOME_FAILED;
    outcome->why = slot->why;
    outcome->next_attempt_at_ms = outcome->now_ms + delay_ms;
    outcome->dead_before_ms = outcome->now_ms - slot->hook->retry_for_ms;
    slot->is_gone = result->outcome == PW_HOOK_GONE;
    if (slot->is_gone) { /* what it is owed waits until somebody turns it on again */
        outcome->next_attempt_at_ms = outcome->now_ms;
        outcome->dead_before_ms = INT64_MIN;
        pw_log_err("hook %s is off: its receiver says that it takes nothing any more: %s; what it "
                   "is owed is kept until its URL is changed or somebody reloads",
                   slot->hook->name, slot->why);
        return;
    }
    pw_log_warning("delivery failed: %s attempt=%" PRId64 ": %s; next attempt in %s", what,
                   attempts, slot->why, pw_duration_text(wait, sizeof wait, delay_ms));
}

void pw_slot_conclude(struct pw_slot *slot, const struct pw_hook_result *result)
{
    struct pw_dispatch *dispatch = slot->lane->dispatch;

    slot->run = NULL;
    if (slot->stopped) {
        char what[768];

        pw_log_notice("delivery stopped, it will be made again: %s",
                      describe(what, sizeof what, slot));
        pw_slot_clear(slot);
    } else {
        slot->outcome = (struct pw_outcome){
            .kind = PW_OUTCOME_DELIVERED,
            .router = &slot->generation->alerts->router,
            .now_ms = pw_clock_wall_ms(dispatch->clock),
        };
        if (result->outcome != PW_HOOK_DELIVERED)
            decide_failure(slot, result);
        pw_slot_record(slot);
    }
}

void pw_slot_finish(void *context, const struct pw_hook_result *result)
{
    struct pw_slot *slot = context;
    struct pw_dispatch *dispatch = slot->lane->dispatch;

    pw_slot_conclude(slot, result);
    pw_dispatch_settle(dispatch);
}

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
#define GIVE_UP_MS (INT64_C(3) * PW_DAY_MS)

enum {
    RECORD_AGAIN_MS = 1000,
    RECORD_TRIES_WHEN_AWAITED = 30 /* --once must end even where the disk stays full */
};

void pw_slot_clear(struct pw_slot *slot)
{
    struct pw_generation *generation = slot->generation;

    pw_delivery_free(slot->delivery);
    slot->delivery = NULL;
    slot->generation = NULL;
    slot->hook = NULL;
    slot->run = NULL;
    slot->stopped = false;
    slot->record_tries = 0;
    slot->state = PW_SLOT_FREE;
    slot->lane->slots_used--;
    pw_generation_release(generation); /* last, for it may call out */
}

/* "hook=pager event=… type=… node=…" */
static const char *describe(char *out, size_t size_bytes, const struct pw_slot *slot)
{
    const struct pw_delivery *delivery = slot->delivery;
    char node[256];

    (void)snprintf(out, size_bytes, "hook=%s event=%s type=%s node=%s", delivery->hook,
                   delivery->uid, delivery->type,
                   pw_text_printable(node, sizeof node, delivery->node_key));
    return out;
}

/* Run on the store thread. */
static void record_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_slot *slot = (struct pw_slot *)(void *)((char *)job - offsetof(struct pw_slot, job));
    int64_t id = slot->delivery->delivery_id;

    switch (slot->result) {
    case PW_RESULT_DELIVERED:
        slot->job_status = pw_outbox_delivered(db, id, slot->result_at_ms, &slot->job_error);
        break;
    case PW_RESULT_RETRY:
        slot->job_status =
            pw_outbox_retry(db, id, slot->next_attempt_at_ms, slot->why, &slot->job_error);
        break;
    case PW_RESULT_DEAD:
        slot->job_status = pw_outbox_dead(db, id, slot->why, &slot->job_error);
        break;
    }
}

static void record_failed(struct pw_slot *slot)
{
    struct pw_dispatch *dispatch = slot->lane->dispatch;
    char what[768];

    if (slot->job_status == PW_ENOTFOUND) {
        pw_log_warning("the delivery is gone, its outcome with it: %s",
                       describe(what, sizeof what, slot));
        pw_slot_clear(slot);
        return;
    }
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

static void record_done(struct pw_store_job *job)
{
    struct pw_slot *slot = (struct pw_slot *)(void *)((char *)job - offsetof(struct pw_slot, job));
    struct pw_lane *lane = slot->lane;
    char what[768];

    lane->dispatch->jobs--;
    if (slot->job_status != PW_OK) {
        record_failed(slot);
    } else {
        if (slot->result == PW_RESULT_DELIVERED)
            pw_log_info("delivered: %s", describe(what, sizeof what, slot));
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

static void decide_failure(struct pw_slot *slot, const char *why)
{
    const struct pw_delivery *delivery = slot->delivery;
    unsigned attempt = delivery->attempts < 1      ? 1
                       : delivery->attempts > 1000 ? 1000
                                                   : (unsigned)delivery->attempts;
    char what[768], wait[32];
    int64_t delay_ms;

    (void)snprintf(slot->why, sizeof slot->why, "%s", why);
    (void)describe(what, sizeof what, slot);
    if (slot->result_at_ms - delivery->created_at_ms > GIVE_UP_MS) {
        slot->result = PW_RESULT_DEAD;
        pw_log_err("delivery is dead: %s attempt=%" PRId64
                   ": %s; it was tried for more than 3 days",
                   what, delivery->attempts, slot->why);
        return;
    }
    delay_ms = pw_backoff_ms(attempt, RETRY_BASE_MS, RETRY_CAP_MS, RETRY_FLOOR_MS, pw_random());
    slot->result = PW_RESULT_RETRY;
    slot->next_attempt_at_ms = slot->result_at_ms + delay_ms;
    pw_log_warning("delivery failed: %s attempt=%" PRId64 ": %s; next attempt in %s", what,
                   delivery->attempts, slot->why, pw_duration_text(wait, sizeof wait, delay_ms));
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
        slot->result_at_ms = pw_clock_wall_ms(dispatch->clock);
        if (result->outcome == PW_HOOK_DELIVERED)
            slot->result = PW_RESULT_DELIVERED;
        else
            decide_failure(slot, result->why);
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

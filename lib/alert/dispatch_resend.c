/* Telling again what stands, for receivers that forget what they are not told again (Alertmanager
 * lets an alert expire): at intervals all open problems that the hook was told, and for a while
 * those that have ended. Nothing of it is recorded: it changes nothing that the table says. */
#include <stdlib.h>

#include "alert/dispatch_lanes.h"
#include "base/log.h"

#define ENDED_FOR_MS (INT64_C(300) * PW_SECOND_MS)
enum { RESEND_MAX = 100 };

struct pw_resend {
    struct pw_lane *lane;
    int64_t due_ms; /* monotonic */
    bool is_busy;   /* with the store or the hook */
    struct pw_generation *generation;
    const struct pw_hook_config *hook; /* of generation */
    struct pw_hook_run *run;
    struct pw_delivery *list;
    int64_t after_id, last_id;
    int64_t ended_since_ms;
    struct pw_store_job job;
    enum pw_status status;
    struct pw_error error;
    bool has_complained;
};

static int64_t interval_of(const struct pw_hook_config *hook)
{
    const struct pw_hook_kind *kind = hook != NULL ? pw_hook_kind_of(hook) : NULL;

    return kind != NULL && kind->resend_ms != NULL ? kind->resend_ms(hook) : 0;
}

enum pw_status pw_resend_bind(struct pw_lane *lane)
{
    if (interval_of(lane->hook) <= 0 || lane->resend != NULL)
        return PW_OK;
    lane->resend = calloc(1, sizeof *lane->resend);
    if (lane->resend == NULL)
        return PW_ENOMEM;
    lane->resend->lane = lane;
    lane->resend->due_ms = INT64_MIN;
    return PW_OK;
}

int64_t pw_resend_due_ms(const struct pw_lane *lane)
{
    const struct pw_resend *resend = lane->resend;

    return resend == NULL || resend->is_busy || interval_of(lane->hook) <= 0 ? PW_DISPATCH_NEVER
                                                                             : resend->due_ms;
}

bool pw_resend_is_busy(const struct pw_lane *lane)
{
    return lane->resend != NULL && lane->resend->is_busy;
}

void pw_resend_stop(struct pw_lane *lane)
{
    if (lane->resend != NULL && lane->resend->run != NULL)
        pw_hook_kind_of(lane->resend->hook)->stop(lane->resend->run);
}

void pw_resend_free(struct pw_lane *lane)
{
    free(lane->resend);
    lane->resend = NULL;
}

static void read_next(struct pw_resend *resend);

static void end_round(struct pw_resend *resend)
{
    struct pw_dispatch *dispatch = resend->lane->dispatch;
    struct pw_generation *generation = resend->generation;
    int64_t interval_ms = interval_of(resend->hook);

    resend->is_busy = false;
    resend->generation = NULL;
    resend->hook = NULL;
    resend->due_ms =
        pw_clock_monotonic_ms(dispatch->clock) + (interval_ms > 0 ? interval_ms : PW_SECOND_MS);
    resend->lane->due_ms = INT64_MIN; /* what came meanwhile waited */
    pw_generation_release(generation);
    pw_dispatch_settle(dispatch);
}

static void complain(struct pw_resend *resend, const char *why)
{
    if (!resend->has_complained)
        pw_log_warning("hook %s: what it was told cannot be repeated: %s", resend->lane->name, why);
    resend->has_complained = true;
}

static void on_sent(void *context, const struct pw_hook_result *result)
{
    struct pw_resend *resend = context;
    /* One that the receiver takes offence at must not keep back those of the pages behind it. */
    bool goes_on = result->outcome == PW_HOOK_DELIVERED || result->outcome == PW_HOOK_REFUSED;

    resend->run = NULL;
    pw_delivery_free(resend->list);
    resend->list = NULL;
    if (result->outcome == PW_HOOK_DELIVERED)
        resend->has_complained = false;
    else
        complain(resend, result->why);
    if (goes_on && resend->last_id != 0 && !resend->lane->dispatch->closing) {
        resend->after_id = resend->last_id;
        read_next(resend);
    } else {
        end_round(resend);
    }
}

/* Run on the store thread. */
static void read_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_resend *resend =
        (struct pw_resend *)(void *)((char *)job - offsetof(struct pw_resend, job));

    resend->status =
        pw_outbox_standing(db, resend->hook->name, resend->ended_since_ms, resend->after_id,
                           RESEND_MAX, &resend->list, &resend->last_id, &resend->error);
}

static void read_done(struct pw_store_job *job)
{
    struct pw_resend *resend =
        (struct pw_resend *)(void *)((char *)job - offsetof(struct pw_resend, job));
    struct pw_dispatch *dispatch = resend->lane->dispatch;
    struct pw_error err = {PW_OK, ""};

    dispatch->jobs--;
    if (resend->status != PW_OK)
        complain(resend, resend->error.message);
    if (resend->status == PW_OK && resend->list != NULL && !dispatch->closing &&
        !resend->lane->is_off) {
        if (pw_hook_kind_of(resend->hook)
                ->start(&dispatch->tools, resend->hook, resend->list, on_sent, resend, &resend->run,
                        &err) == PW_OK)
            return;
        complain(resend, err.message);
    }
    pw_delivery_free(resend->list);
    resend->list = NULL;
    end_round(resend);
}

static void read_next(struct pw_resend *resend)
{
    resend->job = (struct pw_store_job){.run = read_run, .done = read_done};
    pw_dispatch_submit(resend->lane->dispatch, &resend->job);
}

void pw_resend_pump(struct pw_lane *lane, int64_t now_ms)
{
    struct pw_resend *resend = lane->resend;

    if (resend == NULL || pw_resend_due_ms(lane) > now_ms || lane->claiming || lane->slots_used > 0)
        return;
    resend->is_busy = true;
    resend->generation = lane->dispatch->current;
    pw_generation_use(resend->generation);
    resend->hook = lane->hook;
    resend->after_id = 0;
    resend->ended_since_ms = pw_clock_wall_ms(lane->dispatch->clock) - ENDED_FOR_MS;
    read_next(resend);
}

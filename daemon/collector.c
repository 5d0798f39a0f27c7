/* The collector: timer → sweep → apply, and round again; from its opening to its close. */
#include "daemon/collector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "daemon/collecting.h"
#include "store/snapshot.h"

enum {
    REOPEN_MS = 5000, /* between attempts to open the source where the database fails */
    CREDENTIAL_LOOK_MS = 5000,
    PAUSED_LOOK_MS = 1000, /* whether the pause is over */
    REFUSED_WAIT_MS = 5 * 60 * 1000,
    REFUSED_WAIT_MAX_MS = 60 * 60 * 1000,
};

static const char *state_name(enum pw_collector_state state)
{
    static const char *const names[] = {"new",      "opening",  "idle",  "beginning",
                                        "sweeping", "applying", "closed"};
    return names[state];
}

static void set_state(struct pw_collector *collector, enum pw_collector_state state)
{
    pw_log_debug("%s: %s -> %s", pw_collector_name(collector), state_name(collector->state),
                 state_name(state));
    collector->state = state;
}

const char *pw_collector_name(const struct pw_collector *collector)
{
    return collector->params.source->name;
}

const struct pw_source_config *pw_collector_source(const struct pw_collector *collector)
{
    return collector->params.source;
}

/* Closing ---------------------------------------------------------------------------------------
 */

static void free_collector(struct pw_collector *collector)
{
    pw_batch_free(&collector->batch);
    pw_index_free(collector->index);
    pw_throttle_close(collector->throttle);
    collector->closed(collector->closed_context);
    free(collector);
}

static void part_closed(void *context)
{
    struct pw_collector *collector = context;

    if (--collector->closing_parts == 0 && collector->state == STATE_CLOSED)
        free_collector(collector);
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void close_credentials(struct pw_collector *collector)
{
    if (collector->credentials == NULL)
        return;
    collector->closing_parts++;
    pw_credentials_close(collector->credentials, part_closed, collector);
    collector->credentials = NULL;
}

bool pw_collector_is_settled(const struct pw_collector *collector)
{
    return collector->closing_parts == 0;
}

/* True where it is closing and nothing is on its way any more. */
static bool closed_at_rest(struct pw_collector *collector)
{
    if (!collector->is_closing)
        return false;
    set_state(collector, STATE_CLOSED);
    collector->closing_parts++;
    close_credentials(collector);
    uv_close((uv_handle_t *)&collector->timer, on_timer_closed);
    return true;
}

void pw_collector_close(struct pw_collector *collector, void (*closed)(void *context),
                        void *context)
{
    collector->is_closing = true;
    collector->closed = closed;
    collector->closed_context = context;
    (void)uv_timer_stop(&collector->timer);
    /* First, so that a sweep that waits for a credential need not wait any more. */
    close_credentials(collector);
    if (collector->sweep != NULL)
        pw_sweep_cancel(collector->sweep);
    else if (collector->details != NULL)
        pw_details_cancel(collector->details);
    else if (collector->state == STATE_IDLE || collector->state == STATE_NEW)
        (void)closed_at_rest(collector);
}

/* The time of the next sweep ------------------------------------------------------------------ */

static void begin_sweep(struct pw_collector *collector);

static void on_due(uv_timer_t *timer)
{
    struct pw_collector *collector = timer->data;
    int64_t left_ms = collector->due_monotonic_ms - pw_clock_monotonic_ms(collector->params.clock);

    if (collector->waits_for_credential && left_ms > 0 && collector->credentials != NULL &&
        !pw_credentials_changed(collector->credentials)) {
        pw_collecting_set_timer(collector);
        return;
    }
    begin_sweep(collector);
}

void pw_collecting_set_timer(struct pw_collector *collector)
{
    int64_t left_ms = collector->due_monotonic_ms - pw_clock_monotonic_ms(collector->params.clock);

    if (left_ms < 0)
        left_ms = 0;
    if (collector->waits_for_credential && left_ms > CREDENTIAL_LOOK_MS)
        left_ms = CREDENTIAL_LOOK_MS;
    (void)uv_timer_start(&collector->timer, on_due, (uint64_t)left_ms, 0);
}

/* How far into its interval a source stands, by its name: the same after every start, another one
 * for every source, so that many do not ask at once. Within ±spread_ms. */
static int64_t splay_ms(const struct pw_collector *collector, int64_t spread_ms)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325); /* FNV-1a */

    for (const char *p = pw_collector_name(collector); *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001B3);
    return (int64_t)(hash % (uint64_t)(2 * spread_ms + 1)) - spread_ms;
}

/* A refused credential is not shown again soon: five failures lock an access key. */
static int64_t refused_wait_ms(struct pw_collector *collector)
{
    int64_t wait_ms = REFUSED_WAIT_MS;

    for (int64_t i = 1; i < collector->auth_failures && wait_ms < REFUSED_WAIT_MAX_MS; i++)
        wait_ms *= 2;
    return wait_ms < REFUSED_WAIT_MAX_MS ? wait_ms : REFUSED_WAIT_MAX_MS;
}

static void open_source(struct pw_collector *collector);

/* Goes by another configuration from now on. True where it names another endpoint: what was found
 * out about the old one, such as its offset mode, must be asked of the database anew. */
static bool take_source(struct pw_collector *collector, const struct pw_source_config *source)
{
    bool is_elsewhere = strcmp(collector->params.source->endpoint, source->endpoint) != 0;
    int64_t count, period_ms;

    collector->params.source = source;
    pw_pace_configure(&collector->pace, source->rate_count, source->rate_period_ms,
                      source->concurrency);
    pw_pace_rate(&collector->pace, &count, &period_ms);
    pw_throttle_set(collector->throttle, count, period_ms);
    close_credentials(collector); /* they read the configuration that is to be freed */
    collector->waits_for_credential = false;
    collector->auth_failures = 0; /* the guard remembers what was refused */
    return is_elsewhere;
}

static void reopen_source(struct pw_collector *collector)
{
    pw_index_free(collector->index);
    collector->index = NULL;
    open_source(collector);
}

void pw_collecting_rest(struct pw_collector *collector)
{
    const struct pw_source_config *source;
    int64_t spread, wait, took;
    bool is_elsewhere = false, was_refused = collector->summary.auth_failed, is_new = false;
    bool is_at_once = collector->sweeps_again;

    collector->sweeps_again = false;
    set_state(collector, STATE_IDLE);
    if (collector->next_source != NULL) {
        is_new = true;
        is_elsewhere = take_source(collector, collector->next_source);
        collector->next_source = NULL;
    }
    if (closed_at_rest(collector))
        return;
    if (collector->once) {
        if (is_at_once)
            begin_sweep(collector);
        return;
    }
    if (is_elsewhere) {
        reopen_source(collector);
        return;
    }
    source = collector->params.source;
    spread = source->interval_ms * source->jitter_percent / 100;
    took = pw_clock_monotonic_ms(collector->params.clock) - collector->started_monotonic_ms;
    wait = source->interval_ms - took;
    if (spread > 0) {
        wait += collector->is_splayed ? (int64_t)(pw_random() % (uint64_t)(2 * spread + 1)) - spread
                                      : splay_ms(collector, spread);
        collector->is_splayed = true;
    }
    /* A sweep that took longer than the interval is followed by a breath, not by the next at once.
     */
    if (wait < source->interval_ms / 10)
        wait = source->interval_ms / 10;
    if (collector->is_asked)
        wait = 0;
    collector->waits_for_credential = was_refused && !is_new;
    if (was_refused && is_new) {
        wait = 0; /* it may name another credential; if not, the guard does not show it */
    } else if (was_refused) {
        collector->auth_failures++;
        if (wait < refused_wait_ms(collector) && !collector->is_asked)
            wait = refused_wait_ms(collector);
    } else {
        collector->auth_failures = 0;
    }
    if (is_at_once && !was_refused)
        wait = 0;
    collector->due_monotonic_ms = pw_clock_monotonic_ms(collector->params.clock) + wait;
    pw_collecting_set_timer(collector);
}

void pw_collecting_give_up(struct pw_collector *collector, const char *why)
{
    pw_log_err("%s: no sweep: %s", pw_collector_name(collector), why);
    collector->outcome = PW_SWEEP_FAILED;
    (void)snprintf(collector->summary.reason, sizeof collector->summary.reason, "%s", why);
    pw_collecting_rest(collector);
    if (!collector->is_closing)
        collector->params.swept(collector->params.context, collector, PW_SWEEP_FAILED, 0);
}

/* Opening ------------------------------------------------------------------------------------- */

struct open_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    struct pw_source_row row;
    struct pw_index *index;
    enum pw_status status;
    struct pw_error error;
};

static void open_run(struct pw_store_job *job, struct pw_db *db)
{
    struct open_job *open = (struct open_job *)job;
    const struct pw_source_config *source = open->collector->params.source;

    open->status = pw_source_open(db, source->name, source->endpoint, &open->row, &open->error);
    if (open->status == PW_OK)
        open->status = pw_index_load(db, open->row.source_id, open->index, &open->error);
}

static void on_reopen(uv_timer_t *timer)
{
    open_source(timer->data);
}

static void open_done(struct pw_store_job *job)
{
    struct open_job *open = (struct open_job *)job;
    struct pw_collector *collector = open->collector;

    if (open->status == PW_OK) {
        collector->index = open->index;
        collector->source_id = open->row.source_id;
        collector->offset_mode = pw_paging_mode_of(pw_offset_mode_name(open->row.offset_mode));
        pw_log_debug("%s: %zu current reports", pw_collector_name(collector),
                     pw_index_count(collector->index));
        set_state(collector, STATE_IDLE);
        if (!closed_at_rest(collector))
            begin_sweep(collector);
    } else {
        pw_index_free(open->index);
        pw_log_err("%s: cannot read the snapshot: %s", pw_collector_name(collector),
                   open->error.message);
        collector->params.troubled(collector->params.context, open->status, open->error.message);
        set_state(collector, STATE_NEW);
        if (!closed_at_rest(collector)) {
            if (collector->once)
                collector->params.swept(collector->params.context, collector, PW_SWEEP_FAILED, 0);
            else
                (void)uv_timer_start(&collector->timer, on_reopen, REOPEN_MS, 0);
        }
    }
    free(open);
}

static void open_source(struct pw_collector *collector)
{
    struct open_job *open = calloc(1, sizeof *open);
    struct pw_index *index = pw_index_new();

    if (open == NULL || index == NULL) {
        free(open);
        pw_index_free(index);
        pw_log_err("%s: out of memory", pw_collector_name(collector));
        (void)uv_timer_start(&collector->timer, on_reopen, REOPEN_MS, 0);
        return;
    }
    set_state(collector, STATE_OPENING);
    open->job.run = open_run;
    open->job.done = open_done;
    open->collector = collector;
    open->index = index;
    pw_store_submit(collector->params.store, &open->job);
}

/* Sweeping ------------------------------------------------------------------------------------ */

static void on_sweep_done(void *context, const struct pw_sweep_summary *summary)
{
    struct pw_collector *collector = context;

    collector->sweep = NULL;
    collector->summary = *summary;
    if (collector->credentials != NULL && !pw_collecting_wants_details(collector))
        pw_credentials_rest(collector->credentials);
    set_state(collector, STATE_APPLYING);
    pw_collecting_apply(collector);
}

struct begin_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    struct pw_unended unended;
    int64_t sweep_id;
    enum pw_status status;
    struct pw_error error;
};

/* Its row must say what happened, before pw_apply_begin takes it for one that a dead process left.
 */
static void end_unended(const struct pw_unended *unended, struct pw_db *db)
{
    struct pw_sweep_facts facts = {
        .outcome = unended->outcome,
        .reported_count = PW_COUNT_NONE,
        .reason = unended->was_full ? "disk is full" : "the database refused the changes",
    };
    struct pw_error error;

    if (unended->sweep_id != 0 &&
        pw_apply_abort(db, unended->sweep_id, &facts, unended->ended_ms, &error) != PW_OK)
        pw_log_debug("sweep %lld is still not ended: %s", (long long)unended->sweep_id,
                     error.message);
}

static void begin_run(struct pw_store_job *job, struct pw_db *db)
{
    struct begin_job *begin = (struct begin_job *)job;

    end_unended(&begin->unended, db);
    begin->status = pw_apply_begin(db, begin->collector->source_id, begin->collector->started_ms,
                                   &begin->sweep_id, &begin->error);
}

static void begin_done(struct pw_store_job *job)
{
    struct begin_job *begin = (struct begin_job *)job;
    struct pw_collector *collector = begin->collector;
    struct pw_sweep_params params = {
        .loop = collector->params.loop,
        .http = collector->params.http,
        .throttle = collector->throttle,
        .pace = &collector->pace,
        .credentials = collector->credentials,
        .clock = collector->params.clock,
        .source = collector->params.source,
        .index = collector->index,
        .connection_share = collector->params.connection_share(collector->params.context),
        .remembered = collector->offset_mode,
        .context = collector,
        .stage = pw_collecting_stage,
        .done = on_sweep_done,
    };
    struct pw_error error = begin->error;
    enum pw_status status = begin->status;

    collector->sweep_id = begin->sweep_id;
    free(begin);
    if (status == PW_OK)
        collector->unended.sweep_id = 0;
    else
        collector->params.troubled(collector->params.context, status, error.message);
    if (status == PW_OK && collector->is_closing) {
        /* Its row is there, so it ends like a sweep that was stopped. */
        collector->summary = (struct pw_sweep_summary){
            .was_canceled = true, .reported_count = -1, .reason = "stopped before its end"};
        set_state(collector, STATE_APPLYING);
        pw_collecting_apply(collector);
        return;
    }
    if (status == PW_OK)
        status = pw_sweep_start(&params, &collector->sweep, &error);
    if (status != PW_OK) {
        pw_collecting_give_up(collector, error.message);
        return;
    }
    set_state(collector, STATE_SWEEPING);
}

static void begin_sweep(struct pw_collector *collector)
{
    struct begin_job *begin;
    struct pw_error error;

    if (!collector->once && collector->params.is_paused(collector->params.context)) {
        (void)uv_timer_start(&collector->timer, on_due, PAUSED_LOOK_MS, 0);
        return;
    }
    collector->is_asked = false;
    collector->begun++;
    collector->sweep_id = 0;
    collector->changed = collector->transitions = 0;
    begin = calloc(1, sizeof *begin);
    collector->started_ms = pw_clock_wall_ms(collector->params.clock);
    collector->started_monotonic_ms = pw_clock_monotonic_ms(collector->params.clock);
    collector->stage_error = (struct pw_error){0};
    collector->summary = (struct pw_sweep_summary){0};
    if (begin == NULL ||
        (collector->credentials == NULL &&
         pw_credentials_new(collector->params.loop, collector->params.http, collector->params.clock,
                            collector->params.guard, collector->params.source,
                            &collector->credentials, &error) != PW_OK)) {
        free(begin);
        pw_collecting_give_up(collector, "out of memory");
        return;
    }
    set_state(collector, STATE_BEGINNING);
    begin->job.run = begin_run;
    begin->job.done = begin_done;
    begin->collector = collector;
    begin->unended = collector->unended;
    pw_store_submit(collector->params.store, &begin->job);
}

/* Birth -----------------------------------------------------------------------------------------
 */

enum pw_status pw_collector_new(const struct pw_collector_params *params, struct pw_collector **out,
                                struct pw_error *err)
{
    struct pw_collector *collector = calloc(1, sizeof *collector);
    enum pw_status status;

    *out = NULL;
    if (collector == NULL)
        return pw_fail_nomem(err);
    collector->params = *params;
    status = pw_throttle_new(params->loop, params->source->rate_count,
                             params->source->rate_period_ms, &collector->throttle, err);
    if (status != PW_OK) {
        free(collector);
        return status;
    }
    pw_pace_configure(&collector->pace, params->source->rate_count, params->source->rate_period_ms,
                      params->source->concurrency);
    pw_batch_init(&collector->batch);
    (void)uv_timer_init(params->loop, &collector->timer); /* cannot fail */
    collector->timer.data = collector;
    *out = collector;
    return PW_OK;
}

void pw_collector_start(struct pw_collector *collector, bool once)
{
    collector->once = once;
    open_source(collector);
}

void pw_collector_use(struct pw_collector *collector, const struct pw_source_config *source)
{
    bool was_waiting = collector->waits_for_credential;
    int64_t due_ms;

    if (collector->state != STATE_IDLE) {
        collector->next_source = source;
        return;
    }
    if (take_source(collector, source)) {
        (void)uv_timer_stop(&collector->timer);
        reopen_source(collector);
        return;
    }
    /* A shorter interval brings the next sweep forward, and so does another configuration where the
     * credential of the old one was refused; nothing ever puts it off. */
    due_ms = collector->started_monotonic_ms + (was_waiting ? 0 : source->interval_ms);
    if (due_ms < collector->due_monotonic_ms) {
        collector->due_monotonic_ms = due_ms;
        pw_collecting_set_timer(collector);
    }
}

/* The collector: timer → sweep → apply → index, and round again. */
#include "daemon/collector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "coc/sweep.h"
#include "compliance/batch.h"
#include "store/snapshot.h"

enum {
    STAGE_REPORTS = 2000, /* records handed to the store thread at a time */
    MAX_STAGE_JOBS = 4,   /* the sweep waits while more than these are on their way */
    REOPEN_MS = 5000,     /* between attempts to open the source where the database fails */
};

enum state {
    STATE_NEW,
    STATE_OPENING,
    STATE_IDLE,
    STATE_BEGINNING,
    STATE_SWEEPING,
    STATE_APPLYING,
    STATE_CLOSED
};

struct pw_collector {
    struct pw_collector_params params;
    enum state state;
    bool once, is_closing;
    struct pw_index *index;
    struct pw_throttle *throttle;
    const struct pw_source_config *next_source; /* of a reload, for the next sweep */
    struct pw_sweep *sweep;
    uv_timer_t timer;
    int64_t source_id, sweep_id;
    int64_t started_ms, started_monotonic_ms;
    int64_t due_monotonic_ms;        /* while it rests: when the next sweep begins */
    enum pw_paging_mode offset_mode; /* proved by an earlier sweep */
    struct pw_batch batch;           /* not handed over yet */
    size_t stage_jobs;
    struct pw_error stage_error; /* of the first stage job that failed */
    struct pw_sweep_summary summary;
    void (*closed)(void *context);
    void *closed_context;
};

static void finish_if_staged(struct pw_collector *collector);

static const char *state_name(enum state state)
{
    static const char *const names[] = {"new",      "opening",  "idle",  "beginning",
                                        "sweeping", "applying", "closed"};
    return names[state];
}

static void set_state(struct pw_collector *collector, enum state state)
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

static void on_timer_closed(uv_handle_t *handle)
{
    struct pw_collector *collector = handle->data;

    pw_batch_free(&collector->batch);
    pw_index_free(collector->index);
    pw_throttle_close(collector->throttle);
    collector->closed(collector->closed_context);
    free(collector);
}

/* True where it is closing and nothing is on its way any more. */
static bool closed_at_rest(struct pw_collector *collector)
{
    if (!collector->is_closing)
        return false;
    set_state(collector, STATE_CLOSED);
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
    if (collector->sweep != NULL)
        pw_sweep_cancel(collector->sweep);
    else if (collector->state == STATE_IDLE || collector->state == STATE_NEW)
        (void)closed_at_rest(collector);
}

/* The time of the next sweep ------------------------------------------------------------------ */

static void begin_sweep(struct pw_collector *collector);

static void on_due(uv_timer_t *timer)
{
    begin_sweep(timer->data);
}

static void take_source(struct pw_collector *collector, const struct pw_source_config *source)
{
    collector->params.source = source;
    pw_throttle_set(collector->throttle, source->rate_count, source->rate_period_ms);
}

static void rest(struct pw_collector *collector)
{
    const struct pw_source_config *source;
    int64_t spread, wait, took;

    set_state(collector, STATE_IDLE);
    if (collector->next_source != NULL) {
        take_source(collector, collector->next_source);
        collector->next_source = NULL;
    }
    if (closed_at_rest(collector) || collector->once)
        return;
    source = collector->params.source;
    spread = source->interval_ms * source->jitter_percent / 100;
    took = pw_clock_monotonic_ms(collector->params.clock) - collector->started_monotonic_ms;
    wait = source->interval_ms - took;
    if (spread > 0)
        wait += (int64_t)(pw_random() % (uint64_t)(2 * spread + 1)) - spread;
    /* A sweep that took longer than the interval is followed by a breath, not by the next at once.
     */
    if (wait < source->interval_ms / 10)
        wait = source->interval_ms / 10;
    collector->due_monotonic_ms = pw_clock_monotonic_ms(collector->params.clock) + wait;
    (void)uv_timer_start(&collector->timer, on_due, (uint64_t)wait, 0);
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

static void open_source(struct pw_collector *collector);

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

static void give_up_sweep(struct pw_collector *collector, const char *why)
{
    pw_log_err("%s: no sweep: %s", pw_collector_name(collector), why);
    rest(collector);
    if (!collector->is_closing)
        collector->params.swept(collector->params.context, collector, PW_SWEEP_FAILED, 0);
}

/* Staging ------------------------------------------------------------------------------------- */

struct stage_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    int64_t sweep_id;
    struct pw_batch batch;
    enum pw_status status;
    struct pw_error error;
};

static void stage_run(struct pw_store_job *job, struct pw_db *db)
{
    struct stage_job *stage = (struct stage_job *)job;

    stage->status = pw_apply_stage(db, stage->sweep_id, stage->batch.reports, stage->batch.count,
                                   &stage->error);
}

static void stage_done(struct pw_store_job *job)
{
    struct stage_job *stage = (struct stage_job *)job;
    struct pw_collector *collector = stage->collector;

    collector->stage_jobs--;
    if (stage->status != PW_OK && collector->stage_error.status == PW_OK)
        collector->stage_error = stage->error;
    pw_batch_free(&stage->batch);
    free(stage);
    if (collector->sweep != NULL && collector->stage_jobs < MAX_STAGE_JOBS)
        pw_sweep_hold(collector->sweep, false);
    finish_if_staged(collector);
}

static enum pw_status hand_over(struct pw_collector *collector)
{
    struct stage_job *stage;

    if (collector->batch.count == 0)
        return PW_OK;
    stage = calloc(1, sizeof *stage);
    if (stage == NULL)
        return PW_ENOMEM;
    stage->job.run = stage_run;
    stage->job.done = stage_done;
    stage->collector = collector;
    stage->sweep_id = collector->sweep_id;
    pw_batch_move(&stage->batch, &collector->batch);
    collector->stage_jobs++;
    pw_store_submit(collector->params.store, &stage->job);
    return PW_OK;
}

static enum pw_status on_record(void *context, const struct pw_report *report)
{
    struct pw_collector *collector = context;
    enum pw_status status = pw_batch_add(&collector->batch, report);

    if (status == PW_OK && collector->batch.count >= STAGE_REPORTS) {
        status = hand_over(collector);
        if (collector->stage_jobs >= MAX_STAGE_JOBS)
            pw_sweep_hold(collector->sweep, true);
    }
    return status;
}

/* Applying ------------------------------------------------------------------------------------ */

struct finish_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    struct pw_apply_params params;
    struct pw_apply_result result;
    struct pw_unseen *unseen;
    struct pw_sweep_summary summary; /* params.facts points into it */
    char *source_name;
    enum pw_paging_mode proved_mode;
    enum pw_status status;
    struct pw_error error;
};

static void finish_run(struct pw_store_job *job, struct pw_db *db)
{
    struct finish_job *finish = (struct finish_job *)job;
    struct pw_error ignored;

    finish->status = pw_apply_finish(db, &finish->params, &finish->result, &finish->error);
    if (finish->status == PW_OK && finish->proved_mode != PW_PAGING_AUTO) {
        /* Not remembered means only that the next start asks for it again. */
        if (pw_source_set_offset_mode(db, finish->params.source_id,
                                      finish->proved_mode == PW_PAGING_PAGE ? PW_OFFSET_PAGE
                                                                            : PW_OFFSET_RECORD,
                                      &ignored) != PW_OK)
            pw_log_warning("%s: the offset mode was not stored: %s", finish->source_name,
                           ignored.message);
    } else if (finish->status != PW_OK) {
        /* Its row must not stay "running"; where even that fails, the next sweep ends it. */
        finish->params.facts.outcome =
            finish->summary.saw_a_page ? PW_SWEEP_INCOMPLETE : PW_SWEEP_FAILED;
        finish->params.facts.reason = "the database refused the changes";
        finish->params.facts.error_msg = finish->error.message;
        if (pw_apply_abort(db, finish->params.sweep_id, &finish->params.facts,
                           finish->params.now_ms, &ignored) != PW_OK)
            pw_log_debug("%s: %s", finish->source_name, ignored.message);
    }
}

/* What was committed becomes what the index knows. */
static void update_index(struct pw_collector *collector, const struct pw_apply_result *result)
{
    for (size_t i = 0; i < result->change_count; i++) {
        const struct pw_index_change *change = &result->changes[i];
        struct pw_index_entry *entry;

        if (change->removed) {
            pw_index_remove(collector->index, change->key);
            continue;
        }
        if (change->keep_digest) {
            entry = pw_index_find(collector->index, change->key);
            if (entry != NULL)
                entry->restless = change->restless;
            continue;
        }
        /* An entry that could not be added is found as new by the next sweep, and settled then. */
        if (pw_index_put(collector->index, change->key, change->digest, change->node_id,
                         change->restless) != PW_OK)
            pw_log_err("%s: no memory for the index", pw_collector_name(collector));
    }
}

static void log_sweep(const struct pw_collector *collector, const struct finish_job *finish)
{
    const struct pw_sweep_summary *summary = &finish->summary;
    char took[32];

    (void)pw_duration_text(took, sizeof took,
                           pw_clock_monotonic_ms(collector->params.clock) -
                               collector->started_monotonic_ms);
    pw_log(finish->params.facts.outcome == PW_SWEEP_COMPLETE ? PW_LOG_INFO : PW_LOG_WARNING,
           "%s: sweep %" PRId64 " %s: %" PRId64 " records, %" PRId64 " nodes, %" PRId64
           " pages, %" PRId64 " changed, %" PRId64 " transitions, %s%s%s%s%s",
           pw_collector_name(collector), finish->params.sweep_id,
           pw_sweep_outcome_name(finish->params.facts.outcome), summary->records, summary->nodes,
           summary->pages, finish->result.changed, finish->result.transitions, took,
           summary->reason[0] != '\0' ? "; " : "", summary->reason,
           summary->error_msg[0] != '\0' ? ": " : "", summary->error_msg);
}

static void finish_done(struct pw_store_job *job)
{
    struct finish_job *finish = (struct finish_job *)job;
    struct pw_collector *collector = finish->collector;
    enum pw_sweep_outcome outcome = finish->params.facts.outcome;
    size_t deliveries = finish->result.deliveries;

    update_index(collector, &finish->result);
    if (finish->proved_mode != PW_PAGING_AUTO)
        collector->offset_mode = finish->proved_mode;
    log_sweep(collector, finish);
    if (finish->status != PW_OK) {
        pw_log_err("%s: sweep %" PRId64 " is not in the database, the next one tries again: %s",
                   pw_collector_name(collector), finish->params.sweep_id, finish->error.message);
        if (outcome == PW_SWEEP_COMPLETE)
            outcome = PW_SWEEP_INCOMPLETE;
    }
    pw_apply_result_free(&finish->result);
    free(finish->unseen);
    free(finish->source_name);
    free(finish);
    rest(collector);
    if (!collector->is_closing)
        collector->params.swept(collector->params.context, collector, outcome, deliveries);
}

static int by_node(const void *a, const void *b)
{
    uint32_t left = ((const struct pw_unseen *)a)->node_id;
    uint32_t right = ((const struct pw_unseen *)b)->node_id;

    return (left > right) - (left < right);
}

/* Lists what a complete sweep did not show. */
static enum pw_status list_unseen(struct pw_collector *collector, struct finish_job *finish)
{
    const struct pw_index_entry *entry;
    size_t cursor = 0, count = 0;

    while (pw_index_next_unseen(collector->index, &cursor) != NULL)
        count++;
    if (count == 0)
        return PW_OK;
    finish->unseen = malloc(count * sizeof *finish->unseen);
    if (finish->unseen == NULL)
        return PW_ENOMEM;
    cursor = 0;
    while ((entry = pw_index_next_unseen(collector->index, &cursor)) != NULL)
        finish->unseen[finish->params.unseen_count++] =
            (struct pw_unseen){.node_id = entry->node_id, .key = entry->key};
    qsort(finish->unseen, count, sizeof *finish->unseen, by_node);
    finish->params.unseen = finish->unseen;
    return PW_OK;
}

static const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void submit_finish(struct pw_collector *collector)
{
    struct finish_job *finish = calloc(1, sizeof *finish);
    struct pw_sweep_summary *summary;
    bool complete;

    if (finish == NULL) {
        give_up_sweep(collector, "no memory to end it");
        return;
    }
    finish->job.run = finish_run;
    finish->job.done = finish_done;
    finish->collector = collector;
    finish->summary = collector->summary;
    summary = &finish->summary;
    complete = summary->is_complete;
    if (collector->stage_error.status != PW_OK) {
        complete = false;
        (void)snprintf(summary->reason, sizeof summary->reason, "what changed could not be staged");
        (void)snprintf(summary->error_msg, sizeof summary->error_msg, "%.500s",
                       collector->stage_error.message);
    }
    finish->source_name = pw_str_dup(pw_str_of(pw_collector_name(collector)));
    if (finish->source_name == NULL || (complete && list_unseen(collector, finish) != PW_OK)) {
        complete = false;
        (void)snprintf(summary->reason, sizeof summary->reason, "out of memory");
    }
    finish->proved_mode = collector->params.source->offset == PW_OFFSET_SETTING_AUTO && complete
                              ? summary->proved_mode
                              : PW_PAGING_AUTO;
    finish->params.source_id = collector->source_id;
    finish->params.source_name = finish->source_name != NULL ? finish->source_name : "";
    finish->params.sweep_id = collector->sweep_id;
    finish->params.confirm = collector->params.source->confirm;
    finish->params.missing_after = collector->params.source->missing_after;
    finish->params.router = collector->params.router(collector->params.context);
    finish->params.now_ms = pw_clock_wall_ms(collector->params.clock);
    finish->params.facts = (struct pw_sweep_facts){
        .outcome = complete              ? PW_SWEEP_COMPLETE
                   : summary->saw_a_page ? PW_SWEEP_INCOMPLETE
                                         : PW_SWEEP_FAILED,
        .reported_count = summary->reported_count >= 0 ? summary->reported_count : PW_COUNT_NONE,
        .records = summary->records,
        .nodes = summary->nodes,
        .pages = summary->pages,
        .requests = summary->requests,
        .retries = summary->retries,
        .bytes = summary->bytes,
        .reason = text_or_null(summary->reason),
        .error_code = text_or_null(summary->error_code),
        .error_msg = text_or_null(summary->error_msg),
    };
    pw_store_submit(collector->params.store, &finish->job);
}

/* The sweep has ended and everything that it staged has arrived. */
static void finish_if_staged(struct pw_collector *collector)
{
    if (collector->state != STATE_APPLYING || collector->stage_jobs > 0)
        return;
    submit_finish(collector);
}

/* Sweeping ------------------------------------------------------------------------------------ */

static void on_sweep_done(void *context, const struct pw_sweep_summary *summary)
{
    struct pw_collector *collector = context;

    collector->sweep = NULL;
    collector->summary = *summary;
    if (hand_over(collector) != PW_OK && collector->stage_error.status == PW_OK)
        (void)pw_fail_nomem(&collector->stage_error);
    pw_batch_free(&collector->batch);
    set_state(collector, STATE_APPLYING);
    if (collector->stage_jobs == 0)
        submit_finish(collector);
}

struct begin_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    int64_t sweep_id;
    enum pw_status status;
    struct pw_error error;
};

static void begin_run(struct pw_store_job *job, struct pw_db *db)
{
    struct begin_job *begin = (struct begin_job *)job;

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
        .source = collector->params.source,
        .index = collector->index,
        .remembered = collector->offset_mode,
        .context = collector,
        .stage = on_record,
        .done = on_sweep_done,
    };
    struct pw_error error = begin->error;
    enum pw_status status = begin->status;

    collector->sweep_id = begin->sweep_id;
    free(begin);
    if (status == PW_OK && collector->is_closing)
        status = pw_fail(&error, PW_ECANCELED, "stopped before it began");
    if (status == PW_OK)
        status = pw_sweep_start(&params, &collector->sweep, &error);
    if (status != PW_OK) {
        give_up_sweep(collector, error.message);
        return;
    }
    set_state(collector, STATE_SWEEPING);
}

static void begin_sweep(struct pw_collector *collector)
{
    struct begin_job *begin = calloc(1, sizeof *begin);

    collector->started_ms = pw_clock_wall_ms(collector->params.clock);
    collector->started_monotonic_ms = pw_clock_monotonic_ms(collector->params.clock);
    collector->stage_error = (struct pw_error){0};
    if (begin == NULL) {
        give_up_sweep(collector, "out of memory");
        return;
    }
    set_state(collector, STATE_BEGINNING);
    begin->job.run = begin_run;
    begin->job.done = begin_done;
    begin->collector = collector;
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
    int64_t now_ms, due_ms;

    if (collector->state != STATE_IDLE) {
        collector->next_source = source;
        return;
    }
    take_source(collector, source);
    /* A shorter interval brings the next sweep forward; nothing ever puts it off. */
    now_ms = pw_clock_monotonic_ms(collector->params.clock);
    due_ms = collector->started_monotonic_ms + source->interval_ms;
    if (due_ms < collector->due_monotonic_ms) {
        collector->due_monotonic_ms = due_ms;
        (void)uv_timer_start(&collector->timer, on_due,
                             due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
    }
}

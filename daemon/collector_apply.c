/* From records to the snapshot: batches for the store thread while the sweep runs, one job that
 * applies them at its end, and what that job committed back into the index. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/collecting.h"
#include "store/snapshot.h"

enum {
    STAGE_REPORTS = 2000, /* records handed to the store thread at a time */
    MAX_STAGE_JOBS = 4,   /* the sweep waits while more than these are on their way */
};

static void finish_if_staged(struct pw_collector *collector);

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

enum pw_status pw_collecting_stage(void *context, const struct pw_report *report)
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
    struct pw_patch_book *patches;
    struct pw_sweep_summary summary; /* params.facts points into it */
    char *source_name;
    enum pw_paging_mode proved_mode;
    bool is_unended; /* not even its row could be ended */
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
        finish->params.facts.reason =
            finish->status == PW_EFULL ? "disk is full" : "the database refused the changes";
        finish->params.facts.error_msg = finish->error.message;
        if (pw_apply_abort(db, finish->params.sweep_id, &finish->params.facts,
                           finish->params.now_ms, &ignored) != PW_OK) {
            finish->is_unended = true;
            pw_log_debug("%s: %s", finish->source_name, ignored.message);
        }
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

/* What a sweep that is not complete has in common with the next one of the same cause. */
static void describe_trouble(const struct finish_job *finish, char *out, size_t size_bytes)
{
    const struct pw_sweep_summary *summary = &finish->summary;
    bool has_cause = summary->cause[0] != '\0';
    size_t used = 0;

    (void)snprintf(out, size_bytes, "%s %s", pw_sweep_outcome_name(finish->params.facts.outcome),
                   has_cause ? summary->cause : summary->reason);
    if (has_cause)
        return;
    for (const char *p = out; *p != '\0'; p++) { /* counts differ from sweep to sweep */
        if (*p < '0' || *p > '9')
            out[used++] = *p;
    }
    out[used] = '\0';
}

/* One line a sweep; trouble that stays the same is told once, not once a sweep. */
static void log_sweep(struct pw_collector *collector, const struct finish_job *finish)
{
    const struct pw_sweep_summary *summary = &finish->summary;
    bool is_complete = finish->params.facts.outcome == PW_SWEEP_COMPLETE;
    enum pw_log_level level = PW_LOG_INFO;
    char took[32], trouble[sizeof collector->trouble] = "";

    if (!is_complete) {
        describe_trouble(finish, trouble, sizeof trouble);
        level = strcmp(trouble, collector->trouble) == 0 ? PW_LOG_DEBUG : PW_LOG_WARNING;
    }
    memcpy(collector->trouble, trouble, sizeof trouble);
    (void)pw_duration_text(took, sizeof took,
                           pw_clock_monotonic_ms(collector->params.clock) -
                               collector->started_monotonic_ms);
    pw_log(level,
           "%s: sweep %" PRId64 " %s: %" PRId64 " records, %" PRId64 " nodes, %" PRId64
           " pages, %" PRId64 " changed, %" PRId64 " transitions, %s%s%s%s%s%s%s",
           pw_collector_name(collector), finish->params.sweep_id,
           pw_sweep_outcome_name(finish->params.facts.outcome), summary->records, summary->nodes,
           summary->pages, finish->result.changed, finish->result.transitions, took,
           summary->reason[0] != '\0' ? "; " : "", summary->reason,
           summary->error_code[0] != '\0' ? ": " : "", summary->error_code,
           summary->error_msg[0] != '\0' ? ": " : "", summary->error_msg);
}

static void finish_done(struct pw_store_job *job)
{
    struct finish_job *finish = (struct finish_job *)job;
    struct pw_collector *collector = finish->collector;
    enum pw_sweep_outcome outcome = finish->params.facts.outcome;
    size_t deliveries = finish->result.deliveries;
    bool is_over;

    update_index(collector, &finish->result);
    if (finish->proved_mode != PW_PAGING_AUTO)
        collector->offset_mode = finish->proved_mode;
    log_sweep(collector, finish);
    if (finish->status != PW_OK) {
        pw_log_err("%s: sweep %" PRId64 " is not in the database, the next one tries again: %s",
                   pw_collector_name(collector), finish->params.sweep_id, finish->error.message);
        if (outcome == PW_SWEEP_COMPLETE)
            outcome = PW_SWEEP_INCOMPLETE;
        collector->params.troubled(collector->params.context, finish->status,
                                   finish->error.message);
        if (finish->is_unended)
            collector->unended = (struct pw_unended){
                .sweep_id = finish->params.sweep_id,
                .ended_ms = finish->params.now_ms,
                .outcome = outcome,
                .was_full = finish->status == PW_EFULL,
            };
    } else if (collector->stage_error.status != PW_OK) {
        collector->params.troubled(collector->params.context, collector->stage_error.status,
                                   collector->stage_error.message);
    }
    collector->outcome = outcome;
    collector->changed = finish->result.changed;
    collector->transitions = finish->result.transitions;
    collector->took_ms =
        pw_clock_monotonic_ms(collector->params.clock) - collector->started_monotonic_ms;
    collector->sweeps_again = finish->status == PW_OK && finish->result.shift_begun;
    /* With --once the sweep that confirms is the one that the service waits for. */
    is_over = !(collector->once && collector->sweeps_again);
    pw_apply_result_free(&finish->result);
    free(finish->unseen);
    pw_patch_book_free(finish->patches);
    free(finish->source_name);
    free(finish);
    pw_collecting_rest(collector);
    if (!collector->is_closing && is_over)
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

void pw_collecting_finish(struct pw_collector *collector)
{
    struct finish_job *finish = calloc(1, sizeof *finish);
    struct pw_sweep_summary *summary;
    bool complete;

    if (finish == NULL) {
        pw_patch_book_free(collector->patches);
        collector->patches = NULL;
        pw_collecting_give_up(collector, "no memory to end it");
        return;
    }
    finish->job.run = finish_run;
    finish->job.done = finish_done;
    finish->collector = collector;
    finish->summary = collector->summary;
    finish->patches = collector->patches;
    collector->patches = NULL;
    summary = &finish->summary;
    complete = summary->is_complete;
    if (collector->stage_error.status != PW_OK) {
        complete = false;
        (void)snprintf(summary->reason, sizeof summary->reason,
                       "%swhat changed could not be staged",
                       collector->stage_error.status == PW_EFULL ? "disk is full: " : "");
        (void)snprintf(summary->error_msg, sizeof summary->error_msg, "%.500s",
                       collector->stage_error.message);
        summary->cause[0] = '\0';
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
    finish->params.failing_after = collector->params.source->failing_after;
    finish->params.flap_window = collector->params.source->flap_window;
    finish->params.flap_on_percent = collector->params.source->flap_on_percent;
    finish->params.flap_off_percent = collector->params.source->flap_off_percent;
    finish->params.mass_change_percent = collector->params.source->mass_change_percent;
    finish->params.mass_change_min = collector->params.source->mass_change_min;
    finish->params.failing_repeat_ms = collector->params.source->failing_repeat_ms;
    finish->params.patches = finish->patches;
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
        .was_stopped = summary->was_canceled,
        .reason = text_or_null(summary->reason),
        .error_code = text_or_null(summary->error_code),
        .request_id = text_or_null(summary->request_id),
        .error_msg = text_or_null(summary->error_msg),
    };
    pw_store_submit(collector->params.store, &finish->job);
}

/* The sweep has ended and everything that it staged has arrived. */
static void finish_if_staged(struct pw_collector *collector)
{
    if (collector->state != STATE_APPLYING || collector->stage_jobs > 0)
        return;
    if (pw_collecting_wants_details(collector))
        pw_collecting_read_details(collector);
    else
        pw_collecting_finish(collector);
}

void pw_collecting_apply(struct pw_collector *collector)
{
    if (hand_over(collector) != PW_OK && collector->stage_error.status == PW_OK)
        (void)pw_fail_nomem(&collector->stage_error);
    pw_batch_free(&collector->batch);
    finish_if_staged(collector);
}

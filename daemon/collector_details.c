/* Between the last page of a sweep and its transactions, where `details = changed`: which nodes are
 * about to turn non-compliant is asked of the store thread, their patches of the API. Whatever goes
 * wrong here costs words in events, never the sweep. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "daemon/collecting.h"

bool pw_collecting_wants_details(const struct pw_collector *collector)
{
    const struct pw_sweep_summary *summary = &collector->summary;

    return collector->params.source->details && collector->credentials != NULL &&
           !collector->is_closing && summary->saw_a_page && !summary->was_canceled &&
           !summary->auth_failed;
}

static void go_on(struct pw_collector *collector)
{
    if (collector->credentials != NULL)
        pw_credentials_rest(collector->credentials);
    pw_collecting_finish(collector);
}

/* Reading them --------------------------------------------------------------------------------- */

static void on_details_done(void *context)
{
    struct pw_collector *collector = context;
    const struct pw_patch_book *book = collector->patches;
    const char *trouble = "";
    size_t read = 0;

    collector->details = NULL;
    for (size_t i = 0; i < book->count; i++) {
        read += book->lists[i].was_read;
        if (trouble[0] == '\0')
            trouble = book->lists[i].error;
    }
    pw_log(trouble[0] != '\0' ? PW_LOG_NOTICE : PW_LOG_DEBUG,
           "%s: patches of %zu of %zu machines read in %" PRId64 " ms%s%s",
           pw_collector_name(collector), read, book->count,
           pw_clock_monotonic_ms(collector->params.clock) - collector->details_began_ms,
           trouble[0] != '\0' ? "; " : "", trouble);
    go_on(collector);
}

/* What `offset` counts: as configured, as this sweep proved, or as an earlier one did. */
static enum pw_paging_mode offset_mode(const struct pw_collector *collector)
{
    switch (collector->params.source->offset) {
    case PW_OFFSET_SETTING_PAGE:
        return PW_PAGING_PAGE;
    case PW_OFFSET_SETTING_RECORD:
        return PW_PAGING_RECORD;
    case PW_OFFSET_SETTING_AUTO:
        break;
    }
    return collector->summary.proved_mode != PW_PAGING_AUTO ? collector->summary.proved_mode
                                                            : collector->offset_mode;
}

static enum pw_status start_details(struct pw_collector *collector, struct pw_error *err)
{
    struct pw_details_params params = {
        .loop = collector->params.loop,
        .http = collector->params.http,
        .throttle = collector->throttle,
        .pace = &collector->pace,
        .credentials = collector->credentials,
        .source = collector->params.source,
        .book = collector->patches,
        .connection_share = collector->params.connection_share(collector->params.context),
        .mode = offset_mode(collector),
        .context = collector,
        .done = on_details_done,
    };

    collector->details_began_ms = pw_clock_monotonic_ms(collector->params.clock);
    return pw_details_start(&params, &collector->details, err);
}

/* Which they are ------------------------------------------------------------------------------- */

struct turning_job {
    struct pw_store_job job;
    struct pw_collector *collector;
    struct pw_apply_params params;
    struct pw_patch_book *book;
    enum pw_status status;
    struct pw_error error;
};

static void turning_run(struct pw_store_job *job, struct pw_db *db)
{
    struct turning_job *turning = (struct turning_job *)job;

    turning->status = pw_apply_turning(db, &turning->params, turning->book, &turning->error);
}

static void turning_done(struct pw_store_job *job)
{
    struct turning_job *turning = (struct turning_job *)job;
    struct pw_collector *collector = turning->collector;
    struct pw_error error = turning->error;
    enum pw_status status = turning->status;

    collector->patches = turning->book;
    free(turning);
    if (status == PW_OK && collector->patches->count > 0 && !collector->is_closing) {
        status = start_details(collector, &error);
        if (status == PW_OK)
            return;
    }
    if (status != PW_OK)
        pw_log_warning("%s: no patches are read: %s", pw_collector_name(collector), error.message);
    go_on(collector);
}

void pw_collecting_read_details(struct pw_collector *collector)
{
    struct turning_job *turning = calloc(1, sizeof *turning);
    struct pw_patch_book *book = pw_patch_book_new();

    if (turning == NULL || book == NULL) {
        free(turning);
        pw_patch_book_free(book);
        pw_log_warning("%s: no patches are read: out of memory", pw_collector_name(collector));
        go_on(collector);
        return;
    }
    turning->job.run = turning_run;
    turning->job.done = turning_done;
    turning->collector = collector;
    turning->book = book;
    turning->params.source_id = collector->source_id;
    turning->params.sweep_id = collector->sweep_id;
    turning->params.confirm = collector->params.source->confirm;
    turning->params.now_ms = pw_clock_wall_ms(collector->params.clock);
    pw_store_submit(collector->params.store, &turning->job);
}

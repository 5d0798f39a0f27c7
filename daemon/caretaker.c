/* One job at a time, one timer for whatever is due next. The caretaker is freed in the timer's
 * close callback. */
#include "daemon/caretaker.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "store/care.h"

enum {
    CHECK_LIMIT_MS = 30 * 1000, /* a start waits no longer */
    FIRST_PRUNE_MS = 5 * 60 * 1000,
    PRUNE_EVERY_MS = 60 * 60 * 1000,
    PRUNE_PAUSE_MS = 50, /* between two steps: a long walk must not keep the disk busy */
    ONCE_LIMIT_MS = 5 * 1000,
    FIRST_OPTIMIZE_MS = 10 * 60 * 1000,
    OPTIMIZE_EVERY_MS = 24 * 60 * 60 * 1000,
    WAL_EVERY_MS = 60 * 1000,
    PROBE_EVERY_MS = 30 * 1000,
    RELAPSE_MS =
        60 * 60 * 1000, /* full again so soon: the room that was asked for was too little */
    ROOM_BYTES = 1024 * 1024,
    ROOM_MAX_BYTES = 64 * 1024 * 1024,
    WAL_LIMIT_BYTES = 256 * 1024 * 1024,
};

enum task { TASK_NONE, TASK_CHECK, TASK_PRUNE, TASK_OPTIMIZE, TASK_WAL, TASK_PROBE };

/* What a job is given and what it brings back; the store thread's while it runs. */
struct care_job {
    struct pw_store_job job;
    enum task task;
    int64_t now_ms, retention_ms, room_bytes, wal_limit_bytes;
    bool is_new_walk;
    struct pw_prune prune;
    enum pw_care_verdict verdict;
    struct pw_chain_link chain_end;
    int64_t wal_bytes, wal_left_bytes, took_ms;
    enum pw_status status;
    struct pw_error error;
};

struct pw_caretaker {
    struct pw_caretaker_params params;
    struct care_job care;
    uv_timer_t timer;
    atomic_bool cancel; /* ends a check early */
    bool is_started, is_closing, is_busy, is_damaged;
    int64_t speed; /* 1; tests make everything come sooner */
    void (*checked)(void *context);
    void (*once_done)(void *context);
    int64_t once_end_ms;
    /* monotonic, when each is due */
    int64_t prune_due_ms, optimize_due_ms, wal_due_ms, probe_due_ms;
    bool is_pruning, is_full, is_wal_told;
    int64_t full_since_ms, full_over_ms, room_bytes;
    int64_t told_event_id; /* of the chain's end, in the log */
    void (*closed)(void *context);
    void *closed_context;
};

static int64_t monotonic_ms(const struct pw_caretaker *caretaker)
{
    return pw_clock_monotonic_ms(caretaker->params.clock);
}

static int64_t from_now(const struct pw_caretaker *caretaker, int64_t delay_ms)
{
    return monotonic_ms(caretaker) + delay_ms / caretaker->speed;
}

/* On the store thread ---------------------------------------------------------------------------
 */

static void run_wal(struct care_job *care, struct pw_db *db)
{
    care->wal_bytes = care->wal_left_bytes = pw_care_wal_bytes(db);
    if (care->wal_bytes > care->wal_limit_bytes)
        care->status = pw_care_shrink_wal(db, &care->wal_left_bytes, &care->error);
}

static void run_optimize(struct care_job *care, struct pw_db *db)
{
    care->status = pw_care_optimize(db, &care->error);
    if (care->status == PW_OK)
        care->status = pw_chain_end(db, &care->chain_end, &care->error);
}

static void run_prune(struct care_job *care, struct pw_db *db)
{
    if (care->is_new_walk)
        care->status =
            pw_prune_begin(db, &care->prune, care->retention_ms, care->now_ms, &care->error);
    if (care->status == PW_OK)
        care->status = pw_prune_step(db, &care->prune, care->now_ms, &care->error);
}

static struct pw_caretaker *caretaker_of(struct pw_store_job *job)
{
    /* The job is the first member of care_job, whose place is known. */
    return (struct pw_caretaker *)(void *)((char *)job - offsetof(struct pw_caretaker, care));
}

static void care_run(struct pw_store_job *job, struct pw_db *db)
{
    struct care_job *care = (struct care_job *)job;
    int64_t start_ms = pw_clock_monotonic_ms(pw_clock_system());

    care->status = PW_OK;
    switch (care->task) {
    case TASK_CHECK:
        care->verdict = pw_care_check(db, CHECK_LIMIT_MS, &caretaker_of(job)->cancel, &care->error);
        break;
    case TASK_PRUNE:
        run_prune(care, db);
        break;
    case TASK_OPTIMIZE:
        run_optimize(care, db);
        break;
    case TASK_WAL:
        run_wal(care, db);
        break;
    case TASK_PROBE:
        care->status = pw_care_try_write(db, care->room_bytes, &care->error);
        break;
    case TASK_NONE:
        break;
    }
    care->took_ms = pw_clock_monotonic_ms(pw_clock_system()) - start_ms;
}

/* On the loop -----------------------------------------------------------------------------------
 */

static void go_on(struct pw_caretaker *caretaker);

static void on_timer(uv_timer_t *timer)
{
    go_on(timer->data);
}

static void care_done(struct pw_store_job *job);

static void submit(struct pw_caretaker *caretaker, enum task task)
{
    struct care_job *care = &caretaker->care;

    care->job = (struct pw_store_job){.run = care_run, .done = care_done};
    care->task = task;
    care->now_ms = pw_clock_wall_ms(caretaker->params.clock);
    care->room_bytes = caretaker->room_bytes;
    care->wal_limit_bytes = WAL_LIMIT_BYTES / caretaker->speed;
    caretaker->is_busy = true;
    pw_store_submit(caretaker->params.store, &care->job);
}

static void tell_damage(struct pw_caretaker *caretaker, const char *message)
{
    if (caretaker->is_damaged)
        return;
    caretaker->is_damaged = true;
    pw_log_err("%s", message);
    caretaker->params.damaged(caretaker->params.context);
}

static void check_done(struct pw_caretaker *caretaker)
{
    const struct care_job *care = &caretaker->care;
    void (*checked)(void *context) = caretaker->checked;
    char took[32];

    (void)pw_duration_text(took, sizeof took, care->took_ms);
    caretaker->checked = NULL;
    if (care->verdict == PW_CARE_DAMAGED) {
        tell_damage(caretaker, care->error.message);
        return;
    }
    if (caretaker->is_closing)
        return;
    if (care->verdict == PW_CARE_SOUND)
        pw_log_notice("the database is sound: the check took %s", took);
    else
        pw_log_warning("the check of the database did not end within %s: \"patchwatch verify\" "
                       "does it in full",
                       took);
    checked(caretaker->params.context);
}

/* A walk has ended, at its end or before. */
static void end_walk(struct pw_caretaker *caretaker)
{
    const struct pw_prune *prune = &caretaker->care.prune;
    void (*once_done)(void *context) = caretaker->once_done;

    caretaker->is_pruning = false;
    caretaker->once_done = NULL;
    caretaker->prune_due_ms = from_now(caretaker, PRUNE_EVERY_MS);
    if (prune->reports + prune->events + prune->sweeps + prune->nodes > 0)
        pw_log_info("retention: removed %" PRId64 " report versions, %" PRId64 " events, %" PRId64
                    " deliveries, %" PRId64 " sweeps, %" PRId64 " missing nodes; %" PRId64
                    " pages given back",
                    prune->reports, prune->events, prune->deliveries, prune->sweeps, prune->nodes,
                    prune->pages);
    if (once_done != NULL && !caretaker->is_closing)
        once_done(caretaker->params.context);
}

static void tell_doubt(const struct pw_prune *prune)
{
    char since[PW_ISO8601_SIZE];

    if (prune->doubted_since_ms != PW_TIME_NONE)
        pw_log_warning("retention: counts from the sweep of %s, not from now: the clock seems to "
                       "have jumped (or nobody swept for so long), and retention waits for three "
                       "further sweeps to agree with it",
                       pw_iso8601(since, prune->doubted_since_ms));
}

static void prune_done(struct pw_caretaker *caretaker)
{
    struct care_job *care = &caretaker->care;
    bool is_once = caretaker->once_done != NULL;

    if (care->status == PW_OK && care->is_new_walk)
        tell_doubt(&care->prune);
    care->is_new_walk = false;
    if (care->status != PW_OK) {
        pw_log_warning("retention: %s", care->error.message);
        end_walk(caretaker);
    } else if (care->prune.stage == PW_PRUNE_DONE || caretaker->is_closing ||
               caretaker->params.retention_ms == 0 || /* since a reload: keep all */
               (is_once && monotonic_ms(caretaker) > caretaker->once_end_ms)) {
        end_walk(caretaker);
    } else {
        caretaker->prune_due_ms =
            is_once ? monotonic_ms(caretaker) : from_now(caretaker, PRUNE_PAUSE_MS);
    }
}

static void optimize_done(struct pw_caretaker *caretaker)
{
    const struct care_job *care = &caretaker->care;
    char hex[PW_CHAIN_HEX_SIZE];

    caretaker->optimize_due_ms = from_now(caretaker, OPTIMIZE_EVERY_MS);
    if (care->status != PW_OK) {
        pw_log_warning("statistics of the database: %s", care->error.message);
    } else if (care->chain_end.event_id != caretaker->told_event_id) {
        /* Kept by the journal, out of reach of whoever may write to the database. */
        caretaker->told_event_id = care->chain_end.event_id;
        pw_log_info("chain of events: event %" PRId64 " has the hash %s", care->chain_end.event_id,
                    pw_chain_hex(hex, care->chain_end.hash));
    }
}

static void wal_done(struct pw_caretaker *caretaker)
{
    const struct care_job *care = &caretaker->care;
    bool is_large = care->wal_left_bytes > care->wal_limit_bytes;

    caretaker->wal_due_ms = from_now(caretaker, WAL_EVERY_MS);
    if (is_large && !caretaker->is_wal_told)
        pw_log_warning("the write-ahead log has %" PRId64 " MiB and cannot be cut off: a reader "
                       "holds the database (\"fuser history.db\" names it); it shrinks when that "
                       "one leaves",
                       care->wal_left_bytes / (1024 * 1024));
    else if (!is_large && care->wal_left_bytes < care->wal_bytes)
        pw_log_info("the write-ahead log was cut from %" PRId64 " to %" PRId64 " KiB",
                    care->wal_bytes / 1024, care->wal_left_bytes / 1024);
    caretaker->is_wal_told = is_large;
}

static void probe_done(struct pw_caretaker *caretaker)
{
    const struct care_job *care = &caretaker->care;
    char took[32];

    caretaker->probe_due_ms = from_now(caretaker, PROBE_EVERY_MS);
    if (care->status != PW_OK) {
        pw_log_debug("the disk is still full: %s", care->error.message);
        return;
    }
    caretaker->is_full = false;
    caretaker->full_over_ms = monotonic_ms(caretaker);
    (void)pw_duration_text(took, sizeof took,
                           (caretaker->full_over_ms - caretaker->full_since_ms) / 1000 * 1000);
    pw_log_notice("the disk has room again after %s: sweeps go on", took);
}

static void care_done(struct pw_store_job *job)
{
    struct pw_caretaker *caretaker = caretaker_of(job);
    enum pw_status status = caretaker->care.status;

    caretaker->is_busy = false;
    switch (caretaker->care.task) {
    case TASK_CHECK:
        check_done(caretaker);
        break;
    case TASK_PRUNE:
        prune_done(caretaker);
        break;
    case TASK_OPTIMIZE:
        optimize_done(caretaker);
        break;
    case TASK_WAL:
        wal_done(caretaker);
        break;
    case TASK_PROBE:
        probe_done(caretaker);
        break;
    case TASK_NONE:
        break;
    }
    if (status != PW_OK)
        pw_caretaker_trouble(caretaker, status, caretaker->care.error.message);
    go_on(caretaker);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pw_caretaker *caretaker = handle->data;
    void (*closed)(void *context) = caretaker->closed;
    void *context = caretaker->closed_context;

    free(caretaker);
    closed(context);
}

static void begin_walk(struct pw_caretaker *caretaker)
{
    caretaker->is_pruning = true;
    caretaker->care.prune = (struct pw_prune){0};
    caretaker->care.is_new_walk = true;
    caretaker->care.retention_ms = caretaker->params.retention_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is due now; TASK_NONE, and *next_ms when something will be. */
static enum task choose(struct pw_caretaker *caretaker, int64_t *next_ms)
{
    int64_t now_ms = monotonic_ms(caretaker);

    if (caretaker->is_full) { /* nothing else could write, and it alone must end this */
        *next_ms = caretaker->probe_due_ms;
        return *next_ms <= now_ms ? TASK_PROBE : TASK_NONE;
    }
    if (caretaker->once_done != NULL)
        return TASK_PRUNE;
    if (caretaker->wal_due_ms <= now_ms)
        return TASK_WAL;
    if (caretaker->optimize_due_ms <= now_ms)
        return TASK_OPTIMIZE;
    if (caretaker->prune_due_ms <= now_ms) {
        if (!caretaker->is_pruning && caretaker->params.retention_ms == 0) {
            caretaker->prune_due_ms = from_now(caretaker, PRUNE_EVERY_MS);
        } else {
            if (!caretaker->is_pruning)
                begin_walk(caretaker);
            return TASK_PRUNE;
        }
    }
    *next_ms =
        least(least(caretaker->wal_due_ms, caretaker->optimize_due_ms), caretaker->prune_due_ms);
    return TASK_NONE;
}

static void go_on(struct pw_caretaker *caretaker)
{
    enum task task;
    int64_t next_ms = 0;

    if (caretaker->is_busy)
        return;
    if (caretaker->is_closing) {
        if (uv_is_closing((uv_handle_t *)&caretaker->timer) == 0)
            uv_close((uv_handle_t *)&caretaker->timer, on_timer_closed);
        return;
    }
    if (!caretaker->is_started && caretaker->once_done == NULL)
        return;
    task = choose(caretaker, &next_ms);
    if (task != TASK_NONE) {
        submit(caretaker, task);
        return;
    }
    next_ms -= monotonic_ms(caretaker);
    (void)uv_timer_start(&caretaker->timer, on_timer, next_ms > 0 ? (uint64_t)next_ms : 0, 0);
}

/* The face --------------------------------------------------------------------------------------
 */

/* The builds for tests take PATCHWATCH_CARE_SPEED: everything comes so many times sooner, and a log
 * is too large so many times earlier. */
static int64_t care_speed(void)
{
    int64_t speed = 1;
#ifdef PW_FAILPOINTS
    const char *text = getenv("PATCHWATCH_CARE_SPEED");

    if (text != NULL && pw_parse_int(text, 1, 100000, &speed, NULL) != PW_OK)
        speed = 1;
#endif
    return speed;
}

enum pw_status pw_caretaker_new(const struct pw_caretaker_params *params, struct pw_caretaker **out,
                                struct pw_error *err)
{
    struct pw_caretaker *caretaker = calloc(1, sizeof *caretaker);

    *out = NULL;
    if (caretaker == NULL)
        return pw_fail_nomem(err);
    caretaker->params = *params;
    caretaker->speed = care_speed();
    caretaker->room_bytes = ROOM_BYTES;
    caretaker->full_over_ms = INT64_MIN / 2;
    atomic_init(&caretaker->cancel, false);
    (void)uv_timer_init(params->loop, &caretaker->timer); /* cannot fail */
    caretaker->timer.data = caretaker;
    *out = caretaker;
    return PW_OK;
}

void pw_caretaker_check(struct pw_caretaker *caretaker, void (*checked)(void *context))
{
    if (!pw_store_is_unclean(caretaker->params.store)) {
        checked(caretaker->params.context);
        return;
    }
    pw_log_notice(
        "the database was not closed by the last patchwatchd (killed, a power failure, or "
        "put there by hand): checking it before the first sweep");
    caretaker->checked = checked;
    submit(caretaker, TASK_CHECK);
}

void pw_caretaker_start(struct pw_caretaker *caretaker)
{
    caretaker->is_started = true;
    caretaker->prune_due_ms = from_now(caretaker, FIRST_PRUNE_MS);
    caretaker->optimize_due_ms = from_now(caretaker, FIRST_OPTIMIZE_MS);
    caretaker->wal_due_ms = from_now(caretaker, WAL_EVERY_MS);
    go_on(caretaker);
}

void pw_caretaker_once(struct pw_caretaker *caretaker, void (*done)(void *context))
{
    if (caretaker->params.retention_ms == 0 || caretaker->is_full || caretaker->is_busy) {
        done(caretaker->params.context);
        return;
    }
    caretaker->once_done = done;
    caretaker->once_end_ms = monotonic_ms(caretaker) + ONCE_LIMIT_MS;
    begin_walk(caretaker);
    go_on(caretaker);
}

void pw_caretaker_set_retention(struct pw_caretaker *caretaker, int64_t retention_ms)
{
    caretaker->params.retention_ms = retention_ms; /* a walk under way keeps its cutoff */
}

void pw_caretaker_trouble(struct pw_caretaker *caretaker, enum pw_status status,
                          const char *message)
{
    int64_t now_ms = monotonic_ms(caretaker);

    if (status == PW_ECORRUPT)
        tell_damage(caretaker, message);
    if (status != PW_EFULL || caretaker->is_full)
        return;
    caretaker->is_full = true;
    caretaker->full_since_ms = now_ms;
    caretaker->probe_due_ms = from_now(caretaker, PROBE_EVERY_MS);
    if (now_ms - caretaker->full_over_ms > RELAPSE_MS)
        caretaker->room_bytes = ROOM_BYTES;
    else if (caretaker->room_bytes < ROOM_MAX_BYTES)
        caretaker->room_bytes *= 4;
    pw_log_err("the disk is full: no sweep begins until %" PRId64 " MiB are free beside the "
               "database, which is looked for every %d s; what was recorded is safe: %s",
               caretaker->room_bytes / (1024 * 1024), PROBE_EVERY_MS / 1000, message);
    go_on(caretaker);
}

bool pw_caretaker_is_full(const struct pw_caretaker *caretaker)
{
    return caretaker->is_full;
}

void pw_caretaker_close(struct pw_caretaker *caretaker, void (*closed)(void *context),
                        void *context)
{
    caretaker->is_closing = true;
    caretaker->closed = closed;
    caretaker->closed_context = context;
    atomic_store(&caretaker->cancel, true);
    (void)uv_timer_stop(&caretaker->timer);
    go_on(caretaker);
}

/* The inner side of the collector: its state, and what collector.c (life, timer, sweeps),
 * collector_apply.c (from records to the snapshot and back to the index) and collector_details.c
 * (the patches of nodes that turn) ask of each other. */
#ifndef PW_DAEMON_COLLECTING_H
#define PW_DAEMON_COLLECTING_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "cloud/credentials.h"
#include "coc/details.h"
#include "coc/pace.h"
#include "coc/sweep.h"
#include "compliance/batch.h"
#include "compliance/index.h"
#include "daemon/collector.h"

enum pw_collector_state {
    STATE_NEW,
    STATE_OPENING,
    STATE_IDLE,
    STATE_BEGINNING,
    STATE_SWEEPING,
    STATE_APPLYING,
    STATE_CLOSED
};

/* A sweep whose end could not be stored, the disk being full: the next one ends its row first. */
struct pw_unended {
    int64_t sweep_id; /* 0: none */
    int64_t ended_ms;
    enum pw_sweep_outcome outcome;
    bool was_full;
};

struct pw_collector {
    struct pw_collector_params params;
    enum pw_collector_state state;
    bool once, is_closing;
    bool is_asked; /* to sweep again as soon as it can */
    int64_t begun; /* sweeps */
    struct pw_index *index;
    struct pw_throttle *throttle;
    const struct pw_source_config *next_source; /* of a reload, for the next sweep */
    struct pw_sweep *sweep;
    struct pw_credentials *credentials; /* of params.source; they survive its sweeps */
    struct pw_pace pace;
    size_t closing_parts; /* credentials of old configurations; at the end the timer too */
    bool waits_for_credential;
    bool sweeps_again;     /* at once: what the last sweep found is to be confirmed */
    bool is_splayed;       /* its first interval was moved by its name */
    char trouble[256];     /* what the last sweep that was not complete said, for the log */
    int64_t auth_failures; /* sweeps in a row that were refused for their credential */
    uv_timer_t timer;
    int64_t source_id, sweep_id;
    int64_t started_ms, started_monotonic_ms;
    int64_t due_monotonic_ms;        /* while it rests: when the next sweep begins */
    enum pw_paging_mode offset_mode; /* proved by an earlier sweep */
    struct pw_batch batch;           /* not handed over yet */
    size_t stage_jobs;
    struct pw_error stage_error; /* of the first stage job that failed */
    struct pw_sweep_summary summary;
    struct pw_patch_book *patches; /* of this sweep; NULL: not asked for */
    struct pw_details *details;    /* while they are read */
    int64_t details_began_ms;
    enum pw_sweep_outcome outcome; /* of the sweep that ended last, with what follows */
    int64_t changed, transitions, took_ms;
    struct pw_unended unended;
    void (*closed)(void *context);
    void *closed_context;
};

/* Wakes the collector when its sweep is due; now and then before, where a credential that changes
 * would bring it forward. */
void pw_collecting_set_timer(struct pw_collector *collector);
/* Back to rest: takes what a reload brought, sets the timer for the next sweep. */
void pw_collecting_rest(struct pw_collector *collector);
/* No sweep, or none that could be ended: says so, rests, tells the service. */
void pw_collecting_give_up(struct pw_collector *collector, const char *why);

/* For pw_sweep_params.stage: gathers a record for the store thread. */
enum pw_status pw_collecting_stage(void *context, const struct pw_report *report);
/* Whether the sweep of summary is to be followed by pw_collecting_read_details. */
bool pw_collecting_wants_details(const struct pw_collector *collector);
/* All that the sweep staged has arrived: reads the patches of the nodes that are about to turn,
 * which takes some seconds at most, then goes on with pw_collecting_finish, come what may. */
void pw_collecting_read_details(struct pw_collector *collector);
/* Applies what was staged. */
void pw_collecting_finish(struct pw_collector *collector);

/* The sweep of summary has ended: applies it once all that it staged has arrived, then rests. */
void pw_collecting_apply(struct pw_collector *collector);

#endif

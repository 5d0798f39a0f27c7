/* The inside of dispatch, shared by its files. A lane is one hook's share: it claims, runs
 * and records by itself, so that a stuck hook delays no other. Everything here is touched on the
 * loop thread only, but for the fields of a job while it is with the store thread. */
#ifndef PW_ALERT_DISPATCH_LANES_H
#define PW_ALERT_DISPATCH_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "alert/alerts.h"
#include "alert/dispatch.h"
#include "alert/hook.h"
#include "store/outbox.h"
#include "store/thread.h"

enum {
    /* At once, in all. Each hook keeps one place for itself whatever the others do, so with more
     * hooks than that there can be as many runs as hooks. */
    PW_DISPATCH_MAX_RUNS = 16,
    PW_DISPATCH_WHY_BYTES = 640
};
#define PW_DISPATCH_NEVER INT64_MAX

struct pw_lane;
struct pw_resend;

/* One loaded alerts.yaml: the current one, or an old one that something in flight still needs. */
struct pw_generation {
    struct pw_dispatch *dispatch;
    const struct pw_alerts *alerts;
    size_t users; /* one for being the current one, one for each claim, run and job */
    void (*released)(void *context); /* when users is 0; may be NULL */
    void *context;
    struct pw_store_job barrier; /* once retired: ends after all jobs that were queued before */
    struct pw_store_job orphans_job;
    const char *hook_names[PW_ALERTS_MAX_HOOKS];
    bool is_reload;
    enum pw_status follow_status;
    struct pw_error follow_error;
    enum pw_status orphans_status;
    struct pw_error orphans_error;
    int64_t orphans;
    char orphans_text[512];
};

enum pw_slot_state {
    PW_SLOT_FREE,
    PW_SLOT_READY, /* claimed; to be started in a turn of the loop of its own */
    PW_SLOT_RUNNING,
    PW_SLOT_RECORDING, /* the outcome is with the store thread */
    PW_SLOT_WAITING    /* the outcome could not be stored; again at record_again_ms */
};

/* A place for one attempt, from its start until its outcome is stored. */
struct pw_slot {
    struct pw_lane *lane;
    enum pw_slot_state state;
    struct pw_generation *generation;
    const struct pw_hook_config *hook; /* of generation */
    struct pw_delivery *list;          /* what goes together */
    struct pw_hook_run *run;
    bool stopped; /* we ended it: there is no outcome to record */
    struct pw_outcome outcome;
    bool is_gone; /* the receiver turned the hook off */
    char why[PW_DISPATCH_WHY_BYTES];
    int64_t record_tries;
    int64_t record_again_ms; /* monotonic */
    struct pw_store_job job;
    enum pw_status job_status;
    struct pw_error job_error;
};

struct pw_lane {
    struct pw_dispatch *dispatch;
    struct pw_lane *next;
    char *name;
    const struct pw_hook_config *hook; /* of the current generation; NULL = not configured now */
    int64_t due_ms;                    /* when to claim, monotonic; PW_DISPATCH_NEVER */
    bool claiming;
    bool look_again; /* something changed while the claim was under way */
    struct pw_slot slots[PW_HOOK_MAX_CONCURRENCY];
    size_t slots_used;
    int64_t claim_errors;                                        /* in a row */
    char claim_complaint[sizeof((struct pw_error *)0)->message]; /* what was logged last */
    struct pw_store_job claim_job;
    struct pw_generation *claim_generation;
    struct pw_claim claim; /* its max_attempts are the places that it keeps */
    enum pw_status claim_status;
    struct pw_error claim_error;
    bool is_off;              /* as the last claim found */
    int64_t rate_paid_us;     /* up to when attempts have used the rate, monotonic */
    struct pw_resend *resend; /* NULL: what the hook was told need not be repeated */
};

struct pw_dispatch {
    struct pw_hook_tools tools;
    struct pw_store *store;
    const struct pw_clock *clock;
    uv_timer_t timer;
    struct pw_generation *current;
    struct pw_lane *lanes;
    size_t jobs; /* with the store thread */
    bool started, recovered, recovering;
    int64_t recover_due_ms; /* monotonic */
    int64_t recover_errors;
    int64_t recover_now_ms;
    struct pw_store_job recover_job;
    enum pw_status recover_status;
    struct pw_error recover_error;
    bool groups_are_due; /* --once */
    void (*idle)(void *context);
    void *idle_context;
    bool closing, timer_closed;
    int64_t stop_at_ms; /* while closing: when the hooks that still run are ended, monotonic */
    void (*closed)(void *context);
    void *closed_context;
};

/* dispatch_generation.c */
/* NULL where memory is short. It has one user. */
struct pw_generation *pw_generation_new(struct pw_dispatch *dispatch,
                                        const struct pw_alerts *alerts);
void pw_generation_use(struct pw_generation *generation);
void pw_generation_release(struct pw_generation *generation);
/* Gives up the use that being the current one is, behind the jobs that are queued now. */
void pw_generation_retire(struct pw_generation *generation, void (*released)(void *context),
                          void *context);
/* Lets the table follow its rules, and where they come by a reload tries hooks again that are off;
 * logs what is owed to hooks that it does not have. */
void pw_generation_take_over(struct pw_generation *generation, bool is_reload);

/* dispatch.c */
void pw_dispatch_submit(struct pw_dispatch *dispatch, struct pw_store_job *job);
/* After anything happened: goes on with what can go on, sets the timer, tells who waits. */
void pw_dispatch_settle(struct pw_dispatch *dispatch);
/* 1 s, 2 s, 4 s … at most 30 s. */
int64_t pw_dispatch_delay_ms(int64_t errors);

/* dispatch_claim.c */
/* Claims for every lane that is due and has a place. */
void pw_dispatch_pump(struct pw_dispatch *dispatch);
/* Starts one attempt that is ready: starting a process takes a large daemon some milliseconds, and
 * a turn of the loop must not take several times that. */
void pw_dispatch_start_one(struct pw_dispatch *dispatch);

/* The hook's rate allows so many attempts now; *at_ms is when it allows the next, monotonic. */
size_t pw_lane_rate_left(const struct pw_lane *lane, int64_t now_ms, int64_t *at_ms);

/* dispatch_resend.c */
/* Follows the lane's present hook; PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_resend_bind(struct pw_lane *lane);
/* Begins what is due. */
void pw_resend_pump(struct pw_lane *lane, int64_t now_ms);
/* When it is due next, monotonic; PW_DISPATCH_NEVER while it works. */
int64_t pw_resend_due_ms(const struct pw_lane *lane);
bool pw_resend_is_busy(const struct pw_lane *lane);
void pw_resend_stop(struct pw_lane *lane);
void pw_resend_free(struct pw_lane *lane); /* not while it is busy */

/* dispatch_record.c */
/* The attempt is over, or could not be started: decides what is recorded, and begins to. */
void pw_slot_conclude(struct pw_slot *slot, const struct pw_hook_result *result);
/* The same as the pw_hook_done of a run, whose context is the slot. */
void pw_slot_finish(void *context, const struct pw_hook_result *result);
void pw_slot_record(struct pw_slot *slot);
void pw_slot_clear(struct pw_slot *slot);

#endif

/* Care of the database: the check after an unclean stop, retention in small steps, the write-ahead
 * log's size, and whether there is room again after the disk was full. Runs on the thread that owns
 * db; the daemon's caretaker says when. */
#ifndef PW_STORE_CARE_H
#define PW_STORE_CARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/chain.h"
#include "store/db.h"

/* Checking ------------------------------------------------------------------------------------ */

enum pw_care_verdict {
    PW_CARE_SOUND,
    PW_CARE_DAMAGED,    /* err says what and what to do; the file is left as it is */
    PW_CARE_UNFINISHED, /* the time was up, or it was canceled */
};

/* PRAGMA quick_check for at most limit_ms; *cancel (may be NULL) ends it early. Where the file is
 * damaged, the next start finds it unclean again. */
enum pw_care_verdict pw_care_check(struct pw_db *db, int64_t limit_ms, const atomic_bool *cancel,
                                   struct pw_error *err);

/* Retention ----------------------------------------------------------------------------------- */

enum pw_prune_stage {
    PW_PRUNE_REPORTS, /* versions that ended before the cutoff */
    PW_PRUNE_EVENTS,  /* from the front of the chain, up to the first that must stay */
    PW_PRUNE_SWEEPS,  /* that nothing refers to */
    PW_PRUNE_NODES,   /* missing since before the cutoff, with nothing left of them */
    PW_PRUNE_SPACE,   /* free pages go back to the file system */
    PW_PRUNE_DONE
};

/* One walk through the database: what ended or was recorded before cutoff_ms goes. */
struct pw_prune {
    int64_t cutoff_ms;
    int64_t doubted_since_ms; /* PW_TIME_NONE, or the sweep that retention counted from */
    enum pw_prune_stage stage;
    int64_t cursor;                                            /* within the stage */
    int64_t reports, events, deliveries, sweeps, nodes, pages; /* that are gone */
};

/* Begins a walk: sets the cutoff, retention_ms before now. A clock that was set wrong must not take
 * the history: now is trusted only once some sweeps agree with it. Let T be the start of a source's
 * sweep before its last three (of the source whose is the latest; where none has as many sweeps, of
 * the oldest one). Where T is more than PW_PRUNE_DOUBT_MS before now, retention counts from T, and
 * doubted_since_ms is T. PW_TIME_NONE in doubted_since_ms: now is trusted. */
enum { PW_PRUNE_DOUBT_MS = 7 * 24 * 60 * 60 * 1000 };
PW_MUST_CHECK enum pw_status pw_prune_begin(struct pw_db *db, struct pw_prune *prune,
                                            int64_t retention_ms, int64_t now_ms,
                                            struct pw_error *err);

/* One step: one transaction of a few hundred rows. Never touches what is current, nor an event of
 * which a delivery is pending or dead. On error that step changed nothing. */
PW_MUST_CHECK enum pw_status pw_prune_step(struct pw_db *db, struct pw_prune *prune, int64_t now_ms,
                                           struct pw_error *err);

/* PRAGMA optimize: the planner's statistics, from samples. */
PW_MUST_CHECK enum pw_status pw_care_optimize(struct pw_db *db, struct pw_error *err);

/* Room ---------------------------------------------------------------------------------------- */

/* Size of the write-ahead log beside db, of any connection; 0 where there is none. */
int64_t pw_care_wal_bytes(struct pw_db *db);
/* Copies the log into the file and cuts it off, as far as no reader needs it, without waiting for
 * anybody. *left_bytes is its size after that. */
PW_MUST_CHECK enum pw_status pw_care_shrink_wal(struct pw_db *db, int64_t *left_bytes,
                                                struct pw_error *err);
/* Whether `room_bytes` and a small transaction can be written: PW_OK, else PW_EFULL or what else is
 * wrong. Leaves nothing behind. */
PW_MUST_CHECK enum pw_status pw_care_try_write(struct pw_db *db, int64_t room_bytes,
                                               struct pw_error *err);

#endif

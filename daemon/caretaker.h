/* The caretaker: looks after the database beside the sweeps. The check after an unclean stop comes
 * before all else; then, in small store jobs between others: retention hourly, statistics daily,
 * the write-ahead log's size every minute; and while the disk is full, whether there is room again.
 */
#ifndef PW_DAEMON_CARETAKER_H
#define PW_DAEMON_CARETAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/thread.h"

struct pw_caretaker;

struct pw_caretaker_params {
    uv_loop_t *loop;
    struct pw_store *store; /* outlives the caretaker */
    const struct pw_clock *clock;
    int64_t retention_ms; /* 0 = keep all */
    void *context;
    /* The database is damaged, told in the log: the daemon must not write to it any more. Once. */
    void (*damaged)(void *context);
};

PW_MUST_CHECK enum pw_status pw_caretaker_new(const struct pw_caretaker_params *params,
                                              struct pw_caretaker **out, struct pw_error *err);
/* Checks the database where the last writer did not close it, then calls checked; `damaged` instead
 * where it is. A clean database costs nothing: checked is called before this returns. */
void pw_caretaker_check(struct pw_caretaker *caretaker, void (*checked)(void *context));
/* From now on everything at its time. */
void pw_caretaker_start(struct pw_caretaker *caretaker);
/* For --once: retention, for some seconds at most, then calls done. */
void pw_caretaker_once(struct pw_caretaker *caretaker, void (*done)(void *context));
void pw_caretaker_set_retention(struct pw_caretaker *caretaker, int64_t retention_ms);

/* A store job of somebody else failed: a full disk pauses the sweeps, damage ends the daemon, the
 * rest is not ours. */
void pw_caretaker_trouble(struct pw_caretaker *caretaker, enum pw_status status,
                          const char *message);
/* The disk is full: no sweep is to begin. */
bool pw_caretaker_is_full(const struct pw_caretaker *caretaker);

/* Lets the job under way end, frees all on the loop, then calls closed. */
void pw_caretaker_close(struct pw_caretaker *caretaker, void (*closed)(void *context),
                        void *context);

#endif

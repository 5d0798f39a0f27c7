/* A collector: one source, from its timer to the snapshot. It owns the source's index and throttle;
 * its sweeps never overlap. */
#ifndef PW_DAEMON_COLLECTOR_H
#define PW_DAEMON_COLLECTOR_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "cloud/guard.h"
#include "config/config.h"
#include "http/http.h"
#include "store/apply.h"
#include "store/thread.h"

struct pw_collector;

/* What a collector is given by the service; all of it outlives the collector. */
struct pw_collector_params {
    uv_loop_t *loop;
    struct pw_store *store;
    struct pw_http *http;
    struct pw_guard *guard;
    const struct pw_clock *clock;
    const struct pw_source_config *source; /* until pw_collector_use or close has ended */
    void *context;
    /* How many requests it may have under way; asked before each sweep. */
    int64_t (*connection_share)(void *context);
    /* Who is owed what, at this moment; asked before each apply. */
    const struct pw_router *(*router)(void *context);
    /* Whether no sweep may begin for the time being: the disk is full. */
    bool (*is_paused)(void *context);
    /* The database failed us: status and words of the error. */
    void (*troubled)(void *context, enum pw_status status, const char *message);
    /* A sweep has ended and is in the database, or could not be put there. */
    void (*swept)(void *context, struct pw_collector *collector, enum pw_sweep_outcome outcome,
                  size_t deliveries);
};

PW_MUST_CHECK enum pw_status pw_collector_new(const struct pw_collector_params *params,
                                              struct pw_collector **out, struct pw_error *err);
/* Opens the source in the snapshot, then sweeps: now, and every interval unless once. */
void pw_collector_start(struct pw_collector *collector, bool once);
/* After a reload: the next sweep goes by this configuration. The old one must live until the
 * running sweep has ended. */
void pw_collector_use(struct pw_collector *collector, const struct pw_source_config *source);
/* The configuration that it goes by at this moment. */
const struct pw_source_config *pw_collector_source(const struct pw_collector *collector);
/* False while something of an earlier configuration is still being closed. */
bool pw_collector_is_settled(const struct pw_collector *collector);
/* Sweeps as soon as nothing runs: now, or once the sweep that runs has ended. Gives the number of
 * that sweep, for pw_collector_begun. */
int64_t pw_collector_sweep_now(struct pw_collector *collector);
/* How many sweeps it has begun since it was made; in `swept`, the number of the one that ended. */
int64_t pw_collector_begun(const struct pw_collector *collector);

/* The sweep that ended last; the texts live until the next one begins. */
struct pw_collector_swept {
    int64_t sweep_id; /* 0: it did not get that far */
    enum pw_sweep_outcome outcome;
    int64_t started_ms, took_ms;
    int64_t records, nodes, changed, transitions;
    const char *reason, *error_code, *error_msg; /* "" where there is none */
};
void pw_collector_last(const struct pw_collector *collector, struct pw_collector_swept *out);

const char *pw_collector_name(const struct pw_collector *collector);
/* Stops what runs, frees all on the loop, then calls closed. */
void pw_collector_close(struct pw_collector *collector, void (*closed)(void *context),
                        void *context);

#endif

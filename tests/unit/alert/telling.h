/* A world in short words: a fleet of a few nodes whose sweeps go through the real store with the
 * rules of a real alerts.yaml, hooks that take or refuse what they are told, and a clock that the
 * test moves. All of it fails the test where it fails. */
#ifndef PW_TEST_ALERT_TELLING_H
#define PW_TEST_ALERT_TELLING_H

#include "alert/alerts.h"
#include "history.h"
#include "scratch.h"
#include "store/outbox.h"

#define MINUTE_MS INT64_C(60000)

struct world {
    struct pw_db *db;
    struct scratch *scratch;
    struct pw_alerts *alerts;
    int64_t source_id, now_ms;
    int64_t next_due_ms; /* as the last take() found */
    /* How sweeps are applied, see plain_params; world_sweep says of what, when and to whom. */
    struct pw_apply_params how;
};

/* hooks a and b exist; rules and mutes are the rest of the file. The fleet of `letters` (see
 * history.h) is there, and nobody was told of it. It is 2024-11-26 00:00 UTC, a Tuesday. */
void world_begin(struct world *world, void **state, const char *rules, const char *letters);
void world_end(struct world *world);
/* The rules change, as by a reload. */
void world_rules(struct world *world, const char *rules);
/* The process dies and another one starts. */
void world_restart(struct world *world);
void world_pass(struct world *world, int64_t ms);
void world_sweep(struct world *world, const char *letters);
/* One that saw nothing at all. */
void world_fail_to_sweep(struct world *world);
/* Somebody works on the problem of that node; until may be NULL or a number of milliseconds. */
void world_ack(struct world *world, const char *key, const char *until);

/* What the hook takes now, all of it delivered: "n0 c1+c2 n3!2": node 0 went bad; one attempt told
 * that 1 and 2 are well again; node 3's problem was reminded of for the second time. In the order
 * of the machines, and of time for each. */
const char *take(struct world *world, const char *hook);
/* The same, but the attempts fail, to be made again after `again_ms`. */
const char *fail_to_take(struct world *world, const char *hook, int64_t again_ms);

#endif

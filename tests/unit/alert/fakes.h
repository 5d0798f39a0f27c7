/* The outbox and the store thread, faked in memory for the test of dispatch. Jobs really run on
 * another thread, as the real ones do. */
#ifndef PW_TEST_ALERT_FAKES_H
#define PW_TEST_ALERT_FAKES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "store/outbox.h"
#include "store/thread.h"

enum fake_state { FAKE_PENDING, FAKE_DELIVERED, FAKE_DEAD };

struct fake_row {
    int64_t id;
    char hook[32];
    char node[32]; /* "" = a source event */
    enum fake_state state;
    int64_t attempts;
    int64_t next_attempt_at_ms;
    int64_t created_at_ms;
    int64_t claimed_at_ms; /* 0 = not in flight */
    int64_t failed_at_ms;  /* when a retry was recorded, wall clock */
    char last_error[256];
};

enum { FAKE_MAX_ROWS = 128 };

/* The database; a struct pw_db * points here. Jobs change it; the test looks at
 * it between turns of the loop, at what no job is about to change. */
struct fake_db {
    struct fake_row rows[FAKE_MAX_ROWS];
    size_t count;
    int recovers, claims, orphans, records;
    int fail_recover, fail_claim, fail_record; /* this many calls to come fail */
    size_t claim_max_seen;
    char orphan_hooks[256]; /* the names that were given last */
    char off[32];           /* a hook that its receiver turned off */
};

/* Adds a delivery that is due at once. Returns its row. */
struct fake_row *fake_add(struct fake_db *db, const char *hook, const char *node);
size_t fake_count(const struct fake_db *db, enum fake_state state);

struct pw_store *fake_store_new(uv_loop_t *loop, struct fake_db *db);
void fake_store_close(struct pw_store *store);

#endif

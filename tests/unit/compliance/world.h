/* One node and the sweeps that it goes through, for the tests of the diff. Slot i is baseline i.
 * The caller owns the world, which holds no memory of its own; a result's events point into memory
 * of the last call of sweep. */
#ifndef PW_TEST_WORLD_H
#define PW_TEST_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "compliance/diff.h"

enum { NOW = 1000000000, SLOTS = 4 };
enum { U = PW_UNKNOWN, C = PW_COMPLIANT, N = PW_NON_COMPLIANT };

struct world {
    struct pw_report stored[SLOTS], shown[SLOTS];
    bool is_stored[SLOTS], is_shown[SLOTS], is_known[SLOTS];
    struct pw_node_state state;
    bool baseline_done;
    int64_t confirm, missing_after, now_ms;
    enum pw_report_action actions[SLOTS];
    struct pw_diff_result result;
};

struct world world(void);
struct pw_report record(int status, int64_t time_ms, int64_t high);
void show_report(struct world *w, int slot, struct pw_report report);
/* A report with as many patches missing as its status suggests. */
void show(struct world *w, int slot, int status, int64_t time_ms);
/* The sweep shows what the snapshot knows already. */
void show_known(struct world *w, int slot);
void sweep(struct world *w, bool complete);
/* A node whose only report so far has that status. */
struct world with(int status);
void assert_event(const struct world *w, size_t at, enum pw_event_type type, int from, int to,
                  enum pw_event_cause cause);
void assert_only(const struct world *w, enum pw_event_type type, int from, int to,
                 enum pw_event_cause cause);
void assert_quiet(const struct world *w);

#endif

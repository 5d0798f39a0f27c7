/* How often a node changes: the weighted share of recent changes by which Nagios finds flapping
 * services ("Detection and Handling of State Flapping" in its manual), counted in sweeps. Pure. */
#ifndef PW_COMPLIANCE_FLAP_H
#define PW_COMPLIANCE_FLAP_H

#include <stdint.h>

#include "compliance/event.h"

/* Gathers the changes of one node: {.window = …} to begin with. */
struct pw_flap_tally {
    int64_t window;  /* sweeps, ≥ 1 */
    int64_t changes; /* noted, those within the window */
    int64_t weight;
};

/* A change that `age` complete sweeps followed. One that is older than the window counts nothing.
 */
void pw_flap_note(struct pw_flap_tally *tally, int64_t age);

/* The share: each change weighs from 0.8 (the oldest of the window) to 1.2 (the newest), divided by
 * the window; at most 1. */
struct pw_flapping pw_flap_result(const struct pw_flap_tally *tally);

#endif

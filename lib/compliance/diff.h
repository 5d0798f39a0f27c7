/* The diff of one node: what the snapshot knows of it and what a sweep showed of it, to what the
 * snapshot should say now and which events that raises. Pure: this file is the meaning of the
 * product, and its tests need nothing but it. */
#ifndef PW_COMPLIANCE_DIFF_H
#define PW_COMPLIANCE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compliance/event.h"
#include "compliance/report.h"

/* What the snapshot keeps of a node beside its reports. */
struct pw_node_state {
    bool exists;
    enum pw_compliance status;         /* of its current reports */
    enum pw_compliance last_definite;  /* PW_UNKNOWN = it never had one */
    int64_t status_since_ms;           /* when status became what it is */
    enum pw_compliance pending_status; /* waits for `confirm`; PW_UNKNOWN = nothing waits */
    enum pw_event_cause pending_cause; /* why it came to wait */
    int64_t pending_sweeps;            /* sweeps in a row that showed pending_status */
    int64_t missed_sweeps;             /* complete sweeps in a row that did not show the node */
    int64_t missing_since_ms;          /* PW_TIME_NONE = present */
};

/* One report key of the node. */
struct pw_report_slot {
    const struct pw_report *old; /* the current version; for a missing node its last one; or NULL */
    const struct pw_report *found; /* the staged record of this sweep that counts, or NULL */
    bool seen; /* shown by this sweep, as far as is known; a complete sweep lists what it did not
                  show */
};

enum pw_report_action {
    PW_REPORT_KEEP,    /* old stays the current version */
    PW_REPORT_INSERT,  /* found becomes the first version */
    PW_REPORT_REPLACE, /* found replaces old */
    PW_REPORT_RETIRE,  /* old ends: a complete sweep shows the node without it, or the node is
                          missing */
    PW_REPORT_REOPEN,  /* old, ended when its node went missing, is current again */
    PW_REPORT_DROP     /* was not current and stays so */
};

struct pw_diff_input {
    const struct pw_node_state *before;
    const struct pw_report_slot *slots;
    size_t slot_count;
    bool sweep_complete;
    bool baseline_done;    /* the source had its first complete sweep before this one */
    int64_t confirm;       /* ≥ 1 */
    int64_t missing_after; /* ≥ 1 */
    int64_t misses;        /* what not being shown counts: 1, or 2 with a sweep that was held */
    int64_t now_ms;
};

enum { PW_DIFF_MAX_EVENTS = 3 };

struct pw_diff_event {
    enum pw_event_type type;
    enum pw_event_cause cause;
    enum pw_compliance from, to;
    bool has_from, has_to;
    const struct pw_report *report;
    const struct pw_report *previous;
    int64_t occurred_at_ms;
};

struct pw_diff_result {
    struct pw_node_state after;
    bool shown;    /* the sweep showed the node */
    bool restless; /* the next sighting must reach the store even where nothing changed */
    const struct pw_report
        *node_facts; /* newest record seen, for the node's own fields; NULL = keep */
    struct pw_diff_event events[PW_DIFF_MAX_EVENTS];
    size_t event_count;
};

/* Decides. actions has slot_count places and is filled. Never fails. */
void pw_diff_node(const struct pw_diff_input *input, enum pw_report_action *actions,
                  struct pw_diff_result *result);

#endif

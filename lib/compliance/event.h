/* The event: what is told to people, its deterministic id, and its CloudEvents 1.0 JSON. Pure. */
#ifndef PW_COMPLIANCE_EVENT_H
#define PW_COMPLIANCE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "compliance/patches.h"
#include "compliance/report.h"

enum pw_event_type {
    PW_EVENT_NODE_NON_COMPLIANT,
    PW_EVENT_NODE_COMPLIANT,
    PW_EVENT_NODE_DISCOVERED,
    PW_EVENT_NODE_MISSING,
    PW_EVENT_NODE_RETURNED,
    PW_EVENT_NODE_WORSENED,
    PW_EVENT_NODE_IMPROVED,
    PW_EVENT_NODE_FLAPPING,
    PW_EVENT_NODE_SETTLED,
    PW_EVENT_FLEET_SHIFT,
    PW_EVENT_SOURCE_BASELINE,
    PW_EVENT_SOURCE_FAILING,
    PW_EVENT_SOURCE_RECOVERED,
    PW_EVENT_TYPE_COUNT
};

/* "node.non_compliant" …: the type without "io.patchwatch.". */
const char *pw_event_type_name(enum pw_event_type type);
/* The type of a name, with or without "io.patchwatch."; false where there is none. */
bool pw_event_type_parse(struct pw_str name, enum pw_event_type *out);

enum pw_event_cause {
    PW_CAUSE_NONE,
    PW_CAUSE_PATCHES,     /* same baseline, other counts */
    PW_CAUSE_BASELINE,    /* another baseline */
    PW_CAUSE_STATUS,      /* same baseline, same counts, yet another status */
    PW_CAUSE_FIRST_SEEN,  /* the node is new */
    PW_CAUSE_RETURNED,    /* the node had been missing */
    PW_CAUSE_NOT_SHOWN,   /* complete sweeps no longer show the node */
    PW_CAUSE_FIRST_SWEEP, /* source.baseline */
    PW_CAUSE_INCOMPLETE,  /* source.failing: the last sweep saw something */
    PW_CAUSE_FAILED,      /* source.failing: it saw nothing */
    PW_CAUSE_COMPLETE,    /* source.recovered */
    PW_CAUSE_COUNT
};
const char *pw_event_cause_name(enum pw_event_cause cause); /* NULL for PW_CAUSE_NONE */
enum pw_event_cause pw_event_cause_of(struct pw_str name);  /* PW_CAUSE_NONE where unknown */

/* Totals of a source, in source.baseline. */
struct pw_fleet_totals {
    int64_t nodes;
    int64_t compliant;
    int64_t non_compliant;
    int64_t unknown;
};

/* How a source fails, in source.failing and source.recovered. */
struct pw_source_failure {
    int64_t sweeps;                              /* in a row that failed or were incomplete */
    int64_t since_ms;                            /* start of the first of them */
    const char *reason, *error_code, *error_msg; /* of the last one; NULL where it says none */
};

/* What stands until something ends it, so that whoever is told of the one is told of the other. */
enum pw_matter {
    PW_MATTER_NONE,
    PW_MATTER_STATUS,   /* a node is non_compliant, or flaps */
    PW_MATTER_PRESENCE, /* a node is missing */
    PW_MATTER_SOURCE    /* a source fails */
};

/* How often a node changed, in node.flapping and node.settled. */
struct pw_flapping {
    int64_t changes;   /* transitions within the window */
    int64_t sweeps;    /* the window */
    int64_t share_ppm; /* their weighted share, in millionths */
};

/* What a node of a fleet.shift did; PW_SHIFT_KIND_COUNT = nothing that lasted. */
enum pw_shift_kind {
    PW_SHIFT_TO_NON_COMPLIANT,
    PW_SHIFT_TO_COMPLIANT,
    PW_SHIFT_MISSING,
    PW_SHIFT_RETURNED,
    PW_SHIFT_FLAPPING, /* they began to */
    PW_SHIFT_SETTLED,
    PW_SHIFT_KIND_COUNT
};
const char *pw_shift_kind_name(enum pw_shift_kind kind); /* "to_non_compliant" … */

enum { PW_SHIFT_TOP = 5, PW_SHIFT_EXAMPLES = 20 };

/* So many nodes of the shift have this in common. */
struct pw_shift_share {
    char *id, *name; /* NULL: the API gave none */
    int64_t nodes;
};
struct pw_shift_example {
    char *node_key, *name;
    enum pw_shift_kind kind;
};

/* A change of so many nodes at once that it is told as one, in fleet.shift. */
struct pw_fleet_shift {
    bool is_confirmed; /* by a later complete sweep */
    int64_t nodes;     /* whose change stands */
    int64_t of_nodes;  /* that were or are present */
    int64_t share_ppm;
    int64_t went_back;                    /* nodes that changed, but are again as before */
    int64_t by_kind[PW_SHIFT_KIND_COUNT]; /* a node may be of more than one */
    int64_t by_cause[PW_CAUSE_COUNT];
    struct pw_shift_share baselines[PW_SHIFT_TOP], regions[PW_SHIFT_TOP]; /* the most first */
    size_t baseline_count, region_count;
    struct pw_shift_example examples[PW_SHIFT_EXAMPLES];
    size_t example_count;
    int64_t first_sweep_id; /* that showed some of it; the event's own sweep is the last one */
    int64_t since_ms;
};

enum { PW_EVENT_UID_SIZE = 37 };

/* An event about to be recorded. All pointers are borrowed for the time of the call. */
struct pw_event {
    enum pw_event_type type;
    enum pw_event_cause cause;
    const char *source_name;
    struct pw_str node_key; /* null for source events */
    enum pw_compliance from, to;
    bool has_from, has_to; /* false = null in the JSON */
    const struct pw_report
        *report; /* decides `to`; its node fields are the node's. NULL for source events */
    const struct pw_report *previous;        /* what it replaced, or NULL */
    const struct pw_patch_list *patches;     /* node.non_compliant, where they were asked for */
    const struct pw_fleet_totals *totals;    /* source.baseline only */
    const struct pw_source_failure *failure; /* source.failing, source.recovered only */
    const struct pw_flapping *flapping;      /* node.flapping, node.settled only */
    const struct pw_fleet_shift *shift;      /* fleet.shift only */
    int64_t sweep_id;
    int64_t occurred_at_ms; /* report_time, else recorded_at_ms */
    int64_t recorded_at_ms;
    /* set by the recorder */
    int64_t sequence;
    char uid[PW_EVENT_UID_SIZE];
};

/* What matter the event begins, goes on with or ends. */
enum pw_matter pw_matter_of(const struct pw_event *event);
/* Whether it is still worth telling when a mute that held it back is over: what stands or ends, and
 * what stands for many machines. Whatever else happened is old news by then. */
bool pw_event_outlives_mute(const struct pw_event *event);
/* Whether it ends its matter. */
bool pw_event_is_end(const struct pw_event *event);

/* Name-based UUID (version 5, RFC 4122 section 4.3) of source, node key, type, new status and
 * report_time; `counter` > 0 is added to the name where that id was used before. Two collectors
 * that watch the same source under one name give the same change the same id. */
void pw_event_uid(const struct pw_event *event, unsigned counter, char out[PW_EVENT_UID_SIZE]);

/* Appends the CloudEvents 1.0 JSON object (one line, no newline at its end). Failure is the
 * buffer's. */
void pw_event_write(const struct pw_event *event, struct pw_buffer *out);

#endif

/*
 * The fleet behind the API: generated nodes (a small struct each, the rest derived from the seed),
 * what tests overrode in them, explicit records, and the two orders in which rows are listed.
 */
#ifndef COC_SIM_FLEET_H
#define COC_SIM_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "row.h"

enum { NODES_MAX = 1000000 };
enum status { STATUS_COMPLIANT, STATUS_NON_COMPLIANT, STATUS_UNKNOWN, STATUSES };

/* Time argument: the next tick of the fleet's clock. */
#define TIME_NEXT INT64_MIN

struct node {
    int64_t report_time_ms;
    uint32_t report_rev; /* which report: job_id and order_id follow from it */
    uint32_t counts_rev; /* which patch counts */
    uint16_t id_rev;
    uint8_t status;
    bool removed;
    bool overridden; /* has an entry among the overrides */
};

struct override {
    uint32_t index;
    struct values values;
};

struct record {
    struct values values;
    char *raw; /* verbatim JSON instead of the values; NULL if built from them */
    size_t raw_len;
    bool counted;
    bool dropped;
};

/* An item is a node's index, or RECORD_BIT and a record's number: ascending items are the order
 * without sort_key. */
#define RECORD_BIT 0x80000000U

/* Present items in listing order; rebuilt when read after it went stale. */
struct order {
    uint32_t *by_time;
    uint32_t *by_item;
    size_t count;
    size_t size;
    bool stale;
};

struct fleet {
    struct node *nodes;
    size_t node_count;
    size_t node_size;
    struct override *overrides; /* by index */
    size_t override_count;
    struct record *records;
    size_t record_count;
    struct order order;
    uint64_t version; /* grows with every change */
    uint64_t seed;
    double non_compliant_percent;
    int64_t base_time_ms;
    int64_t clock_ms; /* greatest report time of a node */
    uint64_t picks;   /* random picks made so far */
    bool page_mode;
};

/* fleet.c: nodes and records ----------------------------------------------------------------------
 */

const char *status_name(enum status status);
/* STATUSES if there is none of that name. */
enum status status_find(const char *name);

/* Replaces the nodes by `count` generated ones. */
void fleet_make(struct fleet *fleet, size_t count);
/* Drops nodes and records, keeps the settings. */
void fleet_clear(struct fleet *fleet);
void fleet_free(struct fleet *fleet);

/* Resolves an item; false for a raw record, which has no fields. */
bool fleet_row(const struct fleet *fleet, uint32_t item, struct row *row);
int64_t fleet_time(const struct fleet *fleet, uint32_t item);
bool fleet_counted(const struct fleet *fleet, uint32_t item);
bool fleet_has_node(const struct fleet *fleet, uint32_t index);

/* Appends a node with a new report; status STATUSES = as generated. The fleet must not be full.
 * Returns its index. */
uint32_t fleet_add(struct fleet *fleet, enum status status, int64_t report_time_ms);
void fleet_set_removed(struct fleet *fleet, uint32_t index, bool removed);
/* What a test gave for this node, made if need be; the fleet keeps it. Call fleet_changed() after a
 * change. */
struct values *fleet_override(struct fleet *fleet, uint32_t index);
void fleet_unset(struct fleet *fleet, uint32_t index);
void fleet_changed(struct fleet *fleet);

/* Takes over the record's memory; returns its number. */
uint32_t record_add(struct fleet *fleet, struct record record);
bool record_present(const struct fleet *fleet, uint32_t number);
void record_drop(struct fleet *fleet, uint32_t number);

/* report.c: new reports ---------------------------------------------------------------------------
 */

struct report_change {
    int64_t report_time_ms; /* or TIME_NEXT */
    bool new_id;
};

/* A new report with the same status and counts. */
void report_touch(struct fleet *fleet, uint32_t index, struct report_change change);
/* A new report with that status and fresh counts. */
void report_flip(struct fleet *fleet, uint32_t index, enum status to, struct report_change change);
/* The status the API shows now; STATUSES where a test set null or another text. */
enum status report_status(const struct fleet *fleet, uint32_t index);
/* Sets only the time. */
void report_set_time(struct fleet *fleet, uint32_t index, int64_t report_time_ms);
/* Up to `count` present nodes: the first whose status is not `to`, or (to = STATUSES) any picked at
 * random among those of definite status. Writes their indexes, returns how many. */
size_t report_pick(struct fleet *fleet, size_t count, enum status to, uint32_t *indexes);

/* derive.c: what follows from seed and index
 * ------------------------------------------------------- */

uint64_t derive_hash(uint64_t seed, uint64_t a, uint64_t b);
struct node derive_node(const struct fleet *fleet, uint32_t index);
void derive_row(const struct fleet *fleet, uint32_t index, struct row *row);

/* order.c -----------------------------------------------------------------------------------------
 */

/* The order, brought up to date. */
const struct order *order_get(struct fleet *fleet);
/* The item at a position from 0 in the order asked for. */
uint32_t order_at(const struct order *order, bool by_time, bool descending, size_t position);
/* Before and after a change of presence or time of one item; nothing if the order is stale anyway.
 */
void order_remove(struct fleet *fleet, uint32_t item);
void order_insert(struct fleet *fleet, uint32_t item);
void order_free(struct order *order);

#endif

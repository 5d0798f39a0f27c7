/*
 * Nodes and explicit records: making, finding, removing, overriding (see fleet.h).
 */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

static const char *const status_names[STATUSES] = {"compliant", "non_compliant", "unknown"};

const char *status_name(enum status status)
{
    return status < STATUSES ? status_names[status] : NULL;
}

enum status status_find(const char *name)
{
    unsigned i = 0;
    while (i < STATUSES && strcmp(status_names[i], name) != 0) {
        i++;
    }
    return (enum status)i;
}

void fleet_changed(struct fleet *fleet)
{
    fleet->version++;
}

static void drop_nodes(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->override_count; i++) {
        values_free(&fleet->overrides[i].values);
    }
    free(fleet->overrides);
    fleet->overrides = NULL;
    fleet->override_count = 0;
    free(fleet->nodes);
    fleet->nodes = NULL;
    fleet->node_count = 0;
    fleet->node_size = 0;
    fleet->clock_ms = fleet->base_time_ms;
    fleet->order.stale = true;
}

static void free_record(struct record *record)
{
    values_free(&record->values);
    free(record->raw);
    record->raw = NULL;
}

void fleet_make(struct fleet *fleet, size_t count)
{
    drop_nodes(fleet);
    fleet->nodes = sim_calloc(count, sizeof *fleet->nodes);
    fleet->node_count = count;
    fleet->node_size = count;
    for (uint32_t i = 0; i < count; i++) {
        fleet->nodes[i] = derive_node(fleet, i);
        if (fleet->clock_ms < fleet->nodes[i].report_time_ms) {
            fleet->clock_ms = fleet->nodes[i].report_time_ms;
        }
    }
    fleet_changed(fleet);
}

void fleet_clear(struct fleet *fleet)
{
    drop_nodes(fleet);
    for (size_t i = 0; i < fleet->record_count; i++) {
        free_record(&fleet->records[i]);
    }
    free(fleet->records);
    fleet->records = NULL;
    fleet->record_count = 0;
    fleet_changed(fleet);
}

void fleet_free(struct fleet *fleet)
{
    fleet_clear(fleet);
    order_free(&fleet->order);
}

/* Where the node's override is, or would be inserted. */
static size_t override_place(const struct fleet *fleet, uint32_t index)
{
    size_t low = 0;
    size_t high = fleet->override_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fleet->overrides[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct values *fleet_override(struct fleet *fleet, uint32_t index)
{
    size_t place = override_place(fleet, index);
    if (!fleet->nodes[index].overridden) {
        fleet->overrides =
            sim_realloc(fleet->overrides, (fleet->override_count + 1) * sizeof *fleet->overrides);
        struct override *entry = &fleet->overrides[place];
        memmove(entry + 1, entry, (fleet->override_count - place) * sizeof *entry);
        *entry = (struct override){.index = index};
        fleet->override_count++;
        fleet->nodes[index].overridden = true;
    }
    return &fleet->overrides[place].values;
}

void fleet_unset(struct fleet *fleet, uint32_t index)
{
    if (fleet->nodes[index].overridden) {
        struct override *entry = &fleet->overrides[override_place(fleet, index)];
        size_t after = fleet->override_count - (size_t)(entry - fleet->overrides) - 1;
        values_free(&entry->values);
        memmove(entry, entry + 1, after * sizeof *entry);
        fleet->override_count--;
        fleet->nodes[index].overridden = false;
        fleet_changed(fleet);
    }
}

bool fleet_row(const struct fleet *fleet, uint32_t item, struct row *row)
{
    if ((item & RECORD_BIT) != 0) {
        const struct record *record = &fleet->records[item & ~RECORD_BIT];
        if (record->raw != NULL) {
            return false;
        }
        row_clear(row);
        values_apply(&record->values, row);
        return true;
    }
    derive_row(fleet, item, row);
    if (fleet->nodes[item].overridden) {
        values_apply(&fleet->overrides[override_place(fleet, item)].values, row);
    }
    return true;
}

int64_t fleet_time(const struct fleet *fleet, uint32_t item)
{
    if ((item & RECORD_BIT) != 0) {
        return fleet->records[item & ~RECORD_BIT].values.report_time_ms;
    }
    return fleet->nodes[item].report_time_ms;
}

bool fleet_counted(const struct fleet *fleet, uint32_t item)
{
    return (item & RECORD_BIT) == 0 || fleet->records[item & ~RECORD_BIT].counted;
}

bool fleet_has_node(const struct fleet *fleet, uint32_t index)
{
    return index < fleet->node_count && !fleet->nodes[index].removed;
}

uint32_t fleet_add(struct fleet *fleet, enum status status, int64_t report_time_ms)
{
    if (fleet->node_count == fleet->node_size) {
        fleet->node_size = fleet->node_size * 2 + 16;
        fleet->nodes = sim_realloc(fleet->nodes, fleet->node_size * sizeof *fleet->nodes);
    }
    uint32_t index = (uint32_t)fleet->node_count++;
    fleet->nodes[index] = derive_node(fleet, index);
    if (status < STATUSES) {
        fleet->nodes[index].status = (uint8_t)status;
    }
    fleet->nodes[index].removed = true;
    report_set_time(fleet, index, report_time_ms);
    fleet_set_removed(fleet, index, false);
    return index;
}

void fleet_set_removed(struct fleet *fleet, uint32_t index, bool removed)
{
    if (fleet->nodes[index].removed != removed) {
        if (removed) {
            order_remove(fleet, index);
        }
        fleet->nodes[index].removed = removed;
        if (!removed) {
            order_insert(fleet, index);
        }
        fleet_changed(fleet);
    }
}

uint32_t record_add(struct fleet *fleet, struct record record)
{
    uint32_t number = (uint32_t)fleet->record_count;
    fleet->records =
        sim_realloc(fleet->records, (fleet->record_count + 1) * sizeof *fleet->records);
    fleet->records[fleet->record_count++] = record;
    order_insert(fleet, RECORD_BIT | number);
    fleet_changed(fleet);
    return number;
}

bool record_present(const struct fleet *fleet, uint32_t number)
{
    return number < fleet->record_count && !fleet->records[number].dropped;
}

void record_drop(struct fleet *fleet, uint32_t number)
{
    order_remove(fleet, RECORD_BIT | number);
    fleet->records[number].dropped = true;
    free_record(&fleet->records[number]);
    fleet_changed(fleet);
}

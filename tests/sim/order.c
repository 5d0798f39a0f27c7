/*
 * The listing orders: by (report time, item) and by item, kept up to date one item at a time and
 * rebuilt after mass changes.
 */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

struct timed_item {
    int64_t time_ms;
    uint32_t item;
};

static int compare_timed(const void *left, const void *right)
{
    const struct timed_item *a = left;
    const struct timed_item *b = right;
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    return a->item < b->item ? -1 : a->item > b->item;
}

static void make_room(struct order *order, size_t count)
{
    if (order->size < count) {
        order->size = count + count / 4 + 64;
        order->by_time = sim_realloc(order->by_time, order->size * sizeof *order->by_time);
        order->by_item = sim_realloc(order->by_item, order->size * sizeof *order->by_item);
    }
}

static void rebuild(struct fleet *fleet)
{
    struct order *order = &fleet->order;
    order->count = 0;
    make_room(order, fleet->node_count + fleet->record_count);
    for (uint32_t i = 0; i < fleet->node_count; i++) {
        if (!fleet->nodes[i].removed) {
            order->by_item[order->count++] = i;
        }
    }
    for (uint32_t i = 0; i < fleet->record_count; i++) {
        if (!fleet->records[i].dropped) {
            order->by_item[order->count++] = RECORD_BIT | i;
        }
    }
    struct timed_item *sorted = sim_calloc(order->count, sizeof *sorted);
    for (size_t i = 0; i < order->count; i++) {
        uint32_t item = order->by_item[i];
        sorted[i] = (struct timed_item){fleet_time(fleet, item), item};
    }
    qsort(sorted, order->count, sizeof *sorted, compare_timed);
    for (size_t i = 0; i < order->count; i++) {
        order->by_time[i] = sorted[i].item;
    }
    free(sorted);
    order->stale = false;
}

const struct order *order_get(struct fleet *fleet)
{
    if (fleet->order.stale) {
        rebuild(fleet);
    }
    return &fleet->order;
}

uint32_t order_at(const struct order *order, bool by_time, bool descending, size_t position)
{
    const uint32_t *items = by_time ? order->by_time : order->by_item;
    return items[descending ? order->count - 1 - position : position];
}

/* The first place whose item is not before `item`. */
static size_t find_by_time(const struct fleet *fleet, uint32_t item)
{
    const struct order *order = &fleet->order;
    struct timed_item key = {fleet_time(fleet, item), item};
    size_t low = 0;
    size_t high = order->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t other = order->by_time[middle];
        struct timed_item at = {fleet_time(fleet, other), other};
        if (compare_timed(&at, &key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t find_by_item(const struct order *order, uint32_t item)
{
    size_t low = 0;
    size_t high = order->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order->by_item[middle] < item) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void take_out(uint32_t *items, size_t count, size_t place)
{
    memmove(items + place, items + place + 1, (count - place - 1) * sizeof *items);
}

static void put_in(uint32_t *items, size_t count, size_t place, uint32_t item)
{
    memmove(items + place + 1, items + place, (count - place) * sizeof *items);
    items[place] = item;
}

void order_remove(struct fleet *fleet, uint32_t item)
{
    struct order *order = &fleet->order;
    if (!order->stale) {
        take_out(order->by_time, order->count, find_by_time(fleet, item));
        take_out(order->by_item, order->count, find_by_item(order, item));
        order->count--;
    }
}

void order_insert(struct fleet *fleet, uint32_t item)
{
    struct order *order = &fleet->order;
    if (!order->stale) {
        make_room(order, order->count + 1);
        put_in(order->by_time, order->count, find_by_time(fleet, item), item);
        put_in(order->by_item, order->count, find_by_item(order, item), item);
        order->count++;
    }
}

void order_free(struct order *order)
{
    free(order->by_time);
    free(order->by_item);
    *order = (struct order){0};
}

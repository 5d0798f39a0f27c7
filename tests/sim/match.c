/*
 * Filtering with a small cache of lists (see match.h).
 */
#include "match.h"

#include <stdlib.h>
#include <string.h>

static int64_t count_of(const struct fleet *fleet, size_t items)
{
    int64_t counted = (int64_t)items;
    for (uint32_t i = 0; i < fleet->record_count; i++) {
        if (record_present(fleet, i) && !fleet_counted(fleet, RECORD_BIT | i)) {
            counted--;
        }
    }
    return counted;
}

static void make_key(struct buf *key, const struct query *query)
{
    buf_int(key, query->by_time);
    for (size_t i = 0; i < query->filters; i++) {
        buf_int(key, query->filter[i].field);
        buf_add(key, "=", 1);
        buf_add(key, query->filter[i].value, strlen(query->filter[i].value) + 1);
    }
}

static void scan(struct match_slot *slot, struct fleet *fleet, const struct query *query)
{
    const struct order *order = order_get(fleet);
    slot->items = sim_realloc(slot->items, order->count * sizeof *slot->items);
    slot->count = 0;
    slot->counted = 0;
    for (size_t i = 0; i < order->count; i++) {
        uint32_t item = order_at(order, query->by_time, false, i);
        struct row row;
        if (!fleet_row(fleet, item, &row) || query_matches(query, &row)) {
            slot->items[slot->count++] = item;
            slot->counted += fleet_counted(fleet, item);
        }
    }
    slot->version = fleet->version;
}

struct matches match_find(struct match_cache *cache, struct fleet *fleet, const struct query *query)
{
    if (query->filters == 0) {
        const struct order *order = order_get(fleet);
        return (struct matches){query->by_time ? order->by_time : order->by_item, order->count,
                                count_of(fleet, order->count)};
    }
    struct buf key = {0};
    make_key(&key, query);
    struct match_slot *slot = NULL;
    struct match_slot *oldest = &cache->slot[0];
    for (size_t i = 0; i < MATCH_SLOTS && slot == NULL; i++) {
        struct match_slot *at = &cache->slot[i];
        if (at->key.len == key.len && memcmp(at->key.data, key.data, key.len) == 0) {
            slot = at;
        } else if (at->used < oldest->used) {
            oldest = at;
        }
    }
    if (slot == NULL) {
        slot = oldest;
        buf_free(&slot->key);
        slot->key = key;
        scan(slot, fleet, query);
    } else {
        buf_free(&key);
        if (slot->version != fleet->version) {
            scan(slot, fleet, query);
        }
    }
    slot->used = ++cache->uses;
    return (struct matches){slot->items, slot->count, slot->counted};
}

void match_free(struct match_cache *cache)
{
    for (size_t i = 0; i < MATCH_SLOTS; i++) {
        buf_free(&cache->slot[i].key);
        free(cache->slot[i].items);
    }
    *cache = (struct match_cache){0};
}

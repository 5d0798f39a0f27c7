/*
 * The rows that pass a query's filters, in order. Lists made by a scan are remembered until the
 * fleet changes.
 */
#ifndef COC_SIM_MATCH_H
#define COC_SIM_MATCH_H

#include "fleet.h"
#include "query.h"

enum { MATCH_SLOTS = 64 };

struct match_slot {
    struct buf key;
    uint32_t *items;
    size_t count;
    int64_t counted;
    uint64_t version; /* of the fleet */
    uint64_t used;
};

struct match_cache {
    struct match_slot slot[MATCH_SLOTS];
    uint64_t uses;
};

struct matches {
    const uint32_t *items; /* ascending; good until the fleet changes or the next call */
    size_t count;
    int64_t counted; /* what the API reports as count */
};

struct matches match_find(struct match_cache *cache, struct fleet *fleet,
                          const struct query *query);
void match_free(struct match_cache *cache);

#endif

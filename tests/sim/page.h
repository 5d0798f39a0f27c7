/*
 * One page of the report as JSON text, with the places of its parts so that faults can spoil them.
 */
#ifndef COC_SIM_PAGE_H
#define COC_SIM_PAGE_H

#include "match.h"

struct page {
    struct buf body;
    int64_t count;
    size_t list_start; /* of the array, its bracket included */
    size_t list_end;
    size_t records;
    size_t record_start[LIMIT_MAX];
    size_t record_end[LIMIT_MAX];
};

/* Renders the page that the query asks for into an empty page; the caller frees page->body. */
void page_render(struct page *page, struct fleet *fleet, struct match_cache *cache,
                 const struct query *query);

#endif

/* Decoding one page of ShowInstancePatchItems, the patches of one report: the C face of a simdjson
 * shim. Stricter than coc/page.h: a page that is not right in full is none, for nothing but the
 * words of an event depends on it. */
#ifndef PW_COC_ITEMS_H
#define PW_COC_ITEMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "compliance/patches.h"

enum {
    PW_ITEMS_PADDING = 64,        /* bytes that must be readable behind a body */
    PW_ITEMS_MAX = 1000,          /* what the API document allows in one list */
    PW_ITEMS_COUNT_MAX = 1000000, /* what `offset` can reach */
};

struct pw_items {
    const struct pw_patch_view *patches; /* in order */
    size_t count;
    int64_t reported_count; /* `count` */
};

struct pw_items_decoder; /* one page at a time; memory is kept from page to page */

struct pw_items_decoder *pw_items_decoder_new(void); /* NULL where memory is short */
void pw_items_decoder_free(struct pw_items_decoder *decoder);

/* Decodes body. *items and its strings (which may hold NUL) live until the next call or free.
 * PW_EFORMAT: no such page (no JSON, no list, a list or a count that is too great, a field of a
 * wrong type; null is none); PW_EREMOTE: an error_code beside the list; PW_ENOMEM. Messages quote
 * nothing of the body. */
PW_MUST_CHECK enum pw_status pw_items_decode(struct pw_items_decoder *decoder, const char *body,
                                             size_t len, struct pw_items *items,
                                             struct pw_error *err);

#endif

/* Decoding one page of ListInstanceCompliant: the C face of the simdjson shim. */
#ifndef PW_COC_PAGE_H
#define PW_COC_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "cloud/error_body.h"
#include "compliance/report.h"

/* Bytes that must be readable behind a body (simdjson reads in blocks). */
enum { PW_PAGE_PADDING = 64 };
/* Ten times what the API document allows in one list; more is no page. */
enum { PW_PAGE_MAX_RECORDS = 10000 };

struct pw_page {
    const struct pw_report *reports; /* the usable records, in order */
    size_t count;
    size_t rows;               /* elements of instance_compliant, unusable ones included */
    int64_t reported_count;    /* `count`; -1 where it is missing, null or no number that counts */
    size_t bad_records;        /* null, or with a field of a wrong type */
    struct pw_error complaint; /* about the first thing that is wrong; "" where all is well */
};

struct pw_page_decoder; /* one page at a time; memory is kept from page to page */

struct pw_page_decoder *pw_page_decoder_new(void); /* NULL where memory is short */
void pw_page_decoder_free(struct pw_page_decoder *decoder);

/* Decodes body. *page and its strings live until the next call or free. PW_EFORMAT: no page at all
 * (no JSON, no object, no list, a list of over 10,000); PW_EREMOTE: an error body under status 200,
 * in *api_error; PW_ENOMEM. PW_OK with bad_records > 0 or reported_count -1: a page that is right
 * in parts. */
PW_MUST_CHECK enum pw_status pw_page_decode(struct pw_page_decoder *decoder, const char *body,
                                            size_t len, struct pw_page *page,
                                            struct pw_api_error *api_error, struct pw_error *err);

#endif

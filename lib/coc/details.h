/* The missing patches of the machines that a sweep saw turn non-compliant: asks the API for each
 * report in a book, within one deadline for all, and writes into the book what came of it. Whatever
 * goes wrong ends as words in the book, never as a failure of anything else. Knows nothing of the
 * store. */
#ifndef PW_COC_DETAILS_H
#define PW_COC_DETAILS_H

#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "cloud/credentials.h"
#include "coc/pace.h"
#include "coc/paging.h"
#include "compliance/patches.h"
#include "config/config.h"
#include "http/http.h"

enum { PW_DETAILS_DEADLINE_MS = 5000 }; /* of all that is asked for after one sweep */

struct pw_details;

struct pw_details_params {
    uv_loop_t *loop;
    struct pw_http *http;
    struct pw_throttle *throttle;
    struct pw_pace *pace;
    struct pw_credentials *credentials;    /* as the sweep left them: not rested yet */
    const struct pw_source_config *source; /* must live until done */
    struct pw_patch_book *book;            /* must live until done; not empty */
    int64_t connection_share;              /* requests under way at once, whatever the pace */
    enum pw_paging_mode mode; /* what `offset` counts; AUTO = unknown: no second page is asked */
    void *context;
    /* Called once, on the loop, never from within start. All is freed after it. */
    void (*done)(void *context);
};

PW_MUST_CHECK enum pw_status pw_details_start(const struct pw_details_params *params,
                                              struct pw_details **out, struct pw_error *err);
/* Ends it early; done follows. What was read stays in the book. Credentials may have been closed
 * right before. */
void pw_details_cancel(struct pw_details *details);

#endif

/* One sweep of one source: asks the pages that the paging machine names, decodes them, holds each
 * record against the index and hands on those that are new, changed or waited for. Knows nothing of
 * the store. */
#ifndef PW_COC_SWEEP_H
#define PW_COC_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "cloud/credentials.h"
#include "coc/pace.h"
#include "coc/paging.h"
#include "compliance/index.h"
#include "compliance/report.h"
#include "config/config.h"
#include "http/http.h"

struct pw_sweep;

/* How a sweep ended. */
struct pw_sweep_summary {
    bool is_complete;
    bool saw_a_page;
    bool was_canceled;
    bool auth_failed;                /* the credential was refused: not to be shown again soon */
    enum pw_paging_mode proved_mode; /* AUTO = nothing was proved */
    int64_t reported_count;          /* -1 = never said */
    int64_t records;                 /* distinct */
    int64_t nodes;                   /* distinct */
    int64_t pages;
    int64_t requests;
    int64_t retries;
    int64_t bytes;
    int64_t staged;       /* records handed on */
    char reason[512];     /* why it is not complete, "" where it is */
    char error_code[80];  /* of the API, "" where there was none */
    char request_id[128]; /* of the answer that said so, "" where it had none */
    char error_msg[512];  /* of the API, else ours; "" where nothing failed */
    char cause[160];      /* of error_msg, without what differs from time to time: for the log */
};

struct pw_sweep_params {
    uv_loop_t *loop;
    struct pw_http *http;
    struct pw_throttle *throttle;
    struct pw_pace *pace; /* slowed and sped up as the server answers */
    struct pw_credentials *credentials;
    const struct pw_clock *clock;
    const struct pw_source_config *source; /* must live until done */
    struct pw_index *index;                /* marked as seen, otherwise unchanged */
    int64_t connection_share;              /* requests under way at once, whatever the pace */
    enum pw_paging_mode remembered;
    void *context;
    /* A record that the store must look at; its text lives only during the call. Not PW_OK: the
     * record is lost to this sweep, which ends incomplete. */
    enum pw_status (*stage)(void *context, const struct pw_report *report);
    /* Called once, on the loop, never from within start. The sweep is freed after it. */
    void (*done)(void *context, const struct pw_sweep_summary *summary);
};

PW_MUST_CHECK enum pw_status pw_sweep_start(const struct pw_sweep_params *params,
                                            struct pw_sweep **out, struct pw_error *err);
/* While held it asks for no further page (the store is behind). */
void pw_sweep_hold(struct pw_sweep *sweep, bool hold);
/* Ends it early; done follows with was_canceled. Where it may be waiting for its credential, the
 * caller has closed the credentials before; else tells them that the sweep is over
 * (pw_credentials_rest) when it is done. */
void pw_sweep_cancel(struct pw_sweep *sweep);

#endif

/* The inner side of a sweep: its state, and what sweep.c (life, pages in flight), sweep_page.c
 * (from a body to the index), sweep_decode.c (the same for large ones) and sweep_refusal.c (answers
 * that are no pages) ask of each other. */
#ifndef PW_COC_SWEEPING_H
#define PW_COC_SWEEPING_H

#include "base/buffer.h"
#include "base/hashset.h"
#include "cloud/error_body.h"
#include "coc/page.h"
#include "coc/sweep.h"

enum { PW_SWEEP_URL_MAX_BYTES = 16 * 1024 };

struct page_decoding;

/* What decoding a body came to. */
struct pw_decoded {
    enum pw_status status;
    struct pw_page page;           /* PW_OK */
    struct pw_api_error api_error; /* PW_EREMOTE */
    struct pw_error error;
};

/* One page on its way. */
struct page_call {
    struct pw_sweep *sweep;
    struct pw_http_call *http_call;
    struct page_call *next, *previous;
    int64_t offset;
    int pass;
    unsigned generation;            /* of the credential that its last attempt showed */
    struct pw_pace_mark mark;       /* when its last attempt began */
    enum pw_api_cause refusal;      /* of a page under status 200 that holds an error */
    struct pw_paging_answer answer; /* once judged; owns identities */
    uint64_t *identities;
    struct page_decoding *decoding; /* its body is with the crew, or NULL */
};

struct pw_sweep {
    struct pw_sweep_params params;
    struct pw_paging paging;
    struct pw_page_decoder *decoder;
    struct pw_error_body *error_body;
    struct pw_buffer url;
    struct pw_buffer node_key;
    struct pw_hashset nodes;   /* node keys seen */
    struct pw_hashset touched; /* report keys that were staged: what follows on them is too */
    struct page_call *calls;
    size_t call_count;
    int64_t *again; /* offsets to ask once more, with a fresh credential */
    size_t again_count, again_capacity;
    unsigned renewals; /* of the credential */
    bool is_preparing, was_prepared;
    bool was_accepted; /* the credential, in this sweep */
    uv_timer_t deadline;
    uv_idle_t kick; /* the first requests, and the end, are never made from within a caller */
    int open_handles;
    bool is_held, is_ending, timed_out, out_of_memory, no_credential;
    struct pw_sweep_summary summary;
};

/* Nothing more is asked, whatever is left. */
bool pw_sweeping_must_stop(const struct pw_sweep *sweep);
/* Asks what can be asked now; ends the sweep where nothing is left. */
void pw_sweeping_go_on(struct pw_sweep *sweep);

/* For pw_http_request: shows the credential as it is now. */
enum pw_status pw_sweeping_prepare(void *context, const char *const **headers,
                                   struct pw_error *err);
/* For pw_http_request: what a 2xx answer is worth; a page is held against the index here. */
enum pw_http_verdict pw_sweeping_judge(void *context, const struct pw_http_response *response,
                                       bool last, struct pw_error *err);
/* Whether the records of a decoded body are to be taken; else what the answer is worth. last: no
 * attempt is left. */
bool pw_sweeping_accepts(struct page_call *call, const struct pw_decoded *decoded, bool last,
                         enum pw_http_verdict *verdict, struct pw_error *err);
/* Holds the records from `from` up to `to` against the index, the first ones first. LATER while
 * some are left, ACCEPT at the end, REFUSE where memory is short. */
enum pw_http_verdict pw_sweeping_take(struct page_call *call, const struct pw_page *page,
                                      size_t from, size_t to, struct pw_error *err);
/* The judgement on an answer that takes long to decode: LATER. */
enum pw_http_verdict pw_sweeping_decode_later(struct page_call *call,
                                              const struct pw_http_response *response, bool last,
                                              struct pw_error *err);
/* The call ends: nothing more of its decoding comes back to it. */
void pw_sweeping_forget_decoding(struct page_call *call);
/* For pw_http_request: an answer will be tried again; goes slower, and says how long to wait at
 * least. */
int64_t pw_sweeping_slow_down(void *context, const struct pw_http_response *response);

/* Notes what went wrong, of several things the first. cause: what is the same whenever the same is
 * wrong, NULL = the message without its numbers. Nothing of the credential is shown. */
void pw_sweeping_tell(struct pw_sweep *sweep, struct pw_str code, struct pw_str message,
                      const char *cause);
/* Fetches or re-reads the credential; the sweep goes on when it is there. */
void pw_sweeping_get_credential(struct pw_sweep *sweep);
/* A page that was given up, or that must wait for another credential. */
void pw_sweeping_failed(struct page_call *call, const struct pw_http_result *result);
/* The rate as the pace says. */
void pw_sweeping_follow_pace(struct pw_sweep *sweep);

#endif

/* HTTP requests on the loop: libcurl's multi interface driven by libuv. One pw_http serves all
 * sources and hooks; it reuses connections.
 *
 * HTTP/1.1 only; no redirects; TLS 1.2 or newer, always verified; gzip and deflate are asked for
 * and undone, what is large of it on another thread (http/crew.h). The environment (http_proxy,
 * no_proxy …) has no say. An attempt whose body stalls below 16 bytes a second for 30 s ends early.
 * The program must ignore SIGPIPE. */
#ifndef PW_HTTP_HTTP_H
#define PW_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/text.h"
#include "http/throttle.h"

/* Readable bytes after the end of every response body, for decoders that read in blocks. */
enum { PW_HTTP_BODY_PADDING = 64 };

struct pw_crew;
struct pw_http;

/* max_connections (1 to 10000, else PW_EINVAL): cap on open connections over all requests. Attempts
 * beyond it wait in order of arrival; their timeout starts when it is their turn. */
PW_MUST_CHECK enum pw_status pw_http_new(uv_loop_t *loop, size_t max_connections,
                                         struct pw_http **out, struct pw_error *err);
/* Cancels what is left (their done is called with PW_ECANCELED), frees all in close callbacks, then
 * calls closed from the loop. May be called from any callback. A host name that is still being
 * looked up does not hold it up. */
void pw_http_close(struct pw_http *http, void (*closed)(void *context), void *context);

/* Threads for what would hold the loop up; theirs whoever uses this room may use too. */
struct pw_crew *pw_http_crew(struct pw_http *http);

struct pw_http_response {
    long status;                /* HTTP status code */
    struct pw_str body;         /* never null; cut at 64 KiB where the status is not 2xx */
    struct pw_str content_type; /* "" where absent */
    struct pw_str request_id;   /* X-Request-Id, "" where absent */
    struct pw_str wanted;   /* the value of request.wanted_header as it came, null where absent */
    int64_t retry_after_ms; /* from Retry-After (seconds or HTTP-date), -1 where absent */
    int64_t date_ms;        /* from Date, PW_TIME_NONE where absent */
    int64_t received_bytes; /* of the body, as it came over the wire */
};

enum pw_http_verdict {
    PW_HTTP_ACCEPT, /* done: the result is PW_OK */
    PW_HTTP_RETRY,  /* as good as no answer; try again while attempts are left */
    PW_HTTP_REFUSE, /* done: it failed for good */
    /* It takes longer: pw_http_judged follows, unless the request ends before, and in any case
     * pw_http_release, until which the call and the response stay. */
    PW_HTTP_LATER
};

/* How one request ended, after all its attempts. */
struct pw_http_result {
    enum pw_status
        status; /* PW_OK; PW_ENETWORK, PW_EREMOTE, PW_EFORMAT, PW_ELIMIT, PW_ECANCELED … */
    /* "GET https://host/path: HTTP 503 (6 attempts)"; never a query, user or password. */
    struct pw_error error;
    const struct pw_http_response *response; /* of the last attempt that got one, or NULL */
    unsigned attempts;
    int64_t received_bytes; /* over all attempts */
};

/* All pointers but url, headers and label must live until done was called. */
struct pw_http_request {
    const char *method; /* NULL = GET */
    const char *url;    /* http or https; copied */
    /* What messages call it, such as "webhook chat"; copied. NULL = "METHOD scheme://host/path".
     * Set it where the path is a secret. */
    const char *label;
    const char *const *headers; /* "Name: value" …, NULL-terminated, or NULL; copied */
    struct pw_str body;
    const char *ca_file;       /* pins: only what it holds is trusted; NULL = the system's CAs */
    const char *wanted_header; /* one more header of the answer to hand over, up to 64 KiB; NULL */
    bool is_secret; /* the memory of the answer and of the URL is wiped before it is given back */
    bool http2;     /* may be spoken, over TLS; otherwise HTTP/1.1 */
    const char *proxy;          /* NULL = none, whatever the environment says */
    int64_t timeout_ms;         /* of one attempt; 0 = 60 s */
    int64_t connect_timeout_ms; /* name, TCP and TLS; 0 = 10 s; never more than timeout_ms */
    size_t body_max_bytes; /* of the decompressed body of a 2xx answer; beyond it PW_ELIMIT, not
                              retried */
    bool body_may_be_cut;  /* a longer 2xx body is cut there, and is no failure */
    unsigned retries;      /* attempts after the first */
    int64_t backoff_base_ms, backoff_cap_ms; /* full jitter, see base/backoff.h; 0 = 500 ms, 30 s */
    struct pw_throttle *throttle;            /* each attempt takes a token; NULL = no limit */
    void *context;
    /* Optional, right before each attempt: fill extra_headers (NULL-terminated array valid until
     * done or the next prepare), such as a signature with the time in it. Not PW_OK: the request
     * fails. */
    enum pw_status (*prepare)(void *context, const char *const **extra_headers,
                              struct pw_error *err);
    /* Optional, for an answer that will be tried again: milliseconds to wait at least (say, from
     * its body), -1 = no idea. Told of each such answer; its Retry-After counts before what this
     * says. */
    int64_t (*wait_hint_ms)(void *context, const struct pw_http_response *response);
    /* Optional, for a 2xx answer: decode it and say what it is worth. last = no attempt is left.
     * May fill err for RETRY and REFUSE. Without it 2xx is accepted. */
    enum pw_http_verdict (*judge)(void *context, const struct pw_http_response *response, bool last,
                                  struct pw_error *err);
    /* Called once, on the loop, never from within pw_http_start. The result is borrowed. */
    void (*done)(void *context, const struct pw_http_result *result);
};

struct pw_http_call; /* one running request */

/* Starts a request; retries transport failures, 408, 425, 429 and 5xx (not 501) by itself,
 * honouring Retry-After up to 5 minutes. Not retried: a body over its limit, a certificate that is
 * not trusted, other statuses (PW_EREMOTE). A 2xx body that is packed otherwise, more than once, or
 * not in whole is PW_EFORMAT. Any method but GET and HEAD gets a connection of its
 * own, since libcurl silently repeats what a dying old connection swallowed.
 * PW_ENOMEM, PW_EINVAL (no http or https URL, a line break in a header) or PW_ECANCELED (after
 * pw_http_close): done is not called. *out (may be NULL) is valid until done returns. */
PW_MUST_CHECK enum pw_status pw_http_start(struct pw_http *http,
                                           const struct pw_http_request *request,
                                           struct pw_http_call **out, struct pw_error *err);
/* What an answer is worth that the judge said PW_HTTP_LATER of; not LATER once more. err as the
 * judge's, may be NULL. Does nothing where the request has ended meanwhile. */
void pw_http_judged(struct pw_http_call *call, enum pw_http_verdict verdict,
                    const struct pw_error *err);
/* Once for each PW_HTTP_LATER, on the loop: nothing of the response is read any more. pw_http_close
 * waits for it. */
void pw_http_release(struct pw_http_call *call);
/* Ends it early; done is called with PW_ECANCELED before this returns. May be called from any
 * callback, those of the same request included; within its done it does nothing. */
void pw_http_cancel(struct pw_http_call *call);

#endif

/* The inner side of a request, shared by fetch.c (its life, its attempts) and answer.c (from what
 * came in to what it is worth). Internal to this room. */
#ifndef PW_HTTP_CALL_H
#define PW_HTTP_CALL_H

#include <sys/queue.h>

#include "http/crew.h"
#include "http/curl_loop.h"
#include "http/guest.h"
#include "http/http.h"
#include "http/pool.h"
#include "http/throttle.h"
#include "http/transfer.h"
#include "http/unpack.h"

enum pw_call_state {
    PW_CALL_WAITING,
    PW_CALL_THROTTLED,
    PW_CALL_FLYING,
    PW_CALL_UNPACKING, /* the crew has the reply that came in */
    PW_CALL_JUDGING,   /* the judge has the whole reply, and takes its time */
    PW_CALL_ENDED
};

struct pw_http_call {
    struct pw_http *http;
    TAILQ_ENTRY(pw_http_call) link; /* while not ended */
    enum pw_call_state state;
    struct pw_http_request request; /* with our own copies of url and headers */
    char *url;
    struct curl_slist *headers;
    char label[320];
    uv_timer_t timer;
    struct pw_throttle_waiter waiter;
    struct pw_curl_job job;
    struct pw_transfer transfer;
    struct pw_unpack unpack;
    struct pw_task unpacking;
    bool is_late; /* unpacking was stopped by the attempt's timeout */
    struct pw_reply replies[2];
    struct pw_reply *whole; /* of the two the last that came in whole, or NULL */
    unsigned attempts;
    int64_t received_bytes;
    unsigned users; /* of its memory: the timer, the crew, a judge; the last one frees it */
};

struct pw_http {
    uv_loop_t *loop;
    struct pw_curl_loop *curl;
    struct pw_crew crew;
    TAILQ_HEAD(, pw_http_call) calls;
    TAILQ_HEAD(, pw_http_guest) guests;
    struct pw_pool pool;
    size_t open_parts; /* calls whose memory is still there, and the curl loop */
    bool is_closing;
    void (*closed)(void *context);
    void *closed_context;
};

/* fetch.c */
void pw_call_set_state(struct pw_http_call *call, enum pw_call_state state);
/* In `waiting` the next attempt begins; in `unpacking` the attempt is over its time. */
void pw_call_on_timer(uv_timer_t *timer);
/* One of its users less. */
void pw_call_leave(struct pw_http_call *call);
/* The attempt is over: another one where it failed, that may help and one is left; else the end.
 * response is the attempt's own answer, or NULL. */
void pw_call_conclude(struct pw_http_call *call, enum pw_status status, bool retry,
                      const struct pw_http_response *response, const struct pw_error *err);

/* answer.c */
/* The transfer of call's job ended. */
void pw_call_on_finished(struct pw_curl_job *job, CURLcode code);
/* The attempt's time is up while its answer is unpacked. */
void pw_call_unpacks_too_long(struct pw_http_call *call);
/* Ends early what the crew does for it. */
void pw_call_stop_unpacking(struct pw_http_call *call);

#endif

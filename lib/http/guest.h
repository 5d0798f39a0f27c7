/* What transfers on the multi handle of a pw_http without being an HTTP request. Internal to this
 * room. A guest is embedded in its owner, and owns nothing. */
#ifndef PW_HTTP_GUEST_H
#define PW_HTTP_GUEST_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "http/curl_loop.h"
#include "http/http.h"

struct pw_http_guest {
    /* The house closes: end at once, and leave before this returns. */
    void (*cancel)(struct pw_http_guest *guest);
    struct pw_http *http; /* from here on set by pw_http_admit */
    struct pw_curl_loop *curl;
    uv_loop_t *loop;
    TAILQ_ENTRY(pw_http_guest) link;
};

/* Lets it in; false while the house closes. */
bool pw_http_admit(struct pw_http *http, struct pw_http_guest *guest);
/* It has no job left there, and is not canceled any more. */
void pw_http_leave(struct pw_http_guest *guest);
/* After leaving: it has no handle left on the loop. pw_http_close waits for that. */
void pw_http_forget(struct pw_http_guest *guest);

#endif

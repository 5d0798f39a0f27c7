/* What transfers on the multi handle of a pw_http without being an HTTP request. Internal to this
 * room. A guest is embedded in its owner, and owns nothing. */
#ifndef PW_HTTP_GUEST_H
#define PW_HTTP_GUEST_H

#include <sys/queue.h>

#include "http/curl_loop.h"
#include "http/http.h"

struct pw_http_guest {
    /* The house closes: end at once, and leave before this returns. */
    void (*cancel)(struct pw_http_guest *guest);
    TAILQ_ENTRY(pw_http_guest) link;
};

/* Lets it in; its jobs go to what is returned. NULL while the house closes. */
struct pw_curl_loop *pw_http_admit(struct pw_http *http, struct pw_http_guest *guest);
/* It has no job left there. */
void pw_http_leave(struct pw_http *http, struct pw_http_guest *guest);

#endif

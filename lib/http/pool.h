/* What ended requests leave behind for later ones: easy handles and body memory. Without it the
 * heap shrinks and grows with each request and the kernel clears its pages again and again, which
 * was four fifths of the time of a large sweep. Internal to this room. */
#ifndef PW_HTTP_POOL_H
#define PW_HTTP_POOL_H

#include <curl/curl.h>
#include <stddef.h>

#include "base/buffer.h"

enum { PW_POOL_MAX = 16 };

struct pw_pool { /* zero it to start */
    CURL *easy[PW_POOL_MAX];
    size_t easy_count;
    struct pw_buffer bodies[PW_POOL_MAX];
    size_t body_count;
};

/* A handle as fresh from curl_easy_init, or NULL where none is left. */
CURL *pw_pool_take_easy(struct pw_pool *pool);
/* Replaces an empty buffer by a used one, if there is one. */
void pw_pool_take_body(struct pw_pool *pool, struct pw_buffer *body);
/* Both take what they are given, and free what they do not keep. NULL and empty are fine. */
void pw_pool_give_easy(struct pw_pool *pool, CURL *easy);
void pw_pool_give_body(struct pw_pool *pool, struct pw_buffer *body);
void pw_pool_free(struct pw_pool *pool);

#endif

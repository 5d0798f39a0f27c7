/* The pool. It keeps at most PW_POOL_MAX of each, and no large memory. */
#include "http/pool.h"

enum { KEPT_BODY_MAX_BYTES = 256 * 1024 };

CURL *pw_pool_take_easy(struct pw_pool *pool)
{
    return pool->easy_count > 0 ? pool->easy[--pool->easy_count] : NULL;
}

void pw_pool_take_body(struct pw_pool *pool, struct pw_buffer *body)
{
    if (pool->body_count > 0)
        *body = pool->bodies[--pool->body_count];
}

void pw_pool_give_easy(struct pw_pool *pool, CURL *easy)
{
    if (easy != NULL && pool->easy_count < PW_POOL_MAX) {
        curl_easy_reset(easy); /* it points into the request that ended */
        pool->easy[pool->easy_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

void pw_pool_give_body(struct pw_pool *pool, struct pw_buffer *body)
{
    if (body->capacity > 0 && body->capacity <= KEPT_BODY_MAX_BYTES &&
        pool->body_count < PW_POOL_MAX) {
        pw_buffer_clear(body);
        pool->bodies[pool->body_count++] = *body;
    } else {
        pw_buffer_free(body);
    }
    pw_buffer_init(body, 0);
}

void pw_pool_free(struct pw_pool *pool)
{
    while (pool->easy_count > 0)
        curl_easy_cleanup(pool->easy[--pool->easy_count]);
    while (pool->body_count > 0)
        pw_buffer_free(&pool->bodies[--pool->body_count]);
}

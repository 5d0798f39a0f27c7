/* A TCP server on the test's own loop that answers each HTTP request with the next bytes of a
 * script, true to HTTP or not. */
#ifndef PW_TESTS_HTTP_SERVER_H
#define PW_TESTS_HTTP_SERVER_H

#include <stddef.h>
#include <uv.h>

enum then { THEN_KEEP, THEN_CLOSE, THEN_RESET };

struct answer {
    const char *bytes; /* NULL = not a word */
    size_t len;        /* 0 = strlen(bytes) */
    enum then then;
    unsigned delay_ms; /* before the first byte */
    unsigned drip_ms;  /* one byte each so many milliseconds; 0 = all at once */
};

struct server {
    uv_tcp_t listener;
    int port;
    const struct answer *script; /* its last answer repeats */
    size_t script_count;
    size_t requests, connections;
    size_t waiting, most_waiting; /* requests not yet answered, now and at most */
    char request[8192];           /* the last one, as text */
    struct connection *first;
};

void server_start(struct server *server, uv_loop_t *loop);
void server_script(struct server *server, const struct answer *script, size_t count);
void server_stop(struct server *server);

#endif

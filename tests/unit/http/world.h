/* What the tests of this room share: a loop with the scripted server and a pw_http on it, and
 * requests that remember how they ended. Include cmocka.h before it. */
#ifndef PW_TESTS_HTTP_WORLD_H
#define PW_TESTS_HTTP_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "http/http.h"
#include "server.h"

struct world {
    uv_loop_t loop;
    struct server server;
    struct pw_http *http; /* NULL after world_close_http */
    bool is_http_closed;
    char url[64]; /* http://127.0.0.1:PORT/path?query=1 */
};

/* One request and its outcome. */
struct ask {
    struct pw_http_request request;
    struct pw_http_call *call;
    int done;
    enum pw_status status;
    char message[512];
    bool has_response;
    long http_status;
    char *body; /* a copy; padding was checked */
    size_t body_len;
    char content_type[128], request_id[128];
    int64_t retry_after_ms, date_ms, received_bytes;
    unsigned attempts;
    uint64_t ended_at_ms;
};

/* cmocka's set-up and tear-down; *state is the world. The tear-down closes everything and fails if
 * anything is left on the loop. */
int world_setup(void **state);
int world_teardown(void **state);

/* A GET of the world's URL with short times: timeout 2 s, backoff 1 ms, 1000 bytes of body. */
void ask_init(struct ask *ask, struct world *world);
void ask_start(struct ask *ask, struct world *world);
/* Runs the loop until it is done; fails after 5 s. */
void ask_wait(struct ask *ask, struct world *world);
void ask_free(struct ask *ask);
/* Runs the loop for a time. */
void world_run_ms(struct world *world, uint64_t duration_ms);
/* Closes the pw_http and waits until it is gone. */
void world_close_http(struct world *world);
void world_begin_close(struct world *world);

#define SCRIPT(world, ...)                                                                         \
    static const struct answer script_[] = {__VA_ARGS__};                                          \
    server_script(&(world)->server, script_, sizeof script_ / sizeof script_[0])

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

#endif

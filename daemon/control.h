/* The control socket on the loop: takes connections, reads lines, writes answers. It knows nothing
 * of what they mean. Everything is bounded: the length of a line, the number of connections, the
 * time to send a line and to take an answer. */
#ifndef PW_DAEMON_CONTROL_H
#define PW_DAEMON_CONTROL_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/text.h"
#include "daemon/control_socket.h"

enum {
    PW_CONTROL_MAX_CONNECTIONS = 64,
    PW_CONTROL_MAX_WAITING = 256, /* lines without an answer, those whose senders went included */
    PW_CONTROL_MAX_LINE_BYTES = 64 * 1024,
    PW_CONTROL_TIMEOUT_MS = 10000
};

struct pw_control;
struct pw_exchange; /* a line that waits for its answer */

struct pw_control_params {
    uv_loop_t *loop;
    int64_t timeout_ms; /* 0 = PW_CONTROL_TIMEOUT_MS */
    void *context;
    /* A line without its newline, borrowed for the call. It must be answered once, within the call
     * or later. */
    void (*handle)(void *context, struct pw_exchange *exchange, struct pw_str line);
};

/* Takes the socket over, whatever comes of it. */
PW_MUST_CHECK enum pw_status pw_control_new(const struct pw_control_params *params,
                                            const struct pw_control_socket *socket,
                                            struct pw_control **out, struct pw_error *err);
/* Ends the exchange with a line (its newline included), which is copied. Its sender may be gone:
 * then nobody hears it. */
void pw_exchange_answer(struct pw_exchange *exchange, struct pw_str line);
const struct pw_control_peer *pw_exchange_peer(const struct pw_exchange *exchange);
/* Takes no more lines, waits until every exchange is answered, frees all, then calls closed. */
void pw_control_close(struct pw_control *control, void (*closed)(void *context), void *context);

#endif

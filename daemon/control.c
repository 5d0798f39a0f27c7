/* The control socket's listener and its connections. A connection's memory lives until its handles
 * are closed and its line is answered. */
#include "daemon/control.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"

enum {
    CHUNK_BYTES = 4096,
    HANDLES = 2,
    CLOSING_MS = 500 /* who does not take its answer by then holds up the end of nobody */
};

#define REFUSED_FULL                                                                               \
    "{\"error\":\"the daemon is busy with other requests\",\"ok\":false,\"exit\":75}\n"
#define REFUSED_PEER                                                                               \
    "{\"error\":\"permission denied: only root, the daemon's user and members of the socket's "    \
    "group may ask\",\"ok\":false,\"exit\":77}\n"
#define REFUSED_LONG "{\"error\":\"request: the line is too long\",\"ok\":false,\"exit\":64}\n"

enum exchange_state {
    STATE_READING,
    STATE_WAITING, /* for the answer to its line */
    STATE_WRITING,
    STATE_CLOSING
};

struct pw_exchange {
    struct pw_control *control;
    struct pw_exchange *next; /* of the control's */
    enum exchange_state state;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    int open_handles;
    bool is_open;    /* counted among the connections */
    bool is_waiting; /* a line is not answered yet, whatever became of the connection */
    bool is_last;    /* its sender sends nothing more, or shall not */
    struct pw_buffer in;
    char *out;
    char chunk[CHUNK_BYTES];
    struct pw_control_peer peer;
};

struct pw_control {
    struct pw_control_params params;
    struct pw_control_socket socket;
    uv_pipe_t listener;
    struct pw_exchange *exchanges;
    size_t connections, waiting;
    bool is_closing, is_listener_closed;
    void (*closed)(void *context);
    void *closed_context;
};

static const char *state_name(enum exchange_state state)
{
    static const char *const names[] = {"reading", "waiting", "writing", "closing"};
    return names[state];
}

static void set_state(struct pw_exchange *exchange, enum exchange_state state)
{
    pw_log_debug("control: pid %d: %s -> %s", (int)exchange->peer.pid, state_name(exchange->state),
                 state_name(state));
    exchange->state = state;
}

/* Ends ----------------------------------------------------------------------------------------- */

static void free_control_if_done(struct pw_control *control)
{
    void (*closed)(void *context) = control->closed;
    void *context = control->closed_context;

    if (!control->is_closing || !control->is_listener_closed || control->exchanges != NULL)
        return;
    free(control);
    closed(context);
}

static void free_if_done(struct pw_exchange *exchange)
{
    struct pw_control *control = exchange->control;
    struct pw_exchange **at = &control->exchanges;

    if (exchange->open_handles > 0 || exchange->is_waiting)
        return;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    pw_buffer_free(&exchange->in);
    free(exchange->out);
    free(exchange);
    free_control_if_done(control);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct pw_exchange *exchange = handle->data;

    exchange->open_handles--;
    free_if_done(exchange);
}

static void close_exchange(struct pw_exchange *exchange)
{
    if (exchange->state == STATE_CLOSING)
        return;
    set_state(exchange, STATE_CLOSING);
    if (exchange->is_open)
        exchange->control->connections--;
    exchange->is_open = false;
    uv_close((uv_handle_t *)&exchange->pipe, on_handle_closed);
    uv_close((uv_handle_t *)&exchange->timer, on_handle_closed);
}

static void on_timeout(uv_timer_t *timer)
{
    struct pw_exchange *exchange = timer->data;

    pw_log_debug("control: pid %d: too slow", (int)exchange->peer.pid);
    close_exchange(exchange);
}

static void limit_time(struct pw_exchange *exchange)
{
    int64_t limit_ms =
        exchange->control->is_closing ? CLOSING_MS : exchange->control->params.timeout_ms;

    (void)uv_timer_start(&exchange->timer, on_timeout, (uint64_t)limit_ms, 0);
}

/* Writing -------------------------------------------------------------------------------------- */

static void take_line(struct pw_exchange *exchange);
static void read_on(struct pw_exchange *exchange);

static void on_written(uv_write_t *write, int status)
{
    struct pw_exchange *exchange = write->data;

    free(exchange->out);
    exchange->out = NULL;
    if (exchange->state != STATE_WRITING)
        return; /* it was closed meanwhile, and is freed by that */
    if (status != 0 || exchange->control->is_closing) {
        close_exchange(exchange);
        return;
    }
    set_state(exchange, STATE_READING);
    limit_time(exchange);
    read_on(exchange);
    take_line(exchange);
}

static void write_line(struct pw_exchange *exchange, struct pw_str line)
{
    uv_buf_t bytes;

    set_state(exchange, STATE_WRITING);
    exchange->out = malloc(line.len);
    if (exchange->out == NULL) {
        close_exchange(exchange);
        return;
    }
    memcpy(exchange->out, line.data, line.len);
    bytes = uv_buf_init(exchange->out, (unsigned)line.len);
    exchange->write.data = exchange;
    if (uv_write(&exchange->write, (uv_stream_t *)&exchange->pipe, &bytes, 1, on_written) != 0) {
        close_exchange(exchange);
        return;
    }
    limit_time(exchange);
}

void pw_exchange_answer(struct pw_exchange *exchange, struct pw_str line)
{
    exchange->is_waiting = false;
    exchange->control->waiting--;
    if (exchange->state == STATE_WAITING)
        write_line(exchange, line);
    else
        free_if_done(exchange);
}

const struct pw_control_peer *pw_exchange_peer(const struct pw_exchange *exchange)
{
    return &exchange->peer;
}

/* Reading -------------------------------------------------------------------------------------- */

/* Says why and ends the connection. */
static void refuse(struct pw_exchange *exchange, const char *line)
{
    (void)uv_read_stop((uv_stream_t *)&exchange->pipe);
    exchange->is_last = true;
    pw_buffer_clear(&exchange->in);
    write_line(exchange, pw_str_of(line));
}

/* Hands over the first line that is complete, if there is one. */
static void take_line(struct pw_exchange *exchange)
{
    struct pw_control *control = exchange->control;
    const char *end =
        exchange->in.len > 0 ? memchr(exchange->in.data, '\n', exchange->in.len) : NULL;
    struct pw_str line;
    size_t used;

    if (exchange->state != STATE_READING)
        return;
    if (end == NULL) {
        if (exchange->in.len > PW_CONTROL_MAX_LINE_BYTES)
            refuse(exchange, REFUSED_LONG);
        else if (exchange->is_last)
            close_exchange(exchange);
        return;
    }
    line = (struct pw_str){exchange->in.data, (size_t)(end - exchange->in.data)};
    used = line.len + 1;
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (control->waiting >= PW_CONTROL_MAX_WAITING) {
        refuse(exchange, REFUSED_FULL);
        return;
    }
    set_state(exchange, STATE_WAITING);
    (void)uv_timer_stop(&exchange->timer);
    control->waiting++;
    exchange->is_waiting = true;
    /* The handler may answer at once, which only begins to write; but a write that fails closes,
     * never frees, before the loop goes on. */
    control->params.handle(control->params.context, exchange, line);
    memmove(exchange->in.data, exchange->in.data + used, exchange->in.len - used);
    exchange->in.len -= used;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct pw_exchange *exchange = handle->data;

    (void)suggested;
    *out = uv_buf_init(exchange->chunk, CHUNK_BYTES);
}

/* Whether both directions are shut, which is how a socket looks whose other end is closed; one that
 * only says that it sends no more still waits for its answer. */
static bool is_gone(const struct pw_exchange *exchange)
{
    struct pollfd at = {.fd = -1};

    return uv_fileno((const uv_handle_t *)&exchange->pipe, &at.fd) != 0 || poll(&at, 1, 0) < 0 ||
           (at.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct pw_exchange *exchange = stream->data;

    if (n == 0)
        return;
    if (n == UV_EOF && !is_gone(exchange)) {
        (void)uv_read_stop(stream);
        exchange->is_last = true;
        take_line(exchange);
        return;
    }
    if (n < 0) {
        close_exchange(exchange);
        return;
    }
    if (pw_buffer_append(&exchange->in, bytes->base, (size_t)n) != PW_OK) {
        close_exchange(exchange);
        return;
    }
    /* What comes ahead of an answer waits; too much of it waits in the socket. */
    if (exchange->state != STATE_READING && exchange->in.len > PW_CONTROL_MAX_LINE_BYTES)
        (void)uv_read_stop(stream);
    take_line(exchange);
}

static void read_on(struct pw_exchange *exchange)
{
    int code;

    if (exchange->is_last)
        return;
    code = uv_read_start((uv_stream_t *)&exchange->pipe, on_alloc, on_read);
    if (code != 0 && code != UV_EALREADY)
        close_exchange(exchange);
}

/* Connections ---------------------------------------------------------------------------------- */

/* Who is slow to say what it wants must make room for others. False where nobody is. */
static bool make_room(struct pw_control *control)
{
    struct pw_exchange *oldest = NULL;

    /* The newest stands first in the list. */
    for (struct pw_exchange *each = control->exchanges; each != NULL; each = each->next) {
        if (each->state == STATE_READING)
            oldest = each;
    }
    if (oldest != NULL)
        close_exchange(oldest);
    return oldest != NULL;
}

static struct pw_exchange *new_exchange(struct pw_control *control)
{
    struct pw_exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL)
        return NULL;
    exchange->control = control;
    exchange->peer.pid = -1;
    pw_buffer_init(&exchange->in, PW_CONTROL_MAX_LINE_BYTES + 2 * CHUNK_BYTES);
    (void)uv_pipe_init(control->params.loop, &exchange->pipe, 0); /* these two cannot fail */
    (void)uv_timer_init(control->params.loop, &exchange->timer);
    exchange->pipe.data = exchange->timer.data = exchange;
    exchange->open_handles = HANDLES;
    exchange->next = control->exchanges;
    control->exchanges = exchange;
    return exchange;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pw_control *control = listener->data;
    struct pw_exchange *exchange;
    bool has_room;
    int fd;

    if (status != 0) {
        pw_log_warning("control: %s", uv_strerror(status));
        return;
    }
    has_room = control->connections < PW_CONTROL_MAX_CONNECTIONS || make_room(control);
    exchange = new_exchange(control);
    if (exchange == NULL) {
        pw_log_warning("control: out of memory");
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&exchange->pipe) != 0 ||
        uv_fileno((const uv_handle_t *)&exchange->pipe, &fd) != 0) {
        close_exchange(exchange);
        return;
    }
    exchange->is_open = true;
    control->connections++;
    if (!pw_control_is_allowed(fd, control->socket.group, &exchange->peer)) {
        pw_log_info("control: refused uid %d, pid %d", (int)exchange->peer.uid,
                    (int)exchange->peer.pid);
        refuse(exchange, REFUSED_PEER);
    } else if (!has_room) {
        refuse(exchange, REFUSED_FULL);
    } else {
        limit_time(exchange);
        read_on(exchange);
    }
}

/* Life ----------------------------------------------------------------------------------------- */

static void on_listener_closed(uv_handle_t *handle)
{
    struct pw_control *control = handle->data;

    control->is_listener_closed = true;
    free_control_if_done(control);
}

static void ignore(void *context)
{
    (void)context;
}

enum pw_status pw_control_new(const struct pw_control_params *params,
                              const struct pw_control_socket *socket, struct pw_control **out,
                              struct pw_error *err)
{
    struct pw_control *control = calloc(1, sizeof *control);
    int code;

    *out = NULL;
    if (control == NULL) {
        pw_control_socket_remove(socket);
        (void)close(socket->fd);
        return pw_fail_nomem(err);
    }
    control->params = *params;
    control->socket = *socket;
    if (control->params.timeout_ms == 0)
        control->params.timeout_ms = PW_CONTROL_TIMEOUT_MS;
    (void)uv_pipe_init(params->loop, &control->listener, 0); /* cannot fail */
    control->listener.data = control;
    code = uv_pipe_open(&control->listener, socket->fd);
    if (code == 0)
        code =
            uv_listen((uv_stream_t *)&control->listener, PW_CONTROL_MAX_CONNECTIONS, on_connection);
    else
        (void)close(socket->fd);
    if (code != 0) {
        pw_control_close(control, ignore, NULL);
        return pw_fail(err, PW_EIO, "control socket %s: %s", socket->path, uv_strerror(code));
    }
    *out = control;
    return PW_OK;
}

void pw_control_close(struct pw_control *control, void (*closed)(void *context), void *context)
{
    control->is_closing = true;
    control->closed = closed;
    control->closed_context = context;
    pw_control_socket_remove(&control->socket);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed);
    for (struct pw_exchange *each = control->exchanges; each != NULL; each = each->next) {
        if (each->state == STATE_READING)
            close_exchange(each);
        else if (each->state == STATE_WRITING)
            limit_time(each);
    }
}

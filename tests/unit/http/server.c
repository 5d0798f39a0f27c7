/* The scripted server. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    struct server *server;
    struct connection *next, *previous;
    char in[8192];
    size_t in_len;
    const struct answer *answer; /* being given */
    size_t sent;
    int is_writing, is_closing, open_handles;
};

static void must(int condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "test server: %s\n", what);
    abort();
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    if (--connection->open_handles == 0)
        free(connection);
}

static void answered(struct connection *connection)
{
    if (connection->answer != NULL)
        connection->server->waiting--;
    connection->answer = NULL;
}

static void drop(struct connection *connection, enum then how)
{
    if (connection->is_closing)
        return;
    connection->is_closing = 1;
    answered(connection);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        connection->server->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    uv_close((uv_handle_t *)&connection->timer, on_closed);
    if (how != THEN_RESET || uv_tcp_close_reset(&connection->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

static void look(struct connection *connection);
static void give(uv_timer_t *timer);

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = write->data;
    const struct answer *answer = connection->answer;
    size_t len;

    connection->is_writing = 0;
    if (connection->is_closing || answer == NULL)
        return;
    if (status != 0) {
        drop(connection, THEN_CLOSE);
        return;
    }
    len = answer->len != 0 ? answer->len : strlen(answer->bytes);
    if (connection->sent < len) {
        (void)uv_timer_start(&connection->timer, give, answer->drip_ms, 0);
    } else if (answer->then == THEN_KEEP) {
        answered(connection);
        look(connection);
    } else {
        drop(connection, answer->then);
    }
}

static void give(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    const struct answer *answer = connection->answer;
    size_t len = answer->len != 0 ? answer->len : strlen(answer->bytes);
    size_t some = answer->drip_ms != 0 ? 1 : len - connection->sent;
    uv_buf_t buffer;

    if (len == 0) {
        drop(connection, answer->then);
        return;
    }
    buffer.base = (char *)(uintptr_t)(answer->bytes + connection->sent);
    buffer.len = some;
    connection->sent += some;
    connection->is_writing = 1;
    connection->write.data = connection;
    must(uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &buffer, 1, on_written) == 0,
         "cannot write");
}

/* Is a whole request in? Then its answer begins. */
static void look(struct connection *connection)
{
    struct server *server = connection->server;
    const char *end, *length;
    size_t whole;

    connection->in[connection->in_len] = '\0';
    end = strstr(connection->in, "\r\n\r\n");
    if (end == NULL || connection->answer != NULL)
        return;
    whole = (size_t)(end - connection->in) + 4;
    length = strcasestr(connection->in, "\r\nContent-Length:");
    if (length != NULL && length < end)
        whole += (size_t)strtoul(length + 17, NULL, 10);
    if (connection->in_len < whole)
        return;
    memcpy(server->request, connection->in, whole);
    server->request[whole] = '\0';
    connection->in_len -= whole;
    memmove(connection->in, connection->in + whole, connection->in_len);
    must(server->script_count > 0, "no script");
    connection->answer =
        &server->script[server->requests < server->script_count ? server->requests
                                                                : server->script_count - 1];
    server->requests++;
    connection->sent = 0;
    if (++server->waiting > server->most_waiting)
        server->most_waiting = server->waiting;
    if (connection->answer->bytes != NULL)
        (void)uv_timer_start(&connection->timer, give, connection->answer->delay_ms, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct connection *connection = handle->data;

    (void)suggested;
    buffer->base = connection->in + connection->in_len;
    buffer->len = sizeof connection->in - 1 - connection->in_len;
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    (void)buffer;
    if (len < 0) {
        drop(connection, THEN_CLOSE);
        return;
    }
    connection->in_len += (size_t)len;
    look(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct connection *connection = calloc(1, sizeof *connection);

    must(status == 0 && connection != NULL, "cannot accept");
    (void)uv_tcp_init(listener->loop, &connection->tcp);
    (void)uv_timer_init(listener->loop, &connection->timer);
    connection->open_handles = 2;
    connection->tcp.data = connection->timer.data = connection;
    connection->server = server;
    connection->next = server->first;
    if (server->first != NULL)
        server->first->previous = connection;
    server->first = connection;
    server->connections++;
    must(uv_accept(listener, (uv_stream_t *)&connection->tcp) == 0, "cannot accept");
    must(uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read) == 0, "cannot read");
}

void server_start(struct server *server, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int len = sizeof address;

    memset(server, 0, sizeof *server);
    (void)uv_ip4_addr("127.0.0.1", 0, &address);
    (void)uv_tcp_init(loop, &server->listener);
    server->listener.data = server;
    must(uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0) == 0, "cannot bind");
    must(uv_listen((uv_stream_t *)&server->listener, 64, on_connection) == 0, "cannot listen");
    (void)uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &len);
    server->port = ntohs(address.sin_port);
}

void server_script(struct server *server, const struct answer *script, size_t count)
{
    server->script = script;
    server->script_count = count;
    server->requests = 0;
}

void server_stop(struct server *server)
{
    while (server->first != NULL)
        drop(server->first, THEN_CLOSE);
    uv_close((uv_handle_t *)&server->listener, NULL);
}

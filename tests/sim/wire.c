/*
 * Sending an answer, well or badly: resets, truncation, slow bodies, wrong lengths (see request.h).
 */
#include "server.h"

#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

enum { FLUSH_MS = 30, DRIP_MS = 100 };

/* Breaks the connection with an RST: connecting a TCP socket to "nowhere" makes Linux abort what it
 * was connected to. */
static void reset(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL) {
        struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
        (void)connect(info->connect_fd, &nowhere, sizeof nowhere);
    }
}

static ssize_t copy_piece(struct request *request, char *out, size_t max, size_t end)
{
    size_t left = end - request->sent;
    size_t len = left < max ? left : max;
    memcpy(out, request->answer.body.data + request->sent, len);
    request->sent += len;
    return (ssize_t)len;
}

/* Half the body, then the end of the connection one way or the other. */
static ssize_t send_half(void *cls, uint64_t position, char *out, size_t max)
{
    struct request *request = cls;
    size_t half = request->answer.body.len / 2;
    (void)position;
    if (request->sent < half) {
        request->piece_due = false;
        return copy_piece(request, out, max, half);
    }
    if (request->answer.wire == WIRE_TRUNCATE) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (!request->piece_due) {
        server_wait(request, FLUSH_MS);
        return 0;
    }
    reset(request);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t send_drip(void *cls, uint64_t position, char *out, size_t max)
{
    struct request *request = cls;
    int64_t rate = request->answer.wire_arg;
    size_t piece = rate * DRIP_MS / 1000 > 0 ? (size_t)(rate * DRIP_MS / 1000) : 1;
    (void)position;
    if (!request->piece_due) {
        server_wait(request, (int64_t)piece * 1000 / rate);
        return 0;
    }
    request->piece_due = false;
    return copy_piece(request, out, piece < max ? piece : max, request->answer.body.len);
}

static ssize_t send_all(void *cls, uint64_t position, char *out, size_t max)
{
    struct request *request = cls;
    (void)position;
    if (request->sent == request->answer.body.len) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    return copy_piece(request, out, max, request->answer.body.len);
}

/* A response whose body is sent piece by piece; the request keeps the body. */
static struct MHD_Response *make_piecewise(struct request *request, uint64_t size,
                                           MHD_ContentReaderCallback reader)
{
    return MHD_create_response_from_callback(size, 32768, reader, request, NULL);
}

static struct MHD_Response *make_response(struct request *request)
{
    struct answer *answer = &request->answer;
    struct MHD_Response *response = NULL;
    request->piece_due = false;
    switch (answer->wire) {
    case WIRE_RESET_MID:
    case WIRE_TRUNCATE:
        return make_piecewise(request, answer->body.len, send_half);
    case WIRE_DRIP:
        return make_piecewise(request, answer->body.len, send_drip);
    case WIRE_LENGTH:
        /* Of unknown size, or libmicrohttpd would add the right length to the wrong one. */
        response = make_piecewise(request, MHD_SIZE_UNKNOWN, send_all);
        if (response != NULL) {
            (void)MHD_set_response_options(
                response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT | MHD_RF_INSANITY_HEADER_CONTENT_LENGTH,
                MHD_RO_END);
        }
        return response;
    default:
        response = MHD_create_response_from_buffer(answer->body.len, answer->body.data,
                                                   MHD_RESPMEM_MUST_FREE);
        if (response != NULL) {
            answer->body = (struct buf){0};
        }
        return response;
    }
}

static void add_headers(struct request *request, struct MHD_Response *response)
{
    struct answer *answer = &request->answer;
    const char *type = answer->content_type != NULL ? answer->content_type : "application/json";
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (answer->retry_after != NULL) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, answer->retry_after);
    }
    if (answer->location != NULL) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, answer->location);
    }
    if (answer->subject_token != NULL) {
        (void)MHD_add_response_header(response, "X-Subject-Token", answer->subject_token);
    }
    if (answer->gzip) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    }
    struct buf date = {0};
    time_put_http(&date, server_time_ms(request->server));
    buf_add(&date, "", 1);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_DATE, date.data);
    buf_free(&date);
    if (request->active || request->realm == REALM_IAM) {
        struct buf id = {0};
        uint64_t n = ++request->server->request_ids;
        buf_printf(&id, "%016llx%016llx", (unsigned long long)derive_hash(n, 1, 2),
                   (unsigned long long)n);
        (void)MHD_add_response_header(response, request->active ? "X-Request-Id" : "X-IAM-Trace-Id",
                                      id.data);
        buf_free(&id);
    }
    if (answer->wire == WIRE_LENGTH) {
        struct buf length = {0};
        buf_printf(&length, "%lld", (long long)answer->wire_arg);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_LENGTH, length.data);
        buf_free(&length);
    }
    if (answer->close) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
}

int wire_send(struct request *request)
{
    if (request->answer.wire == WIRE_RESET) {
        reset(request);
        return MHD_NO;
    }
    if (request->answer.wire == WIRE_SILENT) {
        return MHD_NO;
    }
    struct MHD_Response *response = make_response(request);
    if (response == NULL) {
        return MHD_NO;
    }
    add_headers(request, response);
    enum MHD_Result queued =
        MHD_queue_response(request->connection, request->answer.status, response);
    MHD_destroy_response(response);
    return (int)queued;
}

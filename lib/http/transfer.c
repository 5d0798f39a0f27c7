/* One attempt. Everything that comes from the server is bounded here: the body as it comes and as
 * it is unpacked, the headers and every string kept of them. libcurl's own limit on the body
 * (MAXFILESIZE) only knows Content-Length before 8.4, so the write callback counts. */
#include "http/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/retry.h"

enum {
    ERROR_BODY_MAX_BYTES = 64 * 1024,
    HEADERS_MAX_BYTES = 256 * 1024, /* libcurl 7.88 keeps all of them, however many */
    WANTED_MAX_BYTES = 64 * 1024,
    RESERVE_MAX_BYTES = 1024 * 1024, /* at most this much memory on the word of Content-Length */
    /* libcurl empties a socket up to a hundred times this before it returns to the loop. */
    RECEIVE_BUFFER_BYTES = 16 * 1024,
    STALL_BYTES_PER_SECOND = 16,
    STALL_SECONDS = 30,
    KEEPALIVE_SECONDS = 30,
    /* Gateways drop idle connections after about a minute; a dead one costs more than a new one. */
    IDLE_CONNECTION_SECONDS = 60,
    TIMEOUT_DEFAULT_MS = 60000,
    CONNECT_TIMEOUT_DEFAULT_MS = 10000,
    TIMEOUT_MAX_MS = 86400000,
};

void pw_reply_init(struct pw_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    pw_buffer_init(&reply->body, 0);
    pw_buffer_init(&reply->packed, 0);
    pw_buffer_init(&reply->wanted, WANTED_MAX_BYTES);
}

void pw_reply_free(struct pw_reply *reply)
{
    pw_buffer_free(&reply->body);
    pw_buffer_free(&reply->packed);
    pw_buffer_free(&reply->wanted);
}

void pw_reply_wipe(struct pw_reply *reply)
{
    if (reply->body.data != NULL)
        explicit_bzero(reply->body.data, reply->body.capacity);
    if (reply->packed.data != NULL)
        explicit_bzero(reply->packed.data, reply->packed.capacity);
    if (reply->wanted.data != NULL)
        explicit_bzero(reply->wanted.data, reply->wanted.capacity);
}

void pw_transfer_free(struct pw_transfer *transfer)
{
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    transfer->easy = NULL;
    transfer->headers = NULL;
}

/* ---- what comes in ---------------------------------------------------------------------------*/

/* What is packed may be a little longer than what comes out: headers, and blocks that were only
 * stored. */
static size_t packed_max_bytes(size_t body_max_bytes)
{
    return body_max_bytes + body_max_bytes / 256 + 1024;
}

static void reply_clear(struct pw_reply *reply, size_t body_max_bytes)
{
    pw_buffer_clear(&reply->body);
    pw_buffer_clear(&reply->packed);
    pw_buffer_clear(&reply->wanted);
    reply->has_wanted = false;
    memset(&reply->encoding, 0, sizeof reply->encoding);
    reply->packed.max_bytes = packed_max_bytes(body_max_bytes) + PW_HTTP_BODY_PADDING;
    reply->body.max_bytes = body_max_bytes + PW_HTTP_BODY_PADDING;
    reply->content_type[0] = reply->request_id[0] = '\0';
    reply->retry_after[0] = reply->location[0] = '\0';
    memset(&reply->response, 0, sizeof reply->response);
    reply->response.date_ms = PW_TIME_NONE;
    reply->response.retry_after_ms = -1;
}

static bool is_success(long http_status)
{
    return http_status >= 200 && http_status <= 299;
}

/* The value of header line `line` if its name is `name`; else null. */
static struct pw_str value_of(struct pw_str line, const char *name)
{
    size_t name_len = strlen(name), len;
    const char *value;

    if (line.len <= name_len || line.data[name_len] != ':' ||
        strncasecmp(line.data, name, name_len) != 0)
        return PW_STR_NULL;
    value = line.data + name_len + 1;
    len = line.len - name_len - 1;
    while (len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
        len--;
    return (struct pw_str){value, len};
}

static bool header_value(struct pw_str line, const char *name, char *out, size_t size_bytes)
{
    struct pw_str value = value_of(line, name);

    if (value.data == NULL)
        return false;
    (void)pw_text_printable(out, size_bytes, value);
    return true;
}

static void keep_wanted(struct pw_transfer *transfer, struct pw_str line)
{
    struct pw_reply *reply = transfer->reply;
    struct pw_str value =
        transfer->wanted_header != NULL ? value_of(line, transfer->wanted_header) : PW_STR_NULL;

    if (value.data == NULL)
        return;
    pw_buffer_clear(&reply->wanted);
    reply->has_wanted = pw_buffer_append_str(&reply->wanted, value) == PW_OK;
}

static void note_encoding(struct pw_encoding *encoding, struct pw_str line)
{
    struct pw_str value = value_of(line, "Content-Encoding");

    if (value.data != NULL)
        pw_encoding_note(encoding, value);
    value = value_of(line, "Transfer-Encoding");
    if (value.data != NULL)
        pw_encoding_note_transfer(encoding, value);
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct pw_transfer *transfer = user;
    struct pw_reply *reply = transfer->reply;
    struct pw_str line = {data, size * count};
    char date[64];

    transfer->header_bytes += line.len;
    if (transfer->header_bytes > HEADERS_MAX_BYTES) {
        transfer->cut = PW_CUT_HEADERS;
        return 0;
    }
    if (transfer->in_body) /* a trailer: says nothing we want to hear */
        return line.len;
    if (line.len >= 5 &&
        memcmp(line.data, "HTTP/", 5) == 0) { /* 1xx answers precede the real one */
        reply->content_type[0] = reply->request_id[0] = '\0';
        reply->retry_after[0] = reply->location[0] = '\0';
        reply->response.date_ms = PW_TIME_NONE;
        memset(&reply->encoding, 0, sizeof reply->encoding);
        transfer->headers_ended = false;
        return line.len;
    }
    if (line.len > 0 && strchr("\r\n", line.data[0]) != NULL) {
        transfer->headers_ended = true;
        return line.len;
    }
    keep_wanted(transfer, line);
    note_encoding(&reply->encoding, line);
    if (header_value(line, "Date", date, sizeof date)) {
        time_t seconds = curl_getdate(date, NULL);
        if (seconds >= 0)
            reply->response.date_ms = seconds * PW_SECOND_MS;
    } else if (!header_value(line, "Content-Type", reply->content_type,
                             sizeof reply->content_type) &&
               !header_value(line, "X-Request-Id", reply->request_id, sizeof reply->request_id) &&
               !(reply->request_id[0] == '\0' &&
                 header_value(line, "X-IAM-Trace-Id", reply->request_id,
                              sizeof reply->request_id)) &&
               !header_value(line, "Retry-After", reply->retry_after, sizeof reply->retry_after)) {
        (void)header_value(line, "Location", reply->location, sizeof reply->location);
    }
    return line.len;
}

/* Where the body goes as it comes, and how long it may be. */
static struct pw_buffer *incoming(struct pw_reply *reply)
{
    return reply->encoding.kind != PW_ENCODING_NONE ? &reply->packed : &reply->body;
}

static size_t incoming_max_bytes(const struct pw_transfer *transfer)
{
    return transfer->reply->encoding.kind != PW_ENCODING_NONE
               ? packed_max_bytes(transfer->body_max_bytes)
               : transfer->body_max_bytes;
}

/* False: it says of itself that it is longer than the limit. */
static bool body_begins(struct pw_transfer *transfer)
{
    struct pw_http_response *response = &transfer->reply->response;
    curl_off_t length = -1;
    size_t max_bytes;

    transfer->in_body = true;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response->status);
    if (!is_success(response->status) && transfer->body_max_bytes > ERROR_BODY_MAX_BYTES)
        transfer->body_max_bytes = ERROR_BODY_MAX_BYTES;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    max_bytes = incoming_max_bytes(transfer);
    if (is_success(response->status) && !transfer->body_may_be_cut && length > 0 &&
        (uint64_t)length > max_bytes)
        return false; /* of a refusal the beginning is wanted */
    /* Failure shows at the append. */
    if (transfer->is_secret)
        (void)pw_buffer_reserve(incoming(transfer->reply), max_bytes); /* see setup */
    else if (length > 0 && length <= RESERVE_MAX_BYTES && (size_t)length <= max_bytes)
        (void)pw_buffer_reserve(incoming(transfer->reply), (size_t)length + PW_HTTP_BODY_PADDING);
    /* From here on silence means a dead peer. Before, it may be a slow query, for which the
     * timeout is the only judge. */
    (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct pw_transfer *transfer = user;
    struct pw_buffer *body = incoming(transfer->reply);
    size_t len = size * count, room;

    if (!transfer->in_body && !body_begins(transfer)) {
        transfer->cut = PW_CUT_BODY;
        return CURL_WRITEFUNC_ERROR;
    }
    room = incoming_max_bytes(transfer) - body->len;
    if (len > room) {
        transfer->cut = PW_CUT_BODY;
        if (transfer->body_may_be_cut || !is_success(transfer->reply->response.status)) {
            transfer->cut = PW_CUT_ENOUGH;
            if (pw_buffer_append(body, data, room) != PW_OK)
                transfer->cut = PW_CUT_NOMEM;
        }
        return CURL_WRITEFUNC_ERROR;
    }
    if (pw_buffer_append(body, data, len) != PW_OK) {
        transfer->cut = PW_CUT_NOMEM;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* libcurl opens sockets that children would inherit. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- what goes out ---------------------------------------------------------------------------*/

#define SET(option, value)                                                                         \
    code = code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_##option, value)

static CURLcode set_options(struct pw_transfer *transfer, const struct pw_http_request *request,
                            const char *url)
{
    CURL *easy = transfer->easy;
    CURLcode code = pw_method_set(easy, request->method, request->body);

    SET(URL, url);
    SET(PATH_AS_IS, 1L); /* what was signed is what is sent */
    SET(HTTPHEADER, transfer->headers);
    SET(USERAGENT, "patchwatch/" PW_VERSION);
    SET(HTTP_VERSION, (long)(request->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(HTTP_CONTENT_DECODING, 0L); /* see http/unpack.h; headers_build asks for encodings */
    SET(PROXY, request->proxy != NULL ? request->proxy : ""); /* "" also shuts out http_proxy */
    SET(NOPROXY, "");
    SET(SUPPRESS_CONNECT_HEADERS, 1L);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (request->ca_file != NULL) {
        SET(CAINFO, request->ca_file);
        SET(CAPATH, NULL);         /* Debian's libcurl would go on trusting /etc/ssl/certs */
        SET(CA_CACHE_TIMEOUT, 0L); /* that cache goes by the name, blind to a rotated file */
    }
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L); /* closing must not wait for getaddrinfo(3) */
    SET(TIMEOUT_MS, (long)transfer->timeout_ms);
    SET(CONNECTTIMEOUT_MS, (long)transfer->connect_timeout_ms);
    SET(MAXAGE_CONN, (long)IDLE_CONNECTION_SECONDS);
    SET(TCP_KEEPALIVE, 1L);
    SET(TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
    SET(TCP_KEEPINTVL, (long)KEEPALIVE_SECONDS);
    SET(BUFFERSIZE, (long)RECEIVE_BUFFER_BYTES);
    SET(OPENSOCKETFUNCTION, on_open_socket);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, transfer);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, transfer);
    SET(ERRORBUFFER, transfer->error_text);
    return code;
}

static int64_t timeout_or(int64_t timeout_ms, int64_t otherwise_ms)
{
    if (timeout_ms <= 0)
        return otherwise_ms;
    return timeout_ms < TIMEOUT_MAX_MS ? timeout_ms : TIMEOUT_MAX_MS;
}

enum pw_status pw_transfer_setup(struct pw_transfer *transfer,
                                 const struct pw_http_request *request, const char *url,
                                 const struct curl_slist *fixed, const char *const *extra,
                                 struct pw_reply *reply, struct pw_error *err)
{
    enum pw_status status;
    CURLcode code;

    if (transfer->easy == NULL)
        transfer->easy = curl_easy_init();
    else
        curl_easy_reset(transfer->easy); /* of the last attempt's options */
    if (transfer->easy == NULL)
        return pw_fail_nomem(err);
    curl_slist_free_all(transfer->headers);
    status = pw_headers_build(fixed, extra, request->body.len > 0, &transfer->headers, err);
    if (status != PW_OK)
        return status;
    transfer->body_max_bytes = request->body_max_bytes;
    transfer->timeout_ms = timeout_or(request->timeout_ms, TIMEOUT_DEFAULT_MS);
    transfer->connect_timeout_ms =
        timeout_or(request->connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS);
    if (transfer->connect_timeout_ms > transfer->timeout_ms)
        transfer->connect_timeout_ms = transfer->timeout_ms;
    transfer->header_bytes = 0;
    transfer->cut = PW_CUT_NOT;
    transfer->headers_ended = transfer->in_body = false;
    transfer->body_may_be_cut = request->body_may_be_cut;
    transfer->error_text[0] = '\0';
    transfer->reply = reply;
    transfer->wanted_header = request->wanted_header;
    transfer->is_secret = request->is_secret;
    reply_clear(reply, request->body_max_bytes);
    /* Memory that grows leaves copies behind that nobody wipes. */
    if (request->is_secret &&
        (pw_buffer_reserve(&reply->body, request->body_max_bytes + PW_HTTP_BODY_PADDING) != PW_OK ||
         pw_buffer_reserve(&reply->wanted, WANTED_MAX_BYTES) != PW_OK))
        return pw_fail_nomem(err);
    code = set_options(transfer, request, url);
    if (code == CURLE_OUT_OF_MEMORY)
        return pw_fail_nomem(err);
    if (code != CURLE_OK)
        return pw_fail(err, PW_EINVAL, "libcurl refuses an option: %s", curl_easy_strerror(code));
    return PW_OK;
}

/* ---- how it ended ----------------------------------------------------------------------------*/

enum pw_status pw_transfer_late(const struct pw_transfer *transfer, struct pw_error *err)
{
    char text[32];

    return pw_fail(err, PW_ENETWORK, "timed out after %s",
                   pw_duration_text(text, sizeof text, transfer->timeout_ms));
}

int64_t pw_transfer_time_left_ms(const struct pw_transfer *transfer)
{
    curl_off_t spent_us = 0;
    int64_t left_ms;

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &spent_us);
    left_ms = transfer->timeout_ms - spent_us / 1000;
    return left_ms > 1 ? left_ms : 1;
}

static enum pw_status timed_out(const struct pw_transfer *transfer, struct pw_error *err)
{
    curl_off_t pretransfer_us = 0;
    char text[32];

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
    if (pretransfer_us == 0)
        return pw_fail(err, PW_ENETWORK, "no connection within %s",
                       pw_duration_text(text, sizeof text, transfer->connect_timeout_ms));
    if (strncmp(transfer->error_text, "Operation too slow", 18) == 0)
        return pw_fail(err, PW_ENETWORK, "stalled: under %d bytes a second for %ds",
                       STALL_BYTES_PER_SECOND, STALL_SECONDS);
    return pw_transfer_late(transfer, err);
}

/* The body gets its padding. */
static enum pw_status complete_body(struct pw_reply *reply, struct pw_error *err)
{
    if (pw_buffer_reserve(&reply->body, PW_HTTP_BODY_PADDING) != PW_OK)
        return pw_fail_nomem(err);
    memset(reply->body.data + reply->body.len, 0, PW_HTTP_BODY_PADDING);
    reply->response.body = pw_buffer_str(&reply->body);
    return PW_OK;
}

/* The views are set. */
static enum pw_status complete(struct pw_transfer *transfer, struct pw_error *err)
{
    struct pw_reply *reply = transfer->reply;
    struct pw_http_response *response = &reply->response;

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response->status);
    response->content_type = pw_str_of(reply->content_type);
    response->request_id = pw_str_of(reply->request_id);
    if (reply->has_wanted)
        response->wanted = pw_buffer_str(&reply->wanted);
    if (reply->retry_after[0] != '\0')
        response->retry_after_ms =
            pw_retry_after_parse_ms(reply->retry_after, response->date_ms != PW_TIME_NONE
                                                            ? response->date_ms
                                                            : pw_clock_wall_ms(pw_clock_system()));
    return complete_body(reply, err);
}

bool pw_transfer_is_packed(const struct pw_transfer *transfer)
{
    return transfer->reply->encoding.kind != PW_ENCODING_NONE && transfer->reply->packed.len > 0;
}

void pw_transfer_unpack_begin(struct pw_transfer *transfer, struct pw_unpack *unpack)
{
    struct pw_reply *reply = transfer->reply;

    pw_unpack_begin(unpack, &reply->encoding, pw_buffer_str(&reply->packed), &reply->body,
                    transfer->body_max_bytes);
}

static enum pw_status fail_over(const struct pw_transfer *transfer, struct pw_error *err)
{
    return pw_fail(err, PW_ELIMIT, "the answer is longer than the limit of %zu bytes",
                   transfer->body_max_bytes);
}

enum pw_status pw_transfer_unpacked(struct pw_transfer *transfer, const struct pw_unpack *unpack,
                                    bool *retry, struct pw_error *err)
{
    enum pw_status status;

    if (is_success(transfer->reply->response.status)) {
        *retry = unpack->state == PW_UNPACK_FAILED;
        if (unpack->state == PW_UNPACK_OVER)
            return fail_over(transfer, err);
        if (unpack->state == PW_UNPACK_FAILED) {
            *err = unpack->error;
            return err->status;
        }
    }
    status = complete_body(transfer->reply, err);
    *retry = status != PW_OK;
    return status;
}

enum pw_status pw_transfer_finish(struct pw_transfer *transfer, CURLcode code, bool *retry,
                                  struct pw_error *err)
{
    char text[CURL_ERROR_SIZE];
    curl_off_t received_bytes = 0;
    enum pw_status status;

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &received_bytes);
    transfer->reply->response.received_bytes = received_bytes;
    switch (transfer->cut) {
    case PW_CUT_NOT:
        break;
    case PW_CUT_BODY:
        *retry = false;
        return fail_over(transfer, err);
    case PW_CUT_HEADERS:
        *retry = false;
        return pw_fail(err, PW_ELIMIT, "the answer's headers are longer than %d bytes",
                       HEADERS_MAX_BYTES);
    case PW_CUT_NOMEM:
        *retry = true;
        return pw_fail_nomem(err);
    case PW_CUT_ENOUGH:
        code = CURLE_OK;
        break;
    }
    status = pw_retry_code(code, retry);
    if (code == CURLE_OK && !transfer->headers_ended) { /* to libcurl an answer without body */
        *retry = true;
        return pw_fail(err, PW_ENETWORK, "the connection closed within the headers");
    }
    if (code == CURLE_OK) {
        status = complete(transfer, err);
        *retry = status != PW_OK;
        return status;
    }
    if (code == CURLE_OPERATION_TIMEDOUT)
        return timed_out(transfer, err);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return pw_fail(err, status, "the transfer was lost to an error of our own");
    if (code == CURLE_OUT_OF_MEMORY)
        return pw_fail_nomem(err);
    /* libcurl quotes what the server sent. */
    return pw_fail(err, status, "%s",
                   transfer->error_text[0] != '\0'
                       ? pw_text_printable(text, sizeof text, pw_str_of(transfer->error_text))
                       : curl_easy_strerror(code));
}

/* One attempt of one request: sets up an easy handle, takes in the answer within limits, and puts
 * into words how it ended. Internal to this room. */
#ifndef PW_HTTP_TRANSFER_H
#define PW_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/http.h"
#include "http/unpack.h"

/* An answer. response points into the rest, so a reply is never copied. */
struct pw_reply {
    struct pw_http_response response;
    struct pw_buffer body;
    struct pw_buffer packed; /* the body as it came, where it has an encoding */
    struct pw_encoding encoding;
    struct pw_buffer wanted; /* the header that the request asks for */
    bool has_wanted;
    char content_type[128], request_id[128], retry_after[64];
    char location[1024];
};

enum pw_transfer_cut {
    PW_CUT_NOT,
    PW_CUT_BODY,    /* the body is over the caller's limit */
    PW_CUT_ENOUGH,  /* enough seen of an error page, or of a body that may be cut */
    PW_CUT_HEADERS, /* headers without end */
    PW_CUT_NOMEM
};

struct pw_transfer {
    CURL *easy;                 /* owned, kept over all attempts */
    struct curl_slist *headers; /* owned, of the running attempt */
    const char *wanted_header;  /* not owned, NULL = none */
    struct pw_reply *reply;     /* not owned: where the running attempt's answer goes */
    size_t body_max_bytes, header_bytes;
    int64_t timeout_ms, connect_timeout_ms;
    enum pw_transfer_cut cut;
    bool headers_ended, in_body, body_may_be_cut, is_secret;
    char error_text[CURL_ERROR_SIZE];
};

/* Readies transfer (zeroed before the first time) for an attempt. fixed and extra are the request's
 * header lines; extra may be NULL. After it transfer->easy can be run; the transfer and reply must
 * stay where they are until it was finished or taken out of the multi handle. */
PW_MUST_CHECK enum pw_status pw_transfer_setup(struct pw_transfer *transfer,
                                               const struct pw_http_request *request,
                                               const char *url, const struct curl_slist *fixed,
                                               const char *const *extra, struct pw_reply *reply,
                                               struct pw_error *err);
/* How the attempt ended: PW_OK if there is a whole answer in reply->response, whatever its status;
 * else what went wrong and whether another attempt may help. Where pw_transfer_is_packed then, it
 * has no body yet: that is to be unpacked first. */
PW_MUST_CHECK enum pw_status pw_transfer_finish(struct pw_transfer *transfer, CURLcode code,
                                                bool *retry, struct pw_error *err);
bool pw_transfer_is_packed(const struct pw_transfer *transfer);
/* Readies unpack for the body. Only after finish; the transfer's reply must stay as it is. */
void pw_transfer_unpack_begin(struct pw_transfer *transfer, struct pw_unpack *unpack);
/* unpack is not at MORE any more: as pw_transfer_finish, with the body in the response. An error
 * page is worth what could be unpacked of it: its status counts in any case. */
PW_MUST_CHECK enum pw_status pw_transfer_unpacked(struct pw_transfer *transfer,
                                                  const struct pw_unpack *unpack, bool *retry,
                                                  struct pw_error *err);
/* The attempt has taken as long as it may: the error that says so. */
enum pw_status pw_transfer_late(const struct pw_transfer *transfer, struct pw_error *err);
/* Milliseconds that the attempt still has, at least 1. */
int64_t pw_transfer_time_left_ms(const struct pw_transfer *transfer);
/* What an answer outside 2xx says, for people: "HTTP 503", "HTTP 302 redirected to …". */
enum pw_status pw_reply_refusal(const struct pw_reply *reply, const char *url,
                                struct pw_error *err);

void pw_reply_init(struct pw_reply *reply);
void pw_reply_free(struct pw_reply *reply);
/* Overwrites what the answer brought; its memory may then go back to the pool. */
void pw_reply_wipe(struct pw_reply *reply);
/* Not while the handle is in a multi handle. */
void pw_transfer_free(struct pw_transfer *transfer);

/* Whether url is http or https with a host; "scheme://host/path" of it, without user and query,
 * into out. */
PW_MUST_CHECK enum pw_status pw_url_display(const char *url, char *out, size_t size_bytes,
                                            struct pw_error *err);
/* A line that is no header, or could smuggle in another one. */
bool pw_header_is_bad(const char *line);
/* The header lines of one attempt; the caller frees *out (NULL where there are none). */
PW_MUST_CHECK enum pw_status pw_headers_build(const struct curl_slist *fixed,
                                              const char *const *extra, bool has_body,
                                              struct curl_slist **out, struct pw_error *err);
/* Sets method (NULL = GET) and body, which must outlive the attempt. */
PW_MUST_CHECK CURLcode pw_method_set(CURL *easy, const char *method, struct pw_str body);

#endif

/* What an API, a gateway or IAM says in the body of a refusal, whatever the form (Huawei Cloud:
 * flat error_code/error_msg, errorCode/errorMsg, code/message, any of them nested, numbers as
 * codes; pages that are no JSON at all), and what kind of failure it is. */
#ifndef PW_CLOUD_ERROR_BODY_H
#define PW_CLOUD_ERROR_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* Printable text, cut to a few hundred bytes; null views where the body holds none. */
struct pw_api_error {
    struct pw_str code;    /* "APIGW.0301"; a number as decimal text */
    struct pw_str message; /* where the body is no JSON, or none that we know: its beginning */
    struct pw_str request_id;
};

struct pw_error_body; /* reads one body at a time */

struct pw_error_body *pw_error_body_new(void); /* NULL where memory is short */
void pw_error_body_free(struct pw_error_body *reader);

/* Looks for an error in a body of len bytes that PW_JSON_READER_PADDING readable bytes follow. The
 * views in *out live until the next call or free, whatever becomes of the body. Never fails: an
 * empty body gives null views. */
void pw_error_body_decode(struct pw_error_body *reader, const char *body, size_t len,
                          struct pw_api_error *out);

enum pw_api_cause {
    PW_API_OTHER,       /* a server's trouble: may pass by itself */
    PW_API_AUTH,        /* who we are was not believed: signature, token, clock */
    PW_API_FORBIDDEN,   /* known, but not allowed; also a locked access key */
    PW_API_THROTTLED,   /* too many requests */
    PW_API_NOT_FOUND,   /* no such API: wrong endpoint or path */
    PW_API_BAD_REQUEST, /* the request itself is wrong */
    PW_API_CAUSE_COUNT
};
/* Name of a cause for logs and metrics ("throttled"); never NULL. */
const char *pw_api_cause_name(enum pw_api_cause cause);
/* The cause of a refusal. The HTTP status decides where it says anything; the gateway's code (by
 * its suffix, "0301" of APIGW., APIG. or APIC.) where a 2xx holds an error. code may be null. */
enum pw_api_cause pw_api_cause_of(long http_status, struct pw_str code);

/* "…ratelimit,limit:100,time:1 minute": the throttle's window in milliseconds, at most a day, and
 * its limit (-1 where the text has none; may be NULL). -1 where there is no window. */
int64_t pw_api_throttle_window_ms(struct pw_str message, int64_t *limit);

#endif

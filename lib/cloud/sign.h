/* Request signing, SDK-HMAC-SHA256 (Huawei Cloud, API Gateway signing guide): pure computation over
 * OpenSSL. */
#ifndef PW_CLOUD_SIGN_H
#define PW_CLOUD_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"

enum {
    PW_SIGN_DATE_SIZE = 17,
    PW_SIGN_HEX_SIZE = 65,
    PW_SIGN_MAX_HEADERS = 16,
    PW_SIGN_MAX_PARAMETERS = 64
};

/* One header that takes part in the signature. The name in any case; the value is trimmed. A name
 * with an underscore takes no part, since gateways drop such headers. */
struct pw_sign_header {
    const char *name;
    const char *value;
};

struct pw_sign_request {
    const char *method;
    /* http(s)://host[:port]/path[?query], percent-encoded as it goes on the wire. A literal + in
     * the query is a space, as in forms. */
    const char *url;
    struct pw_str body;
    const struct pw_sign_header
        *headers;        /* x-sdk-date among them; host only if it is to be signed */
    size_t header_count; /* at most PW_SIGN_MAX_HEADERS */
};

/* "20260102T150405Z" of a Unix time. */
void pw_sign_date(int64_t unix_ms, char out[PW_SIGN_DATE_SIZE]);

/* The host header that belongs to url into out (cleared first): host and port, without a user, an
 * IPv6 zone or the scheme's own port. PW_EINVAL for a URL without a host. */
PW_MUST_CHECK enum pw_status pw_sign_host(const char *url, struct pw_buffer *out,
                                          struct pw_error *err);

/* The canonical request into out (cleared first): method, path with a slash at its end, query
 * sorted by name and value, headers, their names, hash of the body. PW_EINVAL for a URL without a
 * host or with bad percent encoding, PW_ELIMIT for too many headers or parameters. It holds the
 * value of X-Security-Token, if that is signed. */
PW_MUST_CHECK enum pw_status pw_sign_canonical(const struct pw_sign_request *request,
                                               struct pw_buffer *out, struct pw_error *err);

/* HMAC-SHA256 of the string to sign, in hex. */
PW_MUST_CHECK enum pw_status pw_sign_hmac(struct pw_str secret_key, struct pw_str string_to_sign,
                                          char out[PW_SIGN_HEX_SIZE], struct pw_error *err);

/* The value of the Authorization header into out (cleared first). date is the value of x-sdk-date.
 */
PW_MUST_CHECK enum pw_status pw_sign_authorization(const struct pw_sign_request *request,
                                                   const char *date, const char *access_key,
                                                   struct pw_str secret_key, struct pw_buffer *out,
                                                   struct pw_error *err);

#endif

/* The retry policy. */
#include "http/retry.h"

#include <ctype.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"

bool pw_retry_status(long http_status)
{
    switch (http_status) {
    case 408: /* request timeout */
    case 425: /* too early */
    case 429: /* too many requests */
        return true;
    case 501: /* the server does not know the method, now or in a minute */
        return false;
    default:
        return http_status >= 500 && http_status <= 599;
    }
}

enum pw_status pw_retry_code(CURLcode code, bool *retry)
{
    switch (code) {
    case CURLE_OK:
        *retry = false;
        return PW_OK;
    case CURLE_OUT_OF_MEMORY:
        *retry = true;
        return PW_ENOMEM;
    case CURLE_UNSUPPORTED_PROTOCOL: /* the scheme was checked, so this is no HTTP that came back */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        *retry = true;
        return PW_EFORMAT;
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_SSL_CACERT_BADFILE: /* ca_file is missing or holds no certificate */
        *retry = false;
        return PW_EINVAL;
    case CURLE_PEER_FAILED_VERIFICATION: /* trying again does not make a stranger a friend */
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
        *retry = false;
        return PW_ENETWORK;
    default:
        *retry = true;
        return PW_ENETWORK;
    }
}

int64_t pw_retry_after_parse_ms(const char *text, int64_t now_ms)
{
    int64_t seconds = 0;
    const char *at = text;
    time_t date;

    if (isdigit((unsigned char)*at)) {
        for (; isdigit((unsigned char)*at); at++)
            if (seconds < PW_DAY_MS)
                seconds = seconds * 10 + (*at - '0');
        if (*at == '\0')
            return seconds * PW_SECOND_MS;
    }
    if (!isalpha((unsigned char)*text)) /* an HTTP-date starts with the day's name */
        return -1;
    date = curl_getdate(text, NULL);
    if (date < 0)
        return -1;
    return date * PW_SECOND_MS > now_ms ? date * PW_SECOND_MS - now_ms : 0;
}

int64_t pw_retry_wait_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, int64_t asked_ms,
                         uint64_t random)
{
    if (asked_ms < 0)
        asked_ms = 0;
    if (asked_ms > PW_RETRY_AFTER_MAX_MS)
        asked_ms = PW_RETRY_AFTER_MAX_MS;
    return asked_ms + pw_backoff_ms(attempt, base_ms, cap_ms, 0, random);
}

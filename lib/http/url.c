/* URLs as messages show them, and answers outside 2xx as people read them. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "http/transfer.h"

/* A part of url into out; "" where it has none. */
static enum pw_status part(CURLU *handle, CURLUPart which, char *out, size_t size_bytes)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(handle, which, &text, 0);

    out[0] = '\0';
    if (code == CURLUE_OK)
        (void)pw_text_printable(out, size_bytes, pw_str_of(text));
    curl_free(text);
    return code == CURLUE_OUT_OF_MEMORY ? PW_ENOMEM : PW_OK;
}

/* "scheme://host:port" and, where wanted, the path. */
static enum pw_status display(CURLU *handle, bool with_path, char *out, size_t size_bytes)
{
    char scheme[16], host[256], port[16], path[256] = "";

    if (part(handle, CURLUPART_SCHEME, scheme, sizeof scheme) != PW_OK ||
        part(handle, CURLUPART_HOST, host, sizeof host) != PW_OK ||
        part(handle, CURLUPART_PORT, port, sizeof port) != PW_OK ||
        (with_path && part(handle, CURLUPART_PATH, path, sizeof path) != PW_OK))
        return PW_ENOMEM;
    (void)snprintf(out, size_bytes, "%s://%s%s%s%s", scheme, host, port[0] != '\0' ? ":" : "", port,
                   path);
    return PW_OK;
}

enum pw_status pw_url_display(const char *url, char *out, size_t size_bytes, struct pw_error *err)
{
    CURLU *handle = curl_url();
    enum pw_status status;
    CURLUcode code;

    if (handle == NULL)
        return pw_fail_nomem(err);
    code = curl_url_set(handle, CURLUPART_URL, url, CURLU_PATH_AS_IS);
    if (code == CURLUE_OUT_OF_MEMORY)
        status = pw_fail_nomem(err);
    else if (code != CURLUE_OK)
        status = pw_fail(err, PW_EINVAL, "not a URL: %s", curl_url_strerror(code));
    else if (display(handle, true, out, size_bytes) != PW_OK)
        status = pw_fail_nomem(err);
    else if (strncmp(out, "http://", 7) != 0 && strncmp(out, "https://", 8) != 0)
        status = pw_fail(err, PW_EINVAL, "not an http or https URL");
    else
        status = PW_OK;
    curl_url_cleanup(handle);
    return status;
}

enum pw_status pw_reply_refusal(const struct pw_reply *reply, const char *url, struct pw_error *err)
{
    long http_status = reply->response.status;
    CURLU *handle = NULL;
    char target[320];

    if (http_status < 300 || http_status > 399 || reply->location[0] == '\0')
        return pw_fail(err, PW_EREMOTE, "HTTP %ld", http_status);
    handle = curl_url();
    /* Location may be relative to what was asked. */
    if (handle != NULL && curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_set(handle, CURLUPART_URL, reply->location, CURLU_NON_SUPPORT_SCHEME) ==
            CURLUE_OK &&
        display(handle, false, target, sizeof target) == PW_OK)
        (void)pw_fail(err, PW_EREMOTE, "HTTP %ld, redirected to %s: check the endpoint",
                      http_status, target);
    else
        (void)pw_fail(err, PW_EREMOTE, "HTTP %ld, redirected: check the endpoint", http_status);
    curl_url_cleanup(handle);
    return PW_EREMOTE;
}

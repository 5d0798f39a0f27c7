/* What goes out: method, body and header lines. */
#include <string.h>
#include <strings.h>

#include "http/transfer.h"

bool pw_header_is_bad(const char *line)
{
    return strpbrk(line, "\r\n") != NULL || strchr(line, ':') == NULL || line[0] == ':';
}

static bool append_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

enum pw_status pw_headers_build(const struct curl_slist *fixed, const char *const *extra,
                                bool has_body, struct curl_slist **out, struct pw_error *err)
{
    struct curl_slist *list = NULL;
    bool has_type = false, good;
    enum pw_status status = PW_OK;

    good = append_header(&list, "Accept-Encoding: gzip, deflate"); /* what pw_unpack undoes */
    for (; good && fixed != NULL; fixed = fixed->next) {
        has_type = has_type || strncasecmp(fixed->data, "Content-Type:", 13) == 0;
        good = append_header(&list, fixed->data);
    }
    for (; good && extra != NULL && *extra != NULL; extra++) {
        if (pw_header_is_bad(*extra)) {
            status = pw_fail(err, PW_EINVAL, "a header is no \"Name: value\" line");
            goto out;
        }
        has_type = has_type || strncasecmp(*extra, "Content-Type:", 13) == 0;
        good = append_header(&list, *extra);
    }
    if (has_body) {
        /* No second's wait for "100 Continue", and no form type that nobody asked for. */
        good = good && append_header(&list, "Expect:");
        good = good && (has_type || append_header(&list, "Content-Type:"));
    }
    if (!good)
        status = pw_fail_nomem(err);
out:
    if (status != PW_OK) {
        curl_slist_free_all(list);
        list = NULL;
    }
    *out = list;
    return status;
}

CURLcode pw_method_set(CURL *easy, const char *method, struct pw_str body)
{
    CURLcode code = CURLE_OK;
    bool is_get = method == NULL || strcmp(method, "GET") == 0;
    bool is_head = !is_get && strcmp(method, "HEAD") == 0;

    if (is_head)
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (body.len > 0 || (!is_get && strcmp(method, "DELETE") != 0)) {
        code = curl_easy_setopt(easy, CURLOPT_POST, 1L);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.len > 0 ? body.data : "");
    }
    if (code == CURLE_OK && (body.len > 0 || !is_get))
        code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method != NULL ? method : "GET");
    if (code == CURLE_OK && !is_get)
        code = curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    if (code == CURLE_OK && !is_get)
        code = curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    return code;
}

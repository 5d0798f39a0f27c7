/* The keys of hooks that speak HTTP. */
#include "alert/http_link.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "config/secret.h"
#include "config/url.h"

enum { MAX_URL_BYTES = 4096, MAX_HEADER_BYTES = 4096 };

#define TOKEN_CHARS "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
/* What may follow "?": RFC 3986 section 3.4. */
#define QUERY_CHARS                                                                                \
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;=:@/?"

/* URLs ---------------------------------------------------------------------------------------- */

/* Where the authority of a URL begins; 0 where it is neither http nor https. */
static size_t scheme_length(const char *url)
{
    if (strncasecmp(url, "https://", 8) == 0)
        return 8;
    return strncasecmp(url, "http://", 7) == 0 ? 7 : 0;
}

/* Whether what config/url.h takes, an origin and a path, stands before the query, user and password
 * set aside. *origin_path is freed by pw_secret_clear. */
static enum pw_status check_url(const char *url, bool is_secret, struct pw_error *err)
{
    size_t scheme = scheme_length(url), authority = scheme + strcspn(url + scheme, "/?#");
    size_t base = strcspn(url, "?#");
    const char *at = memrchr(url + scheme, '@', authority - scheme);
    struct pw_secret bare = {0};
    struct pw_buffer text;
    enum pw_status status;
    char *parsed = NULL;

    if (scheme == 0)
        return pw_fail(err, PW_EINVAL, "it must begin with https:// or http://");
    if (strlen(url) > MAX_URL_BYTES)
        return pw_fail(err, PW_EINVAL, "it is longer than %d bytes", (int)MAX_URL_BYTES);
    if (at != NULL && !is_secret)
        return pw_fail(err, PW_EINVAL,
                       "a user name or password must not stand in it: put the whole URL into a "
                       "file and name that as url_file");
    if (url[base] == '#')
        return pw_fail(err, PW_EINVAL, "a fragment ('#') must not stand in it");
    if (url[base] == '?' && url[base + 1 + strspn(url + base + 1, QUERY_CHARS)] != '\0')
        return pw_fail(err, PW_EINVAL, "the query holds a character that must be %%-encoded");
    status = pw_secret_write(&bare, base + 1, &text, err);
    if (status != PW_OK)
        return status;
    (void)pw_buffer_append(&text, url, scheme);
    if (at == NULL)
        at = url + scheme;
    else
        at++;
    (void)pw_buffer_append(&text, at, base - (size_t)(at - url));
    status = pw_url_parse(text.data, &parsed, err);
    pw_secret_clear(&bare);
    if (parsed != NULL)
        explicit_bzero(parsed, strlen(parsed));
    free(parsed);
    return status;
}

/* What an answer may repeat: the path, and the password, still %-encoded. */
static enum pw_status keep_secret_parts(struct pw_http_link *link, const struct pw_secret *url,
                                        struct pw_error *err)
{
    const char *authority = url->data + scheme_length(url->data);
    const char *path = authority + strcspn(authority, "/?");
    const char *at = memrchr(authority, '@', (size_t)(path - authority));
    const char *colon = at != NULL ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    enum pw_status status = pw_secret_set(&link->path, (struct pw_str){path, strlen(path)}, err);

    if (status == PW_OK && colon != NULL)
        status = pw_secret_set(&link->password,
                               (struct pw_str){colon + 1, (size_t)(at - colon - 1)}, err);
    return status;
}

enum pw_status pw_http_link_add_url(struct pw_http_link *link, struct pw_yaml *yaml, int line,
                                    struct pw_str url, bool is_secret)
{
    struct pw_error err = {PW_OK, ""};
    struct pw_secret *copy = &link->urls[link->url_count];
    enum pw_status status;

    if (link->url_count == PW_HTTP_LINK_MAX_URLS) {
        pw_problem_error(yaml->problems, yaml->path, line, "more than %d urls",
                         (int)PW_HTTP_LINK_MAX_URLS);
        return PW_OK;
    }
    status = pw_secret_set(copy, url, &err);
    if (status == PW_OK)
        status = check_url(copy->data, is_secret, &err);
    if (status == PW_ENOMEM)
        return status;
    if (status != PW_OK) {
        pw_problem_error(yaml->problems, yaml->path, line, "%s: %s",
                         is_secret ? "the URL in url_file" : "url", err.message);
        pw_secret_clear(copy);
        return PW_OK;
    }
    link->url_count++;
    link->url_is_secret = is_secret;
    return is_secret ? keep_secret_parts(link, copy, &err) : PW_OK;
}

/* What goes over a network without TLS. An http:// URL of this machine goes there as well where a
 * proxy stands between. */
static void check_clear(const struct pw_http_link *link, struct pw_yaml *yaml, int line,
                        const char *name, bool is_signed)
{
    for (size_t i = 0; i < link->url_count; i++) {
        const char *url = link->urls[i].data;
        char lower[MAX_URL_BYTES + 1];

        if (scheme_length(url) != 7)
            continue;
        (void)snprintf(lower, sizeof lower, "http%s", url + 4);
        if (link->proxy == NULL && !pw_url_exposes_credentials(lower)) {
            explicit_bzero(lower, sizeof lower);
            continue;
        }
        explicit_bzero(lower, sizeof lower);
        if (link->token.len > 0)
            pw_problem_error(yaml->problems, yaml->path, line,
                             "hook '%s' would send its token in the clear: use https://", name);
        else if (!is_signed)
            pw_problem_warning(yaml->problems, yaml->path, line,
                               "hook '%s' sends over http://: anybody on the way can read and "
                               "change what it says",
                               name);
    }
}

/* Files --------------------------------------------------------------------------------------- */

enum pw_status pw_http_link_read_secret(struct pw_yaml *yaml, yaml_node_t *node, const char *key,
                                        bool has_lines, struct pw_secret *secret, bool *is_there)
{
    const char *name = pw_yaml_text(yaml, node, key);
    struct pw_error err = {PW_OK, ""};
    enum pw_status status;
    char *path = NULL;

    *is_there = false;
    if (name == NULL)
        return PW_OK;
    status = pw_path_secret(yaml->path, name, &path, &err);
    if (status == PW_OK)
        status = has_lines ? pw_secret_read_lines(secret, path, &err)
                           : pw_secret_read(secret, path, &err);
    free(path);
    if (status == PW_ENOMEM)
        return status;
    *is_there = status == PW_OK;
    if (status != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
    return PW_OK;
}

enum pw_status pw_http_link_read_path(struct pw_yaml *yaml, yaml_node_t *node, const char *key,
                                      char **out)
{
    const char *name = pw_yaml_text(yaml, node, key);
    struct pw_error err = {PW_OK, ""};
    enum pw_status status;

    *out = NULL;
    if (name == NULL)
        return PW_OK;
    status = pw_path_existing(yaml->path, name, out, &err);
    if (status != PW_OK && status != PW_ENOMEM)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
    return status == PW_ENOMEM ? status : PW_OK;
}

/* Headers ------------------------------------------------------------------------------------- */

/* Names that we set ourselves, that would change what a request is, or that carry secrets. */
static const char *refusal_of(const char *name)
{
    static const char *const ours[] = {"Host",
                                       "Content-Length",
                                       "Transfer-Encoding",
                                       "Connection",
                                       "Expect",
                                       "Upgrade",
                                       "webhook-id",
                                       "TE",
                                       "webhook-timestamp",
                                       "Trailer",
                                       "Keep-Alive",
                                       "webhook-signature",
                                       "Content-Type",
                                       NULL};
    static const char *const secrets[] = {"Authorization", "Proxy-Authorization", "Cookie", NULL};

    for (size_t i = 0; secrets[i] != NULL; i++) {
        if (strcasecmp(name, secrets[i]) == 0)
            return "a secret stands in no YAML file; token_file sends a bearer token";
    }
    for (size_t i = 0; ours[i] != NULL; i++) {
        if (strcasecmp(name, ours[i]) == 0)
            return "patchwatch sets it itself";
    }
    return NULL;
}

static bool is_header_value(const char *value)
{
    for (; *value != '\0'; value++) {
        if ((unsigned char)*value < 0x20 || *value == 0x7F)
            return false;
    }
    return true;
}

static enum pw_status parse_headers(struct pw_http_link *link, struct pw_yaml *yaml,
                                    const yaml_node_t *node)
{
    size_t count, used = 0;

    if (!pw_yaml_check_mapping(yaml, node, "headers"))
        return PW_OK;
    count = pw_yaml_pair_count(node);
    if (count > PW_HTTP_LINK_MAX_HEADERS) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "more than %d headers",
                         (int)PW_HTTP_LINK_MAX_HEADERS);
        return PW_OK;
    }
    link->headers = calloc(count + 1, sizeof *link->headers);
    if (link->headers == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *key = pw_yaml_key(yaml, node, i);
        const char *name = (const char *)key->data.scalar.value;
        const char *value = pw_yaml_text(yaml, pw_yaml_value(yaml, node, i), "a header's value");
        const char *why = refusal_of(name);
        struct pw_buffer line;

        if (name[0] == '\0' || name[strspn(name, TOKEN_CHARS)] != '\0')
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "'%.80s' is no name of a header", name);
        else if (why != NULL)
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key), "header %s: %s", name,
                             why);
        else if (value != NULL && (!is_header_value(value) || value[0] == '\0'))
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "the value of header %s is empty or holds a control character", name);
        if (value == NULL)
            continue;
        pw_buffer_init(&line, MAX_HEADER_BYTES);
        (void)pw_buffer_printf(&line, "%s: %s", name, value);
        if (line.failed == PW_ELIMIT)
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "header %.80s is longer than %d bytes", name, (int)MAX_HEADER_BYTES);
        if (line.failed != PW_ENOMEM && line.failed != PW_OK) {
            pw_buffer_free(&line);
            continue;
        }
        link->headers[used] = pw_buffer_take(&line);
        if (link->headers[used++] == NULL)
            return PW_ENOMEM;
    }
    return PW_OK;
}

/* The token of RFC 6750 section 2.1 goes into a header line: no spaces, nothing but ASCII. */
static enum pw_status parse_token(struct pw_http_link *link, struct pw_yaml *yaml,
                                  yaml_node_t *node)
{
    struct pw_buffer line;
    enum pw_status status;
    bool is_there;

    status = pw_http_link_read_secret(yaml, node, "token_file", false, &link->token, &is_there);
    if (status != PW_OK || !is_there)
        return status;
    for (size_t i = 0; i < link->token.len; i++) {
        if (link->token.data[i] > 0x20 && link->token.data[i] < 0x7F)
            continue;
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "token_file: it holds a character that stands in no token");
        return PW_OK;
    }
    status = pw_secret_write(&link->bearer, link->token.len + 32, &line, NULL);
    if (status != PW_OK)
        return status;
    (void)pw_buffer_append_text(&line, "Authorization: Bearer ");
    (void)pw_buffer_append_str(&line, pw_secret_str(&link->token));
    return pw_secret_written(&link->bearer, &line);
}

/* ---------------------------------------------------------------------------------------------- */

enum pw_status pw_http_link_parse(struct pw_http_link *link, struct pw_yaml *yaml,
                                  yaml_node_t *mapping, const struct pw_hook_config *hook,
                                  bool is_signed)
{
    yaml_node_t *token = pw_yaml_get(yaml, mapping, "token_file");
    yaml_node_t *ca_file = pw_yaml_get(yaml, mapping, "ca_file");
    yaml_node_t *proxy = pw_yaml_get(yaml, mapping, "proxy");
    yaml_node_t *headers = pw_yaml_get(yaml, mapping, "headers");
    enum pw_status status = PW_OK;
    struct pw_error err;

    if (token != NULL)
        status = parse_token(link, yaml, token);
    if (status == PW_OK && ca_file != NULL)
        status = pw_http_link_read_path(yaml, ca_file, "ca_file", &link->ca_file);
    if (status == PW_OK && headers != NULL)
        status = parse_headers(link, yaml, headers);
    if (status == PW_OK && proxy != NULL) {
        const char *text = pw_yaml_text(yaml, proxy, "proxy");

        if (text != NULL && pw_url_check_proxy(text, &err) != PW_OK)
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(proxy), "proxy: %s",
                             err.message);
        link->proxy = text != NULL ? pw_str_dup(pw_str_of(text)) : NULL;
        if (text != NULL && link->proxy == NULL)
            status = PW_ENOMEM;
    }
    if (status == PW_OK)
        check_clear(link, yaml, hook->line, hook->name, is_signed);
    return status;
}

void pw_http_link_hash(const struct pw_http_link *link, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    out[0] = '\0';
    for (size_t i = 0; good && i < link->url_count; i++) /* with its NUL, which tells them apart */
        good = EVP_DigestUpdate(context, link->urls[i].data, link->urls[i].len + 1) == 1;
    good = good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    for (size_t i = 0; good && i < 32; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(context);
}

void pw_http_link_redact(const struct pw_http_link *link, char *text)
{
    pw_secret_redact(&link->path, text);
    pw_secret_redact(&link->password, text);
    pw_secret_redact(&link->token, text);
}

void pw_http_link_free(struct pw_http_link *link)
{
    for (size_t i = 0; i < PW_HTTP_LINK_MAX_URLS; i++)
        pw_secret_clear(&link->urls[i]);
    for (size_t i = 0; link->headers != NULL && link->headers[i] != NULL; i++)
        free(link->headers[i]);
    pw_secret_clear(&link->path);
    pw_secret_clear(&link->password);
    pw_secret_clear(&link->bearer);
    pw_secret_clear(&link->token);
    free(link->headers);
    free(link->ca_file);
    free(link->proxy);
}

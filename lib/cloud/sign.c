/* SDK-HMAC-SHA256. The canonical request is rebuilt by the gateway from what it received, so every
 * step here follows the wire form: decode, then encode anew the one way that the scheme allows. */
#include "cloud/sign.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ALGORITHM "SDK-HMAC-SHA256"

enum { SHA256_BYTES = 32, CANONICAL_MAX_BYTES = 1024 * 1024 };

struct parameter {
    struct pw_str name, value; /* decoded */
};

struct url_parts {
    struct pw_str host, path, query; /* host without user and port */
    struct pw_str port;              /* with its colon, "" if it is the scheme's own */
};

void pw_sign_date(int64_t unix_ms, char out[PW_SIGN_DATE_SIZE])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(out, PW_SIGN_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) != PW_SIGN_DATE_SIZE - 1)
        (void)snprintf(out, PW_SIGN_DATE_SIZE, "19700101T000000Z");
}

/* ---- the parts of a URL ----------------------------------------------------------------------*/

static struct pw_str between(const char *from, const char *to)
{
    return (struct pw_str){from, (size_t)(to - from)};
}

static enum pw_status take_apart(const char *url, struct url_parts *out, struct pw_error *err)
{
    const char *authority = strstr(url, "://"), *path, *path_end, *at, *host_end;

    *out = (struct url_parts){{"", 0}, {"", 0}, {"", 0}, {"", 0}};
    if (authority == NULL)
        return pw_fail(err, PW_EINVAL, "a URL without a scheme cannot be signed");
    authority += 3;
    path = authority + strcspn(authority, "/?#");
    at = memrchr(authority, '@', (size_t)(path - authority));
    if (at != NULL)
        authority = at + 1;
    if (authority[0] == '[') {
        host_end = memchr(authority, ']', (size_t)(path - authority));
        host_end = host_end != NULL ? host_end + 1 : authority;
    } else {
        host_end = memchr(authority, ':', (size_t)(path - authority));
        host_end = host_end != NULL ? host_end : path;
    }
    if (host_end == authority || (host_end != path && *host_end != ':'))
        return pw_fail(err, PW_EINVAL, "a URL without a host cannot be signed");
    path_end = path + strcspn(path, "?#");
    out->host = between(authority, host_end);
    out->port = between(host_end, path);
    out->path = between(path, path_end);
    out->query = *path_end == '?' ? between(path_end + 1, path_end + strcspn(path_end, "#"))
                                  : between(path_end, path_end);
    if (out->port.len == 1 ||
        (strncasecmp(url, "https:", 6) == 0 && pw_str_is(out->port, ":443")) ||
        (strncasecmp(url, "http:", 5) == 0 && pw_str_is(out->port, ":80")))
        out->port.len = 0;
    return PW_OK;
}

enum pw_status pw_sign_host(const char *url, struct pw_buffer *out, struct pw_error *err)
{
    struct url_parts parts;
    enum pw_status status = take_apart(url, &parts, err);
    const char *zone;

    pw_buffer_clear(out);
    if (status != PW_OK)
        return status;
    zone = parts.host.data[0] == '[' ? memchr(parts.host.data, '%', parts.host.len) : NULL;
    if (zone != NULL) { /* a zone means something on this machine only */
        (void)pw_buffer_append_str(out, between(parts.host.data, zone));
        (void)pw_buffer_append_text(out, "]");
    } else {
        (void)pw_buffer_append_str(out, parts.host);
    }
    if (pw_buffer_append_str(out, parts.port) != PW_OK)
        return pw_fail(err, out->failed, "the host is too long");
    return PW_OK;
}

/* ---- percent encoding (RFC 3986, section 2) --------------------------------------------------*/

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes text into *to, which has room for it, and moves *to behind it. */
static enum pw_status decode(struct pw_str text, bool plus_is_space, char **to, struct pw_str *out,
                             struct pw_error *err)
{
    char *const start = *to;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '%') {
            int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return pw_fail(err, PW_EINVAL, "a %% of the URL is not followed by two hex digits");
            *(*to)++ = (char)(unsigned char)(high << 4 | low);
            i += 2;
        } else {
            *(*to)++ = plus_is_space && text.data[i] == '+' ? ' ' : text.data[i];
        }
    }
    *out = between(start, *to);
    return PW_OK;
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void append_encoded(struct pw_buffer *out, struct pw_str text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};

        if (is_unreserved(text.data[i]))
            (void)pw_buffer_append(out, text.data + i, 1);
        else
            (void)pw_buffer_append(out, code, sizeof code);
    }
}

/* ---- the canonical request -------------------------------------------------------------------*/

static enum pw_status append_path(struct pw_buffer *out, struct pw_str path, char *scratch,
                                  struct pw_error *err)
{
    const char *end = path.data + path.len;

    for (const char *segment = path.data; segment < end;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        const char *segment_end = slash != NULL ? slash : end;
        char *to = scratch;
        struct pw_str plain = PW_STR_NULL;
        enum pw_status status = decode(between(segment, segment_end), false, &to, &plain, err);

        if (status != PW_OK)
            return status;
        append_encoded(out, plain);
        if (slash == NULL)
            break;
        (void)pw_buffer_append_text(out, "/");
        segment = slash + 1;
    }
    if (path.len == 0 || end[-1] != '/')
        (void)pw_buffer_append_text(out, "/");
    return PW_OK;
}

static int compare_text(struct pw_str a, struct pw_str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_parameters(const void *left, const void *right)
{
    const struct parameter *a = left, *b = right;
    int order = compare_text(a->name, b->name);

    return order != 0 ? order : compare_text(a->value, b->value);
}

static enum pw_status append_query(struct pw_buffer *out, struct pw_str query, char *scratch,
                                   struct pw_error *err)
{
    struct parameter parameters[PW_SIGN_MAX_PARAMETERS] = {{.name = {NULL, 0}}};
    const char *end = query.data + query.len, *piece_end;
    size_t count = 0;

    for (const char *piece = query.data; piece < end; piece = piece_end + 1) {
        const char *equals;
        enum pw_status status;

        piece_end = memchr(piece, '&', (size_t)(end - piece));
        piece_end = piece_end != NULL ? piece_end : end;
        if (piece_end == piece)
            continue;
        if (count == PW_SIGN_MAX_PARAMETERS)
            return pw_fail(err, PW_ELIMIT, "the URL has over %d parameters",
                           PW_SIGN_MAX_PARAMETERS);
        equals = memchr(piece, '=', (size_t)(piece_end - piece));
        equals = equals != NULL ? equals : piece_end;
        status = decode(between(piece, equals), true, &scratch, &parameters[count].name, err);
        if (status == PW_OK && equals < piece_end)
            status = decode(between(equals + 1, piece_end), true, &scratch,
                            &parameters[count].value, err);
        else
            parameters[count].value = between(scratch, scratch);
        if (status != PW_OK)
            return status;
        count++;
    }
    qsort(parameters, count, sizeof parameters[0], compare_parameters);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)pw_buffer_append_text(out, "&");
        append_encoded(out, parameters[i].name);
        (void)pw_buffer_append_text(out, "=");
        append_encoded(out, parameters[i].value);
    }
    return PW_OK;
}

/* The headers that take part, sorted, into sorted; returns how many. */
static size_t sort_headers(const struct pw_sign_request *request,
                           const struct pw_sign_header *sorted[PW_SIGN_MAX_HEADERS])
{
    size_t count = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct pw_sign_header *header = &request->headers[i];
        size_t place = count;

        if (strchr(header->name, '_') != NULL)
            continue;
        for (; place > 0 && strcasecmp(sorted[place - 1]->name, header->name) > 0; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = header;
        count++;
    }
    return count;
}

static void append_lower(struct pw_buffer *out, const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;

        (void)pw_buffer_append(out, &c, 1);
    }
}

static void append_signed_names(struct pw_buffer *out, const struct pw_sign_request *request)
{
    const struct pw_sign_header *sorted[PW_SIGN_MAX_HEADERS];
    size_t count = sort_headers(request, sorted);

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)pw_buffer_append_text(out, ";");
        append_lower(out, sorted[i]->name);
    }
}

static void append_headers(struct pw_buffer *out, const struct pw_sign_request *request)
{
    const struct pw_sign_header *sorted[PW_SIGN_MAX_HEADERS];
    size_t count = sort_headers(request, sorted);

    for (size_t i = 0; i < count; i++) {
        const char *value = sorted[i]->value + strspn(sorted[i]->value, " \t");
        size_t len = strlen(value);

        while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
            len--;
        append_lower(out, sorted[i]->name);
        (void)pw_buffer_append_text(out, ":");
        (void)pw_buffer_append(out, value, len);
        (void)pw_buffer_append_text(out, "\n");
    }
}

static void to_hex(const unsigned char bytes[SHA256_BYTES], char out[PW_SIGN_HEX_SIZE])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static enum pw_status sha256_hex(struct pw_str text, char out[PW_SIGN_HEX_SIZE],
                                 struct pw_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(text.data != NULL ? text.data : "", text.len, digest, NULL, EVP_sha256(),
                   NULL) != 1)
        return pw_fail(err, PW_EIO, "OpenSSL cannot compute SHA-256");
    to_hex(digest, out);
    return PW_OK;
}

enum pw_status pw_sign_canonical(const struct pw_sign_request *request, struct pw_buffer *out,
                                 struct pw_error *err)
{
    char body_hash[PW_SIGN_HEX_SIZE];
    struct url_parts parts;
    char *scratch = NULL;
    enum pw_status status = take_apart(request->url, &parts, err);

    pw_buffer_clear(out);
    if (status != PW_OK)
        return status;
    if (request->header_count > PW_SIGN_MAX_HEADERS)
        return pw_fail(err, PW_ELIMIT, "at most %d headers can be signed", PW_SIGN_MAX_HEADERS);
    scratch = malloc(strlen(request->url) + 1); /* decoded text is never longer */
    if (scratch == NULL)
        return pw_fail_nomem(err);
    (void)pw_buffer_printf(out, "%s\n", request->method);
    status = append_path(out, parts.path, scratch, err);
    if (status != PW_OK)
        goto out;
    (void)pw_buffer_append_text(out, "\n");
    status = append_query(out, parts.query, scratch, err);
    if (status == PW_OK)
        status = sha256_hex(request->body, body_hash, err);
    if (status != PW_OK)
        goto out;
    (void)pw_buffer_append_text(out, "\n");
    append_headers(out, request);
    (void)pw_buffer_append_text(out, "\n");
    append_signed_names(out, request);
    if (pw_buffer_printf(out, "\n%s", body_hash) != PW_OK)
        status = pw_fail(err, out->failed, "the request is too long to be signed");
out:
    free(scratch);
    return status;
}

/* ---- the signature ---------------------------------------------------------------------------*/

enum pw_status pw_sign_hmac(struct pw_str secret_key, struct pw_str string_to_sign,
                            char out[PW_SIGN_HEX_SIZE], struct pw_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (secret_key.len > INT_MAX)
        return pw_fail(err, PW_ELIMIT, "the secret key is too long");
    if (HMAC(EVP_sha256(), secret_key.data != NULL ? secret_key.data : "", (int)secret_key.len,
             (const unsigned char *)(string_to_sign.data != NULL ? string_to_sign.data : ""),
             string_to_sign.len, digest, &len) == NULL ||
        len != SHA256_BYTES)
        return pw_fail(err, PW_EIO, "OpenSSL cannot compute HMAC-SHA256");
    to_hex(digest, out);
    return PW_OK;
}

/* So much room that the buffer never moves: what it would leave behind holds a token. */
static size_t canonical_bytes(const struct pw_sign_request *request)
{
    size_t bytes = strlen(request->method) + 4 * strlen(request->url) + 256;

    for (size_t i = 0; i < request->header_count; i++)
        bytes += 2 * strlen(request->headers[i].name) + strlen(request->headers[i].value) + 4;
    return bytes;
}

enum pw_status pw_sign_authorization(const struct pw_sign_request *request, const char *date,
                                     const char *access_key, struct pw_str secret_key,
                                     struct pw_buffer *out, struct pw_error *err)
{
    char hash[PW_SIGN_HEX_SIZE], signature[PW_SIGN_HEX_SIZE];
    char string_to_sign[sizeof ALGORITHM + PW_SIGN_DATE_SIZE + PW_SIGN_HEX_SIZE + 2];
    struct pw_buffer canonical;
    enum pw_status status;
    int len;

    pw_buffer_clear(out);
    if (strlen(date) != PW_SIGN_DATE_SIZE - 1)
        return pw_fail(err, PW_EINVAL, "the date of a signature must look like 20260102T150405Z");
    pw_buffer_init(&canonical, CANONICAL_MAX_BYTES);
    if (request->header_count <= PW_SIGN_MAX_HEADERS &&
        pw_buffer_reserve(&canonical, canonical_bytes(request)) != PW_OK)
        return pw_fail(err, canonical.failed, "the request is too long to be signed");
    status = pw_sign_canonical(request, &canonical, err);
    if (status == PW_OK)
        status = sha256_hex(pw_buffer_str(&canonical), hash, err);
    if (status != PW_OK)
        goto out;
    len = snprintf(string_to_sign, sizeof string_to_sign, ALGORITHM "\n%s\n%s", date, hash);
    status = pw_sign_hmac(secret_key, (struct pw_str){string_to_sign, (size_t)len}, signature, err);
    if (status != PW_OK)
        goto out;
    (void)pw_buffer_printf(out, ALGORITHM " Access=%s, SignedHeaders=", access_key);
    append_signed_names(out, request);
    if (pw_buffer_printf(out, ", Signature=%s", signature) != PW_OK)
        status = pw_fail(err, out->failed, "the signature does not fit");
out:
    if (canonical.data != NULL)
        explicit_bzero(canonical.data, canonical.capacity);
    pw_buffer_free(&canonical);
    return status;
}

/*
 * Canonical requests and their signatures (see sign.h).
 */
#include "sign.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char algorithm[] = "SDK-HMAC-SHA256";

static char *copy_span(const char *text, size_t len)
{
    char *copy = sim_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* Takes `key`=value up to a comma or the end into an empty slot. */
static bool take_member(const char **text, const char *key, char **slot)
{
    size_t key_len = strlen(key);
    const char *at = *text + strspn(*text, " ");
    if (strncmp(at, key, key_len) != 0 || at[key_len] != '=') {
        return false;
    }
    at += key_len + 1;
    size_t len = strcspn(at, ", ");
    *slot = copy_span(at, len);
    at += len;
    *text = *at == ',' ? at + 1 : at;
    return len > 0;
}

bool authorization_parse(const char *text, struct authorization *authorization)
{
    *authorization = (struct authorization){0};
    size_t len = strlen(algorithm);
    if (strncmp(text, algorithm, len) != 0 || text[len] != ' ') {
        return false;
    }
    text += len;
    return take_member(&text, "Access", &authorization->access) &&
           take_member(&text, "SignedHeaders", &authorization->signed_headers) &&
           take_member(&text, "Signature", &authorization->signature) && *text == '\0';
}

void authorization_free(struct authorization *authorization)
{
    free(authorization->access);
    free(authorization->signed_headers);
    free(authorization->signature);
    *authorization = (struct authorization){0};
}

bool sign_lists(const char *signed_headers, const char *name)
{
    size_t len = strlen(name);
    const char *at = signed_headers;
    for (;;) {
        size_t span = strcspn(at, ";");
        if (span == len && memcmp(at, name, len) == 0) {
            return true;
        }
        if (at[span] == '\0') {
            return false;
        }
        at += span + 1;
    }
}

static void put_hex(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static void hash_hex(const void *bytes, size_t len, char out[SIGNATURE_HEX + 1])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    (void)SHA256(bytes, len, digest);
    put_hex(digest, sizeof digest, out);
}

static bool decode_digits(const char *text, unsigned char *byte)
{
    static const char digits[] = "0123456789abcdef";
    const char *high = text[0] != '\0' ? strchr(digits, tolower((unsigned char)text[0])) : NULL;
    const char *low =
        high != NULL && text[1] != '\0' ? strchr(digits, tolower((unsigned char)text[1])) : NULL;
    if (low == NULL) {
        return false;
    }
    *byte = (unsigned char)((high - digits) * 16 + (low - digits));
    return true;
}

/* Percent-decodes a span; in a query a plus is a space. */
static void decode(const char *text, size_t len, bool query, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '%' && len - i > 2 && decode_digits(text + i + 1, &byte)) {
            i += 2;
        } else if (byte == '+' && query) {
            byte = ' ';
        }
        buf_add(out, &byte, 1);
    }
}

/* Percent-encodes all but RFC 3986's unreserved characters. */
static void encode(const char *text, size_t len, struct buf *out)
{
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\0' && strchr(unreserved, text[i]) != NULL) {
            buf_add(out, &text[i], 1);
        } else {
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)text[i]);
        }
    }
}

/* Every segment encoded anew; the path signed ends in a slash whether or not the one sent does. */
static void put_path(const char *path, size_t len, struct buf *out)
{
    size_t at = 0;
    while (at < len) {
        const char *slash = memchr(path + at, '/', len - at);
        size_t end = slash != NULL ? (size_t)(slash - path) : len;
        struct buf segment = {0};
        decode(path + at, end - at, false, &segment);
        encode(segment.data, segment.len, out);
        buf_free(&segment);
        if (slash != NULL) {
            buf_str(out, "/");
        }
        at = end + 1;
    }
    if (len == 0 || path[len - 1] != '/') {
        buf_str(out, "/");
    }
}

struct pair {
    struct buf name;
    struct buf value;
};

static int compare_bytes(const struct buf *a, const struct buf *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len > 0 ? memcmp(a->data, b->data, len) : 0;
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *left = a;
    const struct pair *right = b;
    int order = compare_bytes(&left->name, &right->name);
    return order != 0 ? order : compare_bytes(&left->value, &right->value);
}

/* The parameters in order of their decoded names, then values; one without a value ends in "=". */
static void put_query(const char *query, struct buf *out)
{
    size_t most = 1;
    for (const char *at = query; *at != '\0'; at++) {
        most += *at == '&';
    }
    struct pair *pairs = sim_calloc(most, sizeof *pairs);
    size_t count = 0;
    for (const char *at = query; *at != '\0';) {
        size_t len = strcspn(at, "&");
        const char *equals = memchr(at, '=', len);
        size_t name_len = equals != NULL ? (size_t)(equals - at) : len;
        if (len > 0) {
            decode(at, name_len, true, &pairs[count].name);
            if (equals != NULL) {
                decode(equals + 1, len - name_len - 1, true, &pairs[count].value);
            }
            count++;
        }
        at += at[len] == '&' ? len + 1 : len;
    }
    qsort(pairs, count, sizeof *pairs, compare_pairs);
    for (size_t i = 0; i < count; i++) {
        buf_str(out, i > 0 ? "&" : "");
        encode(pairs[i].name.data, pairs[i].name.len, out);
        buf_str(out, "=");
        encode(pairs[i].value.data, pairs[i].value.len, out);
        buf_free(&pairs[i].name);
        buf_free(&pairs[i].value);
    }
    free(pairs);
}

/* "name:value" of one signed header, the value without the blanks around it. */
static bool put_header(const struct request *request, const char *name, struct buf *out)
{
    const char *value = request_header(request, name);
    if (value == NULL || request_header_count(request, name) != 1) {
        return false;
    }
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    buf_printf(out, "%s:", name);
    buf_add(out, value, len);
    buf_str(out, "\n");
    return true;
}

static bool put_headers(const struct request *request, const char *signed_headers, struct buf *out)
{
    char *names = sim_strdup(signed_headers);
    const char *before = "";
    bool good = true;
    for (char *name = names; good && name != NULL;) {
        char *end = strchr(name, ';');
        if (end != NULL) {
            *end = '\0';
        }
        for (const char *byte = name; *byte != '\0'; byte++) {
            good = good && !isupper((unsigned char)*byte);
        }
        good = good && strcmp(before, name) < 0 && put_header(request, name, out);
        before = name;
        name = end != NULL ? end + 1 : NULL;
    }
    free(names);
    return good;
}

/* The hash of the body, or what a client may sign in its place. */
static bool put_payload(const struct request *request, struct buf *out)
{
    static const char unsigned_payload[] = "UNSIGNED-PAYLOAD";
    char hash[SIGNATURE_HEX + 1];
    const char *told = request_header(request, "X-Sdk-Content-Sha256");
    hash_hex(request->upload.len > 0 ? request->upload.data : "", request->upload.len, hash);
    if (told != NULL && strcmp(told, unsigned_payload) == 0) {
        buf_str(out, unsigned_payload);
        return true;
    }
    buf_str(out, hash);
    return told == NULL || strcasecmp(told, hash) == 0;
}

bool sign_canonical(const struct request *request, const char *signed_headers, struct buf *out)
{
    buf_printf(out, "%s\n", request->method);
    put_path(request->target, strcspn(request->target, "?"), out);
    buf_str(out, "\n");
    put_query(request_query(request), out);
    buf_str(out, "\n");
    if (!put_headers(request, signed_headers, out)) {
        return false;
    }
    buf_printf(out, "\n%s\n", signed_headers);
    return put_payload(request, out);
}

void sign_make(const char *secret, const char *date, const struct buf *canonical,
               char signature[SIGNATURE_HEX + 1])
{
    char hash[SIGNATURE_HEX + 1];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    struct buf text = {0};
    hash_hex(canonical->data, canonical->len, hash);
    buf_printf(&text, "%s\n%s\n%s", algorithm, date, hash);
    (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text.data,
               text.len, digest, &digest_len);
    put_hex(digest, SHA256_DIGEST_LENGTH, signature);
    buf_free(&text);
}

/* Standard Webhooks 1.0. */
#include "alert/signature.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { KEY_MIN_BYTES = 24, KEY_MAX_BYTES = 64, DIGEST_BYTES = 32, BASE64_BYTES = 45 };

#define PREFIX "whsec_"

static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Strict base64 (RFC 4648 section 4) with its padding; bytes written, or -1. */
static int decode(const char *text, size_t len, unsigned char *out, size_t room)
{
    size_t padding = len >= 1 && text[len - 1] == '=' ? 1 : 0, used = 0;
    unsigned bits = 0, count = 0;

    if (padding == 1 && len >= 2 && text[len - 2] == '=')
        padding = 2;
    if (len == 0 || len % 4 != 0)
        return -1;
    for (size_t i = 0; i < len - padding; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            return -1;
        bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        if (used == room)
            return -1;
        out[used++] = (unsigned char)(bits >> count & 0xFF);
    }
    /* What is left of the last digit must be nothing. */
    return (bits & ((1U << count) - 1)) == 0 ? (int)used : -1;
}

static enum pw_status add_key(struct pw_signature_keys *keys, struct pw_str text,
                              struct pw_str bytes, struct pw_error *err)
{
    size_t at = keys->count++;
    enum pw_status status = pw_secret_set(&keys->keys[at], bytes, err);

    return status == PW_OK ? pw_secret_set(&keys->texts[at], text, err) : status;
}

enum pw_status pw_signature_keys_parse(struct pw_signature_keys *keys,
                                       const struct pw_secret *lines, struct pw_error *err)
{
    const char *at = lines->data, *end = lines->data + lines->len;
    unsigned char bytes[KEY_MAX_BYTES];
    enum pw_status status = PW_OK;

    for (int number = 1; at < end && status == PW_OK; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        size_t len = (size_t)((newline != NULL ? newline : end) - at);
        int decoded;

        while (len > 0 && strchr(" \t\r", at[len - 1]) != NULL)
            len--;
        if (len >= strlen(PREFIX) && memcmp(at, PREFIX, strlen(PREFIX)) == 0) {
            at += strlen(PREFIX);
            len -= strlen(PREFIX);
        } else if (len == 0) {
            at = next;
            continue;
        }
        decoded = decode(at, len, bytes, sizeof bytes);
        if (decoded < KEY_MIN_BYTES)
            status = pw_fail(err, PW_EFORMAT,
                             "line %d is no key of Standard Webhooks: base64 of %d to %d bytes, "
                             "\"" PREFIX "\" before it",
                             number, (int)KEY_MIN_BYTES, (int)KEY_MAX_BYTES);
        else if (keys->count == PW_SIGNATURE_MAX_KEYS)
            status = pw_fail(err, PW_EFORMAT, "more than %d keys", (int)PW_SIGNATURE_MAX_KEYS);
        else
            status = add_key(keys, (struct pw_str){at, len},
                             (struct pw_str){(const char *)bytes, (size_t)decoded}, err);
        at = next;
        explicit_bzero(bytes, sizeof bytes);
    }
    if (status == PW_OK && keys->count == 0)
        status = pw_fail(err, PW_EFORMAT, "it holds no key");
    return status;
}

void pw_signature_keys_clear(struct pw_signature_keys *keys)
{
    for (size_t i = 0; i < PW_SIGNATURE_MAX_KEYS; i++) {
        pw_secret_clear(&keys->keys[i]);
        pw_secret_clear(&keys->texts[i]);
    }
    keys->count = 0;
}

void pw_signature_keys_redact(const struct pw_signature_keys *keys, char *text)
{
    for (size_t i = 0; i < keys->count; i++)
        pw_secret_redact(&keys->texts[i], text);
}

enum pw_status pw_signature_id(const struct pw_delivery *list, char out[PW_SIGNATURE_ID_SIZE],
                               struct pw_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context;
    size_t len;
    bool good;

    if (list->next == NULL) {
        if (list->reminder > 0)
            (void)snprintf(out, PW_SIGNATURE_ID_SIZE, "%.40s-r%" PRId64, list->uid, list->reminder);
        else
            (void)snprintf(out, PW_SIGNATURE_ID_SIZE, "%.40s", list->uid);
        return PW_OK;
    }
    context = EVP_MD_CTX_new();
    good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    for (; good && list != NULL; list = list->next) {
        char line[96];
        int wrote = snprintf(line, sizeof line, "%.40s %" PRId64 "\n", list->uid, list->reminder);

        good = wrote > 0 && EVP_DigestUpdate(context, line, (size_t)wrote) == 1;
    }
    good = good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!good)
        return pw_fail_nomem(err);
    len = (size_t)snprintf(out, PW_SIGNATURE_ID_SIZE, "group-");
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        len += (size_t)snprintf(out + len, PW_SIGNATURE_ID_SIZE - len, "%02x", digest[i]);
    return PW_OK;
}

static bool hmac(const struct pw_secret *key, const char *id, int64_t timestamp_s,
                 struct pw_str body, unsigned char digest[EVP_MAX_MD_SIZE])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    char name[] = "SHA256", head[PW_SIGNATURE_ID_SIZE + 32];
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                            OSSL_PARAM_construct_end()};
    int head_len = snprintf(head, sizeof head, "%s.%" PRId64 ".", id, timestamp_s);
    size_t digest_len = 0;
    bool good = context != NULL &&
                EVP_MAC_init(context, (const unsigned char *)key->data, key->len, params) == 1 &&
                EVP_MAC_update(context, (const unsigned char *)head, (size_t)head_len) == 1 &&
                EVP_MAC_update(context, (const unsigned char *)body.data, body.len) == 1 &&
                EVP_MAC_final(context, digest, &digest_len, EVP_MAX_MD_SIZE) == 1;

    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    return good && digest_len == DIGEST_BYTES;
}

enum pw_status pw_signature_line(const struct pw_signature_keys *keys, const char *id,
                                 int64_t timestamp_s, struct pw_str body,
                                 char out[PW_SIGNATURE_LINE_SIZE], struct pw_error *err)
{
    size_t len = (size_t)snprintf(out, PW_SIGNATURE_LINE_SIZE, "webhook-signature:");

    for (size_t i = 0; i < keys->count; i++) {
        unsigned char digest[EVP_MAX_MD_SIZE], base64[BASE64_BYTES];

        if (!hmac(&keys->keys[i], id, timestamp_s, body, digest))
            return pw_fail_nomem(err);
        (void)EVP_EncodeBlock(base64, digest, DIGEST_BYTES);
        len += (size_t)snprintf(out + len, PW_SIGNATURE_LINE_SIZE - len, " v1,%s",
                                (const char *)base64);
    }
    return PW_OK;
}

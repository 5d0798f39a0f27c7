/* RFC 2047, 5322 and 2045, as far as a sender needs them. */
#include "alert/mail_encode.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#define ATOM_CHARS                                                                                 \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~"
#define LABEL_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

enum {
    LINE_MAX_COLUMNS = 76, /* with an encoded-word, and of quoted-printable */
    WORD_FRAME_BYTES = 12, /* "=?utf-8?B?" and "?=" */
    WORD_MAX_BYTES = 45,   /* of text, 60 characters of Base64 */
    LOCAL_MAX_BYTES = 64,
    LABEL_MAX_BYTES = 63
};

/* Addresses ----------------------------------------------------------------------------------- */

static bool is_atoms(const char *text, size_t len, const char *chars, size_t atom_max)
{
    for (;;) {
        size_t atom = strspn(text, chars);

        atom = atom < len ? atom : len;
        if (atom == 0 || atom > atom_max)
            return false;
        if (atom == len)
            return true;
        if (text[atom] != '.')
            return false;
        text += atom + 1;
        len -= atom + 1;
    }
}

static bool is_literal(const char *domain)
{
    unsigned char ip[sizeof(struct in6_addr)];
    char copy[INET6_ADDRSTRLEN + 8];
    size_t len = strlen(domain);

    if (len < 3 || len >= sizeof copy || domain[len - 1] != ']')
        return false;
    memcpy(copy, domain + 1, len - 2);
    copy[len - 2] = '\0';
    if (strncmp(copy, "IPv6:", 5) == 0)
        return inet_pton(AF_INET6, copy + 5, ip) == 1;
    return inet_pton(AF_INET, copy, ip) == 1;
}

static enum pw_status check_address(const char *address, struct pw_error *err)
{
    const char *at = strrchr(address, '@'), *domain = at != NULL ? at + 1 : NULL;

    if (at == NULL)
        return pw_fail(err, PW_EINVAL, "'%s' is no mail address: it has no @", address);
    for (const char *c = address; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80)
            return pw_fail(err, PW_EINVAL,
                           "'%s' is no mail address of ASCII characters; write an international "
                           "domain in its xn-- form",
                           address);
    }
    if ((size_t)(at - address) > LOCAL_MAX_BYTES ||
        !is_atoms(address, (size_t)(at - address), ATOM_CHARS, LOCAL_MAX_BYTES))
        return pw_fail(err, PW_EINVAL, "'%s' is no mail address: see what stands before the @",
                       address);
    if (domain[0] == '[' ? !is_literal(domain)
                         : !is_atoms(domain, strlen(domain), LABEL_CHARS, LABEL_MAX_BYTES))
        return pw_fail(err, PW_EINVAL, "'%s' is no mail address: see what stands behind the @",
                       address);
    return PW_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

enum pw_status pw_mail_address_parse(const char *text, struct pw_mail_address *out,
                                     struct pw_error *err)
{
    const char *open = strrchr(text, '<'), *address = text;
    size_t len = strlen(text), name_len = 0;

    memset(out, 0, sizeof *out);
    if (open != NULL && len > 0 && text[len - 1] == '>') {
        name_len = (size_t)(open - text);
        address = open + 1;
        len = (size_t)(text + len - 1 - address);
    }
    while (name_len > 0 && is_blank(text[name_len - 1]))
        name_len--;
    if (name_len > 1 && text[0] == '"' && text[name_len - 1] == '"') {
        text++;
        name_len -= 2;
    }
    if (name_len >= sizeof out->name)
        return pw_fail(err, PW_EINVAL, "the name before '%s' is longer than %d bytes", address,
                       PW_MAIL_NAME_BYTES - 1);
    for (size_t i = 0; i < name_len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F || text[i] == '"' || text[i] == '\\')
            return pw_fail(err, PW_EINVAL,
                           "the name before '%s' holds a control character, a quote or a backslash",
                           address);
    }
    if (len >= sizeof out->address)
        return pw_fail(err, PW_EINVAL, "a mail address is longer than %d bytes",
                       PW_MAIL_ADDRESS_BYTES - 1);
    memcpy(out->address, address, len);
    memcpy(out->name, text, name_len);
    return check_address(out->address, err);
}

const char *pw_mail_domain(const char *address)
{
    const char *at = strrchr(address, '@');

    return at != NULL ? at + 1 : address;
}

/* Header values ------------------------------------------------------------------------------- */

/* Printable ASCII in words with one space between them, and nothing that looks like an
 * encoded-word.
 */
static bool is_plain(struct pw_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == ' ' ? i == 0 || i + 1 == text.len || text.data[i - 1] == ' '
                     : c < 0x21 || c > 0x7E)
            return false;
        if (c == '=' && i + 1 < text.len && text.data[i + 1] == '?')
            return false;
    }
    return true;
}

static void append_folded(struct pw_buffer *out, struct pw_str text, size_t column)
{
    while (text.len > 0) {
        const char *space = memchr(text.data + 1, ' ', text.len - 1);
        size_t word = space != NULL ? (size_t)(space - text.data) : text.len;

        /* word begins with the space before it, which stays where the line is folded there */
        if (column + word > LINE_MAX_COLUMNS && text.data[0] == ' ') {
            (void)pw_buffer_append_text(out, "\r\n");
            column = 0;
        }
        (void)pw_buffer_append(out, text.data, word);
        column += word;
        text.data += word;
        text.len -= word;
    }
}

static void append_words(struct pw_buffer *out, struct pw_str text, size_t column)
{
    size_t room = column + WORD_FRAME_BYTES + 8 < LINE_MAX_COLUMNS
                      ? (LINE_MAX_COLUMNS - column - WORD_FRAME_BYTES) / 4 * 3
                      : 0;

    while (text.len > 0) {
        unsigned char base64[WORD_MAX_BYTES / 3 * 4 + 4];
        size_t take = 0;

        if (room > WORD_MAX_BYTES)
            room = WORD_MAX_BYTES;
        while (take < text.len) { /* whole characters */
            size_t n = pw_utf8_length(text.data + take, text.len - take);

            n = n > 0 ? n : 1;
            if (take + n > room)
                break;
            take += n;
        }
        if (take == 0) {
            (void)pw_buffer_append_text(out, "\r\n ");
            room = WORD_MAX_BYTES;
            continue;
        }
        (void)EVP_EncodeBlock(base64, (const unsigned char *)text.data, (int)take);
        (void)pw_buffer_printf(out, "=?utf-8?B?%s?=", (const char *)base64);
        text.data += take;
        text.len -= take;
        room = 0; /* a line for each word */
    }
}

void pw_mail_append_text(struct pw_buffer *out, struct pw_str text, size_t column)
{
    if (is_plain(text))
        append_folded(out, text, column);
    else
        append_words(out, text, column);
}

void pw_mail_append_address(struct pw_buffer *out, const struct pw_mail_address *address)
{
    struct pw_str name = pw_str_of(address->name);

    if (name.len == 0) {
        (void)pw_buffer_append_text(out, address->address);
        return;
    }
    if (is_plain(name)) /* it holds no quote and no backslash */
        (void)pw_buffer_printf(out, "\"%s\"", address->name);
    else
        append_words(out, name, 6);
    (void)pw_buffer_printf(out, "\r\n <%s>", address->address);
}

/* The body ------------------------------------------------------------------------------------ */

static void append_line(struct pw_buffer *out, struct pw_str line)
{
    size_t column = 0;

    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        bool is_last = i + 1 == line.len;
        bool is_literal_char = (c >= 0x21 && c <= 0x7E && c != '=') || (c == ' ' && !is_last);
        size_t width = is_literal_char ? 1 : 3;

        /* The last place of a line is kept for the "=" of a soft break. */
        if (column + width > LINE_MAX_COLUMNS - 1 && !(is_last && column + width <= 76)) {
            (void)pw_buffer_append_text(out, "=\r\n");
            column = 0;
        }
        if (is_literal_char)
            (void)pw_buffer_append(out, &line.data[i], 1);
        else
            (void)pw_buffer_printf(out, "=%02X", c);
        column += width;
    }
    (void)pw_buffer_append_text(out, "\r\n");
}

void pw_mail_append_body(struct pw_buffer *out, struct pw_str text)
{
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;

        append_line(out, (struct pw_str){text.data, len});
        len += end != NULL;
        text.data += len;
        text.len -= len;
    }
}

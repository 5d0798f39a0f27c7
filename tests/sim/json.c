/*
 * Recursive descent through a small JSON document (see json.h).
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at;
    const char *end;
    struct json *json;
    struct buf path; /* with its NUL, which is not counted */
    size_t depth;
};

static bool read_value(struct reader *reader);

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at != '\0' &&
           strchr(" \t\r\n", *reader->at) != NULL) {
        reader->at++;
    }
}

static bool take(struct reader *reader, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, text, len) != 0) {
        return false;
    }
    reader->at += len;
    return true;
}

/* Takes a byte of which `set` is the list; 0 if the next is none. */
static char take_of(struct reader *reader, const char *set)
{
    if (reader->at == reader->end || *reader->at == '\0' || strchr(set, *reader->at) == NULL) {
        return '\0';
    }
    return *reader->at++;
}

static bool read_hex4(struct reader *reader, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < 4; i++) {
        char digit = take_of(reader, "0123456789abcdefABCDEF");
        if (digit == '\0') {
            return false;
        }
        uint32_t nibble =
            digit <= '9' ? (uint32_t)(digit - '0') : (uint32_t)((digit | 32) - 'a') + 10;
        *value = *value * 16 + nibble;
    }
    return true;
}

static void put_utf8(struct buf *out, uint32_t code)
{
    unsigned char bytes[4];
    size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = more; i > 0; i--) {
        bytes[i] = (unsigned char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (unsigned char)(lead[more] | code);
    buf_add(out, bytes, more + 1);
}

static bool read_unicode(struct reader *reader, struct buf *out)
{
    uint32_t code = 0;
    uint32_t low = 0;
    if (!read_hex4(reader, &code) || code == 0 || (code >= 0xdc00 && code < 0xe000)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        if (!take(reader, "\\u") || !read_hex4(reader, &low) || low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(out, code);
    return true;
}

static bool read_escape(struct reader *reader, struct buf *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    char name = take_of(reader, "\"\\/bfnrtu");
    if (name == 'u') {
        return read_unicode(reader, out);
    }
    if (name != '\0') {
        buf_add(out, &bytes[strchr(names, name) - names], 1);
    }
    return name != '\0';
}

/* Takes one character of UTF-8 that is more than one byte long. */
static bool read_utf8(struct reader *reader, struct buf *out)
{
    const unsigned char *bytes = (const unsigned char *)reader->at;
    size_t more = bytes[0] >= 0xf0 ? 3 : bytes[0] >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || (size_t)(reader->end - reader->at) <= more) {
        return false;
    }
    uint32_t code = bytes[0] & (0x3fU >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return false;
        }
        code = code << 6 | (bytes[i] & 0x3fU);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return false;
    }
    buf_add(out, reader->at, more + 1);
    reader->at += more + 1;
    return true;
}

static bool read_string(struct reader *reader, struct buf *out)
{
    if (!take(reader, "\"")) {
        return false;
    }
    while (reader->at < reader->end) {
        unsigned char byte = (unsigned char)*reader->at;
        bool good = true;
        if (byte == '"') {
            reader->at++;
            return true;
        }
        if (byte == '\\') {
            reader->at++;
            good = read_escape(reader, out);
        } else if (byte >= 0x80) {
            good = read_utf8(reader, out);
        } else if (byte >= 0x20) {
            buf_add(out, reader->at++, 1);
        } else {
            good = false;
        }
        if (!good) {
            return false;
        }
    }
    return false;
}

static bool read_digits(struct reader *reader)
{
    size_t count = 0;
    while (take_of(reader, "0123456789") != '\0') {
        count++;
    }
    return count > 0;
}

static bool read_number(struct reader *reader)
{
    (void)take(reader, "-");
    if (!take(reader, "0") && !read_digits(reader)) {
        return false;
    }
    if (take(reader, ".") && !read_digits(reader)) {
        return false;
    }
    if (take_of(reader, "eE") != '\0') {
        (void)take_of(reader, "+-");
        return read_digits(reader);
    }
    return true;
}

/* The path of a member, or false if it cannot be told from another. */
static bool enter(struct reader *reader, const char *name)
{
    if (reader->path.len > 0) {
        buf_str(&reader->path, ".");
    }
    buf_str(&reader->path, name);
    *buf_reserve(&reader->path, 1) = '\0';
    return *name != '\0' && strchr(name, '.') == NULL &&
           json_at(reader->json, reader->path.data) == NULL;
}

static void leave(struct reader *reader, size_t path_len)
{
    reader->path.len = path_len;
    *buf_reserve(&reader->path, 1) = '\0';
}

static bool read_member(struct reader *reader, size_t index, bool named)
{
    size_t path_len = reader->path.len;
    struct buf name = {0};
    bool good = true;
    skip_blanks(reader);
    if (named) {
        good = read_string(reader, &name);
        skip_blanks(reader);
        good = good && take(reader, ":");
    } else {
        buf_printf(&name, "%zu", index);
    }
    buf_add(&name, "", 1);
    good = good && enter(reader, name.data) && read_value(reader);
    buf_free(&name);
    leave(reader, path_len);
    return good;
}

static bool read_members(struct reader *reader, bool named)
{
    const char *close = named ? "}" : "]";
    if (++reader->depth > JSON_DEPTH_MAX) {
        return false;
    }
    skip_blanks(reader);
    if (!take(reader, close)) {
        for (size_t i = 0; i == 0 || take(reader, ","); i++) {
            if (!read_member(reader, i, named)) {
                return false;
            }
            skip_blanks(reader);
        }
        if (!take(reader, close)) {
            return false;
        }
    }
    reader->depth--;
    return true;
}

static bool read_value(struct reader *reader)
{
    struct json *json = reader->json;
    if (json->count == JSON_VALUES_MAX) {
        return false;
    }
    struct json_value *value = &json->value[json->count++];
    *value = (struct json_value){sim_strdup(reader->path.data), JSON_OTHER, NULL};
    skip_blanks(reader);
    if (take(reader, "{")) {
        value->kind = JSON_OBJECT;
        return read_members(reader, true);
    }
    if (take(reader, "[")) {
        value->kind = JSON_ARRAY;
        return read_members(reader, false);
    }
    if (reader->at < reader->end && *reader->at == '"') {
        struct buf text = {0};
        bool good = read_string(reader, &text);
        buf_add(&text, "", 1);
        value->kind = JSON_STRING;
        value->text = text.data;
        return good;
    }
    return take(reader, "true") || take(reader, "false") || take(reader, "null") ||
           read_number(reader);
}

bool json_read(struct json *json, const char *bytes, size_t len)
{
    *json = (struct json){0};
    if (len == 0 || len > JSON_BYTES_MAX) {
        return false;
    }
    struct reader reader = {.at = bytes, .end = bytes + len, .json = json};
    leave(&reader, 0);
    bool good = read_value(&reader);
    skip_blanks(&reader);
    buf_free(&reader.path);
    return good && reader.at == reader.end;
}

const struct json_value *json_at(const struct json *json, const char *path)
{
    for (size_t i = 0; i < json->count; i++) {
        if (strcmp(json->value[i].path, path) == 0) {
            return &json->value[i];
        }
    }
    return NULL;
}

const char *json_string(const struct json *json, const char *path)
{
    const struct json_value *value = json_at(json, path);
    return value != NULL && value->kind == JSON_STRING ? value->text : NULL;
}

void json_free(struct json *json)
{
    for (size_t i = 0; i < json->count; i++) {
        free(json->value[i].path);
        free(json->value[i].text);
    }
    json->count = 0;
}

/*
 * Growable byte buffers, JSON strings and numbers (see buf.h).
 */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
    fputs("coc-sim: out of memory\n", stderr);
    exit(71);
}

void *sim_realloc(void *memory, size_t bytes)
{
    void *moved = realloc(memory, bytes > 0 ? bytes : 1);
    if (moved == NULL) {
        out_of_memory();
    }
    return moved;
}

void *sim_alloc(size_t bytes)
{
    return sim_realloc(NULL, bytes);
}

void *sim_calloc(size_t count, size_t bytes)
{
    void *memory = calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        out_of_memory();
    }
    return memory;
}

char *sim_strdup(const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t size = strlen(text) + 1;
    return memcpy(sim_alloc(size), text, size);
}

char *buf_reserve(struct buf *buf, size_t more)
{
    if (buf->size - buf->len < more) {
        size_t size = buf->size < 256 ? 256 : buf->size * 2;
        if (size < buf->len + more) {
            size = buf->len + more;
        }
        buf->data = sim_realloc(buf->data, size);
        buf->size = size;
    }
    return buf->data + buf->len;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
    if (len > 0) {
        memcpy(buf_reserve(buf, len), bytes, len);
        buf->len += len;
    }
}

void buf_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_int(struct buf *buf, int64_t value)
{
    char *start = buf_reserve(buf, 20);
    buf->len += (size_t)(json_put_int(start, value) - start);
}

void buf_fill(struct buf *buf, char byte, size_t count)
{
    if (count > 0) {
        memset(buf_reserve(buf, count), byte, count);
        buf->len += count;
    }
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    char *start = buf_reserve(buf, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(start, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void buf_json(struct buf *buf, const char *text, size_t len)
{
    char *start = buf_reserve(buf, 6 * len + 4);
    buf->len += (size_t)(json_put_string(start, text, len) - start);
}

void buf_json_str(struct buf *buf, const char *text)
{
    buf_json(buf, text, text != NULL ? strlen(text) : 0);
}

void buf_splice(struct buf *buf, size_t start, size_t old_len, const char *bytes, size_t len)
{
    if (len > old_len) {
        buf_reserve(buf, len - old_len);
    }
    memmove(buf->data + start + len, buf->data + start + old_len, buf->len - start - old_len);
    if (len > 0) {
        memcpy(buf->data + start, bytes, len);
    }
    buf->len = buf->len - old_len + len;
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

static char *put_escaped(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    *out++ = '\\';
    if (byte == '"' || byte == '\\') {
        *out++ = (char)byte;
    } else if (byte == '\n') {
        *out++ = 'n';
    } else if (byte == '\t') {
        *out++ = 't';
    } else {
        memcpy(out, "u00", 3);
        out[3] = digits[byte >> 4];
        out[4] = digits[byte & 15];
        out += 5;
    }
    return out;
}

char *json_put_string(char *out, const char *text, size_t len)
{
    if (text == NULL) {
        memcpy(out, "null", 4);
        return out + 4;
    }
    *out++ = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            out = put_escaped(out, byte);
        } else {
            *out++ = (char)byte;
        }
    }
    *out++ = '"';
    return out;
}

char *json_put_int(char *out, int64_t value)
{
    char digits[20];
    size_t n = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *out++ = '-';
    }
    while (n > 0) {
        *out++ = digits[--n];
    }
    return out;
}

/* The capped buffer. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pw_buffer_init(struct pw_buffer *buffer, size_t max_bytes)
{
    *buffer = (struct pw_buffer){.max_bytes = max_bytes};
}

void pw_buffer_free(struct pw_buffer *buffer)
{
    free(buffer->data);
    pw_buffer_init(buffer, buffer->max_bytes);
}

void pw_buffer_clear(struct pw_buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = PW_OK;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

enum pw_status pw_buffer_reserve(struct pw_buffer *buffer, size_t extra_bytes)
{
    size_t need, capacity;
    char *data;

    if (buffer->failed != PW_OK)
        return buffer->failed;
    if (extra_bytes > buffer->max_bytes - buffer->len)
        return buffer->failed = PW_ELIMIT;
    need = buffer->len + extra_bytes + 1;
    if (need <= buffer->capacity)
        return PW_OK;
    capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
    while (capacity < need && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    if (capacity < need || capacity > buffer->max_bytes + 1)
        capacity = need > buffer->max_bytes + 1 ? need : buffer->max_bytes + 1;
    data = realloc(buffer->data, capacity);
    if (data == NULL)
        return buffer->failed = PW_ENOMEM;
    if (buffer->data == NULL)
        data[0] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return PW_OK;
}

enum pw_status pw_buffer_append(struct pw_buffer *buffer, const void *data, size_t len)
{
    if (pw_buffer_reserve(buffer, len) == PW_OK && len > 0) {
        memcpy(buffer->data + buffer->len, data, len);
        buffer->len += len;
        buffer->data[buffer->len] = '\0';
    }
    return buffer->failed;
}

enum pw_status pw_buffer_append_str(struct pw_buffer *buffer, struct pw_str text)
{
    return pw_buffer_append(buffer, text.data, text.len);
}

enum pw_status pw_buffer_append_text(struct pw_buffer *buffer, const char *text)
{
    return pw_buffer_append(buffer, text, strlen(text));
}

enum pw_status pw_buffer_printf(struct pw_buffer *buffer, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return buffer->failed = PW_ELIMIT;
    if (pw_buffer_reserve(buffer, (size_t)len) == PW_OK) {
        va_start(args, format);
        (void)vsnprintf(buffer->data + buffer->len, (size_t)len + 1, format, args);
        va_end(args);
        buffer->len += (size_t)len;
    }
    return buffer->failed;
}

char *pw_buffer_take(struct pw_buffer *buffer)
{
    char *data = NULL;

    if (pw_buffer_reserve(buffer, 0) == PW_OK) {
        data = buffer->data;
        buffer->data = NULL;
    }
    pw_buffer_free(buffer);
    return data;
}

struct pw_str pw_buffer_str(const struct pw_buffer *buffer)
{
    return (struct pw_str){buffer->data != NULL ? buffer->data : "", buffer->len};
}

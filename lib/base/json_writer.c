/* The JSON writer. */
#include "base/json_writer.h"

#include <inttypes.h>
#include <string.h>

void pw_json_init(struct pw_json *json, struct pw_buffer *out)
{
    *json = (struct pw_json){.out = out};
}

static void before_value(struct pw_json *json)
{
    if (json->need_comma)
        (void)pw_buffer_append(json->out, ",", 1);
    json->need_comma = true;
}

static void open_with(struct pw_json *json, const char *bracket)
{
    before_value(json);
    (void)pw_buffer_append(json->out, bracket, 1);
    json->need_comma = false;
}

static void close_with(struct pw_json *json, const char *bracket)
{
    (void)pw_buffer_append(json->out, bracket, 1);
    json->need_comma = true;
}

void pw_json_object_begin(struct pw_json *json)
{
    open_with(json, "{");
}

void pw_json_object_end(struct pw_json *json)
{
    close_with(json, "}");
}

void pw_json_array_begin(struct pw_json *json)
{
    open_with(json, "[");
}

void pw_json_array_end(struct pw_json *json)
{
    close_with(json, "]");
}

static void quoted(struct pw_json *json, struct pw_str value)
{
    struct pw_buffer *out = json->out;
    size_t start = 0;

    (void)pw_buffer_append(out, "\"", 1);
    for (size_t i = 0; i < value.len;) {
        unsigned char c = (unsigned char)value.data[i];
        size_t n = pw_utf8_length(value.data + i, value.len - i);

        if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) {
            i += n;
            continue;
        }
        (void)pw_buffer_append(out, value.data + start, i - start);
        if (n == 0)
            (void)pw_buffer_append_text(out, "\\ufffd");
        else if (c == '"' || c == '\\')
            (void)pw_buffer_printf(out, "\\%c", c);
        else if (c == '\n')
            (void)pw_buffer_append_text(out, "\\n");
        else if (c == '\r')
            (void)pw_buffer_append_text(out, "\\r");
        else if (c == '\t')
            (void)pw_buffer_append_text(out, "\\t");
        else
            (void)pw_buffer_printf(out, "\\u%04x", c);
        start = ++i;
    }
    (void)pw_buffer_append(out, value.data + start, value.len - start);
    (void)pw_buffer_append(out, "\"", 1);
}

void pw_json_key(struct pw_json *json, const char *key)
{
    before_value(json);
    quoted(json, pw_str_of(key));
    (void)pw_buffer_append(json->out, ":", 1);
    json->need_comma = false;
}

void pw_json_str(struct pw_json *json, struct pw_str value)
{
    if (value.data == NULL) {
        pw_json_null(json);
        return;
    }
    before_value(json);
    quoted(json, value);
}

void pw_json_text(struct pw_json *json, const char *value)
{
    pw_json_str(json, pw_str_of(value));
}

void pw_json_int(struct pw_json *json, int64_t value)
{
    before_value(json);
    (void)pw_buffer_printf(json->out, "%" PRId64, value);
}

void pw_json_bool(struct pw_json *json, bool value)
{
    before_value(json);
    (void)pw_buffer_append_text(json->out, value ? "true" : "false");
}

void pw_json_null(struct pw_json *json)
{
    before_value(json);
    (void)pw_buffer_append_text(json->out, "null");
}

void pw_json_raw(struct pw_json *json, struct pw_str value)
{
    before_value(json);
    (void)pw_buffer_append_str(json->out, value);
}

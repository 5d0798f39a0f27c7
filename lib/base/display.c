/* What text takes up on a terminal, and how it gets there safely. */
#include "base/display.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static uint32_t decode(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;

    switch (len) {
    case 2:
        return (uint32_t)(s[0] & 0x1F) << 6 | (s[1] & 0x3F);
    case 3:
        return (uint32_t)(s[0] & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 | (s[2] & 0x3F);
    case 4:
        return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 |
               (uint32_t)(s[2] & 0x3F) << 6 | (s[3] & 0x3F);
    default:
        return s[0];
    }
}

/* wcwidth knows them only in a UTF-8 locale; elsewhere these ranges must do (UAX #11). */
static bool is_wide(uint32_t code)
{
    return (code >= 0x1100 && code <= 0x115F) || (code >= 0x2E80 && code <= 0xA4CF) ||
           (code >= 0xAC00 && code <= 0xD7A3) || (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0xFE30 && code <= 0xFE6F) || (code >= 0xFF01 && code <= 0xFF60) ||
           (code >= 0xFFE0 && code <= 0xFFE6) || (code >= 0x1F300 && code <= 0x1FAFF) ||
           (code >= 0x20000 && code <= 0x3FFFD);
}

static size_t code_width(uint32_t code)
{
    int width = wcwidth((wchar_t)code);

    if (width >= 0)
        return (size_t)width;
    return is_wide(code) ? 2 : 1;
}

/* Marks and isolates of the writing direction, joiners, tags, letters and blanks that show nothing
 * or look like a space: with them two names that are not the same look alike. The ideographic space
 * (U+3000) is left: it is wide, and people type it. */
static bool is_hidden(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0xA0, 0xA0},       {0xAD, 0xAD},       {0x34F, 0x34F},   {0x61C, 0x61C},
        {0x115F, 0x1160},   {0x1680, 0x1680},   {0x17B4, 0x17B5}, {0x180B, 0x180F},
        {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F}, {0x2800, 0x2800},
        {0x3164, 0x3164},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0}, {0xFFF9, 0xFFFB},
        {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

size_t pw_display_width(struct pw_str text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len;) {
        size_t n = pw_utf8_length(text.data + i, text.len - i);

        width += n == 0 ? 1 : code_width(decode(text.data + i, n));
        i += n == 0 ? 1 : n;
    }
    return width;
}

char *pw_display_escape(struct pw_str text)
{
    size_t size_bytes = text.len * 4 + sizeof "…", used = 0;
    char *plain, *out;

    if (text.len > SIZE_MAX / 16)
        return NULL;
    plain = malloc(size_bytes);
    out = malloc(size_bytes * 3);
    if (plain == NULL || out == NULL) {
        free(out);
        free(plain);
        return NULL;
    }
    (void)pw_text_printable(plain, size_bytes, text);
    for (const char *p = plain; *p != '\0';) {
        size_t n = pw_utf8_length(p, strlen(p));
        uint32_t code = decode(p, n);

        if (is_hidden(code)) {
            used += (size_t)snprintf(out + used, 16, "\\u{%X}", (unsigned)code);
        } else {
            memcpy(out + used, p, n);
            used += n;
        }
        p += n;
    }
    out[used] = '\0';
    free(plain);
    return out;
}

const char *pw_paint_begin(enum pw_paint paint)
{
    switch (paint) {
    case PW_PAINT_GOOD:
        return "\033[32m";
    case PW_PAINT_BAD:
        return "\033[1;31m";
    case PW_PAINT_WARN:
        return "\033[33m";
    case PW_PAINT_DIM:
        return "\033[2m";
    case PW_PAINT_NONE:
        break;
    }
    return "";
}

const char *pw_paint_end(enum pw_paint paint)
{
    return paint == PW_PAINT_NONE ? "" : "\033[0m";
}

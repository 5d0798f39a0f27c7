/* Views of strings; parsing and printing of durations and numbers. */
#include "base/text.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pw_str pw_str_of(const char *text)
{
    return (struct pw_str){text, text != NULL ? strlen(text) : 0};
}

bool pw_str_empty(struct pw_str s)
{
    return s.len == 0;
}

bool pw_str_eq(struct pw_str a, struct pw_str b)
{
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

bool pw_str_is(struct pw_str s, const char *text)
{
    return s.data != NULL && s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

char *pw_str_dup(struct pw_str s)
{
    char *copy = malloc(s.len + 1);
    if (copy != NULL) {
        if (s.len > 0)
            memcpy(copy, s.data, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

bool pw_glob_match(const char *pattern, struct pw_str text)
{
    char small[256];
    char *copy = small;
    bool matches;

    if (text.len < sizeof small) {
        if (text.len > 0)
            memcpy(small, text.data, text.len);
        small[text.len] = '\0';
    } else {
        copy = pw_str_dup(text);
        if (copy == NULL)
            return false;
    }
    matches = fnmatch(pattern, copy, FNM_NOESCAPE) == 0;
    if (copy != small)
        free(copy);
    return matches;
}

size_t pw_utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t need;
    unsigned char low = 0x80, high = 0xBF;

    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        need = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        need = 3;
        if (s[0] == 0xE0)
            low = 0xA0;
        else if (s[0] == 0xED)
            high = 0x9F;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        need = 4;
        if (s[0] == 0xF0)
            low = 0x90;
        else if (s[0] == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (need > len || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    }
    return need;
}

const char *pw_text_printable(char *out, size_t size_bytes, struct pw_str text)
{
    static const char more[] = "…";
    const unsigned char *in = (const unsigned char *)text.data;
    size_t used = 0, cut = 0; /* cut: the last place where "…" would still fit */

    for (size_t i = 0; i < text.len;) {
        size_t n = pw_utf8_length(text.data + i, text.len - i);
        /* C1 controls (U+0080..U+009F) move a terminal's cursor as well as C0 ones do. */
        bool plain = n > 1 ? !(n == 2 && in[i] == 0xC2 && in[i + 1] < 0xA0)
                           : n == 1 && in[i] >= 0x20 && in[i] != 0x7F;
        size_t grow = plain ? n : 4;

        if (used + sizeof more <= size_bytes)
            cut = used;
        if (used + grow + 1 > size_bytes) {
            used = cut;
            if (used + sizeof more <= size_bytes) {
                memcpy(out + used, more, sizeof more - 1);
                used += sizeof more - 1;
            }
            break;
        }
        if (plain) {
            memcpy(out + used, in + i, n);
            i += n;
        } else {
            (void)snprintf(out + used, 5, "\\x%02X", in[i]);
            i++;
        }
        used += grow;
    }
    out[used] = '\0';
    return out;
}

static int64_t unit_ms(const char *unit, size_t len)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == len && strncmp(units[i].name, unit, len) == 0)
            return units[i].ms;
    }
    return 0;
}

enum pw_status pw_parse_duration_ms(const char *text, int64_t *out_ms, struct pw_error *err)
{
    int64_t total = 0;
    const char *p = text;

    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return PW_OK;
    }
    while (*p != '\0') {
        int64_t number = 0, unit, part;
        size_t digits = strspn(p, "0123456789"), letters;

        if (digits == 0)
            goto bad;
        for (size_t i = 0; i < digits; i++) {
            if (__builtin_mul_overflow(number, 10, &number) ||
                __builtin_add_overflow(number, p[i] - '0', &number))
                goto bad;
        }
        p += digits;
        p += strspn(p, " ");
        letters = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        unit = unit_ms(p, letters);
        if (unit == 0 || __builtin_mul_overflow(number, unit, &part) ||
            __builtin_add_overflow(total, part, &total))
            goto bad;
        p += letters;
        p += strspn(p, " ");
    }
    if (p == text)
        goto bad;
    *out_ms = total;
    return PW_OK;
bad:
    return pw_fail(err, PW_EINVAL,
                   "'%s' is not a duration: write a whole number and a unit (ms, s, m, h, d, w), "
                   "such as 15m",
                   text);
}

enum pw_status pw_parse_int(const char *text, int64_t min, int64_t max, int64_t *out,
                            struct pw_error *err)
{
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    /* strtoll would skip white space and take a plus. */
    if (end == text || *end != '\0' || (text[0] != '-' && (text[0] < '0' || text[0] > '9')) ||
        errno != 0 || value < min || value > max)
        return pw_fail(err, PW_EINVAL, "'%s' is not a whole number from %" PRId64 " to %" PRId64,
                       text, min, max);
    *out = value;
    return PW_OK;
}

const char *pw_duration_text(char *out, size_t size_bytes, int64_t duration_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t used = 0;
    int parts = 0;

    if (size_bytes == 0)
        return out;
    if (duration_ms <= 0) {
        (void)snprintf(out, size_bytes, "0s");
        return out;
    }
    out[0] = '\0';
    /* Two units say enough: nobody reads the seconds of a day. */
    for (size_t i = 0; i < sizeof units / sizeof units[0] && parts < 2; i++) {
        int64_t n = duration_ms / units[i].ms;
        int wrote;

        if (n == 0) {
            if (parts > 0)
                break;
            continue;
        }
        wrote = snprintf(out + used, size_bytes - used, "%" PRId64 "%s", n, units[i].name);
        if (wrote < 0 || (size_t)wrote >= size_bytes - used) {
            out[used] = '\0'; /* half a number would be another duration */
            break;
        }
        used += (size_t)wrote;
        duration_ms -= n * units[i].ms;
        parts++;
    }
    return out;
}

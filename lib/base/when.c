/* Times as people write and read them. */
#include "base/when.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"

/* Reads exactly `digits` digits, or at most that many where min is less. NULL: not so. */
static const char *read_number(const char *p, size_t min, size_t digits, int *out)
{
    size_t count = strspn(p, "0123456789");

    if (count < min || count > digits)
        return NULL;
    *out = 0;
    for (size_t i = 0; i < count; i++)
        *out = *out * 10 + (p[i] - '0');
    return p + count;
}

/* ".123456" as milliseconds; further digits are cut. p is left alone where no point stands. */
static const char *read_fraction(const char *p, int *milliseconds)
{
    int weight = 100;
    size_t count;

    *milliseconds = 0;
    if (*p != '.' && *p != ',')
        return p;
    p++;
    count = strspn(p, "0123456789");
    if (count == 0)
        return NULL;
    for (size_t i = 0; i < count; i++, weight /= 10)
        *milliseconds += (p[i] - '0') * weight;
    return p + count;
}

/* H:M[:S[.F]] */
static const char *read_clock(const char *p, struct tm *tm, int *milliseconds)
{
    p = read_number(p, 1, 2, &tm->tm_hour);
    if (p == NULL || *p != ':')
        return NULL;
    p = read_number(p + 1, 2, 2, &tm->tm_min);
    if (p == NULL || *p != ':')
        return p;
    p = read_number(p + 1, 2, 2, &tm->tm_sec);
    return p == NULL ? NULL : read_fraction(p, milliseconds);
}

/* Z, +01:00, +0100 or +01; *is_local where nothing stands. */
static const char *read_zone(const char *p, bool *is_local, int64_t *offset_ms)
{
    int hours = 0, minutes = 0;
    int64_t sign;

    *offset_ms = 0;
    *is_local = false;
    if (*p == 'Z' || *p == 'z')
        return p + 1;
    if (*p != '+' && *p != '-') {
        *is_local = true;
        return p;
    }
    sign = *p == '-' ? -1 : 1;
    p++;
    if (strspn(p, "0123456789") == 4) {
        p = read_number(p, 4, 4, &hours);
        minutes = hours % 100;
        hours /= 100;
    } else {
        p = read_number(p, 2, 2, &hours);
        if (p != NULL && *p == ':')
            p = read_number(p + 1, 2, 2, &minutes);
    }
    if (p == NULL || hours > 23 || minutes > 59)
        return NULL;
    *offset_ms = sign * (hours * INT64_C(3600000) + minutes * INT64_C(60000));
    return p;
}

static bool parse_date(const char *p, int64_t *out_ms)
{
    struct tm tm = {.tm_isdst = -1}, check;
    int milliseconds = 0;
    int64_t offset_ms = 0;
    bool is_local = true;
    time_t seconds;

    p = read_number(p, 4, 4, &tm.tm_year);
    if (p == NULL || *p != '-' || (p = read_number(p + 1, 1, 2, &tm.tm_mon)) == NULL || *p != '-' ||
        (p = read_number(p + 1, 1, 2, &tm.tm_mday)) == NULL)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    if (*p != '\0') {
        if (*p != 'T' && *p != 't' && *p != ' ')
            return false;
        p = read_clock(p + 1 + strspn(p + 1, " "), &tm, &milliseconds);
        if (p != NULL)
            p = read_zone(p + strspn(p, " "), &is_local, &offset_ms);
        if (p == NULL || *p != '\0')
            return false;
    }
    if (tm.tm_hour > 24 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    /* Both calls make February 31 a day of March: that was no date then. */
    check = tm;
    check.tm_hour = 12;
    if (timegm(&check) == (time_t)-1 || check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon)
        return false;
    seconds = is_local ? mktime(&tm) : timegm(&tm);
    *out_ms = (int64_t)seconds * 1000 + milliseconds - offset_ms;
    return true;
}

static bool parse_unix(const char *p, int64_t *out_ms)
{
    int64_t number = 0;
    int milliseconds = 0;
    size_t digits;

    if (*p != '@') {
        digits = strspn(p, "0123456789");
        if (digits < 12 || digits > 13 || p[digits] != '\0')
            return false;
        for (; *p != '\0'; p++)
            number = number * 10 + (*p - '0');
        *out_ms = number;
        return true;
    }
    p++;
    digits = strspn(p, "0123456789");
    if (digits == 0 || digits > 12)
        return false;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (p[i] - '0');
    p = read_fraction(p + digits, &milliseconds);
    *out_ms = number * 1000 + milliseconds;
    return p != NULL && *p == '\0';
}

/* 0:00 of the local day that is `days` before that of now. */
static int64_t midnight(int64_t now_ms, int days)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL)
        return now_ms;
    tm.tm_mday -= days;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm) * 1000;
}

static bool parse_ago(const char *text, int64_t now_ms, int64_t *out_ms)
{
    static const char ago[] = " ago";
    size_t len = strlen(text);
    char span[64];
    int64_t span_ms;

    if (len > sizeof ago - 1 && strcmp(text + len - (sizeof ago - 1), ago) == 0)
        len -= sizeof ago - 1;
    if (len == 0 || len >= sizeof span)
        return false;
    memcpy(span, text, len);
    span[len] = '\0';
    return pw_parse_duration_ms(span, &span_ms, NULL) == PW_OK &&
           !__builtin_sub_overflow(now_ms, span_ms, out_ms);
}

enum pw_status pw_when_parse(const char *text, int64_t now_ms, int64_t *out_ms,
                             struct pw_error *err)
{
    char shown[64];

    if (strcmp(text, "now") == 0)
        *out_ms = now_ms;
    else if (strcmp(text, "today") == 0)
        *out_ms = midnight(now_ms, 0);
    else if (strcmp(text, "yesterday") == 0)
        *out_ms = midnight(now_ms, 1);
    else if (!parse_unix(text, out_ms) && !parse_ago(text, now_ms, out_ms) &&
             !parse_date(text, out_ms))
        return pw_fail(err, PW_EINVAL,
                       "'%s' is not a time: write 24h, '3d ago', today, 2026-11-24, "
                       "2026-11-24T07:53:48Z or @1795506828",
                       pw_text_printable(shown, sizeof shown, pw_str_of(text)));
    return PW_OK;
}

const char *pw_when_text(char out[PW_WHEN_SIZE], int64_t unix_ms)
{
    int64_t remainder = unix_ms % 1000;
    time_t seconds;
    struct tm tm;
    long offset;
    size_t used;

    if (unix_ms == PW_TIME_NONE) {
        (void)snprintf(out, PW_WHEN_SIZE, "-");
        return out;
    }
    /* pw_iso8601 knows what to do with what no calendar holds. */
    seconds = (time_t)(unix_ms / 1000 - (remainder < 0));
    if (unix_ms < INT64_C(-62135596800000) || unix_ms > INT64_C(253402214400000) ||
        localtime_r(&seconds, &tm) == NULL) {
        char iso[PW_ISO8601_SIZE];

        (void)snprintf(out, PW_WHEN_SIZE, "%s", pw_iso8601(iso, unix_ms));
        return out;
    }
    offset = tm.tm_gmtoff / 60;
    used = (size_t)snprintf(out, PW_WHEN_SIZE, "%04u", (unsigned)(tm.tm_year + 1900) % 10000);
    used += strftime(out + used, PW_WHEN_SIZE - used, "-%m-%d %H:%M:%S", &tm);
    if (offset == 0)
        (void)snprintf(out + used, PW_WHEN_SIZE - used, "Z");
    else
        (void)snprintf(out + used, PW_WHEN_SIZE - used, "%c%02ld:%02ld", offset < 0 ? '-' : '+',
                       (offset < 0 ? -offset : offset) / 60, (offset < 0 ? -offset : offset) % 60);
    return out;
}

const char *pw_when_span(char out[PW_WHEN_SIZE], int64_t span_ms)
{
    int64_t unit_ms = span_ms < 600 * PW_SECOND_MS ? PW_SECOND_MS
                      : span_ms < PW_DAY_MS        ? 60 * PW_SECOND_MS
                                                   : 3600 * PW_SECOND_MS;

    return pw_duration_text(out, PW_WHEN_SIZE, span_ms - span_ms % unit_ms);
}

const char *pw_when_relative(char out[PW_WHEN_SIZE], int64_t unix_ms, int64_t now_ms)
{
    char span[PW_WHEN_SIZE];
    int64_t past_ms;

    if (unix_ms == PW_TIME_NONE || __builtin_sub_overflow(now_ms, unix_ms, &past_ms))
        (void)snprintf(out, PW_WHEN_SIZE, "-");
    else if (past_ms > -PW_SECOND_MS && past_ms < PW_SECOND_MS)
        (void)snprintf(out, PW_WHEN_SIZE, "now");
    else if (past_ms > 0)
        (void)snprintf(out, PW_WHEN_SIZE, "%.40s ago", pw_when_span(span, past_ms));
    else
        (void)snprintf(out, PW_WHEN_SIZE, "in %.40s", pw_when_span(span, -past_ms));
    return out;
}

/*
 * The server's clock and the cloud's forms of time (see servertime.h).
 */
#include "servertime.h"
#include "server.h"

#include <string.h>
#include <time.h>

int64_t server_time_ms(const struct server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + server->clock_offset_ms;
}

/* Splits off the milliseconds so that times before 1970 round down too. */
static struct tm broken_down(int64_t time_ms, int64_t *ms)
{
    int64_t rest = time_ms % 1000;
    *ms = rest < 0 ? rest + 1000 : rest;
    time_t seconds = (time_t)((time_ms - *ms) / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    return tm;
}

void time_put_iso(struct buf *out, int64_t time_ms, bool fraction)
{
    char text[40];
    int64_t ms = 0;
    struct tm tm = broken_down(time_ms, &ms);
    buf_add(out, text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm));
    if (fraction) {
        buf_printf(out, ".%03d000", (int)ms);
    }
    buf_str(out, "Z");
}

void time_put_basic(struct buf *out, int64_t time_ms)
{
    char text[40];
    int64_t ms = 0;
    struct tm tm = broken_down(time_ms, &ms);
    buf_add(out, text, strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &tm));
}

void time_put_http(struct buf *out, int64_t time_ms)
{
    char text[64];
    int64_t ms = 0;
    struct tm tm = broken_down(time_ms, &ms);
    buf_add(out, text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm));
}

static bool read_digits(const char *text, size_t count, int *value)
{
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *value = *value * 10 + (text[i] - '0');
    }
    return true;
}

bool time_parse_basic(const char *text, int64_t *time_ms)
{
    struct tm tm = {0};
    if (strlen(text) != 16 || text[8] != 'T' || text[15] != 'Z' ||
        !read_digits(text, 4, &tm.tm_year) || !read_digits(text + 4, 2, &tm.tm_mon) ||
        !read_digits(text + 6, 2, &tm.tm_mday) || !read_digits(text + 9, 2, &tm.tm_hour) ||
        !read_digits(text + 11, 2, &tm.tm_min) || !read_digits(text + 13, 2, &tm.tm_sec)) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm given = tm;
    time_t seconds = timegm(&tm);
    /* timegm() makes 1 March of 29 February: a date that it changed is none. */
    if (tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
        tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec) {
        return false;
    }
    *time_ms = (int64_t)seconds * 1000;
    return true;
}

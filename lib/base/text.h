/* Strings with a length, and the small parsers and formats that configuration and logs share.
 * A pw_str owns nothing: it is a view that lives as long as what it points into. */
#ifndef PW_BASE_TEXT_H
#define PW_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pw_str {
    const char *data; /* NULL = null, which is not the same as empty */
    size_t len;
};

#define PW_STR_NULL ((struct pw_str){NULL, 0})
/* For printf's "%.*s". */
#define PW_STR_ARG(s) (int)((s).len > 4096 ? 4096 : (s).len), ((s).data != NULL ? (s).data : "")

/* A view of a C string; NULL gives the null view. */
struct pw_str pw_str_of(const char *text);
bool pw_str_empty(struct pw_str s);               /* null or "" */
bool pw_str_eq(struct pw_str a, struct pw_str b); /* null equals only null */
bool pw_str_is(struct pw_str s, const char *text);
/* A NUL-terminated copy (null gives ""), or NULL where memory is short. The caller frees. */
char *pw_str_dup(struct pw_str s);

/* Shell-style pattern (`*`, `?`, `[a-z]`, no escapes, `/` is an ordinary character) over the whole
 * of text; null text matches only what "" matches. */
bool pw_glob_match(const char *pattern, struct pw_str text);

/* Bytes of the valid UTF-8 sequence that text starts with (RFC 3629); 0 if there is none. */
size_t pw_utf8_length(const char *text, size_t len);

/* Copies text into out (size_bytes ≥ 1, always terminated), with control characters and invalid
 * UTF-8 as `\xHH`, so that a hostile name cannot forge a log line. Cuts with "…". Returns out. */
const char *pw_text_printable(char *out, size_t size_bytes, struct pw_str text);

/* "15m", "1h30m", "10 s", "250ms", "7d", "2w"; a bare "0" too. Units ms s m h d w. */
PW_MUST_CHECK enum pw_status pw_parse_duration_ms(const char *text, int64_t *out_ms,
                                                  struct pw_error *err);
/* A whole decimal number within [min, max]. */
PW_MUST_CHECK enum pw_status pw_parse_int(const char *text, int64_t min, int64_t max, int64_t *out,
                                          struct pw_error *err);
/* Duration as people write it: 900000 gives "15m", 90000 "1m30s". Returns out. */
const char *pw_duration_text(char *out, size_t size_bytes, int64_t duration_ms);

#endif

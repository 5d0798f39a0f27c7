/* What text takes up on a terminal, how it gets there safely, and in which colour. The width of a
 * character is what the locale (LC_CTYPE, a UTF-8 one) says. */
#ifndef PW_BASE_DISPLAY_H
#define PW_BASE_DISPLAY_H

#include <stddef.h>

#include "base/text.h"

enum pw_paint { PW_PAINT_NONE, PW_PAINT_GOOD, PW_PAINT_BAD, PW_PAINT_WARN, PW_PAINT_DIM };

/* Columns of the display that text takes. text should be escaped (pw_display_escape). */
size_t pw_display_width(struct pw_str text);
/* A copy that is safe to print: as pw_text_printable, and characters that turn the writing
 * direction, show nothing or look like a space become \u{HEX}. The caller frees; NULL: no memory.
 */
char *pw_display_escape(struct pw_str text);
/* The escape sequence that begins a paint, and the one that ends it ("" for PW_PAINT_NONE). */
const char *pw_paint_begin(enum pw_paint paint);
const char *pw_paint_end(enum pw_paint paint);

#endif

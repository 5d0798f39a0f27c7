/* Aligned tables for terminals and pipes. Widths are those of the display (CJK takes two columns);
 * text from outside is escaped, so that a hostile name steers no terminal. On a terminal the table
 * fits its width: the least important columns go, then the longest cells are cut with "…". */
#ifndef PW_BASE_TABLE_H
#define PW_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/display.h"
#include "base/error.h"
#include "base/text.h"

struct pw_table_column {
    const char *title;
    bool is_right; /* numbers */
    /* 0 stays in any case; of the others the greatest goes first where the width is short. */
    unsigned expendable;
};

struct pw_table_style {
    size_t width;  /* of the terminal; 0 = no limit, nothing is cut */
    bool colour;   /* escape sequences are fine */
    size_t indent; /* spaces before each line */
};

struct pw_table;

/* columns must live as long as the table. NULL where memory is short. */
struct pw_table *pw_table_new(FILE *out, const struct pw_table_column *columns, size_t count,
                              const struct pw_table_style *style);
/* The next cell; the row ends with its last one. The null view gives "-". Rows are held until there
 * are enough of them to know how wide the columns are; from then on each is printed at once.
 * PW_ENOMEM, sticky. Errors of `out` are its own (ferror). */
enum pw_status pw_table_cell(struct pw_table *table, struct pw_str text, enum pw_paint paint);
enum pw_status pw_table_text(struct pw_table *table, const char *text, enum pw_paint paint);
size_t pw_table_rows(const struct pw_table *table); /* complete rows so far */
/* Prints what is still held (title line only above rows), frees. Returns the sticky state. */
enum pw_status pw_table_end(struct pw_table *table);

#endif

/* Aligned tables. A table owns copies of its cells until their row is printed. */
#include "base/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELD_ROWS = 1000, /* as many as decide the widths */
    GAP = 2,          /* spaces between columns */
    NARROWEST = 8,    /* no cell is cut below this */
};

struct cell {
    char *text; /* escaped */
    size_t width;
    enum pw_paint paint;
};

struct pw_table {
    FILE *out;
    const struct pw_table_column *columns;
    size_t count;
    struct pw_table_style style;
    struct cell *cells; /* count * capacity_rows */
    size_t capacity_rows;
    size_t held_rows; /* complete ones that are not printed yet */
    size_t at;        /* cells of the row that is not complete */
    size_t rows;
    size_t *widths;
    bool *is_shown;
    bool is_settled; /* the widths stand, the titles are printed */
    enum pw_status failed;
};

/* Widths -------------------------------------------------------------------------------------- */

static size_t total_width(const struct pw_table *table)
{
    size_t total = table->style.indent;
    bool is_first = true;

    for (size_t i = 0; i < table->count; i++) {
        if (!table->is_shown[i])
            continue;
        total += table->widths[i] + (is_first ? 0 : GAP);
        is_first = false;
    }
    return total;
}

/* The column that the table can best do without; count where there is none. */
static size_t least_important(const struct pw_table *table)
{
    size_t found = table->count;

    for (size_t i = 0; i < table->count; i++) {
        if (table->is_shown[i] && table->columns[i].expendable > 0 &&
            (found == table->count ||
             table->columns[i].expendable >= table->columns[found].expendable))
            found = i;
    }
    return found;
}

static size_t widest(const struct pw_table *table)
{
    size_t found = table->count;

    for (size_t i = 0; i < table->count; i++) {
        if (table->is_shown[i] && !table->columns[i].is_right &&
            (found == table->count || table->widths[i] > table->widths[found]))
            found = i;
    }
    return found;
}

/* A quarter of a column may go before another one does: names are long, and the rest is short. */
static void shrink(struct pw_table *table, size_t narrowest)
{
    while (total_width(table) > table->style.width) {
        size_t column = widest(table);

        if (column == table->count || table->widths[column] <= narrowest)
            return;
        table->widths[column]--;
    }
}

static void fit(struct pw_table *table)
{
    enum { COMFORTABLE = 24 };

    if (table->style.width == 0)
        return;
    shrink(table, COMFORTABLE);
    while (total_width(table) > table->style.width) {
        size_t column = least_important(table);

        if (column == table->count)
            break;
        table->is_shown[column] = false;
    }
    shrink(table, NARROWEST);
}

/* Printing ------------------------------------------------------------------------------------ */

static void print_spaces(FILE *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)fputc(' ', out);
}

/* Bytes of what must not be torn: a character, or an escape (base/display.h), whose beginning would
 * read as another one. */
static size_t unit_length(const char *text)
{
    size_t n;

    if (text[0] == '\\' && text[1] == 'x' && strspn(text + 2, "0123456789ABCDEF") >= 2)
        return 4;
    if (text[0] == '\\' && text[1] == 'u' && text[2] == '{') {
        n = 3 + strspn(text + 3, "0123456789ABCDEF");
        if (text[n] == '}')
            return n + 1;
    }
    n = pw_utf8_length(text, strlen(text));
    return n > 0 ? n : 1;
}

/* Prints as much of text as fits into width columns, "…" last where it is cut. Gives its width. */
static size_t print_cut(FILE *out, const char *text, size_t width)
{
    size_t used = 0;

    while (*text != '\0') {
        size_t n = unit_length(text);
        size_t columns = pw_display_width((struct pw_str){text, n});

        if (used + columns + 1 > width) {
            (void)fputs("…", out);
            return used + 1;
        }
        (void)fwrite(text, 1, n, out);
        used += columns;
        text += n;
    }
    return used;
}

static void print_row(struct pw_table *table, const struct cell *cells)
{
    size_t pending = table->style.indent; /* no spaces at the end of a line */

    for (size_t i = 0; i < table->count; i++) {
        const struct cell *cell = &cells[i];
        size_t width = table->widths[i], printed = cell->width;
        bool is_cut = table->style.width > 0 && cell->width > width;
        bool is_painted = table->style.colour && cell->paint != PW_PAINT_NONE;

        if (!table->is_shown[i])
            continue;
        if (cell->width == 0) {
            pending += width + GAP;
            continue;
        }
        if (table->columns[i].is_right && cell->width < width)
            pending += width - cell->width;
        print_spaces(table->out, pending);
        if (is_painted)
            (void)fputs(pw_paint_begin(cell->paint), table->out);
        if (is_cut)
            printed = print_cut(table->out, cell->text, width);
        else
            (void)fputs(cell->text, table->out);
        if (is_painted)
            (void)fputs(pw_paint_end(cell->paint), table->out);
        pending = GAP;
        if (!table->columns[i].is_right && printed < width)
            pending += width - printed;
    }
    (void)fputc('\n', table->out);
}

static void print_titles(struct pw_table *table)
{
    struct cell *titles = calloc(table->count, sizeof *titles);

    if (titles == NULL) {
        table->failed = PW_ENOMEM;
        return;
    }
    for (size_t i = 0; i < table->count; i++)
        titles[i] =
            (struct cell){(char *)(uintptr_t)table->columns[i].title,
                          pw_display_width(pw_str_of(table->columns[i].title)), PW_PAINT_DIM};
    print_row(table, titles);
    free(titles);
}

static void print_held(struct pw_table *table)
{
    if (!table->is_settled) {
        fit(table);
        table->is_settled = true;
        if (table->held_rows > 0)
            print_titles(table);
    }
    for (size_t row = 0; row < table->held_rows; row++) {
        struct cell *cells = &table->cells[row * table->count];

        print_row(table, cells);
        for (size_t i = 0; i < table->count; i++)
            free(cells[i].text);
    }
    table->held_rows = 0;
}

/* The table ----------------------------------------------------------------------------------- */

struct pw_table *pw_table_new(FILE *out, const struct pw_table_column *columns, size_t count,
                              const struct pw_table_style *style)
{
    struct pw_table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    *table = (struct pw_table){.out = out, .columns = columns, .count = count, .style = *style};
    table->widths = calloc(count, sizeof *table->widths);
    table->is_shown = calloc(count, sizeof *table->is_shown);
    if (table->widths == NULL || table->is_shown == NULL) {
        free(table->is_shown);
        free(table->widths);
        free(table);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        table->widths[i] = pw_display_width(pw_str_of(columns[i].title));
        table->is_shown[i] = true;
    }
    return table;
}

/* Room for one more row. */
static bool grow(struct pw_table *table)
{
    size_t rows = table->capacity_rows == 0 ? 16 : table->capacity_rows * 2;
    struct cell *cells;

    if (table->held_rows < table->capacity_rows)
        return true;
    cells = realloc(table->cells, rows * table->count * sizeof *cells);
    if (cells == NULL)
        return false;
    table->cells = cells;
    table->capacity_rows = rows;
    return true;
}

enum pw_status pw_table_cell(struct pw_table *table, struct pw_str text, enum pw_paint paint)
{
    struct cell *cell;

    if (table->failed != PW_OK)
        return table->failed;
    if (!grow(table))
        return table->failed = PW_ENOMEM;
    cell = &table->cells[table->held_rows * table->count + table->at];
    cell->text = pw_display_escape(text.data == NULL ? pw_str_of("-") : text);
    if (cell->text == NULL)
        return table->failed = PW_ENOMEM;
    cell->width = pw_display_width(pw_str_of(cell->text));
    cell->paint = paint;
    if (!table->is_settled && cell->width > table->widths[table->at])
        table->widths[table->at] = cell->width;
    table->at++;
    if (table->at == table->count) {
        table->at = 0;
        table->rows++;
        table->held_rows++;
        if (table->is_settled || table->held_rows == HELD_ROWS)
            print_held(table);
    }
    return table->failed;
}

enum pw_status pw_table_text(struct pw_table *table, const char *text, enum pw_paint paint)
{
    return pw_table_cell(table, pw_str_of(text), paint);
}

size_t pw_table_rows(const struct pw_table *table)
{
    return table->rows;
}

enum pw_status pw_table_end(struct pw_table *table)
{
    enum pw_status status;

    for (size_t i = 0; i < table->at; i++) /* a row that was not finished is not printed */
        free(table->cells[table->held_rows * table->count + i].text);
    print_held(table);
    status = table->failed;
    free(table->cells);
    free(table->is_shown);
    free(table->widths);
    free(table);
    return status;
}

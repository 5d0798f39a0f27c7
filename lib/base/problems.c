/* The list of problems. */
#include "base/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/text.h"

enum { MESSAGE_BYTES = 1024 };

void pw_problems_init(struct pw_problems *problems)
{
    *problems = (struct pw_problems){0};
}

void pw_problems_free(struct pw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    pw_problems_init(problems);
}

static void add(struct pw_problems *problems, bool is_warning, const char *file, int line,
                const char *message)
{
    struct pw_buffer text;
    struct pw_problem *items;

    if (!is_warning)
        problems->errors++;
    pw_buffer_init(&text, (size_t)2 * MESSAGE_BYTES);
    if (line > 0)
        (void)pw_buffer_printf(&text, "%.900s:%d: %s", file, line, message);
    else
        (void)pw_buffer_printf(&text, "%.900s: %s", file, message);
    items = realloc(problems->items, (problems->count + 1) * sizeof *items);
    if (items == NULL) {
        pw_buffer_free(&text);
        return;
    }
    problems->items = items;
    items[problems->count].is_warning = is_warning;
    items[problems->count].text = pw_buffer_take(&text);
    if (items[problems->count].text != NULL)
        problems->count++;
}

void pw_problem_error(struct pw_problems *problems, const char *file, int line, const char *format,
                      ...)
{
    char message[MESSAGE_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    add(problems, false, file, line, message);
}

void pw_problem_warning(struct pw_problems *problems, const char *file, int line,
                        const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    add(problems, true, file, line, message);
}

void pw_problems_print(const struct pw_problems *problems, FILE *to)
{
    for (size_t i = 0; i < problems->count; i++) {
        char line[2 * MESSAGE_BYTES + 64];

        (void)pw_text_printable(line, sizeof line, pw_str_of(problems->items[i].text));
        (void)fprintf(to, "%s%s\n", line, problems->items[i].is_warning ? " (warning)" : "");
    }
    if (problems->errors > problems->count)
        (void)fprintf(to, "and more, for which there was no memory\n");
}

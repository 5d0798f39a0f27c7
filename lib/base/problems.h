/* What is wrong with files that people wrote: every problem as FILE:LINE: message, so that one run
 * shows them all. */
#ifndef PW_BASE_PROBLEMS_H
#define PW_BASE_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

struct pw_problem {
    char *text; /* "FILE:LINE: message", or "FILE: message" where no line is to blame */
    bool is_warning;
};

struct pw_problems {
    struct pw_problem *items;
    size_t count;
    size_t errors; /* how many of them are no warnings; also counts what did not fit in memory */
};

void pw_problems_init(struct pw_problems *problems);
void pw_problems_free(struct pw_problems *problems);
/* line 0 = no line. */
void pw_problem_error(struct pw_problems *problems, const char *file, int line, const char *format,
                      ...) PW_PRINTF(4, 5);
void pw_problem_warning(struct pw_problems *problems, const char *file, int line,
                        const char *format, ...) PW_PRINTF(4, 5);
/* One line each, warnings marked as such, control characters escaped. */
void pw_problems_print(const struct pw_problems *problems, FILE *to);

#endif

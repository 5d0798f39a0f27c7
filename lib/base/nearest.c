/* Optimal string alignment distance over three rows, on the stack. */
#include "base/nearest.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

unsigned pw_edit_distance(const char *typed, const char *real)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];
    size_t m = strlen(typed), n = strlen(real);
    unsigned distance;

    if (m == 0 || m > NAME_MAX_BYTES || n > NAME_MAX_BYTES)
        return PW_NEAREST_MAX + 1;
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        unsigned *row = rows[i % 3], *before = rows[(i - 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned differs = lower(typed[i - 1]) != lower(real[j - 1]);

            row[j] = least(least(before[j], row[j - 1]) + 1, before[j - 1] + differs);
            if (i > 1 && j > 1 && lower(typed[i - 1]) == lower(real[j - 2]) &&
                lower(typed[i - 2]) == lower(real[j - 1]))
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    distance = rows[m % 3][n];
    /* Two slips in a name of three letters leave nothing of it. */
    return distance > PW_NEAREST_MAX || 2 * distance > n ? PW_NEAREST_MAX + 1 : distance;
}

const char *pw_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    unsigned best_distance = PW_NEAREST_MAX + 1;

    for (; *names != NULL; names++) {
        unsigned distance = pw_edit_distance(word, *names);

        if (distance < best_distance) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}

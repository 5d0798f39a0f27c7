/* Edit distance of short words, on the stack. */
#include "alert/nearest.h"

#include <stddef.h>
#include <string.h>

enum { MAX_WORD = 40, MAX_ERRORS = 2 };

/* Optimal string alignment (Levenshtein, and two neighbours swapped count as one error). */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++) {
        before[j] = 0;
        last[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *oldest = before;

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_len];
}

const char *pw_nearest(const char *word, const char *const *names)
{
    size_t len = strlen(word);
    size_t limit = (len + 1) / 3 < MAX_ERRORS ? (len + 1) / 3 : MAX_ERRORS;
    const char *best = NULL;
    size_t best_distance = limit + 1;

    if (len > MAX_WORD)
        return NULL;
    for (; *names != NULL; names++) {
        size_t name_len = strlen(*names), d;

        if (name_len > MAX_WORD)
            continue;
        d = distance(word, len, *names, name_len);
        if (d < best_distance) {
            best = *names;
            best_distance = d;
        }
    }
    return best;
}

/* "Did you mean": how far a mistyped name is from a real one. */
#ifndef PW_BASE_NEAREST_H
#define PW_BASE_NEAREST_H

#define PW_NEAREST_MAX 2u

/* Insertions, deletions, replacements and swaps of neighbours that turn one name into the other,
 * case aside (optimal string alignment distance). Names too unlike or too long to suggest, and
 * names too short for the distance to mean anything, give PW_NEAREST_MAX + 1. */
unsigned pw_edit_distance(const char *typed, const char *real);

/* The name of names (NULL-terminated) that is nearest to word; NULL where none is near. */
const char *pw_nearest(const char *word, const char *const *names);

#endif

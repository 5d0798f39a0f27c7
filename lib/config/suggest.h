/* "Did you mean": how far a mistyped name is from a real one. */
#ifndef PW_CONFIG_SUGGEST_H
#define PW_CONFIG_SUGGEST_H

#define PW_SUGGEST_MAX 2u

/* Insertions, deletions, replacements and swaps of neighbours that turn one name into the other,
 * case aside (optimal string alignment distance). Names too unlike or too long to suggest, and
 * names shorter than the distance is meaningful for, give PW_SUGGEST_MAX + 1. */
unsigned pw_edit_distance(const char *typed, const char *real);

#endif

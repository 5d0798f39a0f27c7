/* "Did you mean": the known name that is nearest to a word that is not known. */
#ifndef PW_ALERT_NEAREST_H
#define PW_ALERT_NEAREST_H

/* The name of names (NULL-terminated) that differs from word by at most two typing errors, a third
 * of the word at most; NULL where none is that near. */
const char *pw_nearest(const char *word, const char *const *names);

#endif

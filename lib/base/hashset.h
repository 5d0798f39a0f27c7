/* A set of 64-bit hashes: 8 bytes a slot, open addressing. Two different things with one hash count
 * as one, which its users must be able to bear. */
#ifndef PW_BASE_HASHSET_H
#define PW_BASE_HASHSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pw_hashset {
    uint64_t *slots; /* 0 = free */
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void pw_hashset_init(struct pw_hashset *set); /* allocates nothing */
void pw_hashset_free(struct pw_hashset *set); /* as after init */
/* Adds hash; *added says whether it is new. PW_ENOMEM changes nothing. */
PW_MUST_CHECK enum pw_status pw_hashset_add(struct pw_hashset *set, uint64_t hash, bool *added);
bool pw_hashset_has(const struct pw_hashset *set, uint64_t hash);

#endif

/* The set of hashes: linear probing, at most three quarters full. */
#include "base/hashset.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

void pw_hashset_init(struct pw_hashset *set)
{
    *set = (struct pw_hashset){0};
}

void pw_hashset_free(struct pw_hashset *set)
{
    free(set->slots);
    pw_hashset_init(set);
}

/* The slot that holds hash, or the free one where it belongs. */
static size_t find_slot(const uint64_t *slots, size_t capacity, uint64_t hash)
{
    /* The topmost bits of the product: only they depend on every bit of the hash. */
    unsigned shift = 64 - (unsigned)__builtin_ctzll(capacity);
    size_t i = (size_t)(hash * UINT64_C(0x9E3779B97F4A7C15) >> shift);

    while (slots[i] != 0 && slots[i] != hash)
        i = (i + 1) & (capacity - 1);
    return i;
}

static enum pw_status grow(struct pw_hashset *set)
{
    size_t capacity = set->capacity == 0 ? FIRST_CAPACITY : set->capacity * 2;
    uint64_t *slots = calloc(capacity, sizeof *slots);

    if (slots == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] != 0)
            slots[find_slot(slots, capacity, set->slots[i])] = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return PW_OK;
}

enum pw_status pw_hashset_add(struct pw_hashset *set, uint64_t hash, bool *added)
{
    size_t i;

    *added = false;
    if (hash == 0)
        hash = 1; /* 0 marks a free slot */
    if (set->count + 1 > set->capacity / 4 * 3) {
        enum pw_status status = grow(set);
        if (status != PW_OK)
            return status;
    }
    i = find_slot(set->slots, set->capacity, hash);
    if (set->slots[i] == 0) {
        set->slots[i] = hash;
        set->count++;
        *added = true;
    }
    return PW_OK;
}

bool pw_hashset_has(const struct pw_hashset *set, uint64_t hash)
{
    if (set->count == 0)
        return false;
    if (hash == 0)
        hash = 1;
    return set->slots[find_slot(set->slots, set->capacity, hash)] != 0;
}

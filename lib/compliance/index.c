/* The digest index: open addressing with linear probing, at most three quarters full; removal
 * shifts back, so that no tombstones gather over a year. */
#include "compliance/index.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };
#define SEEN_MAX ((UINT32_C(1) << 10) - 1)

_Static_assert(sizeof(struct pw_index_entry) == 32, "the memory budget counts 32 bytes a report");

struct pw_index {
    struct pw_index_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    uint32_t sweep; /* number of the running sweep, from 1 */
};

struct pw_index *pw_index_new(void)
{
    return calloc(1, sizeof(struct pw_index));
}

void pw_index_free(struct pw_index *index)
{
    if (index == NULL)
        return;
    free(index->entries);
    free(index);
}

size_t pw_index_count(const struct pw_index *index)
{
    return index->count;
}

static bool is_free(const struct pw_index_entry *entry)
{
    return entry->key.node == 0 && entry->key.report == 0;
}

static size_t home_of(const struct pw_index *index, struct pw_report_key key)
{
    return (size_t)(key.report ^ (key.report >> 32) ^ key.node) & (index->capacity - 1);
}

static struct pw_index_entry *find_slot(const struct pw_index *index, struct pw_report_key key)
{
    size_t i = home_of(index, key);

    while (!is_free(&index->entries[i]) &&
           (index->entries[i].key.node != key.node || index->entries[i].key.report != key.report))
        i = (i + 1) & (index->capacity - 1);
    return &index->entries[i];
}

void pw_index_begin(struct pw_index *index)
{
    if (index->sweep == SEEN_MAX) {
        /* The numbers begin anew: what was seen long ago is just not seen. */
        for (size_t i = 0; i < index->capacity; i++)
            index->entries[i].seen = 0;
        index->sweep = 0;
    }
    index->sweep++;
}

struct pw_index_entry *pw_index_find(struct pw_index *index, struct pw_report_key key)
{
    struct pw_index_entry *entry;

    if (index->count == 0)
        return NULL;
    entry = find_slot(index, key);
    return is_free(entry) ? NULL : entry;
}

void pw_index_mark_seen(struct pw_index *index, struct pw_index_entry *entry)
{
    if (pw_index_is_seen(index, entry))
        return;
    entry->seen = index->sweep & SEEN_MAX;
    entry->shown_at = 0;
}

void pw_index_mark_shown(struct pw_index *index, struct pw_index_entry *entry, uint32_t page)
{
    pw_index_mark_seen(index, entry);
    if (page > entry->shown_at)
        entry->shown_at = page & PW_INDEX_MAX_PAGE;
}

bool pw_index_is_seen(const struct pw_index *index, const struct pw_index_entry *entry)
{
    return entry->seen == index->sweep;
}

static enum pw_status grow(struct pw_index *index)
{
    struct pw_index bigger = *index;

    bigger.capacity = index->capacity == 0 ? FIRST_CAPACITY : index->capacity * 2;
    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < index->capacity; i++) {
        if (!is_free(&index->entries[i]))
            *find_slot(&bigger, index->entries[i].key) = index->entries[i];
    }
    free(index->entries);
    *index = bigger;
    return PW_OK;
}

enum pw_status pw_index_put(struct pw_index *index, struct pw_report_key key, uint64_t digest,
                            uint32_t node_id, bool restless)
{
    struct pw_index_entry *entry;

    if (index->count + 1 > index->capacity / 4 * 3) {
        enum pw_status status = grow(index);
        if (status != PW_OK)
            return status;
    }
    entry = find_slot(index, key);
    if (is_free(entry)) {
        index->count++;
        entry->key = key;
        entry->seen = index->sweep & SEEN_MAX;
    }
    entry->digest = digest;
    entry->node_id = node_id;
    entry->restless = restless;
    return PW_OK;
}

void pw_index_remove(struct pw_index *index, struct pw_report_key key)
{
    struct pw_index_entry *entry = pw_index_find(index, key);
    size_t hole, i;

    if (entry == NULL)
        return;
    hole = i = (size_t)(entry - index->entries);
    for (;;) {
        size_t home;

        i = (i + 1) & (index->capacity - 1);
        if (is_free(&index->entries[i]))
            break;
        home = home_of(index, index->entries[i].key);
        /* An entry may fill the hole unless its home lies after the hole on its way. */
        if (((i - home) & (index->capacity - 1)) >= ((i - hole) & (index->capacity - 1))) {
            index->entries[hole] = index->entries[i];
            hole = i;
        }
    }
    index->entries[hole] = (struct pw_index_entry){0};
    index->count--;
}

const struct pw_index_entry *pw_index_next_unseen(const struct pw_index *index, size_t *cursor)
{
    while (*cursor < index->capacity) {
        const struct pw_index_entry *entry = &index->entries[(*cursor)++];
        if (!is_free(entry) && !pw_index_is_seen(index, entry))
            return entry;
    }
    return NULL;
}

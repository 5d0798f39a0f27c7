/* The digest index: for each current report of one source 32 bytes that tell whether a record is
 * new, changed or known, and which sweep last showed it. In memory only; rebuilt from the snapshot.
 * Pure. An unchanged record costs one look-up here and no SQL. */
#ifndef PW_COMPLIANCE_INDEX_H
#define PW_COMPLIANCE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "compliance/report.h"

struct pw_index_entry {
    struct pw_report_key key; /* both 0 = free slot */
    uint64_t digest;
    uint32_t node_id;   /* row of the node in the snapshot */
    uint32_t seen : 10; /* the sweep that last showed it, see pw_index_begin */
    uint32_t
        shown_at : 21; /* in that sweep: the last page that showed just what is stored; 0 = none */
    uint32_t restless : 1; /* the node waits for something (confirmation, its return): a sighting
                              must reach the store although nothing changed */
};

struct pw_index;

struct pw_index *pw_index_new(void); /* NULL where memory is short */
void pw_index_free(struct pw_index *index);
size_t pw_index_count(const struct pw_index *index);

/* Starts a sweep: from now on nothing has been seen. */
void pw_index_begin(struct pw_index *index);

/* The entry of key, or NULL. Valid until the next put or remove. */
struct pw_index_entry *pw_index_find(struct pw_index *index, struct pw_report_key key);
/* The running sweep showed that key; and pw_index_mark_shown: with the content that is stored, on
 * that page (1 to PW_INDEX_MAX_PAGE, in the order of reading). */
enum { PW_INDEX_MAX_PAGE = (1 << 21) - 1 };
void pw_index_mark_seen(struct pw_index *index, struct pw_index_entry *entry);
void pw_index_mark_shown(struct pw_index *index, struct pw_index_entry *entry, uint32_t page);
bool pw_index_is_seen(const struct pw_index *index, const struct pw_index_entry *entry);

/* Adds or replaces. A new entry counts as seen by the running sweep. Only after a commit. */
PW_MUST_CHECK enum pw_status pw_index_put(struct pw_index *index, struct pw_report_key key,
                                          uint64_t digest, uint32_t node_id, bool restless);
void pw_index_remove(struct pw_index *index, struct pw_report_key key);

/* Every entry that the running sweep has not shown: start with *cursor = 0, NULL is the end.
 * Nothing may be added or removed meanwhile. */
const struct pw_index_entry *pw_index_next_unseen(const struct pw_index *index, size_t *cursor);

#endif

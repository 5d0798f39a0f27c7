/* Paging: what to ask next, and whether everything was seen. A state machine without I/O; whoever
 * drives it asks the offsets that it names and tells it the answers.
 *
 * The API document calls `offset` just "offset", 1 to 1,000,000. Whether it numbers pages or
 * records is found out: offset=2 shows either the page after the first or the first one moved by a
 * record. */
#ifndef PW_COC_PAGING_H
#define PW_COC_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hashset.h"

enum pw_paging_mode { PW_PAGING_AUTO, PW_PAGING_PAGE, PW_PAGING_RECORD };
const char *pw_paging_mode_name(enum pw_paging_mode mode); /* "auto", "page", "record" */
enum pw_paging_mode pw_paging_mode_of(const char *name); /* PW_PAGING_AUTO where unknown or NULL */

#define PW_OFFSET_MAX INT64_C(1000000)        /* of the API */
#define PW_SWEEP_MAX_RECORDS INT64_C(4000000) /* ours: bounds the memory of a sweep */

enum pw_paging_state {
    PW_PAGING_FIRST, /* the page at offset 1, which says how many there are */
    PW_PAGING_PROBE, /* offset 2: pages or records? */
    PW_PAGING_BULK,  /* all other pages that count promises, in parallel */
    PW_PAGING_TAIL,  /* one page further at a time, until nothing is left */
    PW_PAGING_OVER
};

struct pw_paging {
    enum pw_paging_state state;
    enum pw_paging_mode setting; /* AUTO: may be found out anew */
    enum pw_paging_mode mode;    /* in use; AUTO = not known yet */
    int64_t page_size;           /* asked for */
    int64_t step;                /* records a page brings: less where the server caps it */
    int pass;                    /* 1, or 2 = the repair pass */
    /* the pass */
    int64_t count; /* as last reported, -1 = never */
    bool count_changed;
    int64_t next_page;    /* number of the next page to ask, from 1 */
    int64_t last_page;    /* the last one that is planned */
    int64_t last_rows;    /* rows of the highest page answered */
    int64_t highest_page; /* the highest page that brought rows */
    int64_t empty_pages;  /* answered empty, behind that one */
    int64_t stale_pages;  /* in a row without a new record, in TAIL */
    int64_t same_pages;   /* in a row that are one and the same, in BULK */
    uint64_t page_hash;   /* of the last one */
    bool asked;           /* FIRST, PROBE, TAIL: the one page is on its way */
    size_t in_flight;
    struct pw_hashset seen; /* identities of this pass */
    /* the sweep */
    struct pw_hashset seen_before; /* of both passes, during the second */
    uint64_t *first_page;          /* identities of the page at offset 1, for the probe */
    size_t first_page_count;
    int64_t first_count; /* of the sweep */
    bool count_ever_changed;
    bool count_unknown; /* a page came without a usable count */
    bool beyond_reach;
    bool too_many;
    bool is_complete;
    /* Newest first is asked for, so that nothing behind the first page is newer than its first
     * record, unless the rows moved by more than a page. */
    int64_t front_time_ms; /* of the pass; -1 = this server does not sort */
    bool is_unsorted;      /* a page was not in order: times prove nothing */
    bool was_overtaken;    /* in this pass a later page held something newer */
    bool was_ever_overtaken;
    int64_t lost_offset; /* the first page given up, 0 = none */
    int64_t lost_pages;
    int64_t bad_records;
};

/* setting: as configured. remembered: what an earlier sweep proved, or AUTO. */
void pw_paging_init(struct pw_paging *paging, int64_t page_size, enum pw_paging_mode setting,
                    enum pw_paging_mode remembered);
void pw_paging_free(struct pw_paging *paging);

/* The next offset to ask; false: nothing to ask now (an answer must come first, or it is over). */
bool pw_paging_next(struct pw_paging *paging, int64_t *offset);

/* What the times of a page say of its order. */
enum pw_page_order {
    PW_ORDER_UNKNOWN,      /* not asked for, or too few times that differ */
    PW_ORDER_NEWEST_FIRST, /* as asked */
    PW_ORDER_OTHER         /* the server does not sort */
};

/* One page as answered. */
struct pw_paging_answer {
    int64_t count;              /* as reported, -1 = none that can be used */
    size_t rows;                /* elements of its list, unusable ones included */
    size_t bad_records;         /* unusable ones */
    const uint64_t *identities; /* of the usable ones (pw_report_identity), in order */
    size_t identity_count;
    enum pw_page_order order;
    int64_t newest_ms; /* the greatest report_time of the page; -1 = none */
};
/* PW_ENOMEM: the sweep can prove nothing any more and is over. */
PW_MUST_CHECK enum pw_status pw_paging_answer(struct pw_paging *paging, int64_t offset,
                                              const struct pw_paging_answer *answer);
/* The page at offset was given up after all retries. */
void pw_paging_lost(struct pw_paging *paging, int64_t offset);

bool pw_paging_is_over(const struct pw_paging *paging);
/* Once over: did it see everything? */
bool pw_paging_is_complete(const struct pw_paging *paging);
/* Once over and complete: the mode that was proved, AUTO where one page was all. */
enum pw_paging_mode pw_paging_proved_mode(const struct pw_paging *paging);
/* Distinct records of the whole sweep. */
int64_t pw_paging_records(const struct pw_paging *paging);
/* Once over and not complete: why, and what to do. */
void pw_paging_reason(const struct pw_paging *paging, char *out, size_t size_bytes);

#endif

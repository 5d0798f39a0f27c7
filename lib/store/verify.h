/* Proving the history: its schema, the file itself, its references, the chain of the events, and
 * what must be true of versions, nodes and deliveries. Reads only. */
#ifndef PW_STORE_VERIFY_H
#define PW_STORE_VERIFY_H

#include <stdint.h>

#include "base/error.h"
#include "store/chain.h"
#include "store/db.h"

enum pw_verify_check {
    PW_VERIFY_SCHEMA,     /* tables, indexes, triggers and views: ours, all, unchanged, no others */
    PW_VERIFY_FILE,       /* SQLite's integrity_check: pages, indexes, NOT NULL, CHECK */
    PW_VERIFY_REFERENCES, /* foreign keys */
    PW_VERIFY_CHAIN,      /* no event changed, removed or inserted; numbers without a gap (but for
                           * those of a file that a version before 3 made) */
    PW_VERIFY_VERSIONS,   /* of a report: do not overlap; nothing recorded ahead of now */
    PW_VERIFY_STATUS,     /* a node is what its current reports and its last event say */
    PW_VERIFY_DELIVERIES, /* states that can be */
    PW_VERIFY_CHECK_COUNT
};

/* "schema", "file", "references", "chain", "versions", "status", "deliveries". */
const char *pw_verify_check_name(enum pw_verify_check check);

struct pw_verify_params {
    void *context;
    /* One thing that is wrong, in words that name the row. The text is the callee's until it
     * returns. Of one check only the first PW_VERIFY_MAX_FINDINGS are told; all are counted. */
    void (*found)(void *context, enum pw_verify_check check, const char *message);
    /* A check begins; NULL: nobody wants to know. */
    void (*begins)(void *context, enum pw_verify_check check);
    /* An event and its hash as they were noted elsewhere, in a log say: one that is not in the
     * chain so is a finding of PW_VERIFY_CHAIN, and so is one that was pruned since (but the anchor
     * itself, which is compared). NULL: none. */
    const struct pw_chain_link *expected;
};
enum { PW_VERIFY_MAX_FINDINGS = 100 };

struct pw_verify_result {
    int64_t findings[PW_VERIFY_CHECK_COUNT];
    int64_t total;                              /* of findings */
    int64_t events, reports, nodes, deliveries; /* looked at */
    struct pw_chain_link first; /* the anchor: event_id 0 where nothing was pruned */
    int64_t pruned_at_ms;       /* when the anchor was set; 0 */
    struct pw_chain_link last;  /* to be compared with what was noted elsewhere, in the log say */
};

/* PW_OK: everything was looked at, and result->total is what was found wrong; else the file could
 * not be read on (PW_ECORRUPT also counts as a finding of the check that met it). */
PW_MUST_CHECK enum pw_status pw_store_verify(struct pw_db *db,
                                             const struct pw_verify_params *params,
                                             struct pw_verify_result *result, struct pw_error *err);

#endif

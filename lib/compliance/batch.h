/* A batch of reports that owns its text: how records travel from a page, which is gone with its
 * buffer, to the store thread. Pure. */
#ifndef PW_COMPLIANCE_BATCH_H
#define PW_COMPLIANCE_BATCH_H

#include <stddef.h>

#include "base/error.h"
#include "compliance/report.h"

struct pw_batch_block; /* text, in blocks that do not move */

struct pw_batch {
    struct pw_report *reports;
    size_t count;
    size_t capacity;
    size_t text_bytes;
    struct pw_batch_block *blocks;
};

void pw_batch_init(struct pw_batch *batch); /* allocates nothing */
void pw_batch_free(struct pw_batch *batch); /* as after init */
/* Forgets the reports and keeps the memory for the next ones. */
void pw_batch_clear(struct pw_batch *batch);
/* Appends a deep copy. PW_ENOMEM leaves the batch as it was. */
PW_MUST_CHECK enum pw_status pw_batch_add(struct pw_batch *batch, const struct pw_report *report);
/* Hands the content of from to `to`, which must be empty. */
void pw_batch_move(struct pw_batch *to, struct pw_batch *from);

/* String field number i of a report, in a fixed order: for what treats them all alike. */
enum { PW_REPORT_STRING_COUNT = 18 };
struct pw_str *pw_report_string(struct pw_report *report, int i);

#endif

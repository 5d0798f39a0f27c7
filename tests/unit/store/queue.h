/* The outbox as tests use it: one hook, few words. All of it fails the test where it fails. */
#ifndef PW_TEST_STORE_QUEUE_H
#define PW_TEST_STORE_QUEUE_H

#include "store/outbox.h"

/* Claims at most max attempts; *next_due_ms (may be NULL) as pw_outbox_claim gives it. Freed with
 * pw_claimed_free. */
struct pw_delivery *queue_claim(struct pw_db *db, const char *hook, size_t max, int64_t now_ms,
                                int64_t *next_due_ms);
/* What became of the attempts of one delivery, whoever made them. */
void queue_delivered(struct pw_db *db, int64_t delivery_id, int64_t now_ms);
void queue_failed(struct pw_db *db, int64_t delivery_id, int64_t next_attempt_at_ms,
                  const char *why);
void queue_dead(struct pw_db *db, int64_t delivery_id, const char *why);
/* Whether the outcome came too late, in any of the three ways. */
size_t queue_gone(struct pw_db *db, int64_t delivery_id, enum pw_outcome_kind kind);

#endif

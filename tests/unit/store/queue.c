/* Short forms of the outbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue.h"

struct pw_delivery *queue_claim(struct pw_db *db, const char *hook, size_t max, int64_t now_ms,
                                int64_t *next_due_ms)
{
    struct pw_claim claim = {.hook = hook, .max_attempts = max, .now_ms = now_ms};
    struct pw_error err = {PW_OK, ""};

    if (pw_outbox_claim(db, &claim, &err) != PW_OK)
        fail_msg("%s", err.message);
    assert_false(claim.is_off);
    if (next_due_ms != NULL)
        *next_due_ms = claim.next_due_ms;
    return claim.list;
}

static size_t record(struct pw_db *db, int64_t delivery_id, struct pw_outcome outcome)
{
    struct pw_delivery delivery = {.delivery_id = delivery_id};
    struct pw_error err = {PW_OK, ""};

    if (pw_outbox_record(db, &delivery, &outcome, &err) != PW_OK)
        fail_msg("%s", err.message);
    return outcome.gone;
}

void queue_delivered(struct pw_db *db, int64_t delivery_id, int64_t now_ms)
{
    (void)record(db, delivery_id,
                 (struct pw_outcome){.kind = PW_OUTCOME_DELIVERED, .now_ms = now_ms});
}

void queue_failed(struct pw_db *db, int64_t delivery_id, int64_t next_attempt_at_ms,
                  const char *why)
{
    (void)record(db, delivery_id,
                 (struct pw_outcome){.kind = PW_OUTCOME_FAILED,
                                     .next_attempt_at_ms = next_attempt_at_ms,
                                     .dead_before_ms = INT64_MIN,
                                     .why = why});
}

void queue_dead(struct pw_db *db, int64_t delivery_id, const char *why)
{
    (void)record(
        db, delivery_id,
        (struct pw_outcome){.kind = PW_OUTCOME_FAILED, .dead_before_ms = INT64_MAX, .why = why});
}

size_t queue_gone(struct pw_db *db, int64_t delivery_id, enum pw_outcome_kind kind)
{
    return record(db, delivery_id, (struct pw_outcome){.kind = kind, .why = "late"});
}

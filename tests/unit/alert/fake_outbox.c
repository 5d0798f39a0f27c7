/* The outbox as a list, with its rules: head of line per hook and node, the attempt counted first.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fakes.h"

static struct fake_db *db_of(struct pw_db *db)
{
    return (struct fake_db *)(void *)db;
}

struct fake_row *fake_add(struct fake_db *db, const char *hook, const char *node)
{
    struct fake_row *row = &db->rows[db->count];

    assert(db->count < FAKE_MAX_ROWS);
    db->count++;
    *row = (struct fake_row){.id = (int64_t)db->count};
    row->created_at_ms = pw_clock_wall_ms(pw_clock_system());
    row->next_attempt_at_ms = row->created_at_ms;
    (void)snprintf(row->hook, sizeof row->hook, "%s", hook);
    (void)snprintf(row->node, sizeof row->node, "%s", node);
    return row;
}

size_t fake_count(const struct fake_db *db, enum fake_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < db->count; i++)
        count += db->rows[i].state == state;
    return count;
}

static bool fails(int *left, struct pw_error *err, enum pw_status *status)
{
    if (*left == 0)
        return false;
    (*left)--;
    *status = pw_fail(err, PW_EFULL, "database or disk is full");
    return true;
}

static bool is_head(const struct fake_db *db, const struct fake_row *row)
{
    for (const struct fake_row *r = db->rows; r < row; r++) {
        if (r->state == FAKE_PENDING && strcmp(r->hook, row->hook) == 0 &&
            strcmp(r->node, row->node) == 0)
            return false;
    }
    return true;
}

/* As the real one: all in one block. */
static struct pw_delivery *delivery_of(const struct fake_row *row)
{
    struct {
        struct pw_delivery delivery;
        char uid[32];
        struct fake_row row;
        char json[64];
    } *block = calloc(1, sizeof *block);

    assert(block != NULL);
    block->row = *row;
    (void)snprintf(block->uid, sizeof block->uid, "event-%" PRId64, row->id);
    (void)snprintf(block->json, sizeof block->json, "{\"id\":%" PRId64 "}", row->id);
    block->delivery = (struct pw_delivery){
        .delivery_id = row->id,
        .event_id = row->id,
        .uid = block->uid,
        .hook = block->row.hook,
        .rule = "rule",
        .type = "io.patchwatch.node.non_compliant",
        .source_name = "prod",
        .node_key = row->node[0] != '\0' ? pw_str_of(block->row.node) : PW_STR_NULL,
        .to = pw_str_of("non_compliant"),
        .event_json = pw_str_of(block->json),
        .attempts = row->attempts,
        .created_at_ms = row->created_at_ms,
    };
    return &block->delivery;
}

void pw_delivery_free(struct pw_delivery *list)
{
    assert(list == NULL || list->next == NULL); /* there are no groups here */
    free(list);
}

enum pw_status pw_outbox_recover(struct pw_db *handle, int64_t now_ms, struct pw_error *err)
{
    struct fake_db *db = db_of(handle);
    enum pw_status status;

    db->recovers++;
    if (fails(&db->fail_recover, err, &status))
        return status;
    for (size_t i = 0; i < db->count; i++) {
        if (db->rows[i].state == FAKE_PENDING && db->rows[i].claimed_at_ms != 0) {
            db->rows[i].claimed_at_ms = 0;
            db->rows[i].next_attempt_at_ms = now_ms;
        }
    }
    return PW_OK;
}

enum pw_status pw_outbox_claim(struct pw_db *handle, struct pw_claim *claim, struct pw_error *err)
{
    struct fake_db *db = db_of(handle);
    struct pw_delivery **out = &claim->list;
    enum pw_status status;
    size_t taken = 0;

    claim->list = NULL;
    claim->next_due_ms = PW_TIME_NONE;
    db->claims++;
    if (claim->max_attempts > db->claim_max_seen)
        db->claim_max_seen = claim->max_attempts;
    if (fails(&db->fail_claim, err, &status))
        return status;
    claim->is_off = strcmp(db->off, claim->hook) == 0;
    for (size_t i = 0; i < db->count && !claim->is_off; i++) {
        struct fake_row *row = &db->rows[i];

        if (row->state != FAKE_PENDING || row->claimed_at_ms != 0 ||
            strcmp(row->hook, claim->hook) != 0 || !is_head(db, row))
            continue;
        if (row->next_attempt_at_ms > claim->now_ms || taken == claim->max_attempts) {
            if (claim->next_due_ms == PW_TIME_NONE || row->next_attempt_at_ms < claim->next_due_ms)
                claim->next_due_ms = row->next_attempt_at_ms;
            continue;
        }
        taken++;
        row->attempts++;
        row->claimed_at_ms = claim->now_ms;
        *out = delivery_of(row);
        out = &(*out)->next_attempt;
    }
    return PW_OK;
}

enum pw_status pw_outbox_record(struct pw_db *handle, const struct pw_delivery *list,
                                struct pw_outcome *outcome, struct pw_error *err)
{
    struct fake_db *db = db_of(handle);
    struct fake_row *row = &db->rows[list->delivery_id - 1];
    enum pw_status status;

    db->records++;
    if (fails(&db->fail_record, err, &status))
        return status;
    assert(row->claimed_at_ms != 0);
    row->claimed_at_ms = 0;
    (void)snprintf(row->last_error, sizeof row->last_error, "%.200s",
                   outcome->why != NULL ? outcome->why : "");
    if (outcome->kind == PW_OUTCOME_DELIVERED) {
        row->state = FAKE_DELIVERED;
    } else if (row->created_at_ms < outcome->dead_before_ms) {
        row->state = FAKE_DEAD;
        outcome->dead++;
    } else {
        row->next_attempt_at_ms = outcome->next_attempt_at_ms;
        row->failed_at_ms = pw_clock_wall_ms(pw_clock_system());
    }
    return PW_OK;
}

enum pw_status pw_outbox_turn_off(struct pw_db *handle, const char *hook, const char *target,
                                  const char *reason, int64_t now_ms, struct pw_error *err)
{
    struct fake_db *db = db_of(handle);

    (void)target, (void)reason, (void)now_ms, (void)err;
    (void)snprintf(db->off, sizeof db->off, "%s", hook);
    return PW_OK;
}

enum pw_status pw_outbox_turn_on(struct pw_db *handle, struct pw_error *err)
{
    (void)err;
    db_of(handle)->off[0] = '\0';
    return PW_OK;
}

enum pw_status pw_outbox_follow(struct pw_db *handle, const struct pw_router *router,
                                int64_t now_ms, struct pw_error *err)
{
    (void)handle, (void)router, (void)now_ms, (void)err;
    return PW_OK;
}

enum pw_status pw_outbox_standing(struct pw_db *handle, const char *hook, int64_t ended_since_ms,
                                  int64_t after_id, size_t max, struct pw_delivery **out,
                                  int64_t *last_id, struct pw_error *err)
{
    (void)handle, (void)hook, (void)ended_since_ms, (void)after_id, (void)max, (void)err;
    *out = NULL;
    *last_id = 0;
    return PW_OK;
}

enum pw_status pw_outbox_orphans(struct pw_db *handle, const char *const *hooks, size_t count,
                                 int64_t *total, char *text, size_t max_bytes, struct pw_error *err)
{
    struct fake_db *db = db_of(handle);

    (void)err;
    db->orphans++;
    *total = 1;
    (void)snprintf(text, max_bytes, "gone: 1\n");
    db->orphan_hooks[0] = '\0';
    for (size_t i = 0; i < count; i++)
        (void)snprintf(db->orphan_hooks + strlen(db->orphan_hooks),
                       sizeof db->orphan_hooks - strlen(db->orphan_hooks), "%s ", hooks[i]);
    return PW_OK;
}

/* Owing. The end of a matter goes to whoever was told, or will be told, that it began; read from
 * the deliveries of the past, whatever the rules say by now. Who never came to know of it, because
 * it was muted or over before it was due, does not hear of its end either. */
#include "store/owe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/muting.h"
#include "store/outbox.h"
#include "store/owed.h"

/* The deliveries of a matter, the newest first. The limit is far beyond what a matter comes to. */
#define MATTER_COLUMNS                                                                             \
    "SELECT d.delivery_id, d.hook, d.rule, d.state, d.wait, d.reason, e.type, e.to_status,"        \
    "       d.state = 'pending' AND d.attempts = 0 AND (d.wait_until > ?3 OR d.wait IS "           \
    "'escalation'), d.attempts > 0," /* of what a fleet.shift tells: whether that is still to be   \
                                        told itself */                                             \
    "       d.reason GLOB '" PW_SHIFT_REASON "*' AND EXISTS (SELECT 1 FROM delivery AS f"          \
    "         WHERE f.event_id = CAST(substr(d.reason, length('" PW_SHIFT_REASON "') + 1)"         \
    "                            AS INTEGER) AND f.hook = d.hook AND f.state = 'pending'"          \
    "           AND f.attempts = 0 AND f.wait IS 'escalation')"
#define MATTER_ORDER " ORDER BY e.event_id DESC, d.delivery_id LIMIT 5000"
static const char status_sql[] = MATTER_COLUMNS
    " FROM event AS e CROSS JOIN delivery AS d ON d.event_id = e.event_id"
    " WHERE e.node_id = ?1 AND e.event_id < ?2"
    "   AND (+e.type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.compliant',"
    "                    'io.patchwatch.node.flapping', 'io.patchwatch.node.settled')"
    "        OR (+e.type = 'io.patchwatch.node.discovered' AND e.to_status = "
    "'non_compliant'))" MATTER_ORDER;
static const char presence_sql[] = MATTER_COLUMNS
    " FROM event AS e CROSS JOIN delivery AS d ON d.event_id = e.event_id"
    " WHERE e.node_id = ?1 AND e.event_id < ?2"
    "   AND +e.type IN ('io.patchwatch.node.missing', 'io.patchwatch.node.returned')" MATTER_ORDER;
static const char source_sql[] =
    MATTER_COLUMNS " FROM event AS e CROSS JOIN delivery AS d ON d.event_id = e.event_id"
                   " WHERE e.node_id IS NULL AND e.source_id = ?1 AND e.event_id < ?2"
                   "   AND e.type IN ('io.patchwatch.source.failing', "
                   "'io.patchwatch.source.recovered')" MATTER_ORDER;
enum {
    COLUMN_DELIVERY_ID,
    COLUMN_HOOK,
    COLUMN_RULE,
    COLUMN_STATE,
    COLUMN_WAIT,
    COLUMN_REASON,
    COLUMN_TYPE,
    COLUMN_TO,
    COLUMN_IS_WAITING,
    COLUMN_IS_TRIED,
    COLUMN_IS_SHIFT_TO_COME
};

/* Who was told where retention took that event away. */
static const char node_told_sql[] =
    "SELECT hook, rule FROM told WHERE node_id = ?1 ORDER BY told_id";
static const char source_told_sql[] =
    "SELECT hook, rule FROM told WHERE node_id IS NULL AND source_id = ?1 ORDER BY told_id";
static const char forget_node_sql[] = "DELETE FROM told WHERE node_id = ?1";
static const char forget_source_sql[] = "DELETE FROM told WHERE node_id IS NULL AND source_id = ?1";

static const char cancel_sql[] =
    "UPDATE delivery SET state = 'dropped', wait = NULL, wait_until = NULL, held_by = NULL,"
    " reason = 'over before it was due' WHERE delivery_id = ?1";
static const char stay_muted_sql[] =
    "UPDATE delivery SET wait = NULL, wait_until = NULL WHERE delivery_id = ?1";
static const char stop_reminding_sql[] =
    "UPDATE delivery SET remind_at = NULL WHERE remind_at IS NOT NULL"
    " AND event_id IN (SELECT event_id FROM event WHERE node_id = ?1)";
static const char end_ack_sql[] = "UPDATE ack SET ended_at = ?2, ended_by = 'recovery'"
                                  " WHERE node_id = ?1 AND ended_at IS NULL";

/* What a hook knows of the matter. */
struct known {
    char *hook, *rule;
    bool was_told;     /* that it stands, or will be */
    bool is_decided;   /* older deliveries add nothing */
    const char *state; /* never told: of what ends it, too */
    bool is_done;      /* has got its delivery of the end */
};

/* What was about to be told of the matter, or is muted. */
struct untold {
    int64_t delivery_id;
    bool is_waiting; /* pending */
    bool is_flapping;
};

struct owing {
    struct pw_route_sink sink;
    struct pw_db *db;
    const struct pw_event *event;
    const struct pw_router *router;
    const struct pw_owing *terms;
    size_t *added;
    struct pw_error *err;
    struct pw_mute_verdict mute;
    struct known *known;
    size_t known_count, known_capacity;
    struct untold *untold;
    size_t untold_count, untold_capacity;
};

static struct known *find_known(struct owing *owing, struct pw_str hook)
{
    for (size_t i = 0; i < owing->known_count; i++) {
        if (pw_str_is(hook, owing->known[i].hook))
            return &owing->known[i];
    }
    return NULL;
}

static enum pw_status add_known(struct owing *owing, struct pw_str hook, struct known **out)
{
    struct known known = {.hook = NULL};

    if (owing->known_count == owing->known_capacity) {
        size_t capacity = owing->known_capacity == 0 ? 8 : owing->known_capacity * 2;
        struct known *items = realloc(owing->known, capacity * sizeof *items);

        if (items == NULL)
            return pw_fail_nomem(owing->err);
        owing->known = items;
        owing->known_capacity = capacity;
    }
    known.hook = pw_str_dup(hook);
    if (known.hook == NULL)
        return pw_fail_nomem(owing->err);
    *out = &owing->known[owing->known_count++];
    **out = known;
    return PW_OK;
}

static enum pw_status add_untold(struct owing *owing, struct untold untold)
{
    if (owing->untold_count == owing->untold_capacity) {
        size_t capacity = owing->untold_capacity == 0 ? 8 : owing->untold_capacity * 2;
        struct untold *items = realloc(owing->untold, capacity * sizeof *items);

        if (items == NULL)
            return pw_fail_nomem(owing->err);
        owing->untold = items;
        owing->untold_capacity = capacity;
    }
    owing->untold[owing->untold_count++] = untold;
    return PW_OK;
}

static void free_known(struct owing *owing)
{
    for (size_t i = 0; i < owing->known_count; i++) {
        free(owing->known[i].hook);
        free(owing->known[i].rule);
    }
    free(owing->known);
    free(owing->untold);
}

static bool begins_with(struct pw_str text, const char *prefix)
{
    return text.len >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

static bool is_end_row(sqlite3_stmt *statement)
{
    struct pw_str type = pw_db_column_str(statement, COLUMN_TYPE);

    return pw_str_is(type, "io.patchwatch.node.compliant") ||
           pw_str_is(type, "io.patchwatch.node.returned") ||
           pw_str_is(type, "io.patchwatch.source.recovered") ||
           (pw_str_is(type, "io.patchwatch.node.settled") &&
            pw_str_is(pw_db_column_str(statement, COLUMN_TO), "compliant"));
}

/* What a delivery says of what its hook knows. */
enum says {
    SAYS_NOTHING,
    SAYS_TOLD,    /* it knows that the matter stands */
    SAYS_ENDED,   /* it knows, or will know, that it does not */
    SAYS_WAITING, /* it was about to be told */
    SAYS_MUTED,
    SAYS_DROPPED
};

static enum says judge_row(sqlite3_stmt *statement)
{
    struct pw_str state = pw_db_column_str(statement, COLUMN_STATE);
    struct pw_str reason = pw_db_column_str(statement, COLUMN_REASON);
    bool is_end = is_end_row(statement);

    if (pw_str_is(state, "pending") || pw_str_is(state, "delivered") || pw_str_is(state, "dead")) {
        if (is_end)
            return SAYS_ENDED;
        return sqlite3_column_int(statement, COLUMN_IS_WAITING) != 0 ? SAYS_WAITING : SAYS_TOLD;
    }
    if (begins_with(reason, PW_SHIFT_REASON)) { /* told as part of it */
        if (is_end)
            return SAYS_ENDED;
        return sqlite3_column_int(statement, COLUMN_IS_SHIFT_TO_COME) != 0 ? SAYS_DROPPED
                                                                           : SAYS_TOLD;
    }
    /* Silenced, and of no consequence: what was told before them stands. */
    if (pw_str_is(reason, PW_FLAPPING_REASON) || pw_str_is(reason, PW_WENT_BACK_REASON) ||
        (is_end && pw_str_is(state, "dropped")))
        return SAYS_NOTHING;
    if (is_end) /* muted, and comes when the mute is over; or for good, with its problem */
        return pw_str_is(pw_db_column_str(statement, COLUMN_WAIT), "mute") ? SAYS_ENDED
                                                                           : SAYS_NOTHING;
    return pw_str_is(state, "muted") ? SAYS_MUTED : SAYS_DROPPED;
}

/* Of one hook the newest delivery comes first. What was never told is put aside, and what the hook
 * knows is looked for before it. */
static enum pw_status take_row(struct owing *owing, sqlite3_stmt *statement)
{
    struct pw_str hook = pw_db_column_str(statement, COLUMN_HOOK);
    struct known *known = find_known(owing, hook);
    enum says says = judge_row(statement);
    struct untold untold = {
        .delivery_id = sqlite3_column_int64(statement, COLUMN_DELIVERY_ID),
        .is_waiting = says == SAYS_WAITING,
        .is_flapping =
            pw_str_is(pw_db_column_str(statement, COLUMN_TYPE), "io.patchwatch.node.flapping"),
    };
    enum pw_status status = PW_OK;

    if (says == SAYS_NOTHING || (known != NULL && known->is_decided))
        return PW_OK;
    if (known == NULL)
        status = add_known(owing, hook, &known);
    if (status == PW_OK && (says == SAYS_WAITING || says == SAYS_MUTED))
        status = add_untold(owing, untold);
    if (status != PW_OK)
        return status;
    /* What was tried before it was muted may have been seen. */
    if (says == SAYS_MUTED && sqlite3_column_int(statement, COLUMN_IS_TRIED) != 0)
        says = SAYS_TOLD;
    known->is_decided = says == SAYS_TOLD || says == SAYS_ENDED;
    known->was_told = says == SAYS_TOLD;
    if (known->was_told) {
        known->rule = pw_str_dup(pw_db_column_str(statement, COLUMN_RULE));
        if (known->rule == NULL)
            return pw_fail_nomem(owing->err);
    }
    if (known->was_told) /* whatever it was not told after it */
        known->state = NULL;
    else if (!known->is_decided && known->state == NULL)
        known->state = says == SAYS_MUTED ? "muted" : "dropped";
    return PW_OK;
}

static enum pw_status read_known(struct owing *owing, const char *sql, int64_t of_id)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(owing->db, sql, &statement, owing->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, of_id);
    pw_db_bind_int(statement, 2, owing->event->sequence);
    pw_db_bind_int(statement, 3, owing->event->recorded_at_ms);
    while ((status = pw_db_step(owing->db, statement, &row, owing->err)) == PW_OK && row) {
        status = take_row(owing, statement);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

/* Who was told of it by an event that is no more. */
static enum pw_status take_told(struct owing *owing, sqlite3_stmt *statement)
{
    struct pw_str hook = pw_db_column_str(statement, 0);
    struct known *known = find_known(owing, hook);
    enum pw_status status = PW_OK;

    if (known != NULL && known->is_decided)
        return PW_OK;
    if (known == NULL)
        status = add_known(owing, hook, &known);
    if (status != PW_OK)
        return status;
    known->rule = pw_str_dup(pw_db_column_str(statement, 1));
    if (known->rule == NULL)
        return pw_fail_nomem(owing->err);
    known->is_decided = known->was_told = true;
    known->state = NULL;
    return PW_OK;
}

static enum pw_status read_told(struct owing *owing, const char *sql, int64_t of_id)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(owing->db, sql, &statement, owing->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, of_id);
    while ((status = pw_db_step(owing->db, statement, &row, owing->err)) == PW_OK && row) {
        status = take_told(owing, statement);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status run(struct owing *owing, const char *sql, int64_t first, int64_t second)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(owing->db, sql, &statement, owing->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
        pw_db_bind_int(statement, 2, second);
    return pw_db_run(owing->db, statement, owing->err);
}

/* Writing ------------------------------------------------------------------------------------- */

static enum pw_status sink_add(struct pw_route_sink *sink, const struct pw_owed *owed)
{
    struct owing *owing = (struct owing *)sink;
    const struct pw_owing *terms = owing->terms;
    struct known *known = find_known(owing, pw_str_of(owed->hook));
    bool is_end = pw_event_is_end(owing->event);
    struct pw_owed changed = *owed;
    struct pw_outbox_entry entry = {
        .event_id = owing->event->sequence,
        .owed = &changed,
        .muted_until_ms = PW_TIME_NONE,
        .held_by = terms != NULL ? terms->held_by : 0,
        .now_ms = owing->event->recorded_at_ms,
    };

    if (is_end)
        changed.after_ms = 0; /* who is told at all is told at once */
    if (is_end && known != NULL && !known->was_told && known->state != NULL) {
        entry.state = known->state;
        entry.reason = "what it ends was never told";
    } else if (terms != NULL && terms->muted_reason != NULL) {
        entry.state = "muted";
        entry.reason = terms->muted_reason;
    } else if (owing->mute.is_muted) {
        entry.state = "muted";
        entry.reason = owing->mute.reason;
        if (pw_event_outlives_mute(owing->event))
            entry.muted_until_ms = owing->mute.until_ms;
    }
    if (known != NULL)
        known->is_done = true;
    return pw_outbox_add(owing->db, &entry, owing->added, owing->err);
}

/* Those who know of the matter and whom no rule names. */
static enum pw_status tell_the_end(struct owing *owing)
{
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < owing->known_count && status == PW_OK; i++) {
        const struct known *known = &owing->known[i];

        if (known->was_told && !known->is_done)
            status = owing->router->recovery(owing->router, owing->event, known->hook, known->rule,
                                             &owing->sink);
    }
    return status;
}

/* That a node flaps stands until it settles, whatever its status is. */
static bool is_over(const struct owing *owing, const struct untold *untold)
{
    bool settles = owing->event->type == PW_EVENT_NODE_SETTLED;

    if (untold->is_flapping)
        return settles || owing->terms == NULL || owing->terms->muted_reason == NULL;
    return pw_event_is_end(owing->event);
}

/* What was about to be told of the matter need not be told any more; what is muted stays so. */
static enum pw_status settle_untold(struct owing *owing)
{
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < owing->untold_count && status == PW_OK; i++) {
        const struct untold *untold = &owing->untold[i];

        if (is_over(owing, untold))
            status = run(owing, untold->is_waiting ? cancel_sql : stay_muted_sql,
                         untold->delivery_id, 0);
    }
    return status;
}

static enum pw_status read_matter(struct owing *owing, int64_t source_id, int64_t node_id)
{
    enum pw_status status;

    switch (pw_matter_of(owing->event)) {
    case PW_MATTER_NONE:
        return PW_OK;
    case PW_MATTER_STATUS:
        status = read_known(owing, status_sql, node_id);
        return status == PW_OK ? read_told(owing, node_told_sql, node_id) : status;
    case PW_MATTER_PRESENCE:
        return read_known(owing, presence_sql, node_id);
    case PW_MATTER_SOURCE:
        status = read_known(owing, source_sql, source_id);
        return status == PW_OK ? read_told(owing, source_told_sql, source_id) : status;
    }
    return PW_OK;
}

/* Of a machine's presence only those are told whose rules say so. */
static enum pw_status end_matter(struct owing *owing, int64_t source_id, int64_t node_id)
{
    enum pw_matter matter = pw_matter_of(owing->event);
    bool is_silenced = owing->terms != NULL && owing->terms->muted_reason != NULL;
    enum pw_status status = settle_untold(owing);

    if (status == PW_OK && matter != PW_MATTER_PRESENCE)
        status = tell_the_end(owing);
    if (status == PW_OK && matter == PW_MATTER_STATUS)
        status = run(owing, stop_reminding_sql, node_id, 0);
    if (status != PW_OK || is_silenced) /* nobody hears of this end: it is still owed */
        return status;
    if (matter == PW_MATTER_STATUS)
        status = run(owing, forget_node_sql, node_id, 0);
    else if (matter == PW_MATTER_SOURCE)
        status = run(owing, forget_source_sql, source_id, 0);
    return status;
}

/* Told once more of what is muted still: the newest stands for all. */
static enum pw_status replace_muted(struct owing *owing)
{
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < owing->untold_count && status == PW_OK; i++) {
        if (!owing->untold[i].is_waiting)
            status = run(owing, stay_muted_sql, owing->untold[i].delivery_id, 0);
    }
    return status;
}

/* A node that settles bad: that it flapped is no news any more, and its reminders are the newest's.
 */
static enum pw_status replace_flapping(struct owing *owing, int64_t node_id)
{
    enum pw_status status = settle_untold(owing);

    return status == PW_OK ? run(owing, stop_reminding_sql, node_id, 0) : status;
}

enum pw_status pw_owe(struct pw_db *db, const struct pw_event *event, int64_t source_id,
                      int64_t node_id, const struct pw_router *router, const struct pw_owing *owing,
                      size_t *deliveries, struct pw_error *err)
{
    struct owing o = {.sink = {sink_add},
                      .db = db,
                      .event = event,
                      .router = router,
                      .terms = owing,
                      .added = deliveries,
                      .err = err};
    bool is_end = pw_event_is_end(event);
    enum pw_status status = PW_OK;

    if (is_end && pw_matter_of(event) == PW_MATTER_STATUS)
        status = run(&o, end_ack_sql, node_id, event->recorded_at_ms);
    if (status != PW_OK || router == NULL)
        return status;
    if (is_end || event->type == PW_EVENT_SOURCE_FAILING || event->type == PW_EVENT_NODE_SETTLED)
        status = read_matter(&o, source_id, node_id);
    if (status == PW_OK)
        status = pw_muting_judge(db, router, event, event->recorded_at_ms, &o.mute, err);
    if (status == PW_OK)
        status = router->route(router, event, &o.sink);
    for (size_t i = 0; owing != NULL && i < owing->also_count && status == PW_OK; i++)
        status = sink_add(&o.sink, &(struct pw_owed){.hook = owing->also[i].hook,
                                                     .rule = owing->also[i].rule,
                                                     .after_ms = owing->also[i].after_ms});
    if (status == PW_OK && is_end)
        status = end_matter(&o, source_id, node_id);
    else if (status == PW_OK && event->type == PW_EVENT_NODE_SETTLED)
        status = replace_flapping(&o, node_id);
    else if (status == PW_OK)
        status = replace_muted(&o);
    free_known(&o);
    return status;
}

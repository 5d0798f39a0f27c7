/* The breaker: what a sweep changed is told one by one only where that is not half the fleet. Until
 * it is decided the deliveries are held (delivery.held_by); a mass change waits for the next
 * complete sweep, and is told as one fleet.shift if it still stands then. Everything that is waited
 * for is in the rows of the source, so that no crash, restart or reload makes a difference. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "store/applying.h"
#include "store/owed.h"
#include "store/shift.h"

enum { MAX_DOUBTFUL_SWEEPS = 3 }; /* then it is told unconfirmed */

static const char put_sql[] = "UPDATE source SET shift_from = ?2, shift_since = ?3,"
                              " shift_sweeps = ?4 WHERE source_id = ?1";

/* What is held of some sweeps (?2 to ?3) of a source (?1). By the event's source, since retention
 * may take the row of a sweep. */
#define HELD_HERE                                                                                  \
    "held_by BETWEEN ?2 AND ?3 AND EXISTS (SELECT 1 FROM event AS e"                               \
    " WHERE e.event_id = delivery.event_id AND e.source_id = ?1)"
#define FLIPS "('io.patchwatch.node.compliant', 'io.patchwatch.node.non_compliant')"
#define PRESENCES "('io.patchwatch.node.missing', 'io.patchwatch.node.returned')"

static const char let_go_sql[] =
    "UPDATE delivery INDEXED BY delivery_held SET held_by = NULL WHERE " HELD_HERE;
/* A node that nobody knew is told of by itself, mass change or not. */
static const char let_discovered_go_sql[] =
    "UPDATE delivery INDEXED BY delivery_held SET held_by = NULL WHERE " HELD_HERE
    " AND (state <> 'pending' OR EXISTS (SELECT 1 FROM event AS e"
    "  WHERE e.event_id = delivery.event_id AND e.type = 'io.patchwatch.node.discovered'))";
/* Who is to be told only of what lasts is told of the whole later, too, see outbox_claim.c. */
static const char hooks_sql[] =
    "SELECT hook, min(rule), min(CASE WHEN wait IS 'escalation' THEN max(wait_until - ?4, 1)"
    "                             ELSE 0 END)"
    " FROM delivery INDEXED BY delivery_held"
    " WHERE state = 'pending' AND " HELD_HERE " GROUP BY hook";
/* What was superseded before anybody was told: all of a node that is as it was before, and of
 * another one all but what lasts. A recovery stays for a hook that knows of no later change. */
static const char end_superseded_sql[] =
    "UPDATE delivery INDEXED BY delivery_held SET state = ?4, reason = '" PW_WENT_BACK_REASON "',"
    " held_by = NULL, wait = NULL, wait_until = NULL, remind_at = NULL"
    " WHERE state IN ('pending', 'muted') AND held_by BETWEEN ?2 AND ?3 AND EXISTS"
    "  (SELECT 1 FROM event AS e CROSS JOIN temp.shift_node AS s ON s.node_id = e.node_id"
    "    WHERE e.event_id = delivery.event_id AND e.source_id = ?1 AND"
    "     ((e.type IN " FLIPS " AND (NOT s.flip_stands OR (e.event_id < s.last_flip AND"
    "       (s.now = 'non_compliant' OR e.to_status = 'non_compliant' OR EXISTS"
    "        (SELECT 1 FROM delivery AS l WHERE l.event_id = s.last_flip"
    "          AND l.hook = delivery.hook)))))"
    "      OR (e.type IN " PRESENCES
    "        AND (NOT s.presence_stands OR e.event_id < s.last_presence))))";
static const char end_shifted_sql[] =
    "UPDATE delivery INDEXED BY delivery_held SET state = 'muted', reason = ?4, held_by = NULL,"
    " wait = NULL, wait_until = NULL, remind_at = NULL WHERE " HELD_HERE;
/* A problem that ended and is back, with nobody told of either: who knew of it still does. */
static const char still_told_sql[] =
    "INSERT INTO told (source_id, node_id, event_id, hook, rule)"
    " SELECT ?1, s.node_id, d.event_id, d.hook, d.rule FROM temp.shift_node AS s"
    " CROSS JOIN delivery AS d ON d.event_id = s.first_flip"
    " WHERE s.was = 'non_compliant' AND s.now = 'non_compliant'"
    "   AND d.held_by IS NOT NULL AND d.state IN ('pending', 'muted')";
int64_t pw_applying_holder(const struct pw_applying *apply)
{
    return apply->params->mass_change_percent > 0 && apply->baseline_done ? apply->params->sweep_id
                                                                          : 0;
}

static enum pw_status put(struct pw_applying *apply, const struct pw_shifting *shifting)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, put_sql, &statement, apply->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int_or_null(statement, 2, shifting->from_sweep_id, 0);
    pw_db_bind_int_or_null(statement, 3, shifting->since_ms, PW_TIME_NONE);
    pw_db_bind_int(statement, 4, shifting->sweeps);
    apply->shifting = *shifting;
    return pw_db_run(apply->db, statement, apply->err);
}

enum pw_status pw_applying_undecided(struct pw_applying *apply)
{
    struct pw_shifting shifting = apply->shifting;

    if (!shifting.is_touched || shifting.from_sweep_id != 0 || pw_applying_holder(apply) == 0)
        return PW_OK;
    shifting.from_sweep_id = apply->params->sweep_id;
    return put(apply, &shifting);
}

/* Runs a statement over what is held; text (may be NULL) is its ?4. *rows (may be NULL) says how
 * many it changed. */
static enum pw_status run(struct pw_applying *apply, const char *sql,
                          const struct pw_shift_range *range, const char *text, size_t *rows)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, sql, &statement, apply->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, range->source_id);
    if (sqlite3_bind_parameter_count(statement) >= 3) {
        pw_db_bind_int(statement, 2, range->first_sweep_id);
        pw_db_bind_int(statement, 3, range->last_sweep_id);
    }
    if (text != NULL)
        pw_db_bind_text(statement, 4, text);
    status = pw_db_run(apply->db, statement, apply->err);
    (void)sqlite3_clear_bindings(statement);
    if (status == PW_OK && rows != NULL)
        *rows += (size_t)sqlite3_changes64(pw_db_handle(apply->db));
    return status;
}

static enum pw_status decided(struct pw_applying *apply)
{
    struct pw_shifting none = {.since_ms = PW_TIME_NONE};

    return apply->shifting.from_sweep_id != 0 ? put(apply, &none) : PW_OK;
}

static enum pw_status let_go(struct pw_applying *apply, const struct pw_shift_range *range)
{
    enum pw_status status = run(apply, let_go_sql, range, NULL, &apply->result->deliveries);

    return status == PW_OK ? decided(apply) : status;
}

static enum pw_status wait_for_confirmation(struct pw_applying *apply,
                                            const struct pw_shift_range *range,
                                            const struct pw_fleet_shift *shift)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_shifting shifting = {.from_sweep_id = range->first_sweep_id,
                                   .since_ms = params->now_ms};

    pw_log_warning("%s: %" PRId64 " of %" PRId64 " machines changed at once: nobody is told before "
                   "another sweep confirms it",
                   params->source_name, shift->nodes, shift->of_nodes);
    apply->result->shift_begun = true;
    return put(apply, &shifting);
}

/* What stands is told one by one after all. */
static enum pw_status not_confirmed(struct pw_applying *apply, const struct pw_shift_range *range,
                                    const struct pw_fleet_shift *shift)
{
    enum pw_status status = run(apply, still_told_sql, range, NULL, NULL);

    pw_log_notice("%s: the mass change was none: %" PRId64 " machines are as they were, of the "
                  "other %" PRId64 " each is told",
                  apply->params->source_name, shift->went_back, shift->nodes);
    if (status == PW_OK)
        status = run(apply, end_superseded_sql, range, "dropped", NULL);
    return status == PW_OK ? let_go(apply, range) : status;
}

static enum pw_status record_shift(struct pw_applying *apply, const struct pw_shift_range *range,
                                   const struct pw_fleet_shift *shift, int64_t *event_id)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_owed_list owed = {0};
    struct pw_owing owing = {0};
    struct pw_event event = {
        .type = PW_EVENT_FLEET_SHIFT,
        .cause = pw_shift_cause(shift),
        .source_name = params->source_name,
        .shift = shift,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = params->now_ms,
        .recorded_at_ms = params->now_ms,
    };
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, hooks_sql, &statement, apply->err);

    if (status == PW_OK) {
        pw_db_bind_int(statement, 1, range->source_id);
        pw_db_bind_int(statement, 2, range->first_sweep_id);
        pw_db_bind_int(statement, 3, range->last_sweep_id);
        pw_db_bind_int(statement, 4, params->now_ms);
        status = pw_owed_read(&owed, apply->db, statement, apply->err);
    }
    owing.also = owed.items;
    owing.also_count = owed.count;
    if (status == PW_OK)
        status = pw_event_record(apply->db, &event, params->source_id, 0, params->router, &owing,
                                 &apply->result->deliveries, apply->err);
    if (status == PW_OK)
        apply->result->events++;
    *event_id = event.sequence;
    pw_owed_free(&owed);
    return status;
}

/* One event instead of thousands. */
static enum pw_status tell_shift(struct pw_applying *apply, const struct pw_shift_range *range,
                                 struct pw_fleet_shift *shift)
{
    bool is_confirmed = apply->params->facts.outcome == PW_SWEEP_COMPLETE;
    char reason[sizeof PW_SHIFT_REASON + 24];
    int64_t event_id = 0;
    enum pw_status status;

    shift->is_confirmed = is_confirmed;
    shift->since_ms = apply->shifting.since_ms;
    pw_log_warning("%s: a mass change, %s: %" PRId64 " of %" PRId64 " machines, told as one",
                   apply->params->source_name,
                   is_confirmed ? "confirmed" : "which no complete sweep came to confirm",
                   shift->nodes, shift->of_nodes);
    status = run(apply, still_told_sql, range, NULL, NULL);
    if (status == PW_OK)
        status = run(apply, let_discovered_go_sql, range, NULL, &apply->result->deliveries);
    if (status == PW_OK)
        status = pw_shift_describe(apply->db, shift, apply->err);
    if (status == PW_OK)
        status = record_shift(apply, range, shift, &event_id);
    if (status == PW_OK)
        status = run(apply, end_superseded_sql, range, "muted", NULL);
    (void)snprintf(reason, sizeof reason, PW_SHIFT_REASON "%" PRId64, event_id);
    if (status == PW_OK)
        status = run(apply, end_shifted_sql, range, reason, NULL);
    return status == PW_OK ? decided(apply) : status;
}

static bool is_mass(const struct pw_apply_params *params, const struct pw_fleet_shift *shift)
{
    return shift->nodes >= params->mass_change_min &&
           shift->nodes * 100 > params->mass_change_percent * shift->of_nodes;
}

/* An incomplete sweep saw what it saw, but does not say that all is really so. True where it is to
 * be waited for another one. */
static bool is_doubtful(struct pw_applying *apply)
{
    const struct pw_sweep_facts *facts = &apply->params->facts;

    if (facts->outcome == PW_SWEEP_COMPLETE)
        return false;
    if (!facts->was_stopped)
        apply->shifting.sweeps++;
    return apply->shifting.sweeps < MAX_DOUBTFUL_SWEEPS;
}

enum pw_status pw_applying_shift(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_shifting *shifting = &apply->shifting;
    bool is_waiting = shifting->since_ms != PW_TIME_NONE;
    struct pw_shift_range range = {
        .source_id = params->source_id,
        .first_sweep_id = shifting->from_sweep_id != 0 ? shifting->from_sweep_id : params->sweep_id,
        .last_sweep_id = params->sweep_id,
    };
    struct pw_fleet_shift shift = {0};
    enum pw_status status;

    if (shifting->from_sweep_id == 0 && (!shifting->is_touched || pw_applying_holder(apply) == 0))
        return PW_OK;
    /* The plain case: what this sweep changed is all there is, and is little. A reload may have
     * turned the breaker off since something was held. */
    if (params->mass_change_percent == 0 ||
        (shifting->from_sweep_id == 0 && shifting->nodes < params->mass_change_min))
        return let_go(apply, &range);
    if (is_waiting && is_doubtful(apply)) {
        struct pw_shifting still = *shifting;

        return put(apply, &still);
    }
    status = pw_shift_gather(apply->db, &range, params->mass_change_min, &shift, apply->err);
    if (status != PW_OK)
        return status;
    if (!is_mass(params, &shift))
        status = is_waiting ? not_confirmed(apply, &range, &shift) : let_go(apply, &range);
    else
        status = is_waiting ? tell_shift(apply, &range, &shift)
                            : wait_for_confirmation(apply, &range, &shift);
    pw_shift_free(&shift);
    return status;
}

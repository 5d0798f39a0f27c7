/* Whether a source fails: counts its sweeps in a row that were not complete, and raises
 * source.failing and source.recovered with the transaction that ends a sweep. */
#include "store/applying.h"

static const char get_sql[] =
    "SELECT s.failed_sweeps, coalesce(s.failing_since, w.started_at), s.failing_told_at"
    "  FROM source AS s JOIN sweep AS w ON w.sweep_id = ?2 WHERE s.source_id = ?1";
static const char put_sql[] =
    "UPDATE source SET failed_sweeps = ?2, failing_since = ?3, failing_told_at = ?4"
    " WHERE source_id = ?1";

struct health {
    int64_t failed_sweeps;
    int64_t since_ms;
    int64_t told_at_ms; /* PW_TIME_NONE = nobody was told */
};

static enum pw_status read_health(struct pw_applying *apply, struct health *out)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, get_sql, &statement, apply->err);
    bool row;

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int(statement, 2, apply->params->sweep_id);
    status = pw_db_step(apply->db, statement, &row, apply->err);
    if (status == PW_OK && !row)
        status = pw_fail(apply->err, PW_ENOTFOUND, "the source or the sweep is gone");
    if (status == PW_OK) {
        out->failed_sweeps = sqlite3_column_int64(statement, 0);
        out->since_ms = sqlite3_column_int64(statement, 1);
        out->told_at_ms = pw_db_column_int_or(statement, 2, PW_TIME_NONE);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status write_health(struct pw_applying *apply, const struct health *health)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(apply->db, put_sql, &statement, apply->err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, apply->params->source_id);
    pw_db_bind_int(statement, 2, health->failed_sweeps);
    if (health->failed_sweeps > 0)
        pw_db_bind_int(statement, 3, health->since_ms);
    else
        pw_db_bind_null(statement, 3);
    pw_db_bind_int_or_null(statement, 4, health->told_at_ms, PW_TIME_NONE);
    return pw_db_run(apply->db, statement, apply->err);
}

static enum pw_status raise(struct pw_applying *apply, enum pw_event_type type,
                            enum pw_event_cause cause, const struct health *health)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_source_failure failure = {
        .sweeps = health->failed_sweeps,
        .since_ms = health->since_ms,
        .reason = params->facts.reason,
        .error_code = params->facts.error_code,
        .error_msg = params->facts.error_msg,
    };
    struct pw_event event = {
        .type = type,
        .cause = cause,
        .source_name = params->source_name,
        .failure = &failure,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = params->now_ms,
        .recorded_at_ms = params->now_ms,
    };
    enum pw_status status = pw_event_record(apply->db, &event, params->source_id, 0, params->router,
                                            NULL, &apply->result->deliveries, apply->err);

    if (status == PW_OK)
        apply->result->events++;
    return status;
}

enum pw_status pw_applying_health(struct pw_applying *apply)
{
    const struct pw_apply_params *params = apply->params;
    enum pw_sweep_outcome outcome = params->facts.outcome;
    struct health health;
    enum pw_status status;

    if (params->facts.was_stopped)
        return PW_OK;
    status = read_health(apply, &health);
    if (status != PW_OK)
        return status;
    if (outcome == PW_SWEEP_COMPLETE) {
        if (health.failed_sweeps == 0)
            return PW_OK;
        if (health.told_at_ms != PW_TIME_NONE)
            status = raise(apply, PW_EVENT_SOURCE_RECOVERED, PW_CAUSE_COMPLETE, &health);
        health = (struct health){.told_at_ms = PW_TIME_NONE};
    } else {
        health.failed_sweeps++;
        /* A clock that was set back must not silence the reminder for long. */
        if (health.failed_sweeps >= params->failing_after &&
            (health.told_at_ms == PW_TIME_NONE || health.told_at_ms > params->now_ms ||
             params->now_ms - health.told_at_ms >= params->failing_repeat_ms)) {
            status =
                raise(apply, PW_EVENT_SOURCE_FAILING,
                      outcome == PW_SWEEP_FAILED ? PW_CAUSE_FAILED : PW_CAUSE_INCOMPLETE, &health);
            health.told_at_ms = params->now_ms;
        }
    }
    return status == PW_OK ? write_health(apply, &health) : status;
}

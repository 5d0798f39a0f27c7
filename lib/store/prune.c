/* Retention: what is older than the cutoff goes, a few hundred rows a transaction. Events go from
 * the front of their chain only, so that what is left can still be proved. */
#include "store/care.h"

#include <stddef.h>

#include "base/clock.h"
#include "store/horizon.h"

enum {
    STEP_ROWS = 200,
    STEP_PAGES = 128,
    SPARE_PAGES = 256, /* free pages that the file keeps: the next rows need them again */
};

/* A wrong clock at one sweep of each of many sources is no agreement: four of one source are, that
 * got an answer. Under a wrong clock no certificate holds and no signature is good, so that sweeps
 * that saw no page say nothing of the time. The + keeps SQLite from sorting all of a source. */
static const char agreed_sql[] =
    "SELECT coalesce(max((SELECT w.started_at FROM sweep AS w"
    "                       WHERE +w.source_id = s.source_id"
    "                         AND (w.outcome = 'complete' OR w.pages > 0)"
    "                      ORDER BY w.sweep_id DESC LIMIT 1 OFFSET 3)),"
    "                (SELECT started_at FROM sweep ORDER BY sweep_id LIMIT 1)) FROM source AS s";

static const char reports_sql[] =
    "DELETE FROM report WHERE report_pk IN"
    " (SELECT r.report_pk FROM report AS r WHERE r.valid_to < ?1 ORDER BY r.valid_to LIMIT ?2)";

static const char front_sql[] = "SELECT min(event_id) FROM event";
/* The first event of the window that must stay. One whose time is still to come (the clock was
 * wrong) stands for that of the events behind it: where one of those is old, so is this. */
static const char stays_sql[] =
    "SELECT e.event_id FROM event AS e WHERE e.event_id BETWEEN ?1 AND ?2"
    " AND ((e.recorded_at >= ?3"
    "       AND NOT (e.recorded_at > ?4 AND EXISTS (SELECT 1 FROM event AS l"
    "                 WHERE +l.event_id > e.event_id AND l.recorded_at < ?3)))"
    " OR EXISTS (SELECT 1 FROM delivery AS d WHERE d.event_id = e.event_id"
    "             AND (d.state IN ('pending', 'dead')"
    "                  OR (d.state = 'muted' AND d.wait IS NOT NULL)))) ORDER BY e.event_id LIMIT "
    "1";
static const char last_sql[] = "SELECT event_id, chain_hash FROM event WHERE event_id <= ?1"
                               " ORDER BY event_id DESC LIMIT 1";
/* Who was told of a problem that is still open is owed its end. CROSS JOIN holds SQLite to this
 * order, from the few events that go to what belongs to them. */
static const char told_node_sql[] =
    "INSERT INTO told (source_id, node_id, event_id, hook, rule)"
    " SELECT e.source_id, e.node_id, e.event_id, d.hook, d.rule FROM event AS e"
    " CROSS JOIN node AS n ON n.node_id = e.node_id"
    "  AND (n.last_definite_status = 'non_compliant' OR n.flapping_since IS NOT NULL)"
    " CROSS JOIN delivery AS d ON d.event_id = e.event_id"
    "  AND (d.state = 'delivered' OR (d.state = 'muted' AND d.reason GLOB 'fleet.shift *'))"
    "  WHERE e.event_id <= ?1"
    "    AND ((n.last_definite_status = 'non_compliant' AND e.to_status = 'non_compliant'"
    "          AND +e.type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.discovered',"
    "                          'io.patchwatch.node.settled'))"
    "      OR (n.flapping_since IS NOT NULL AND +e.type = 'io.patchwatch.node.flapping'))"
    "    AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id = e.node_id"
    "                     AND l.event_id > e.event_id AND +l.type IN"
    "                      ('io.patchwatch.node.flapping', 'io.patchwatch.node.settled',"
    "                       CASE WHEN +e.type <> 'io.patchwatch.node.flapping'"
    "                        THEN 'io.patchwatch.node.non_compliant' END))";
static const char told_source_sql[] =
    "INSERT INTO told (source_id, event_id, hook, rule)"
    " SELECT e.source_id, e.event_id, d.hook, d.rule FROM event AS e"
    " CROSS JOIN source AS s ON s.source_id = e.source_id AND s.failing_told_at IS NOT NULL"
    " CROSS JOIN delivery AS d ON d.event_id = e.event_id AND d.state = 'delivered'"
    "  WHERE e.event_id <= ?1 AND e.node_id IS NULL AND +e.type = 'io.patchwatch.source.failing'"
    "    AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id IS NULL"
    "                     AND l.source_id = e.source_id AND l.event_id > e.event_id"
    "                     AND l.type = 'io.patchwatch.source.failing')";
static const char drop_deliveries_sql[] = "DELETE FROM delivery WHERE event_id <= ?1";
static const char drop_events_sql[] = "DELETE FROM event WHERE event_id <= ?1";

static const char sweep_window_sql[] =
    "SELECT max(w.sweep_id), min(w.started_at >= ?3) FROM"
    " (SELECT sweep_id, started_at FROM sweep WHERE sweep_id > ?1 ORDER BY sweep_id LIMIT ?2) AS w";
static const char drop_sweeps_sql[] =
    "DELETE FROM sweep WHERE sweep_id > ?1 AND sweep_id <= ?2 AND outcome <> 'running'"
    " AND started_at < ?3 AND ended_at < ?3"
    " AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.sweep_id = sweep.sweep_id)"
    " AND NOT EXISTS (SELECT 1 FROM source AS s WHERE s.last_complete_sweep_id = sweep.sweep_id)";

static const char drop_nodes_sql[] =
    "DELETE FROM node WHERE node_id IN"
    " (SELECT n.node_id FROM node AS n WHERE n.missing_since < ?1"
    "    AND NOT EXISTS (SELECT 1 FROM report AS r WHERE r.node_id = n.node_id)"
    "    AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.node_id = n.node_id)"
    "    AND NOT EXISTS (SELECT 1 FROM told AS t WHERE t.node_id = n.node_id)"
    "    AND NOT EXISTS (SELECT 1 FROM ack AS a WHERE a.node_id = n.node_id) LIMIT ?2)";
/* What people said about alerts goes with the alerts; an ack of a machine that is gone with it. */
static const char drop_acks_sql[] = "DELETE FROM ack WHERE ended_at < ?1 OR node_id IN"
                                    " (SELECT n.node_id FROM node AS n WHERE n.missing_since < ?1)";
static const char drop_mutes_sql[] = "DELETE FROM mute WHERE until_at < ?1";

static const char space_sql[] = "SELECT (SELECT auto_vacuum FROM pragma_auto_vacuum()),"
                                " (SELECT freelist_count FROM pragma_freelist_count())";
static const char vacuum_sql[] = "PRAGMA incremental_vacuum(128)";
_Static_assert(STEP_PAGES == 128, "vacuum_sql says how many pages");

/* Runs a statement with up to three numbers; *changed (may be NULL) is how many rows it touched. */
static enum pw_status run(struct pw_db *db, const char *sql, const int64_t *values, int count,
                          int64_t *changed, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);

    if (status != PW_OK)
        return status;
    for (int i = 0; i < count; i++)
        pw_db_bind_int(statement, i + 1, values[i]);
    status = pw_db_run(db, statement, err);
    if (status == PW_OK && changed != NULL)
        *changed = sqlite3_changes64(pw_db_handle(db));
    return status;
}

/* The first row of a query of two numbers; `none` where they are NULL or there is no row. */
static enum pw_status look(struct pw_db *db, const char *sql, const int64_t *values, int count,
                           int64_t none, int64_t out[2], struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);
    bool row;

    out[0] = out[1] = none;
    if (status != PW_OK)
        return status;
    for (int i = 0; i < count; i++)
        pw_db_bind_int(statement, i + 1, values[i]);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        out[0] = pw_db_column_int_or(statement, 0, none);
        if (sqlite3_column_count(statement) > 1)
            out[1] = pw_db_column_int_or(statement, 1, none);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static void next_stage(struct pw_prune *prune)
{
    prune->stage++;
    prune->cursor = 0;
}

/* The stages ------------------------------------------------------------------------------------
 */

static enum pw_status prune_reports(struct pw_db *db, struct pw_prune *prune, int64_t now_ms,
                                    struct pw_error *err)
{
    int64_t gone = 0;
    enum pw_status status =
        run(db, reports_sql, (const int64_t[]){prune->cutoff_ms, STEP_ROWS}, 2, &gone, err);

    prune->reports += gone;
    if (status == PW_OK && gone > 0)
        status = pw_horizon_move(db, prune->cutoff_ms, now_ms, err);
    if (status == PW_OK && gone < STEP_ROWS)
        next_stage(prune);
    return status;
}

/* The last event that may go in this step; event_id 0: none. */
static enum pw_status find_last(struct pw_db *db, const struct pw_prune *prune, int64_t now_ms,
                                struct pw_chain_link *out, struct pw_error *err)
{
    int64_t front[2], stays[2], end;
    sqlite3_stmt *statement;
    bool row;
    enum pw_status status = look(db, front_sql, NULL, 0, 0, front, err);

    *out = (struct pw_chain_link){0};
    if (status != PW_OK || front[0] == 0)
        return status;
    end = front[0] + STEP_ROWS - 1;
    status = look(db, stays_sql, (const int64_t[]){front[0], end, prune->cutoff_ms, now_ms}, 4, 0,
                  stays, err);
    if (status != PW_OK || stays[0] == front[0])
        return status;
    if (stays[0] != 0)
        end = stays[0] - 1;
    status = pw_db_prepare(db, last_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, end);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        out->event_id = sqlite3_column_int64(statement, 0);
        (void)pw_chain_hash_read(statement, 1, out->hash);
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status prune_events(struct pw_db *db, struct pw_prune *prune, int64_t now_ms,
                                   struct pw_error *err)
{
    struct pw_chain_link last;
    int64_t events = 0, deliveries = 0;
    enum pw_status status = find_last(db, prune, now_ms, &last, err);

    if (status != PW_OK)
        return status;
    if (last.event_id == 0) {
        next_stage(prune);
        return PW_OK;
    }
    status = run(db, told_node_sql, &last.event_id, 1, NULL, err);
    if (status == PW_OK)
        status = run(db, told_source_sql, &last.event_id, 1, NULL, err);
    if (status == PW_OK)
        status = run(db, drop_deliveries_sql, &last.event_id, 1, &deliveries, err);
    if (status == PW_OK)
        status = run(db, drop_events_sql, &last.event_id, 1, &events, err);
    if (status == PW_OK)
        status = pw_chain_set_anchor(db, &last, prune->cutoff_ms, now_ms, err);
    prune->events += events;
    prune->deliveries += deliveries;
    return status;
}

static enum pw_status prune_sweeps(struct pw_db *db, struct pw_prune *prune, struct pw_error *err)
{
    int64_t window[2], gone = 0;
    enum pw_status status =
        look(db, sweep_window_sql, (const int64_t[]){prune->cursor, STEP_ROWS, prune->cutoff_ms}, 3,
             0, window, err);

    if (status != PW_OK)
        return status;
    if (window[0] != 0)
        status = run(db, drop_sweeps_sql,
                     (const int64_t[]){prune->cursor, window[0], prune->cutoff_ms}, 3, &gone, err);
    prune->sweeps += gone;
    prune->cursor = window[0];
    if (status == PW_OK && (window[0] == 0 || window[1] != 0))
        next_stage(prune); /* the rest began after the cutoff */
    return status;
}

static enum pw_status prune_nodes(struct pw_db *db, struct pw_prune *prune, int64_t now_ms,
                                  struct pw_error *err)
{
    int64_t gone = 0;
    enum pw_status status = run(db, drop_acks_sql, &prune->cutoff_ms, 1, NULL, err);

    if (status == PW_OK)
        status = run(db, drop_mutes_sql, &prune->cutoff_ms, 1, NULL, err);
    if (status == PW_OK)
        status =
            run(db, drop_nodes_sql, (const int64_t[]){prune->cutoff_ms, STEP_ROWS}, 2, &gone, err);
    prune->nodes += gone;
    if (status == PW_OK && gone > 0)
        status = pw_horizon_move(db, prune->cutoff_ms, now_ms, err);
    if (status == PW_OK && gone < STEP_ROWS)
        next_stage(prune);
    return status;
}

/* Files of versions before 3 cannot give pages back; those are used again. */
static enum pw_status free_space(struct pw_db *db, struct pw_prune *prune, struct pw_error *err)
{
    enum { INCREMENTAL = 2 };
    int64_t space[2];
    enum pw_status status = look(db, space_sql, NULL, 0, 0, space, err);

    if (status != PW_OK)
        return status;
    if (space[0] != INCREMENTAL || space[1] < SPARE_PAGES + STEP_PAGES) {
        next_stage(prune);
        return PW_OK;
    }
    status = pw_db_exec(db, vacuum_sql, err);
    if (status == PW_OK)
        prune->pages += STEP_PAGES;
    return status;
}

enum pw_status pw_prune_begin(struct pw_db *db, struct pw_prune *prune, int64_t retention_ms,
                              int64_t now_ms, struct pw_error *err)
{
    int64_t agreed[2];
    enum pw_status status = look(db, agreed_sql, NULL, 0, now_ms, agreed, err);

    *prune =
        (struct pw_prune){.cutoff_ms = now_ms - retention_ms, .doubted_since_ms = PW_TIME_NONE};
    if (status == PW_OK && now_ms - agreed[0] > PW_PRUNE_DOUBT_MS) {
        prune->doubted_since_ms = agreed[0];
        prune->cutoff_ms = agreed[0] - retention_ms;
    }
    return status;
}

enum pw_status pw_prune_step(struct pw_db *db, struct pw_prune *prune, int64_t now_ms,
                             struct pw_error *err)
{
    struct pw_prune after = *prune;
    enum pw_status status = pw_db_begin(db, err);

    if (status != PW_OK)
        return status;
    switch (after.stage) {
    case PW_PRUNE_REPORTS:
        status = prune_reports(db, &after, now_ms, err);
        break;
    case PW_PRUNE_EVENTS:
        status = prune_events(db, &after, now_ms, err);
        break;
    case PW_PRUNE_SWEEPS:
        status = prune_sweeps(db, &after, err);
        break;
    case PW_PRUNE_NODES:
        status = prune_nodes(db, &after, now_ms, err);
        break;
    case PW_PRUNE_SPACE:
        status = free_space(db, &after, err);
        break;
    case PW_PRUNE_DONE:
        break;
    }
    if (status == PW_OK)
        status = pw_db_commit(db, err);
    if (status == PW_OK)
        *prune = after;
    else
        pw_db_rollback(db);
    return status;
}

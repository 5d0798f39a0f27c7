/* What a mass change consists of: nodes, kinds, causes, baselines, regions. */
#include <stdlib.h>

#include "store/shift.h"

static const char create_sql[] =
    "CREATE TEMP TABLE IF NOT EXISTS shift_node (node_id INTEGER PRIMARY KEY,"
    " first_flip INTEGER, last_flip INTEGER, first_presence INTEGER, last_presence INTEGER,"
    " last_flapping INTEGER, last_settled INTEGER, was TEXT, now TEXT, is_missing INTEGER NOT NULL,"
    " flip_stands INTEGER NOT NULL, presence_stands INTEGER NOT NULL,"
    " flapping_stands INTEGER NOT NULL, settled_stands INTEGER NOT NULL, told_by INTEGER)";
static const char clear_sql[] = "DELETE FROM temp.shift_node";
/* A node that has been flapping since before is not counted for going on with it. */
static const char gather_sql[] =
    "WITH change AS ("
    " SELECT e.node_id AS node_id,"
    "  min(e.event_id) FILTER (WHERE e.type IN ('io.patchwatch.node.compliant',"
    "   'io.patchwatch.node.non_compliant')) AS first_flip,"
    "  max(e.event_id) FILTER (WHERE e.type IN ('io.patchwatch.node.compliant',"
    "   'io.patchwatch.node.non_compliant')) AS last_flip,"
    "  min(e.event_id) FILTER (WHERE e.type IN ('io.patchwatch.node.missing',"
    "   'io.patchwatch.node.returned')) AS first_presence,"
    "  max(e.event_id) FILTER (WHERE e.type IN ('io.patchwatch.node.missing',"
    "   'io.patchwatch.node.returned')) AS last_presence,"
    "  max(e.event_id) FILTER (WHERE e.type = 'io.patchwatch.node.settled') AS last_settled,"
    "  max(e.event_id) FILTER (WHERE e.type = 'io.patchwatch.node.flapping') AS flapping"
    "  FROM event AS e INDEXED BY event_by_sweep"
    "  WHERE e.sweep_id BETWEEN ?2 AND ?3 AND e.source_id = ?1 AND e.node_id IS NOT NULL"
    "  GROUP BY e.node_id)"
    " INSERT INTO temp.shift_node"
    " SELECT c.node_id, c.first_flip, c.last_flip, c.first_presence, c.last_presence,"
    "  c.flapping, c.last_settled, f.from_status, n.last_definite_status, n.missing_since IS NOT "
    "NULL,"
    "  c.first_flip IS NOT NULL AND f.from_status IS NOT n.last_definite_status"
    "   AND (n.flapping_since IS NULL OR c.flapping IS NOT NULL),"
    "  c.first_presence IS NOT NULL AND"
    "   (p.type = 'io.patchwatch.node.missing') = (n.missing_since IS NOT NULL),"
    "  c.flapping IS NOT NULL AND n.flapping_since IS NOT NULL,"
    "  c.last_settled IS NOT NULL AND n.flapping_since IS NULL, NULL"
    "  FROM change AS c CROSS JOIN node AS n ON n.node_id = c.node_id"
    "  LEFT JOIN event AS f ON f.event_id = c.first_flip"
    "  LEFT JOIN event AS p ON p.event_id = c.first_presence";
static const char told_by_sql[] =
    "UPDATE temp.shift_node SET told_by = CASE WHEN flip_stands THEN last_flip"
    " WHEN presence_stands THEN last_presence WHEN flapping_stands THEN last_flapping"
    " ELSE last_settled END"
    " WHERE flip_stands OR presence_stands OR flapping_stands OR settled_stands";
static const char count_sql[] =
    "SELECT count(told_by),"
    " count(*) FILTER (WHERE told_by IS NULL"
    "                  AND (first_flip IS NOT NULL OR first_presence IS NOT NULL)),"
    " count(*) FILTER (WHERE flip_stands AND now = 'non_compliant'),"
    " count(*) FILTER (WHERE flip_stands AND now = 'compliant'),"
    " count(*) FILTER (WHERE presence_stands AND is_missing),"
    " count(*) FILTER (WHERE presence_stands AND NOT is_missing),"
    " count(*) FILTER (WHERE flapping_stands), count(*) FILTER (WHERE settled_stands) FROM "
    "temp.shift_node";
enum { COUNT_NODES, COUNT_WENT_BACK, COUNT_FIRST_KIND };
static const char present_sql[] =
    "SELECT count(*) FROM node WHERE source_id = ?1 AND missing_since IS NULL";
static const char causes_sql[] =
    "SELECT e.cause, count(*) FROM temp.shift_node AS s CROSS JOIN event AS e"
    " ON e.event_id = s.told_by GROUP BY e.cause";
static const char baselines_sql[] =
    "SELECT json_extract(e.data, '$.data.report.baseline_id') AS id,"
    " max(json_extract(e.data, '$.data.report.baseline_name')), count(*)"
    " FROM temp.shift_node AS s CROSS JOIN event AS e ON e.event_id = s.told_by"
    " WHERE json_valid(e.data) GROUP BY id ORDER BY 3 DESC, 1 LIMIT 5";
static const char regions_sql[] =
    "SELECT NULL, n.region, count(*) FROM temp.shift_node AS s"
    " CROSS JOIN node AS n ON n.node_id = s.node_id WHERE s.told_by IS NOT NULL"
    " GROUP BY n.region ORDER BY 3 DESC, 2 LIMIT 5";
static const char examples_sql[] =
    "SELECT n.node_key, n.name, CASE WHEN s.flip_stands THEN s.now <> 'non_compliant'"
    " WHEN s.presence_stands THEN 3 - s.is_missing ELSE 5 - s.flapping_stands END"
    " FROM temp.shift_node AS s CROSS JOIN node AS n ON n.node_id = s.node_id"
    " WHERE s.told_by IS NOT NULL ORDER BY s.told_by LIMIT 20";
_Static_assert(PW_SHIFT_TOP == 5 && PW_SHIFT_EXAMPLES == 20, "the statements say how many");
_Static_assert(PW_SHIFT_TO_COMPLIANT == 1 && PW_SHIFT_MISSING == 2 && PW_SHIFT_RETURNED == 3 &&
                   PW_SHIFT_FLAPPING == 4 && PW_SHIFT_SETTLED == 5,
               "examples_sql goes by these");

static enum pw_status fill(struct pw_db *db, const struct pw_shift_range *range,
                           struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_exec(db, create_sql, err);

    if (status == PW_OK)
        status = pw_db_exec(db, clear_sql, err);
    if (status == PW_OK)
        status = pw_db_prepare(db, gather_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, range->source_id);
    pw_db_bind_int(statement, 2, range->first_sweep_id);
    pw_db_bind_int(statement, 3, range->last_sweep_id);
    status = pw_db_run(db, statement, err);
    return status == PW_OK ? pw_db_exec(db, told_by_sql, err) : status;
}

static enum pw_status count_nodes(struct pw_db *db, struct pw_fleet_shift *out,
                                  struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, count_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        out->nodes = sqlite3_column_int64(statement, COUNT_NODES);
        out->went_back = sqlite3_column_int64(statement, COUNT_WENT_BACK);
        for (int kind = 0; kind < PW_SHIFT_KIND_COUNT; kind++)
            out->by_kind[kind] = sqlite3_column_int64(statement, COUNT_FIRST_KIND + kind);
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_shift_gather(struct pw_db *db, const struct pw_shift_range *range,
                               int64_t min_nodes, struct pw_fleet_shift *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = fill(db, range, err);
    bool row;

    *out = (struct pw_fleet_shift){.first_sweep_id = range->first_sweep_id};
    if (status == PW_OK)
        status = count_nodes(db, out, err);
    if (status != PW_OK || out->nodes < min_nodes)
        return status;
    status = pw_db_prepare(db, present_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, range->source_id);
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row)
        out->of_nodes = sqlite3_column_int64(statement, 0) + out->by_kind[PW_SHIFT_MISSING];
    (void)sqlite3_reset(statement);
    if (out->of_nodes > 0)
        out->share_ppm = out->nodes * 1000000 / out->of_nodes;
    return status;
}

/* NULL stays NULL: *out says what there is, the status whether memory sufficed. */
static enum pw_status copy_text(sqlite3_stmt *statement, int column, char **out,
                                struct pw_error *err)
{
    struct pw_str text = pw_db_column_str(statement, column);

    *out = NULL;
    if (text.data == NULL)
        return PW_OK;
    *out = pw_str_dup(text);
    return *out != NULL ? PW_OK : pw_fail_nomem(err);
}

static enum pw_status read_causes(struct pw_db *db, struct pw_fleet_shift *out,
                                  struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, causes_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row)
        out->by_cause[pw_event_cause_of(pw_db_column_str(statement, 0))] +=
            sqlite3_column_int64(statement, 1);
    return status;
}

static enum pw_status read_shares(struct pw_db *db, const char *sql, struct pw_shift_share *shares,
                                  size_t *count, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        struct pw_shift_share *share = &shares[(*count)++];

        share->nodes = sqlite3_column_int64(statement, 2);
        status = copy_text(statement, 0, &share->id, err);
        if (status == PW_OK)
            status = copy_text(statement, 1, &share->name, err);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

static enum pw_status read_examples(struct pw_db *db, struct pw_fleet_shift *out,
                                    struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, examples_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        struct pw_shift_example *example = &out->examples[out->example_count++];

        example->kind = (enum pw_shift_kind)sqlite3_column_int(statement, 2);
        status = copy_text(statement, 0, &example->node_key, err);
        if (status == PW_OK)
            status = copy_text(statement, 1, &example->name, err);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_shift_describe(struct pw_db *db, struct pw_fleet_shift *out, struct pw_error *err)
{
    enum pw_status status = read_causes(db, out, err);

    if (status == PW_OK)
        status = read_shares(db, baselines_sql, out->baselines, &out->baseline_count, err);
    if (status == PW_OK)
        status = read_shares(db, regions_sql, out->regions, &out->region_count, err);
    return status == PW_OK ? read_examples(db, out, err) : status;
}

void pw_shift_free(struct pw_fleet_shift *shift)
{
    for (size_t i = 0; i < PW_SHIFT_TOP; i++) {
        free(shift->baselines[i].id);
        free(shift->baselines[i].name);
        free(shift->regions[i].id);
        free(shift->regions[i].name);
    }
    for (size_t i = 0; i < PW_SHIFT_EXAMPLES; i++) {
        free(shift->examples[i].node_key);
        free(shift->examples[i].name);
    }
    *shift = (struct pw_fleet_shift){0};
}

enum pw_event_cause pw_shift_cause(const struct pw_fleet_shift *shift)
{
    enum pw_event_cause best = PW_CAUSE_NONE;

    for (int cause = PW_CAUSE_NONE + 1; cause < PW_CAUSE_COUNT; cause++) {
        if (shift->by_cause[cause] > shift->by_cause[best] || best == PW_CAUSE_NONE)
            best = (enum pw_event_cause)cause;
    }
    return shift->by_cause[best] > 0 ? best : PW_CAUSE_NONE;
}

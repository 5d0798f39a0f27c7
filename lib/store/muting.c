/* The two places that mutes come from, asked as one. */
#include "store/muting.h"

#include <inttypes.h>
#include <stdio.h>

#define LOOK_AGAIN_MS INT64_C(300000)

static const char active_sql[] =
    "SELECT mute_id, match, until_at, comment, author FROM mute"
    " WHERE (from_at IS NULL OR from_at <= ?1) AND (until_at IS NULL OR until_at > ?1)"
    " ORDER BY mute_id";

enum pw_status pw_muting_is_on(struct pw_db *db, const struct pw_router *router, int64_t now_ms,
                               bool *on, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;

    *on = router != NULL && router->has_mutes(router);
    if (*on || router == NULL)
        return PW_OK;
    status = pw_db_prepare(db, active_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, now_ms);
    status = pw_db_step(db, statement, on, err);
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_muting_judge(struct pw_db *db, const struct pw_router *router,
                               const struct pw_event *event, int64_t now_ms,
                               struct pw_mute_verdict *verdict, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status;
    bool row;

    *verdict = (struct pw_mute_verdict){0};
    if (router == NULL)
        return PW_OK;
    router->mute(router, event, now_ms, verdict);
    status = pw_db_prepare(db, active_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, now_ms);
    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        int64_t until_ms = pw_db_column_int_or(statement, 2, INT64_MAX);

        if (!router->match_json(router, pw_db_column_str(statement, 1), event) ||
            (verdict->is_muted && until_ms <= verdict->until_ms))
            continue;
        verdict->is_muted = true;
        verdict->until_ms = until_ms;
        (void)snprintf(verdict->reason, sizeof verdict->reason, "mute %" PRId64 " by %.*s",
                       (int64_t)sqlite3_column_int64(statement, 0),
                       PW_STR_ARG(pw_db_column_str(statement, 4)));
    }
    (void)sqlite3_reset(statement);
    if (verdict->is_muted && verdict->until_ms > now_ms + LOOK_AGAIN_MS)
        verdict->until_ms = now_ms + LOOK_AGAIN_MS;
    return status;
}

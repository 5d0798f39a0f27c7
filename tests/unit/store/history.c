/* A small fleet for the store's tests. */
#include "history.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/record.h"
#include "store/snapshot.h"

enum { MAX_NODES = 600 };

static char findings[65536];
static struct pw_verify_result last_result;

int64_t open_prod(struct pw_db *db)
{
    struct pw_source_row source;
    struct pw_error err = {PW_OK, ""};

    if (pw_source_open(db, "prod", "https://x", &source, &err) != PW_OK)
        fail_msg("%s", err.message);
    return source.source_id;
}

static enum pw_status tell_pager(const struct pw_router *router, const struct pw_event *event,
                                 struct pw_route_sink *sink)
{
    (void)router;
    return event->type == PW_EVENT_NODE_NON_COMPLIANT
               ? sink->add(sink, &(struct pw_owed){.hook = "pager", .rule = "all"})
               : PW_OK;
}

static enum pw_status tell_recovery(const struct pw_router *router, const struct pw_event *event,
                                    const char *hook, const char *rule, struct pw_route_sink *sink)
{
    (void)router, (void)event;
    return sink->add(sink, &(struct pw_owed){.hook = hook, .rule = rule});
}

static void mute_nothing(const struct pw_router *router, const struct pw_event *event,
                         int64_t now_ms, struct pw_mute_verdict *verdict)
{
    (void)router, (void)event, (void)now_ms, (void)verdict;
}

static bool match_nothing(const struct pw_router *router, struct pw_str match,
                          const struct pw_event *event)
{
    (void)router, (void)match, (void)event;
    return false;
}

static int64_t never(const struct pw_router *router, const char *hook, const char *rule)
{
    (void)router, (void)hook, (void)rule;
    return 0;
}

static int64_t one(const struct pw_router *router, const char *rule)
{
    (void)router, (void)rule;
    return 1;
}

static bool has_none(const struct pw_router *router)
{
    (void)router;
    return false;
}

struct pw_router router_of(enum pw_status (*route)(const struct pw_router *router,
                                                   const struct pw_event *event,
                                                   struct pw_route_sink *sink))
{
    return (struct pw_router){
        .route = route,
        .recovery = tell_recovery,
        .repeat_ms = never,
        .group_max = one,
        .has_mutes = has_none,
        .mute = mute_nothing,
        .match_json = match_nothing,
    };
}

/* The time at which the node came to what it is: that of its current version, else now. */
static int64_t report_time(struct pw_db *db, int64_t source_id, int node, const char *status,
                           int64_t now_ms)
{
    char sql[512];

    (void)snprintf(sql, sizeof sql,
                   "SELECT ifnull((SELECT r.report_time FROM report AS r JOIN node AS n"
                   " USING (node_id) WHERE n.source_id = %lld AND n.node_key = 'ECS/i-%d'"
                   " AND r.valid_to IS NULL AND r.status = '%s'), %lld)",
                   (long long)source_id, node, status, (long long)now_ms);
    return number(db, sql);
}

static int by_node(const void *a, const void *b)
{
    uint32_t left = ((const struct pw_unseen *)a)->node_id;
    uint32_t right = ((const struct pw_unseen *)b)->node_id;

    return (left > right) - (left < right);
}

static size_t list_unseen(struct pw_db *db, int64_t source_id, const char *letters,
                          struct pw_unseen *out)
{
    size_t count = 0;

    for (int i = 0; letters[i] != '\0'; i++) {
        char sql[256], key[32];
        int64_t node_id;

        (void)snprintf(key, sizeof key, "ECS/i-%d", i);
        (void)snprintf(sql, sizeof sql,
                       "SELECT ifnull((SELECT node_id FROM node JOIN report USING (node_id)"
                       " WHERE source_id = %lld AND node_key = '%s' AND valid_to IS NULL), 0)",
                       (long long)source_id, key);
        node_id = letters[i] == '-' ? number(db, sql) : 0;
        if (node_id != 0)
            out[count++] =
                (struct pw_unseen){.node_id = (uint32_t)node_id,
                                   .key = pw_report_key_of(pw_str_of(key), pw_str_of("base"))};
    }
    qsort(out, count, sizeof *out, by_node);
    return count;
}

struct pw_apply_result sweep_with(struct pw_db *db, const char *letters,
                                  const struct pw_apply_params *given)
{
    static char ids[MAX_NODES][32];
    static struct pw_report reports[MAX_NODES];
    static struct pw_unseen unseen[MAX_NODES];
    struct pw_apply_params params = *given;
    struct pw_apply_result result;
    struct pw_error err = {PW_OK, ""};
    size_t count = 0;

    assert_true(strlen(letters) <= MAX_NODES);
    for (int i = 0; letters[i] != '\0'; i++) {
        const char *status = letters[i] == 'c'   ? "compliant"
                             : letters[i] == 'n' ? "non_compliant"
                                                 : "odd";
        if (letters[i] == '-')
            continue;
        (void)snprintf(ids[i], sizeof ids[i], "i-%d", i);
        reports[count] = (struct pw_report){
            .instance_id = pw_str_of(ids[i]),
            .report_scene = pw_str_of("ECS"),
            .id = pw_str_of(ids[i]),
            .baseline_id = pw_str_of("base"),
            .status_text = pw_str_of(status),
            .status = pw_compliance_of(pw_str_of(status)),
            .compliant = {.total = 1},
            .non_compliant = {.total = letters[i] == 'n'},
            .place = (int64_t)count,
        };
        reports[count].report_time_ms = report_time(
            db, params.source_id, i, pw_compliance_name(reports[count].status), params.now_ms);
        count++;
    }
    if (pw_apply_begin(db, params.source_id, params.now_ms, &params.sweep_id, &err) != PW_OK ||
        pw_apply_stage(db, params.sweep_id, reports, count, &err) != PW_OK)
        fail_msg("%s", err.message);
    params.facts.records = params.facts.nodes = (int64_t)count;
    params.unseen = unseen;
    if (params.facts.outcome == PW_SWEEP_COMPLETE)
        params.unseen_count = list_unseen(db, params.source_id, letters, unseen);
    if (pw_apply_finish(db, &params, &result, &err) != PW_OK)
        fail_msg("%s", err.message);
    pw_apply_result_free(&(struct pw_apply_result){.changes = result.changes});
    result.changes = NULL;
    return result;
}

struct pw_apply_params plain_params(int64_t source_id, int64_t now_ms)
{
    return (struct pw_apply_params){
        .source_id = source_id,
        .source_name = "prod",
        .confirm = 1,
        .missing_after = 1,
        .failing_after = 3,
        .failing_repeat_ms = 24 * HOUR_MS,
        .facts = {.outcome = PW_SWEEP_COMPLETE, .reported_count = PW_COUNT_NONE},
        .now_ms = now_ms,
    };
}

static int64_t sweep(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms,
                     const struct pw_router *router)
{
    struct pw_apply_params params = plain_params(source_id, now_ms);

    params.router = router;
    return sweep_with(db, letters, &params).events;
}

int64_t sweep_fleet(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms)
{
    return sweep(db, source_id, letters, now_ms, NULL);
}

int64_t sweep_fleet_for(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms,
                        const struct pw_router *router)
{
    return sweep(db, source_id, letters, now_ms, router);
}

int64_t sweep_fleet_told(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms)
{
    const struct pw_router router = router_of(tell_pager);

    return sweep(db, source_id, letters, now_ms, &router);
}

void make_history(struct pw_db *db, int nodes)
{
    char letters[MAX_NODES + 1];
    int64_t source_id = open_prod(db);

    for (int i = 0; i < 3; i++) {
        memset(letters, i == 1 ? 'n' : 'c', (size_t)nodes);
        letters[nodes] = '\0';
        (void)sweep_fleet(db, source_id, letters, (i + 1) * HOUR_MS);
    }
}

void record_event(struct pw_db *db, int64_t source_id, int64_t now_ms)
{
    struct pw_source_failure failure = {.sweeps = 1, .since_ms = now_ms};
    struct pw_event event = {
        .type = PW_EVENT_SOURCE_FAILING,
        .cause = PW_CAUSE_FAILED,
        .source_name = "prod",
        .failure = &failure,
        .sweep_id = number(db, "SELECT max(sweep_id) FROM sweep"),
        .occurred_at_ms = now_ms,
        .recorded_at_ms = now_ms,
    };
    size_t deliveries = 0;
    struct pw_error err = {PW_OK, ""};

    if (pw_event_record(db, &event, source_id, 0, NULL, NULL, &deliveries, &err) != PW_OK)
        fail_msg("%s", err.message);
}

static void on_found(void *context, enum pw_verify_check check, const char *message)
{
    size_t used = strlen(findings);

    (void)context;
    (void)snprintf(findings + used, sizeof findings - used, "%s: %s\n", pw_verify_check_name(check),
                   message);
}

const char *verify_expecting(struct pw_db *db, const struct pw_chain_link *expected)
{
    struct pw_verify_params params = {.found = on_found, .expected = expected};
    struct pw_error err = {PW_OK, ""};

    findings[0] = '\0';
    if (pw_store_verify(db, &params, &last_result, &err) != PW_OK)
        fail_msg("%s", err.message);
    return findings;
}

const char *verify(struct pw_db *db)
{
    return verify_expecting(db, NULL);
}

const struct pw_verify_result *verified(void)
{
    return &last_result;
}

/* A world in short words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "telling.h"

#define TUESDAY_MS INT64_C(1732579200000)

static struct pw_alerts *load(const char *rules)
{
    char path[] = "/tmp/pw-telling-XXXXXX";
    struct pw_problems problems;
    struct pw_alerts *alerts = NULL;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_true(dprintf(fd,
                        "version: 1\nhooks: {a: {type: exec, command: [/bin/true]}, "
                        "b: {type: exec, command: [/bin/true]}}\n%s\n",
                        rules) > 0);
    (void)close(fd);
    pw_problems_init(&problems);
    if (pw_alerts_load(path, &alerts, &problems) != PW_OK)
        pw_problems_print(&problems, stderr);
    assert_int_equal(problems.errors, 0);
    pw_problems_free(&problems);
    (void)unlink(path);
    return alerts;
}

void world_begin(struct world *world, void **state, const char *rules, const char *letters)
{
    *world =
        (struct world){.scratch = *state, .now_ms = TUESDAY_MS, .how = plain_params(0, TUESDAY_MS)};
    world->db = open_writer(world->scratch);
    world->source_id = open_prod(world->db);
    world->alerts = load(rules);
    world_sweep(world, letters);
    must_run(world->db, "DELETE FROM delivery");
}

void world_end(struct world *world)
{
    assert_string_equal(verify(world->db), "");
    pw_db_close(world->db);
    pw_alerts_free(world->alerts);
}

void world_rules(struct world *world, const char *rules)
{
    struct pw_error err = {PW_OK, ""};

    pw_alerts_free(world->alerts);
    world->alerts = load(rules);
    if (pw_outbox_follow(world->db, &world->alerts->router, world->now_ms, &err) != PW_OK)
        fail_msg("%s", err.message);
}

void world_restart(struct world *world)
{
    struct pw_error err = {PW_OK, ""};

    pw_db_close(world->db);
    world->db = open_writer(world->scratch);
    if (pw_outbox_recover(world->db, world->now_ms, &err) != PW_OK ||
        pw_outbox_follow(world->db, &world->alerts->router, world->now_ms, &err) != PW_OK)
        fail_msg("%s", err.message);
}

void world_pass(struct world *world, int64_t ms)
{
    world->now_ms += ms;
}

void world_sweep(struct world *world, const char *letters)
{
    world->how.source_id = world->source_id;
    world->how.now_ms = world->now_ms;
    world->how.router = &world->alerts->router;
    (void)sweep_with(world->db, letters, &world->how);
}

void world_fail_to_sweep(struct world *world)
{
    world->how.facts.outcome = PW_SWEEP_FAILED;
    world->how.facts.reason = "a test";
    world_sweep(world, "");
    world->how.facts.outcome = PW_SWEEP_COMPLETE;
    world->how.facts.reason = NULL;
}

void world_ack(struct world *world, const char *key, const char *until)
{
    char sql[256];

    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO ack (node_id, created_at, until_at) SELECT node_id, %lld, %s"
                   " FROM node WHERE node_key = '%s'",
                   (long long)world->now_ms, until != NULL ? until : "NULL", key);
    must_run(world->db, sql);
}

static const char *short_type(const char *type)
{
    static const char *const words[][2] = {
        {"node.non_compliant", "n"},       {"node.compliant", "c"},
        {"node.missing", "gone"},          {"node.returned", "back"},
        {"node.discovered", "new"},        {"source.failing", "failing"},
        {"source.recovered", "recovered"}, {"node.flapping", "flaps"},
        {"node.settled", "settled"},       {"fleet.shift", "shift"},
    };

    type += strlen("io.patchwatch.");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(type, words[i][0]) == 0)
            return words[i][1];
    }
    return type;
}

/* What was told, to be put in the order of the machines: in which order a sweep tells of different
 * ones is nobody's business. */
struct said {
    char node[32], text[512];
};
enum { MAX_SAID = 64 };

/* Stable, so that what is said of one machine keeps its order. */
static void sort_said(struct said *said, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct said moved = said[i];
        size_t at = i;

        while (at > 0 && strcmp(said[at - 1].node, moved.node) > 0) {
            said[at] = said[at - 1];
            at--;
        }
        said[at] = moved;
    }
}

static void say(const struct pw_delivery *d, struct said *out)
{
    char reminder[16] = "";

    if (d->reminder > 0)
        (void)snprintf(reminder, sizeof reminder, "!%d", (int)d->reminder);
    (void)snprintf(out->node, sizeof out->node, "%.*s",
                   d->node_key.len > 6 ? (int)d->node_key.len - 6 : 0,
                   d->node_key.len > 6 ? d->node_key.data + 6 : "");
    (void)snprintf(out->text, sizeof out->text, "%s%s%s", short_type(d->type), out->node, reminder);
}

/* One attempt: what goes together is joined by a plus. */
static void say_attempt(const struct pw_delivery *list, struct said *out)
{
    struct said parts[MAX_SAID];
    size_t count = 0, used = 0;

    for (; list != NULL; list = list->next) {
        assert_true(count < MAX_SAID);
        say(list, &parts[count++]);
    }
    sort_said(parts, count);
    *out = parts[0];
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out->text + used, sizeof out->text - used, "%s%s",
                                 i > 0 ? "+" : "", parts[i].text);
}

static bool claim_some(struct world *world, const char *hook, struct pw_claim *claim)
{
    struct pw_error err = {PW_OK, ""};

    *claim = (struct pw_claim){.hook = hook,
                               .router = &world->alerts->router,
                               .max_attempts = 4,
                               .now_ms = world->now_ms,
                               .lease_ms = MINUTE_MS};
    if (pw_outbox_claim(world->db, claim, &err) != PW_OK)
        fail_msg("%s", err.message);
    world->next_due_ms = claim->next_due_ms;
    return claim->list != NULL ||
           (claim->next_due_ms != PW_TIME_NONE && claim->next_due_ms <= world->now_ms);
}

static const char *attempts(struct world *world, const char *hook, struct pw_outcome outcome)
{
    static char text[8192];
    static struct said said[MAX_SAID];
    struct pw_error err = {PW_OK, ""};
    struct pw_claim claim;
    size_t count = 0, used = 0;

    while (claim_some(world, hook, &claim)) {
        for (struct pw_delivery *each = claim.list; each != NULL; each = each->next_attempt) {
            assert_true(count < MAX_SAID);
            say_attempt(each, &said[count++]);
            if (pw_outbox_record(world->db, each, &outcome, &err) != PW_OK)
                fail_msg("%s", err.message);
            assert_int_equal(outcome.gone, 0);
        }
        pw_claimed_free(claim.list);
    }
    sort_said(said, count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
                                 said[i].text);
    return text;
}

const char *take(struct world *world, const char *hook)
{
    return attempts(world, hook,
                    (struct pw_outcome){.kind = PW_OUTCOME_DELIVERED,
                                        .router = &world->alerts->router,
                                        .now_ms = world->now_ms});
}

const char *fail_to_take(struct world *world, const char *hook, int64_t again_ms)
{
    return attempts(world, hook,
                    (struct pw_outcome){.kind = PW_OUTCOME_FAILED,
                                        .now_ms = world->now_ms,
                                        .next_attempt_at_ms = world->now_ms + again_ms,
                                        .dead_before_ms = world->now_ms - 3 * PW_DAY_MS,
                                        .why = "no"});
}

/* The router: what the store asks of the rules and mutes of alerts.yaml. Runs on the store thread
 * and only reads. */
#include <stdio.h>
#include <string.h>

#include "alert/alerts.h"
#include "alert/rules.h"
#include "base/clock.h"

enum { GROUP_KEY_MAX_BYTES = 64 * 1024 };

#define MINUTE_MS (INT64_C(60) * PW_SECOND_MS)

static const struct pw_alerts *alerts_of(const struct pw_router *router)
{
    return (const struct pw_alerts *)router; /* its first member */
}

static const struct pw_rule *find_rule(const struct pw_router *router, const char *name)
{
    const struct pw_alerts *alerts = alerts_of(router);

    for (size_t i = 0; i < alerts->rule_count; i++) {
        if (strcmp(alerts->rules[i].name, name) == 0)
            return &alerts->rules[i];
    }
    return NULL;
}

/* What events that go together have in common: one line a field. */
static void write_group_key(struct pw_buffer *out, const struct pw_rule *rule,
                            const struct pw_event *event)
{
    for (int i = 0; i < PW_MATCH_FIELD_COUNT; i++) {
        enum pw_match_field field = (enum pw_match_field)i;
        struct pw_str value;

        if ((rule->group.by & (UINT32_C(1) << i)) == 0)
            continue;
        value = pw_match_value(field, event);
        (void)pw_buffer_printf(out, "%s=", pw_match_field_names[i]);
        if (value.len > 0)
            (void)pw_buffer_append(out, value.data, value.len);
        (void)pw_buffer_append(out, "\n", 1);
    }
}

static enum pw_status add(struct pw_route_sink *sink, const char *hook, const struct pw_rule *rule,
                          const struct pw_event *event)
{
    struct pw_owed owed = {.hook = hook, .rule = rule->name, .after_ms = rule->after_ms};
    struct pw_buffer key;
    enum pw_status status;

    if (!rule->group.is_on)
        return sink->add(sink, &owed);
    pw_buffer_init(&key, GROUP_KEY_MAX_BYTES);
    write_group_key(&key, rule, event);
    (void)pw_buffer_append(&key, "", 1);
    status = key.failed == PW_ELIMIT ? PW_OK : key.failed; /* with so long a name it goes alone */
    if (key.failed == PW_OK) {
        owed.group_key = pw_buffer_str(&key).data;
        owed.group_wait_ms = rule->group.wait_ms;
        owed.group_max = rule->group.max;
    }
    if (status == PW_OK)
        status = sink->add(sink, &owed);
    pw_buffer_free(&key);
    return status;
}

/* Of several rules that name a hook the one that tells it first, of these the first. */
static const struct pw_rule *rule_for(const struct pw_alerts *alerts, const char *hook,
                                      const bool *matches)
{
    const struct pw_rule *best = NULL;

    for (size_t i = 0; i < alerts->rule_count; i++) {
        const struct pw_rule *rule = &alerts->rules[i];

        if (!matches[i] || (best != NULL && best->after_ms <= rule->after_ms))
            continue;
        for (size_t j = 0; j < rule->hook_count; j++) {
            if (strcmp(rule->hooks[j], hook) == 0)
                best = rule;
        }
    }
    return best;
}

static enum pw_status route(const struct pw_router *router, const struct pw_event *event,
                            struct pw_route_sink *sink)
{
    const struct pw_alerts *alerts = alerts_of(router);
    bool matches[PW_ALERTS_MAX_RULES], any = false;
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < alerts->rule_count; i++) {
        const struct pw_rule *rule = &alerts->rules[i];

        /* An escalation tells of an end only those whom it told of the beginning. */
        matches[i] =
            pw_match_event(&rule->match, event) && !(rule->after_ms > 0 && pw_event_is_end(event));
        any = any || matches[i];
    }
    for (size_t h = 0; any && h < alerts->hook_count && status == PW_OK; h++) {
        const struct pw_rule *rule = rule_for(alerts, alerts->hooks[h].name, matches);

        if (rule != NULL)
            status = add(sink, alerts->hooks[h].name, rule, event);
    }
    return status;
}

/* A rule that is gone turns nothing off. */
static enum pw_status recovery(const struct pw_router *router, const struct pw_event *event,
                               const char *hook, const char *rule_name, struct pw_route_sink *sink)
{
    const struct pw_rule *rule = find_rule(router, rule_name);

    if (rule == NULL)
        return sink->add(sink, &(struct pw_owed){.hook = hook, .rule = rule_name});
    return rule->sends_recovery ? add(sink, hook, rule, event) : PW_OK;
}

static bool names(const struct pw_rule *rule, const char *hook)
{
    for (size_t i = 0; i < rule->hook_count; i++) {
        if (strcmp(rule->hooks[i], hook) == 0)
            return true;
    }
    return false;
}

static int64_t repeat_ms(const struct pw_router *router, const char *hook, const char *rule_name)
{
    const struct pw_rule *rule = find_rule(router, rule_name);

    return rule != NULL && names(rule, hook) ? rule->repeat_ms : 0;
}

static int64_t group_max(const struct pw_router *router, const char *rule_name)
{
    const struct pw_rule *rule = find_rule(router, rule_name);

    return rule != NULL && rule->group.is_on ? rule->group.max : 1;
}

/* Mutes --------------------------------------------------------------------------------------- */

/* Days since Monday of the week that 1970-01-01, a Thursday, lies in. */
static int64_t day_of(int64_t now_ms)
{
    int64_t days = now_ms / PW_DAY_MS - (now_ms % PW_DAY_MS < 0 ? 1 : 0);

    return days + 3;
}

static bool holds_weekly(const struct pw_mute_config *mute, int64_t now_ms, int64_t *until_ms)
{
    int length = mute->end_minute - mute->start_minute;
    int64_t today = day_of(now_ms);

    if (length <= 0)
        length += PW_DAY_MINUTES;
    for (int64_t day = today - 1; day <= today; day++) {
        int64_t from_ms = (day - 3) * PW_DAY_MS + mute->start_minute * MINUTE_MS;

        if ((mute->days &
             (UINT32_C(1) << (((day % PW_WEEK_DAYS) + PW_WEEK_DAYS) % PW_WEEK_DAYS))) == 0)
            continue;
        if (now_ms >= from_ms && now_ms < from_ms + length * MINUTE_MS) {
            *until_ms = from_ms + length * MINUTE_MS;
            return true;
        }
    }
    return false;
}

bool pw_mute_holds(const struct pw_mute_config *mute, int64_t now_ms, int64_t *until_ms)
{
    if (mute->is_weekly)
        return holds_weekly(mute, now_ms, until_ms);
    *until_ms = mute->until_ms != PW_TIME_NONE ? mute->until_ms : INT64_MAX;
    return (mute->from_ms == PW_TIME_NONE || now_ms >= mute->from_ms) && now_ms < *until_ms;
}

static bool has_mutes(const struct pw_router *router)
{
    return alerts_of(router)->mute_count > 0;
}

static void mute(const struct pw_router *router, const struct pw_event *event, int64_t now_ms,
                 struct pw_mute_verdict *verdict)
{
    const struct pw_alerts *alerts = alerts_of(router);

    for (size_t i = 0; i < alerts->mute_count; i++) {
        const struct pw_mute_config *each = &alerts->mutes[i];
        int64_t until_ms;

        if (!pw_mute_holds(each, now_ms, &until_ms) || !pw_match_event(&each->match, event) ||
            (verdict->is_muted && until_ms <= verdict->until_ms))
            continue;
        verdict->is_muted = true;
        verdict->until_ms = until_ms;
        (void)snprintf(verdict->reason, sizeof verdict->reason, "mute '%s'", each->name);
    }
}

static bool match_json(const struct pw_router *router, struct pw_str json,
                       const struct pw_event *event)
{
    struct pw_problems problems;
    struct pw_match match;
    bool fits = false;

    (void)router;
    pw_problems_init(&problems);
    if (pw_match_parse_json(json, &match, &problems) == PW_OK) {
        fits = pw_match_event(&match, event);
        pw_match_free(&match);
    }
    pw_problems_free(&problems);
    return fits;
}

void pw_alerts_init_router(struct pw_alerts *alerts)
{
    alerts->router = (struct pw_router){
        .route = route,
        .recovery = recovery,
        .repeat_ms = repeat_ms,
        .group_max = group_max,
        .has_mutes = has_mutes,
        .mute = mute,
        .match_json = match_json,
    };
}

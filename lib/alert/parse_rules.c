/* The section `rules`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "base/text.h"

enum { MAX_NAME_BYTES = 128, DEFAULT_GROUP_MAX = 100, MAX_GROUP_MAX = 1000 };

#define DEFAULT_GROUP_WAIT_MS (INT64_C(30) * PW_SECOND_MS)
#define MAX_GROUP_WAIT_MS (INT64_C(3600) * PW_SECOND_MS)
#define MIN_REPEAT_MS PW_SECOND_MS
#define MAX_REPEAT_MS (INT64_C(365) * PW_DAY_MS)
#define MAX_AFTER_MS (INT64_C(365) * PW_DAY_MS)

static void parse_name(struct pw_yaml *yaml, const yaml_node_t *mapping, struct pw_rule *rule)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "name");
    char printable[MAX_NAME_BYTES * 4 + 8];
    const char *text;

    if (node == NULL) {
        pw_problem_error(yaml->problems, yaml->path, rule->line, "a rule has no name");
        return;
    }
    text = pw_yaml_text(yaml, node, "the name of a rule");
    if (text == NULL)
        return;
    if (text[0] == '\0' || strlen(text) > MAX_NAME_BYTES ||
        strcmp(pw_text_printable(printable, sizeof printable, pw_str_of(text)), text) != 0) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "'%.160s' is no name of a rule: 1 to 128 bytes of printable text", text);
        return;
    }
    free(rule->name);
    rule->name = pw_str_dup(pw_str_of(text));
}

static void note_unknown_hook(struct pw_yaml *yaml, const yaml_node_t *node, const char *name,
                              const struct pw_rule *rule, const struct pw_alerts *alerts)
{
    const char *names[PW_ALERTS_MAX_HOOKS + 1] = {NULL};
    const char *near;

    for (size_t i = 0; i < alerts->hook_count; i++)
        names[i] = alerts->hooks[i].name;
    near = pw_nearest(name, names);
    if (near != NULL)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "rule '%s' names the unknown hook '%s'; did you mean '%s'?", rule->name,
                         name, near);
    else
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "rule '%s' names the unknown hook '%s'", rule->name, name);
}

static enum pw_status parse_hook_names(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                       struct pw_rule *rule, const struct pw_alerts *alerts)
{
    yaml_node_t *node = pw_yaml_get(yaml, mapping, "hooks");
    size_t count = node != NULL && !pw_yaml_is_null(node) ? pw_yaml_item_count(node) : 0;

    if (count == 0) {
        pw_problem_error(yaml->problems, yaml->path, node != NULL ? pw_yaml_line(node) : rule->line,
                         "rule '%s' names no hooks: it would tell nobody", rule->name);
        return PW_OK;
    }
    rule->hooks = calloc(count, sizeof *rule->hooks);
    if (rule->hooks == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *name = pw_yaml_text(yaml, item, "the name of a hook");
        const struct pw_hook_config *hook;
        bool twice = false;

        if (name == NULL)
            continue;
        hook = pw_alerts_hook(alerts, name);
        if (hook == NULL) {
            note_unknown_hook(yaml, item, name, rule, alerts);
            continue;
        }
        for (size_t j = 0; j < rule->hook_count; j++)
            twice = twice || strcmp(rule->hooks[j], name) == 0;
        if (twice)
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                             "rule '%s' names the hook '%s' twice", rule->name, name);
        else
            rule->hooks[rule->hook_count++] = hook->name;
    }
    return PW_OK;
}

/* A duration within limits; what is wrong is said. */
static void parse_duration(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                           int64_t min_ms, int64_t max_ms, int64_t *out_ms)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);
    const char *text = node != NULL ? pw_yaml_text(yaml, node, key) : NULL;
    char least[32], most[32];
    struct pw_error err;
    int64_t value_ms;

    if (text == NULL)
        return;
    if (pw_parse_duration_ms(text, &value_ms, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
    else if (value_ms < min_ms || value_ms > max_ms)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s '%s' is not within %s and %s", key, text,
                         pw_duration_text(least, sizeof least, min_ms),
                         pw_duration_text(most, sizeof most, max_ms));
    else
        *out_ms = value_ms;
}

static void parse_bool(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key, bool *out)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);
    const char *text = node != NULL ? pw_yaml_text(yaml, node, key) : NULL;

    if (text == NULL)
        return;
    if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
        *out = true;
    else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
        *out = false;
    else
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s is 'true' or 'false', not '%s'", key, text);
}

static void parse_group_by(struct pw_yaml *yaml, yaml_node_t *node, struct pw_grouping *group)
{
    for (size_t i = 0; i < pw_yaml_item_count(node); i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *text = pw_yaml_text(yaml, item, "a key of by"), *near;
        size_t f = 0;

        if (text == NULL)
            continue;
        while (f < PW_MATCH_FIELD_COUNT && strcmp(text, pw_match_field_names[f]) != 0)
            f++;
        if (f < PW_MATCH_FIELD_COUNT) {
            group->by |= UINT32_C(1) << f;
            continue;
        }
        near = pw_nearest(text, pw_match_field_names);
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                         "events cannot be grouped by '%s'%s%s%s", text,
                         near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                         near != NULL ? "'?" : "");
    }
}

static void parse_group(struct pw_yaml *yaml, const yaml_node_t *mapping, struct pw_grouping *group)
{
    static const char *const keys[] = {"by", "wait", "max", NULL};
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "group");
    yaml_node_t *by;
    const yaml_node_t *max;
    const char *text;
    struct pw_error err;

    *group = (struct pw_grouping){.wait_ms = DEFAULT_GROUP_WAIT_MS, .max = DEFAULT_GROUP_MAX};
    if (node == NULL || !pw_yaml_check_mapping(yaml, node, "group"))
        return;
    group->is_on = true;
    pw_yaml_check_keys(yaml, node, "group", keys, NULL);
    by = pw_yaml_get(yaml, node, "by");
    if (by != NULL)
        parse_group_by(yaml, by, group);
    parse_duration(yaml, node, "wait", 0, MAX_GROUP_WAIT_MS, &group->wait_ms);
    max = pw_yaml_get(yaml, node, "max");
    text = max != NULL ? pw_yaml_text(yaml, max, "max") : NULL;
    if (text != NULL && pw_parse_int(text, 1, MAX_GROUP_MAX, &group->max, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(max), "max: %s", err.message);
}

static void parse_timing(struct pw_yaml *yaml, const yaml_node_t *mapping, struct pw_rule *rule)
{
    rule->sends_recovery = true;
    parse_bool(yaml, mapping, "recovery", &rule->sends_recovery);
    parse_duration(yaml, mapping, "repeat", MIN_REPEAT_MS, MAX_REPEAT_MS, &rule->repeat_ms);
    parse_duration(yaml, mapping, "after", 0, MAX_AFTER_MS, &rule->after_ms);
    parse_group(yaml, mapping, &rule->group);
}

/* Without types a rule tells of both transitions; of the way back only where it sends recoveries.
 */
static void default_types(struct pw_rule *rule)
{
    if (rule->match.has_types)
        return;
    rule->match.has_types = true;
    rule->match.types = UINT32_C(1) << PW_EVENT_NODE_NON_COMPLIANT;
    if (rule->sends_recovery)
        rule->match.types |= UINT32_C(1) << PW_EVENT_NODE_COMPLIANT;
}

static enum pw_status parse_rule(struct pw_yaml *yaml, yaml_node_t *node, struct pw_rule *rule,
                                 const struct pw_alerts *alerts)
{
    static const char *const keys[] = {"name",     "match",  "hooks", "group",
                                       "recovery", "repeat", "after", NULL};
    char what[MAX_NAME_BYTES + 16];
    enum pw_status status;

    rule->line = pw_yaml_line(node);
    rule->name = pw_str_dup(pw_str_of("")); /* until it has one, for messages */
    if (rule->name == NULL)
        return PW_ENOMEM;
    if (!pw_yaml_check_mapping(yaml, node, "a rule"))
        return PW_OK;
    parse_name(yaml, node, rule);
    if (rule->name == NULL)
        return PW_ENOMEM;
    (void)snprintf(what, sizeof what, "rule '%s'", rule->name);
    pw_yaml_check_keys(yaml, node, what, keys, NULL);
    parse_timing(yaml, node, rule);
    status = pw_parse_match(yaml, pw_yaml_get(yaml, node, "match"), &rule->match);
    default_types(rule);
    if (status == PW_OK)
        status = parse_hook_names(yaml, node, rule, alerts);
    return status;
}

/* A delivery remembers its rule by name. */
static void check_unique(struct pw_yaml *yaml, const struct pw_alerts *alerts)
{
    for (size_t i = 1; i < alerts->rule_count; i++) {
        const struct pw_rule *rule = &alerts->rules[i];

        for (size_t j = 0; j < i; j++) {
            if (strcmp(rule->name, alerts->rules[j].name) != 0 || rule->name[0] == '\0')
                continue;
            pw_problem_error(yaml->problems, yaml->path, rule->line,
                             "a rule named '%s' is already on line %d", rule->name,
                             alerts->rules[j].line);
            break;
        }
    }
}

enum pw_status pw_parse_rules(struct pw_yaml *yaml, yaml_node_t *node, struct pw_alerts *alerts)
{
    enum pw_status status = PW_OK;
    size_t count;

    if (node == NULL || pw_yaml_is_null(node))
        return PW_OK;
    if (node->type != YAML_SEQUENCE_NODE) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "rules must be a list (- name: ...)");
        return PW_OK;
    }
    count = pw_yaml_item_count(node);
    if (count > PW_ALERTS_MAX_RULES) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "more than %d rules",
                         (int)PW_ALERTS_MAX_RULES);
        return PW_OK;
    }
    alerts->rules = calloc(count + 1, sizeof *alerts->rules);
    if (alerts->rules == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count && status == PW_OK; i++) {
        alerts->rule_count++;
        status = parse_rule(yaml, pw_yaml_item(yaml, node, i), &alerts->rules[i], alerts);
    }
    if (status == PW_OK)
        check_unique(yaml, alerts);
    return status;
}

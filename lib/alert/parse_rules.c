/* The section `rules`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "base/nearest.h"
#include "base/text.h"

enum { MAX_NAME_BYTES = 128 };

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

static enum pw_status parse_rule(struct pw_yaml *yaml, yaml_node_t *node, struct pw_rule *rule,
                                 const struct pw_alerts *alerts)
{
    static const char *const keys[] = {"name", "match", "hooks", NULL};
    static const char *const later[] = {"group", "recovery", "repeat", "after", NULL};
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
    pw_yaml_check_keys(yaml, node, what, keys, later);
    status = pw_parse_match(yaml, pw_yaml_get(yaml, node, "match"), &rule->match);
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

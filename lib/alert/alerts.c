/* Loading alerts.yaml as a whole. Owns nothing but what pw_alerts_load hands out. */
#include "alert/alerts.h"

#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "alert/rules.h"

const struct pw_hook_config *pw_alerts_hook(const struct pw_alerts *alerts, const char *name)
{
    for (size_t i = 0; i < alerts->hook_count; i++) {
        if (strcmp(alerts->hooks[i].name, name) == 0)
            return &alerts->hooks[i];
    }
    return NULL;
}

static void check_version(struct pw_yaml *yaml, const yaml_node_t *root)
{
    const yaml_node_t *node = root != NULL ? pw_yaml_get(yaml, root, "version") : NULL;
    const char *text;

    if (node == NULL) {
        pw_problem_error(yaml->problems, yaml->path, root != NULL ? pw_yaml_line(root) : 1,
                         "version is missing; the file must say 'version: 1'");
        return;
    }
    text = pw_yaml_text(yaml, node, "version");
    if (text != NULL && strcmp(text, "1") != 0)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "version '%s' is not supported by this version of patchwatch: 1", text);
}

static void warn_unused_hooks(const struct pw_yaml *yaml, const struct pw_alerts *alerts)
{
    for (size_t h = 0; h < alerts->hook_count; h++) {
        bool used = false;

        for (size_t i = 0; i < alerts->rule_count; i++) {
            for (size_t j = 0; j < alerts->rules[i].hook_count; j++)
                used = used || alerts->rules[i].hooks[j] == alerts->hooks[h].name;
        }
        if (!used)
            pw_problem_warning(yaml->problems, yaml->path, alerts->hooks[h].line,
                               "no rule names the hook '%s'", alerts->hooks[h].name);
    }
}

static enum pw_status parse_root(struct pw_yaml *yaml, struct pw_alerts *alerts)
{
    static const char *const keys[] = {"version", "hooks", "rules", "mutes", NULL};
    const yaml_node_t *root = pw_yaml_root(yaml);
    enum pw_status status;

    if (root == NULL || pw_yaml_is_null(root)) {
        check_version(yaml, NULL);
        return PW_OK;
    }
    if (!pw_yaml_check_mapping(yaml, root, "alerts.yaml"))
        return PW_OK;
    pw_yaml_check_keys(yaml, root, "alerts.yaml", keys, NULL);
    check_version(yaml, root);
    status = pw_parse_hooks(yaml, pw_yaml_get(yaml, root, "hooks"), alerts);
    if (status == PW_OK)
        status = pw_parse_rules(yaml, pw_yaml_get(yaml, root, "rules"), alerts);
    if (status == PW_OK)
        status = pw_parse_mutes(yaml, pw_yaml_get(yaml, root, "mutes"), alerts);
    return status;
}

enum pw_status pw_alerts_load(const char *path, struct pw_alerts **out,
                              struct pw_problems *problems)
{
    size_t errors_before = problems->errors;
    struct pw_alerts *alerts = calloc(1, sizeof *alerts);
    struct pw_yaml yaml = {.loaded = false};
    enum pw_status status = PW_ENOMEM;

    *out = NULL;
    if (alerts == NULL)
        goto out;
    pw_alerts_init_router(alerts);
    status = path != NULL ? pw_yaml_open(&yaml, path, problems) : PW_ENOTFOUND;
    if (status == PW_OK)
        status = parse_root(&yaml, alerts);
    else if (status == PW_ENOTFOUND)
        status = PW_OK; /* no file, no alerts */
    if (status == PW_OK && problems->errors == errors_before)
        warn_unused_hooks(&yaml, alerts);
    if (status == PW_OK && problems->errors > errors_before)
        status = PW_EINVAL;
out:
    if (status == PW_ENOMEM)
        pw_problem_error(problems, path != NULL ? path : "alerts", 0, "no memory");
    if (status == PW_OK)
        *out = alerts;
    else
        pw_alerts_free(alerts);
    pw_yaml_close(&yaml);
    return status;
}

void pw_alerts_free(struct pw_alerts *alerts)
{
    if (alerts == NULL)
        return;
    for (size_t i = 0; i < alerts->hook_count; i++)
        pw_hook_config_free(&alerts->hooks[i]);
    for (size_t i = 0; i < alerts->rule_count; i++) {
        free(alerts->rules[i].name);
        free(alerts->rules[i].hooks);
        pw_match_free(&alerts->rules[i].match);
    }
    for (size_t i = 0; i < alerts->mute_count; i++) {
        free(alerts->mutes[i].name);
        pw_match_free(&alerts->mutes[i].match);
    }
    free(alerts->hooks);
    free(alerts->mutes);
    free(alerts->rules);
    free(alerts);
}

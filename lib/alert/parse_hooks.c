/* The section `hooks`: names, types, and the keys that every kind has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "base/nearest.h"
#include "base/text.h"

enum { MAX_NAME_BYTES = 64, MAX_KEYS = 32, MAX_RATE_COUNT = 10000 };
#define DEFAULT_TIMEOUT_MS (INT64_C(30) * PW_SECOND_MS)
#define MIN_TIMEOUT_MS INT64_C(100)
#define MAX_TIMEOUT_MS (INT64_C(3600) * PW_SECOND_MS)
#define MIN_RETRY_FOR_MS (INT64_C(60) * PW_SECOND_MS)
#define MAX_RETRY_FOR_MS (INT64_C(30) * PW_DAY_MS)

/* A kind of hook is a line here, one in pw_hook_kind_of, and its own file. */
static const struct pw_hook_parser *const parsers[] = {
    &pw_parser_exec,  &pw_parser_webhook, &pw_parser_alertmanager,
    &pw_parser_email, &pw_parser_journal,
};
enum { PARSER_COUNT = sizeof parsers / sizeof parsers[0] };

static bool is_hook_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= MAX_NAME_BYTES &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* Keys of every kind -------------------------------------------------------------------------- */

static const char *const common_keys[] = {"type", "timeout",   "concurrency",
                                          "rate", "retry_for", NULL};

void pw_parse_hook_duration(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                            int64_t min_ms, int64_t max_ms, int64_t *out_ms)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);
    const char *text = node != NULL ? pw_yaml_text(yaml, node, key) : NULL;
    char low[32], high[32];
    struct pw_error err;

    if (text == NULL)
        return;
    if (pw_parse_duration_ms(text, out_ms, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
    else if (*out_ms < min_ms || *out_ms > max_ms)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s '%s' is not within %s and %s", key, text,
                         pw_duration_text(low, sizeof low, min_ms),
                         pw_duration_text(high, sizeof high, max_ms));
}

static void parse_concurrency(struct pw_yaml *yaml, const yaml_node_t *mapping,
                              struct pw_hook_config *hook)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "concurrency");
    const char *text = node != NULL ? pw_yaml_text(yaml, node, "concurrency") : NULL;
    struct pw_error err;

    if (text != NULL &&
        pw_parse_int(text, 1, PW_HOOK_MAX_CONCURRENCY, &hook->concurrency, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "concurrency: %s",
                         err.message);
}

static void parse_rate(struct pw_yaml *yaml, const yaml_node_t *mapping,
                       struct pw_hook_config *hook)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "rate");
    const char *text = node != NULL ? pw_yaml_text(yaml, node, "rate") : NULL;
    const char *slash;
    char number[16] = "";

    if (text == NULL || strcmp(text, "0") == 0)
        return;
    slash = strchr(text, '/');
    if (slash != NULL && (size_t)(slash - text) < sizeof number)
        memcpy(number, text, (size_t)(slash - text));
    hook->rate_period_ms = slash == NULL              ? 0
                           : strcmp(slash, "/s") == 0 ? PW_SECOND_MS
                           : strcmp(slash, "/m") == 0 ? 60 * PW_SECOND_MS
                           : strcmp(slash, "/h") == 0 ? 3600 * PW_SECOND_MS
                                                      : 0;
    if (hook->rate_period_ms == 0 ||
        pw_parse_int(number, 1, MAX_RATE_COUNT, &hook->rate_count, NULL) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "rate '%s' is not a rate: write N/s, N/m or N/h with N from 1 to %d, or 0 "
                         "for no limit",
                         text, (int)MAX_RATE_COUNT);
}

static void parse_common(struct pw_yaml *yaml, const yaml_node_t *mapping,
                         struct pw_hook_config *hook)
{
    pw_parse_hook_duration(yaml, mapping, "timeout", MIN_TIMEOUT_MS, MAX_TIMEOUT_MS,
                           &hook->timeout_ms);
    pw_parse_hook_duration(yaml, mapping, "retry_for", MIN_RETRY_FOR_MS, MAX_RETRY_FOR_MS,
                           &hook->retry_for_ms);
    parse_concurrency(yaml, mapping, hook);
    parse_rate(yaml, mapping, hook);
}

/* What people would write in place of a file's name. It is not repeated: a secret stands in no YAML
 * file, and in no message. */
static const char *const secret_keys[] = {"secret",    "password",      "token",  "api_key",
                                          "secretkey", "authorization", "bearer", NULL};

static void check_keys(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *what,
                       const struct pw_hook_parser *parser)
{
    const char *keys[MAX_KEYS + 1] = {NULL};
    size_t count = 0;

    for (size_t i = 0; secret_keys[i] != NULL; i++) {
        const yaml_node_t *node = pw_yaml_get(yaml, mapping, secret_keys[i]);

        if (node != NULL)
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                             "'%s' of %s: a secret stands in no YAML file; put it into a file of "
                             "its own and name that",
                             secret_keys[i], what);
        keys[count++] = secret_keys[i];
    }

    for (size_t i = 0; common_keys[i] != NULL && count < MAX_KEYS; i++)
        keys[count++] = common_keys[i];
    for (size_t i = 0; parser->keys[i] != NULL && count < MAX_KEYS; i++)
        keys[count++] = parser->keys[i];
    pw_yaml_check_keys(yaml, mapping, what, keys, NULL);
}

/* The kinds ----------------------------------------------------------------------------------- */

/* "exec, webhook, …" */
static const char *kind_list(char *out, size_t size_bytes)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < PARSER_COUNT; i++) {
        int wrote =
            snprintf(out + used, size_bytes - used, "%s%s", i > 0 ? ", " : "", parsers[i]->name);

        if (wrote < 0 || (size_t)wrote >= size_bytes - used)
            break;
        used += (size_t)wrote;
    }
    return out;
}

static const struct pw_hook_parser *parser_of(const char *name)
{
    for (size_t i = 0; name != NULL && i < PARSER_COUNT; i++) {
        if (strcmp(name, parsers[i]->name) == 0)
            return parsers[i];
    }
    return NULL;
}

/* NULL where the hook is of no kind that we have; its other keys are then left alone, for they mean
 * something elsewhere. A near miss is taken for what was meant. */
static const struct pw_hook_parser *parse_type(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                               const struct pw_hook_config *hook)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "type");
    const struct pw_hook_parser *parser;
    const char *names[PARSER_COUNT + 1] = {NULL};
    const char *text, *near;
    char list[256];

    if (node == NULL) {
        pw_problem_error(yaml->problems, yaml->path, hook->line,
                         "hook '%s' has no type; this version knows: %s", hook->name,
                         kind_list(list, sizeof list));
        return NULL;
    }
    text = pw_yaml_text(yaml, node, "type");
    parser = parser_of(text);
    if (text == NULL || parser != NULL)
        return parser;
    for (size_t i = 0; i < PARSER_COUNT; i++)
        names[i] = parsers[i]->name;
    near = pw_nearest(text, names);
    if (near != NULL)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "unknown type '%s' of hook '%s'; did you mean '%s'?", text, hook->name,
                         near);
    else
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "unknown type '%s' of hook '%s'; this version knows: %s", text, hook->name,
                         kind_list(list, sizeof list));
    return parser_of(near);
}

static enum pw_status parse_hook(struct pw_yaml *yaml, yaml_node_t *node,
                                 struct pw_hook_config *hook)
{
    char what[MAX_NAME_BYTES + 16];
    const struct pw_hook_parser *parser;

    (void)snprintf(what, sizeof what, "hook '%.64s'", hook->name);
    hook->type = PW_HOOK_EXEC;
    hook->timeout_ms = DEFAULT_TIMEOUT_MS;
    hook->concurrency = PW_HOOK_CONCURRENCY;
    hook->retry_for_ms = PW_HOOK_RETRY_FOR_MS;
    if (!pw_yaml_check_mapping(yaml, node, what))
        return PW_OK;
    parser = parse_type(yaml, node, hook);
    if (parser == NULL)
        return PW_OK;
    hook->type = parser->type;
    check_keys(yaml, node, what, parser);
    parse_common(yaml, node, hook);
    return parser->parse(yaml, node, hook);
}

void pw_hook_config_free(struct pw_hook_config *hook)
{
    for (size_t i = 0; i < PARSER_COUNT; i++) {
        if (parsers[i]->type == hook->type)
            parsers[i]->free(hook);
    }
    free(hook->name);
}

enum pw_status pw_parse_hooks(struct pw_yaml *yaml, yaml_node_t *node, struct pw_alerts *alerts)
{
    enum pw_status status = PW_OK;
    size_t count;

    if (node == NULL || pw_yaml_is_null(node) || !pw_yaml_check_mapping(yaml, node, "hooks"))
        return PW_OK;
    count = pw_yaml_pair_count(node);
    if (count > PW_ALERTS_MAX_HOOKS) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "more than %d hooks",
                         (int)PW_ALERTS_MAX_HOOKS);
        return PW_OK;
    }
    alerts->hooks = calloc(count + 1, sizeof *alerts->hooks);
    if (alerts->hooks == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count && status == PW_OK; i++) {
        struct pw_hook_config *hook = &alerts->hooks[i];
        yaml_node_t *key = pw_yaml_key(yaml, node, i);
        const char *name = (const char *)key->data.scalar.value;

        hook->line = pw_yaml_line(key);
        if (!is_hook_name(name))
            pw_problem_error(yaml->problems, yaml->path, hook->line,
                             "'%.80s' is no name of a hook: 1 to 64 letters, digits, '.', '_', '-'",
                             name);
        hook->name = pw_str_dup(pw_str_of(name));
        if (hook->name == NULL)
            return PW_ENOMEM;
        alerts->hook_count++;
        status = parse_hook(yaml, pw_yaml_value(yaml, node, i), hook);
    }
    return status;
}

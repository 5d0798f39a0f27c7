/* The section `hooks`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/parse.h"
#include "base/nearest.h"
#include "base/text.h"

enum { MAX_NAME_BYTES = 64 };
#define DEFAULT_TIMEOUT_MS (INT64_C(30) * PW_SECOND_MS)
#define MIN_TIMEOUT_MS INT64_C(100)
#define MAX_TIMEOUT_MS (INT64_C(3600) * PW_SECOND_MS)

static bool is_hook_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= MAX_NAME_BYTES &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* A command that cannot run would cost every alert, so it is refused while somebody looks. */
static void check_command(struct pw_yaml *yaml, int line, const char *path)
{
    struct stat st;

    if (path[0] != '/')
        pw_problem_error(yaml->problems, yaml->path, line,
                         "command '%s' must be an absolute path (there is no shell and no PATH "
                         "look-up)",
                         path);
    else if (stat(path, &st) != 0)
        pw_problem_error(yaml->problems, yaml->path, line, "command '%s': %s", path,
                         strerror(errno));
    else if (!S_ISREG(st.st_mode))
        pw_problem_error(yaml->problems, yaml->path, line, "command '%s' is not a regular file",
                         path);
    else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
        pw_problem_error(yaml->problems, yaml->path, line, "command '%s' cannot be executed: %s",
                         path, strerror(errno));
    else if ((st.st_mode & S_IWOTH) != 0)
        pw_problem_warning(yaml->problems, yaml->path, line,
                           "command '%s' can be changed by anybody (chmod o-w)", path);
}

static enum pw_status parse_command(struct pw_yaml *yaml, yaml_node_t *node,
                                    struct pw_hook_config *hook)
{
    size_t count;

    if (node->type != YAML_SEQUENCE_NODE) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "command of hook '%s' must be a list, such as [/usr/bin/logger, -t, "
                         "patchwatch]",
                         hook->name);
        return PW_OK;
    }
    count = pw_yaml_item_count(node);
    if (count == 0) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "command of hook '%s' is empty", hook->name);
        return PW_OK;
    }
    hook->command = calloc(count + 1, sizeof *hook->command);
    if (hook->command == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *text = pw_yaml_text(yaml, item, "an argument of a command");

        hook->command[i] = pw_str_dup(pw_str_of(text));
        if (hook->command[i] == NULL)
            return PW_ENOMEM;
        if (i == 0 && text != NULL)
            check_command(yaml, pw_yaml_line(item), text);
    }
    return PW_OK;
}

static void parse_timeout(struct pw_yaml *yaml, yaml_node_t *node, struct pw_hook_config *hook)
{
    const char *text = pw_yaml_text(yaml, node, "timeout");
    struct pw_error err;

    if (text == NULL)
        return;
    if (pw_parse_duration_ms(text, &hook->timeout_ms, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "timeout: %s",
                         err.message);
    else if (hook->timeout_ms < MIN_TIMEOUT_MS || hook->timeout_ms > MAX_TIMEOUT_MS)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "timeout '%s' is not within 100ms and 1h", text);
}

/* False where the hook is of no kind that we have; its other keys are then left alone, for they
 * mean something elsewhere. */
static bool parse_type(struct pw_yaml *yaml, const yaml_node_t *mapping,
                       const struct pw_hook_config *hook)
{
    static const char *const later[] = {"webhook", "alertmanager", "email", "journal", NULL};
    static const char *const known[] = {"exec", NULL};
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "type");
    const char *text, *near;

    if (node == NULL) {
        pw_problem_error(yaml->problems, yaml->path, hook->line,
                         "hook '%s' has no type; this version knows: exec", hook->name);
        return true;
    }
    text = pw_yaml_text(yaml, node, "type");
    if (text == NULL || strcmp(text, "exec") == 0)
        return true;
    for (size_t i = 0; later[i] != NULL; i++) {
        if (strcmp(text, later[i]) == 0) {
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                             "type %s is not supported by this version: exec", text);
            return false;
        }
    }
    near = pw_nearest(text, known);
    pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                     "unknown type '%s' of hook '%s'%s", text, hook->name,
                     near != NULL ? "; did you mean 'exec'?" : "; this version knows: exec");
    return near != NULL;
}

static enum pw_status parse_hook(struct pw_yaml *yaml, yaml_node_t *node,
                                 struct pw_hook_config *hook)
{
    static const char *const keys[] = {"type", "command", "timeout", NULL};
    char what[MAX_NAME_BYTES + 16];
    yaml_node_t *command, *timeout;

    (void)snprintf(what, sizeof what, "hook '%.64s'", hook->name);
    hook->type = PW_HOOK_EXEC;
    hook->timeout_ms = DEFAULT_TIMEOUT_MS;
    hook->concurrency = PW_HOOK_CONCURRENCY;
    hook->retry_for_ms = PW_HOOK_RETRY_FOR_MS;
    if (!pw_yaml_check_mapping(yaml, node, what) || !parse_type(yaml, node, hook))
        return PW_OK;
    pw_yaml_check_keys(yaml, node, what, keys, NULL);
    timeout = pw_yaml_get(yaml, node, "timeout");
    if (timeout != NULL)
        parse_timeout(yaml, timeout, hook);
    command = pw_yaml_get(yaml, node, "command");
    if (command != NULL)
        return parse_command(yaml, command, hook);
    pw_problem_error(yaml->problems, yaml->path, hook->line, "hook '%s' has no command",
                     hook->name);
    return PW_OK;
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

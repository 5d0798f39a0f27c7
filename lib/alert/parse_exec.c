/* The keys of an exec hook. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/parse.h"
#include "base/text.h"

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

static enum pw_status parse_exec(struct pw_yaml *yaml, yaml_node_t *mapping,
                                 struct pw_hook_config *hook)
{
    yaml_node_t *command = pw_yaml_get(yaml, mapping, "command");

    if (command != NULL)
        return parse_command(yaml, command, hook);
    pw_problem_error(yaml->problems, yaml->path, hook->line, "hook '%s' has no command",
                     hook->name);
    return PW_OK;
}

static void free_exec(struct pw_hook_config *hook)
{
    for (size_t i = 0; hook->command != NULL && hook->command[i] != NULL; i++)
        free(hook->command[i]);
    free(hook->command);
}

static const char *const exec_keys[] = {"command", NULL};
const struct pw_hook_parser pw_parser_exec = {.name = "exec",
                                              .type = PW_HOOK_EXEC,
                                              .keys = exec_keys,
                                              .parse = parse_exec,
                                              .free = free_exec};

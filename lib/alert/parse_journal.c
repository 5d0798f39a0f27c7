/* The keys of a journal hook. */
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "alert/parse.h"
#include "base/text.h"

#define DEFAULT_SOCKET "/run/systemd/journal/socket"

static enum pw_status parse_journal(struct pw_yaml *yaml, yaml_node_t *mapping,
                                    struct pw_hook_config *hook)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "socket");
    const char *text = node != NULL ? pw_yaml_text(yaml, node, "socket") : NULL;
    size_t max_bytes = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    if (text != NULL && (text[0] != '/' || strlen(text) > max_bytes))
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "socket '%s' must be an absolute path of at most %zu bytes", text,
                         max_bytes);
    hook->journal_socket = pw_str_dup(pw_str_of(text != NULL ? text : DEFAULT_SOCKET));
    return hook->journal_socket != NULL ? PW_OK : PW_ENOMEM;
}

static void free_journal(struct pw_hook_config *hook)
{
    free(hook->journal_socket);
    hook->journal_socket = NULL;
}

static const char *const journal_keys[] = {"socket", NULL};
const struct pw_hook_parser pw_parser_journal = {.name = "journal",
                                                 .type = PW_HOOK_JOURNAL,
                                                 .keys = journal_keys,
                                                 .parse = parse_journal,
                                                 .free = free_journal};

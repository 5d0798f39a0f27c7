/* The table of commands and options. */
#ifndef PW_DAEMON_CLI_COMMANDS_H
#define PW_DAEMON_CLI_COMMANDS_H

#include "daemon/cli.h"

#define CLI_DEFAULT_CONFIG "/etc/patchwatch/patchwatch.ini"

struct cli_option_text {
    const char *name;
    const char *argument; /* NULL: a flag */
    const char *words;    /* what may be given, for completion */
    const char *help;
};
extern const struct cli_option_text cli_option_table[CLI_OPTION_COUNT];
extern const enum cli_option cli_global_options[]; /* CLI_OPTION_COUNT ends them */

/* NULL where there is none of that name. */
const struct cli_command *cli_find_command(const char *name);
/* Says that there is no such command (NULL: that none is given) and which there are. EX_USAGE. */
int cli_fail_command(const char *name);

void cli_print_usage(void);
void cli_print_command_usage(const struct cli_command *command);
/* The table for programs: what the tests hold the man page and the completions against. */
void cli_print_table(void);

#endif

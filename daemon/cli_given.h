/* What is given to the commands that change something: operands and options, read and checked.
 * Those that return false have said why. */
#ifndef PW_DAEMON_CLI_GIVEN_H
#define PW_DAEMON_CLI_GIVEN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cli.h"
#include "daemon/cli_ask.h"
#include "store/query.h"

/* Whether every option of the command's own that is given goes with what is asked for.
 * CLI_OPTION_COUNT ends allowed. */
bool cli_only_options(const struct cli *cli, const char *what, const enum cli_option *allowed);
/* The operand behind the first as a number that the history gives. */
bool cli_read_id(const struct cli *cli, const char *what, int64_t *out);
/* Nothing stands behind the first operand. */
bool cli_no_operand(const struct cli *cli, const char *what);
/* When it ends by --for or --until; PW_TIME_NONE where neither is given. */
bool cli_read_end(const struct cli *cli, int64_t from_ms, int64_t *until_ms);
/* Source and node_key of a machine that was found; rows are to be stopped. */
enum pw_status cli_read_node(struct cli *cli, int64_t node_id, struct pw_rows *rows);

/* "WHAT until TIME", or WHAT alone where the answer has no end. */
void cli_print_until(const char *what, const struct cli_answer *answer);

#endif

/* Commands that the daemon does: asking it by its control socket, and doing what it would do where
 * none runs. */
#ifndef PW_DAEMON_CLI_ASK_H
#define PW_DAEMON_CLI_ASK_H

#include "base/json_reader.h"
#include "daemon/answer.h"
#include "daemon/cli.h"
#include "daemon/request.h"

/* Besides sysexits of cli_fail. */
enum { CLI_ANSWER_MAX_BYTES = 1024 * 1024 };

enum cli_reach {
    CLI_REACHED,
    CLI_NOBODY, /* no daemon runs on the database, as far as can be seen */
    CLI_LOCKED, /* one runs, or something else holds the database; the socket is turned off */
    CLI_BARRED, /* one runs and cannot be reached; cli->err says why */
};
/* Connects to the control socket; *fd is the caller's where it is reached, else -1. */
enum cli_reach cli_reach_daemon(struct cli *cli, int *fd);
/* Says that a daemon is in the way, or that none runs. Gives the exit code. */
int cli_fail_reach(const struct cli *cli, enum cli_reach reach);

/* An answer, read. */
struct cli_answer {
    struct pw_buffer text; /* the line */
    struct pw_json_reader *reader;
    int exit_code;
};
void cli_answer_free(struct cli_answer *answer);
/* Sends a request and waits for the answer, timeout_ms at most (-1: for ever). Closes fd. false
 * after a message, with *code. answer is to be freed in any case. */
bool cli_talk(struct cli *cli, int fd, const struct pw_request *request, int timeout_ms,
              struct cli_answer *answer, int *code);
/* Takes an answer that was written here. */
bool cli_take_answer(struct cli *cli, struct pw_str line, struct cli_answer *answer, int *code);
/* With --json prints the line; prints the error of one that has one to stderr. False: nothing is
 * left to print. */
bool cli_show_answer(struct cli *cli, const struct cli_answer *answer);

/* A change of the history (daemon/change.h), by whoever may make it, from request to answer. The
 * history is closed after it. request is freed. Where it was done, calls show (NULL: nothing to
 * show) unless --json is given. */
int cli_change(struct cli *cli, struct pw_request *request,
               void (*show)(struct cli *cli, const struct cli_answer *answer));

/* Puts a copy of text into the request; false after a message. NULL is fine. */
bool cli_request_text(struct pw_request *request, enum pw_request_text which, const char *text);
/* Who asks: the user before sudo, else the user. */
bool cli_request_author(struct pw_request *request);

#endif

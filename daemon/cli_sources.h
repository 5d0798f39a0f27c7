/* The part of status that tells of sources: is each fresh, and when does the next sweep come? */
#ifndef PW_DAEMON_CLI_SOURCES_H
#define PW_DAEMON_CLI_SOURCES_H

#include "daemon/cli.h"

/* What is wrong, in words. */
struct cli_wrong {
    char **items; /* owned */
    size_t count;
    bool is_short; /* of memory: there is more than that */
};
void cli_wrong_add(struct cli_wrong *wrong, const char *format, ...) PW_PRINTF(2, 3);
void cli_wrong_free(struct cli_wrong *wrong);

/* A line a source, or "sources": [...]. What is wrong with them goes to wrong. */
enum pw_status cli_print_sources(struct cli *cli, enum cli_running running,
                                 struct cli_wrong *wrong);

#endif

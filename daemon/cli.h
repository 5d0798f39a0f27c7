/* The command patchwatch: what its parts share. main (patchwatch.c) reads the command line, opens
 * the database and calls one function a command, which prints to stdout and gives the exit code. */
#ifndef PW_DAEMON_CLI_H
#define PW_DAEMON_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "base/table.h"
#include "config/config.h"
#include "store/db.h"

enum cli_option {
    CLI_CONFIG,
    CLI_DATABASE,
    CLI_JSON,
    CLI_UTC,
    CLI_HELP,
    CLI_VERSION,
    CLI_SOURCE,
    CLI_STATUS,
    CLI_REGION,
    CLI_SCENE,
    CLI_MATCH,
    CLI_SINCE,
    CLI_TYPE,
    CLI_NODE,
    CLI_FOLLOW,
    CLI_LIMIT,
    CLI_STATE,
    CLI_HOOK,
    CLI_OVERWRITE,
    CLI_EXPECT,
    CLI_SEVERITY,
    CLI_FROM,
    CLI_UNTIL,
    CLI_FOR,
    CLI_FOREVER,
    CLI_ALL,
    CLI_COMMENT,
    CLI_DEAD,
    CLI_OPTION_COUNT
};

/* Besides sysexits: something is wrong with what was looked at, or nothing was found. */
enum { CLI_EXIT_WRONG = 1 };

struct cli {
    const char *options[CLI_OPTION_COUNT]; /* NULL = not given; a flag that is given is "" */
    char *const *operands;
    int operand_count;
    struct pw_config *config; /* NULL with --database */
    const char *database;
    struct pw_db *db; /* read-only */
    int64_t now_ms;
    size_t width; /* of the terminal; 0 = stdout is none */
    bool colour;
    /* JSON on its way to stdout. */
    struct pw_buffer buffer;
    struct pw_json json;
    bool has_failed; /* no memory for it */
    int write_errno; /* the first failure to send it */
    struct pw_error err;
};

static inline bool cli_is_json(const struct cli *cli)
{
    return cli->options[CLI_JSON] != NULL;
}

struct cli_command {
    const char *name;
    const char *arguments; /* as in the usage, "" for none */
    int operands_min, operands_max;
    const char *summary;
    const enum cli_option *options; /* its own, CLI_OPTION_COUNT ends them */
    int (*run)(struct cli *cli);
    bool needs_no_history; /* the database is not opened before it runs */
    const char *words;     /* what its first argument may be, for completion; NULL: anything */
};

/* Says what cli->err says and gives the exit code that belongs to status. */
int cli_fail(const struct cli *cli, enum pw_status status);
/* "patchwatch: COMMAND…" for a value that cannot be used; gives EX_USAGE. */
int cli_usage(const char *format, ...) PW_PRINTF(1, 2);

int cli_status(struct cli *cli);
int cli_nodes(struct cli *cli);
int cli_node(struct cli *cli);
int cli_events(struct cli *cli);
int cli_sweeps(struct cli *cli);
int cli_at(struct cli *cli);
int cli_deliveries(struct cli *cli);
int cli_rules(struct cli *cli);
int cli_verify(struct cli *cli);
int cli_backup(struct cli *cli);
int cli_manage(struct cli *cli); /* deliveries retry, deliveries drop */
int cli_mute(struct cli *cli);
int cli_ack(struct cli *cli);
int cli_unack(struct cli *cli);
int cli_sweep(struct cli *cli);
int cli_reload(struct cli *cli);
int cli_hook(struct cli *cli);

/* Values of options, checked. Each returns false and says why on stderr. */
bool cli_number(const struct cli *cli, enum cli_option option, int64_t min, int64_t none,
                int64_t *out);
bool cli_time(const struct cli *cli, const char *text, int64_t *out_ms);
/* --type as a pattern over the whole type; it must be of some type that there is. */
bool cli_type_pattern(const struct cli *cli, char *out, size_t size_bytes);
/* One of words (NULL-terminated); an option that is not given is fine. */
bool cli_word(const struct cli *cli, enum cli_option option, const char *const *words);

/* Is there a source of the name that --source gives? EX_OK, also where none is given; else says
 * what there is and gives the exit code: nothing found under a mistyped name would look like all
 * well. */
int cli_check_source(struct cli *cli);

/* The machine that text names, by key, instance id or name. 0 with *node_id; else says what it
 * found (to stdout the candidates) and gives the exit code. */
int cli_find_node(struct cli *cli, const char *text, const char *source, int64_t *node_id);

/* Is a patchwatchd running on the database? Looked up in /proc/locks, since taking its lock even
 * for an instant could keep a starting one out. */
enum cli_running {
    CLI_RUNNING,
    CLI_STOPPED,
    CLI_UNKNOWN /* from here it could not be seen */
};
struct cli_daemon {
    enum cli_running running;
    int64_t pid;        /* of whoever holds the lock; 0 = nobody is seen */
    char program[32];   /* its name; "" = not known */
    const char *reason; /* CLI_UNKNOWN: why; static text */
};
void cli_find_daemon(const char *database, struct cli_daemon *out);

#endif

/* The table of commands and options that the command line, the usage, the man page, the completions
 * and their test go by. */
#include "daemon/cli_commands.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/nearest.h"
#include "base/text.h"

/* The table ----------------------------------------------------------------------------------- */

const struct cli_option_text cli_option_table[CLI_OPTION_COUNT] = {
    [CLI_CONFIG] = {"config", "FILE", NULL,
                    "take the database's path from there (default " CLI_DEFAULT_CONFIG ")"},
    [CLI_DATABASE] = {"database", "FILE", NULL, "read this history, look at no configuration"},
    [CLI_JSON] = {"json", NULL, NULL, "print JSON, for programs"},
    [CLI_UTC] = {"utc", NULL, NULL, "print and read times in UTC instead of local time"},
    [CLI_HELP] = {"help", NULL, NULL, "print this"},
    [CLI_VERSION] = {"version", NULL, NULL, "print the version"},
    [CLI_SOURCE] = {"source", "SOURCE", NULL, "only of this source"},
    [CLI_STATUS] = {"status", "STATUS", "compliant non_compliant unknown missing",
                    "only those: compliant, non_compliant, unknown or missing"},
    [CLI_REGION] = {"region", "REGION", NULL, "only in this region"},
    [CLI_SCENE] = {"scene", "SCENE", "ECS CCE BMS", "only of this scene, such as ECS"},
    [CLI_MATCH] = {"match", "GLOB", NULL,
                   "only those whose name, key or instance id matches, such as 'prod-*'"},
    [CLI_SINCE] = {"since", "TIME", NULL,
                   "only what was recorded since: 24h, '3d ago', 2026-11-24 (default 24h)"},
    [CLI_TYPE] =
        {"type", "TYPE",
         "node.non_compliant node.compliant node.discovered node.missing node.returned "
         "node.worsened node.improved node.flapping node.settled fleet.shift source.baseline "
         "source.failing source.recovered",
         "only of this type, such as node.non_compliant or 'node.*'"},
    [CLI_NODE] = {"node", "NODE", NULL,
                  "only of this machine (key, instance id or name); then --since is no limit "
                  "unless given"},
    [CLI_FOLLOW] = {"follow", NULL, NULL, "go on with what comes, until interrupted"},
    [CLI_LIMIT] = {"limit", "N", NULL, "at most so many, the newest; 0 = all"},
    [CLI_STATE] = {"state", "STATE", "pending delivered dead muted dropped all",
                   "only those: pending, delivered, dead, muted, dropped; or all"},
    [CLI_HOOK] = {"hook", "HOOK", NULL, "only to this hook"},
    [CLI_OVERWRITE] = {"overwrite", NULL, NULL, "replace FILE where it exists"},
    [CLI_EXPECT] = {"expect", "EVENT:HASH", NULL,
                    "the event must be there with this hash, which an earlier verify printed"},
    [CLI_SEVERITY] = {"severity", "SEVERITY", "critical high medium low informational unspecified",
                      "only with non-compliant patches of that severity or worse"},
    [CLI_FROM] = {"from", "TIME", NULL, "it begins then (default now)"},
    [CLI_UNTIL] = {"until", "TIME", NULL, "it ends then"},
    [CLI_FOR] = {"for", "DURATION", NULL, "it ends after so long: 2h, 3d"},
    [CLI_FOREVER] = {"forever", NULL, NULL, "it ends when somebody removes it"},
    [CLI_ALL] = {"all", NULL, NULL, "add: a mute of everything; list: also those that are over"},
    [CLI_COMMENT] = {"comment", "TEXT", NULL, "why"},
    [CLI_DEAD] = {"dead", NULL, NULL, "retry: everything that was given up"},
};

#define OPTIONS(...)                                                                               \
    (const enum cli_option[])                                                                      \
    {                                                                                              \
        __VA_ARGS__, CLI_OPTION_COUNT                                                              \
    }
const enum cli_option cli_global_options[] = {CLI_CONFIG, CLI_DATABASE, CLI_JSON,        CLI_UTC,
                                              CLI_HELP,   CLI_VERSION,  CLI_OPTION_COUNT};
static const enum cli_option no_options[] = {CLI_OPTION_COUNT};

static const struct cli_command commands[] = {
    {"status", "", 0, 0, "is it running, is each source fresh, what is broken, was everyone told",
     no_options, cli_status, false, NULL},
    {"nodes", "", 0, 0, "the machines as they are now, the worst first",
     OPTIONS(CLI_SOURCE, CLI_STATUS, CLI_REGION, CLI_SCENE, CLI_MATCH), cli_nodes, false, NULL},
    {"node", "KEY|INSTANCE_ID|NAME", 1, 1, "one machine: its reports, its timeline, who was told",
     OPTIONS(CLI_SOURCE, CLI_LIMIT), cli_node, false, NULL},
    {"events", "", 0, 0, "what happened, the oldest first",
     OPTIONS(CLI_SINCE, CLI_TYPE, CLI_NODE, CLI_FOLLOW), cli_events, false, NULL},
    {"sweeps", "", 0, 0, "the sweeps, the newest first", OPTIONS(CLI_SOURCE, CLI_LIMIT), cli_sweeps,
     false, NULL},
    {"at", "TIME", 1, 1, "the fleet as it stood then",
     OPTIONS(CLI_SOURCE, CLI_STATUS, CLI_REGION, CLI_SCENE, CLI_MATCH), cli_at, false, NULL},
    {"deliveries", "[retry ID|drop ID]", 0, 2,
     "what hooks are owed: pending and dead, or as --state says; retry or drop one",
     OPTIONS(CLI_STATE, CLI_HOOK, CLI_SINCE, CLI_DEAD), cli_deliveries, false, "retry drop"},
    {"mute", "add|list|remove [ID]", 1, 2, "hold back what would be told, for a time",
     OPTIONS(CLI_SOURCE, CLI_REGION, CLI_SCENE, CLI_MATCH, CLI_NODE, CLI_TYPE, CLI_SEVERITY,
             CLI_FROM, CLI_UNTIL, CLI_FOR, CLI_FOREVER, CLI_ALL, CLI_COMMENT),
     cli_mute, false, "add list remove"},
    {"ack", "NODE", 1, 1, "somebody works on it: no reminders until it is good again",
     OPTIONS(CLI_SOURCE, CLI_UNTIL, CLI_FOR, CLI_COMMENT), cli_ack, false, NULL},
    {"unack", "NODE", 1, 1, "nobody works on it any more", OPTIONS(CLI_SOURCE), cli_unack, false,
     NULL},
    {"sweep", "[SOURCE]", 0, 1, "have the daemon sweep now, wait for the outcome", no_options,
     cli_sweep, true, NULL},
    {"reload", "", 0, 0, "have the daemon read its configuration anew", no_options, cli_reload,
     true, NULL},
    {"hook", "test NAME", 2, 2, "send a synthetic event through one hook", no_options, cli_hook,
     true, "test"},
    {"rules", "test", 1, 1, "what the rules would have made of the events of the past",
     OPTIONS(CLI_SINCE), cli_rules, false, "test"},
    {"backup", "FILE", 1, 1, "a consistent copy of the history, while the daemon runs or not",
     OPTIONS(CLI_OVERWRITE), cli_backup, false, NULL},
    {"verify", "", 0, 0, "check the history: the file, its invariants, the chain of events",
     OPTIONS(CLI_EXPECT), cli_verify, false, NULL},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

/* Help ---------------------------------------------------------------------------------------- */

static void print_options(FILE *out, const enum cli_option *options)
{
    for (; *options != CLI_OPTION_COUNT; options++) {
        const char *argument = cli_option_table[*options].argument;
        char left[40];

        (void)snprintf(left, sizeof left, "--%s%s%s", cli_option_table[*options].name,
                       argument != NULL ? " " : "", argument != NULL ? argument : "");
        (void)fprintf(out, "  %-17s  %s\n", left, cli_option_table[*options].help);
    }
}

static void print_commands(FILE *out)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[40];

        (void)snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].arguments);
        (void)fprintf(out, "  %-25s  %s\n", left, commands[i].summary);
    }
}

void cli_print_usage(void)
{
    (void)fputs(
        "Usage: patchwatch [--config FILE | --database FILE] [--json] COMMAND [ARGUMENT] "
        "[OPTION]...\n\n"
        "Reads the history that patchwatchd keeps, whether that runs or not.\n\nCommands:\n",
        stdout);
    print_commands(stdout);
    (void)fputs("\nOptions:\n", stdout);
    print_options(stdout, cli_global_options);
    (void)fputs("\n'patchwatch COMMAND --help' tells of the command's own options.\n"
                "Exit codes: 0 fine; 1 something is wrong, or there is no such machine; 64 usage;\n"
                "66 no such file; 74 input or output; 77 permission; 78 configuration.\n",
                stdout);
}

void cli_print_command_usage(const struct cli_command *command)
{
    (void)printf("Usage: patchwatch %s%s%s%s\n\n%s\n\n", command->name,
                 command->arguments[0] != '\0' ? " " : "", command->arguments, " [OPTION]...",
                 command->summary);
    if (command->options[0] != CLI_OPTION_COUNT) {
        (void)fputs("Options:\n", stdout);
        print_options(stdout, command->options);
        (void)fputs("\n", stdout);
    }
    (void)fputs("Options of every command:\n", stdout);
    print_options(stdout, cli_global_options);
}

static void print_table_options(const char *command, const enum cli_option *options)
{
    for (; *options != CLI_OPTION_COUNT; options++) {
        const char *argument = cli_option_table[*options].argument;
        const char *words = cli_option_table[*options].words;

        (void)printf("option\t%s\t--%s\t%s\t%s\t%s\n", command, cli_option_table[*options].name,
                     argument != NULL ? argument : "", words != NULL ? words : "",
                     cli_option_table[*options].help);
    }
}

void cli_print_table(void)
{
    print_table_options("-", cli_global_options);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)printf("command\t%s\t%s\t%s\t%s\n", commands[i].name, commands[i].arguments,
                     commands[i].summary, commands[i].words != NULL ? commands[i].words : "");
        print_table_options(commands[i].name, commands[i].options);
    }
}

/* Commands by name --------------------------------------------------------------------------- */

const struct cli_command *cli_find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

int cli_fail_command(const char *name)
{
    const char *names[COMMAND_COUNT + 1] = {NULL};
    const char *near;
    char shown[64];

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    if (name == NULL) {
        (void)fputs("patchwatch: which command?\n\n", stderr);
    } else {
        near = pw_nearest(name, names);
        (void)fprintf(stderr, "patchwatch: there is no command '%s'%s%s%s\n\n",
                      pw_text_printable(shown, sizeof shown, pw_str_of(name)),
                      near != NULL ? "; do you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
    }
    print_commands(stderr);
    (void)fputs("\nTry 'patchwatch --help'.\n", stderr);
    return EX_USAGE;
}

/* Types of events ---------------------------------------------------------------------------- */

#define TYPE_PREFIX "io.patchwatch."
enum { TYPES_MAX = 32, TYPE_MAX_BYTES = 32 };

/* The types of the option's words, each in a place of its own. Gives how many. */
static size_t list_types(char types[TYPES_MAX][TYPE_MAX_BYTES])
{
    const char *word = cli_option_table[CLI_TYPE].words;
    size_t count = 0;

    while (*word != '\0' && count < TYPES_MAX) {
        size_t len = strcspn(word, " ");

        (void)snprintf(types[count++], TYPE_MAX_BYTES, "%.*s", (int)len, word);
        word += len + (word[len] == ' ');
    }
    return count;
}

/* The type that is most like what was given, with or without what stands before the point. */
static const char *nearest_type(const char *given, char types[TYPES_MAX][TYPE_MAX_BYTES],
                                size_t count)
{
    const char *best = NULL;
    unsigned best_distance = PW_NEAREST_MAX + 1;

    for (size_t i = 0; i < count; i++) {
        const char *point = strchr(types[i], '.');
        unsigned distance = pw_edit_distance(given, types[i]);

        if (point != NULL && pw_edit_distance(given, point + 1) < distance)
            distance = pw_edit_distance(given, point + 1);
        if (distance < best_distance) {
            best = types[i];
            best_distance = distance;
        }
    }
    return best;
}

bool cli_type_pattern(const struct cli *cli, char *out, size_t size_bytes)
{
    const char *given = cli->options[CLI_TYPE], *near;
    char types[TYPES_MAX][TYPE_MAX_BYTES], shown[64];
    size_t count = list_types(types);

    if (strncmp(given, TYPE_PREFIX, sizeof TYPE_PREFIX - 1) == 0)
        given += sizeof TYPE_PREFIX - 1;
    for (size_t i = 0; i < count; i++) {
        if (pw_glob_match(given, pw_str_of(types[i])))
            return (size_t)snprintf(out, size_bytes, TYPE_PREFIX "%s", given) < size_bytes;
    }
    near = nearest_type(given, types, count);
    (void)cli_usage("--type: '%s' is no type of event, nor a pattern of one%s%s%s",
                    pw_text_printable(shown, sizeof shown, pw_str_of(given)),
                    near != NULL ? "; do you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
    return false;
}

/* patchwatch: the command line. It is read by the table in cli_commands.c; then the database is
 * opened and the command runs. */
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_commands.h"
#include "daemon/cli_output.h"

/* Messages ------------------------------------------------------------------------------------ */

int cli_usage(const char *format, ...)
{
    va_list arguments;

    (void)fputs("patchwatch: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputs("\nTry 'patchwatch --help'.\n", stderr);
    return EX_USAGE;
}

int cli_fail(const struct cli *cli, enum pw_status status)
{
    char message[sizeof cli->err.message * 4];

    (void)fflush(stdout);
    (void)fprintf(
        stderr, "patchwatch: %s\n",
        pw_text_printable(
            message, sizeof message,
            pw_str_of(cli->err.message[0] != '\0' ? cli->err.message : pw_status_name(status))));
    switch (status) {
    case PW_ENOTFOUND:
        return EX_NOINPUT;
    case PW_EPERM:
        return EX_NOPERM;
    case PW_EINVAL:
    case PW_ECORRUPT:
        return EX_CONFIG;
    case PW_EBUSY:
        return EX_TEMPFAIL;
    case PW_ENOMEM:
        return EX_OSERR;
    default:
        return EX_IOERR;
    }
}

/* Values -------------------------------------------------------------------------------------- */

bool cli_number(const struct cli *cli, enum cli_option option, int64_t min, int64_t none,
                int64_t *out)
{
    struct pw_error err = {PW_OK, ""};

    *out = none;
    if (cli->options[option] == NULL)
        return true;
    if (pw_parse_int(cli->options[option], min, INT64_C(1000000000), out, &err) == PW_OK)
        return true;
    (void)cli_usage("--%s: %s", cli_option_table[option].name, err.message);
    return false;
}

bool cli_time(const struct cli *cli, const char *text, int64_t *out_ms)
{
    struct pw_error err = {PW_OK, ""};

    if (pw_when_parse(text, cli->now_ms, out_ms, &err) == PW_OK)
        return true;
    (void)cli_usage("%s", err.message);
    return false;
}

bool cli_word(const struct cli *cli, enum cli_option option, const char *const *words)
{
    const char *given = cli->options[option];
    char shown[64];

    if (given == NULL)
        return true;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(given, words[i]) == 0)
            return true;
    }
    (void)cli_usage("--%s: '%s' is none of: %s", cli_option_table[option].name,
                    pw_text_printable(shown, sizeof shown, pw_str_of(given)),
                    cli_option_table[option].words);
    return false;
}

/* The command line ---------------------------------------------------------------------------- */

/* getopt's values of options begin behind what is a character. */
enum { OPTION_BASE = 1000, OPTION_TABLE = 2000 };

static size_t add_options(struct option *out, size_t at, const enum cli_option *options)
{
    for (; *options != CLI_OPTION_COUNT; options++)
        out[at++] = (struct option){cli_option_table[*options].name,
                                    cli_option_table[*options].argument != NULL ? required_argument
                                                                                : no_argument,
                                    NULL, OPTION_BASE + (int)*options};
    return at;
}

/* Reads options from argv[optind] on; false after a message. "+": stops at the first operand. */
static bool read_options(struct cli *cli, int argc, char **argv, const char *how,
                         const struct option *options)
{
    int option;

    while ((option = getopt_long(argc, argv, how, options, NULL)) != -1) {
        if (option == OPTION_TABLE) {
            cli_print_table();
            exit(EX_OK);
        }
        if (option < OPTION_BASE) {
            (void)fputs("Try 'patchwatch --help'.\n", stderr);
            return false;
        }
        if (optarg != NULL && optarg[0] == '\0') {
            /* An unset variable of a script, most likely: no filter would be the wrong answer. */
            (void)cli_usage("--%s: its value is empty",
                            cli_option_table[option - OPTION_BASE].name);
            return false;
        }
        cli->options[option - OPTION_BASE] = optarg != NULL ? optarg : "";
    }
    return true;
}

/* Reads all of the command line. NULL with *code where nothing is left to do. */
static const struct cli_command *read_command_line(struct cli *cli, int argc, char **argv,
                                                   int *code)
{
    struct option options[CLI_OPTION_COUNT + 2] = {{NULL, 0, NULL, 0}};
    const struct cli_command *command = NULL;
    size_t count = add_options(options, 0, cli_global_options);

    *code = EX_USAGE;
    options[count] = (struct option){"complete-table", no_argument, NULL, OPTION_TABLE};
    if (!read_options(cli, argc, argv, "+", options))
        return NULL;
    if (optind < argc) {
        command = cli_find_command(argv[optind]);
        if (command == NULL && cli->options[CLI_HELP] == NULL &&
            cli->options[CLI_VERSION] == NULL) {
            *code = cli_fail_command(argv[optind]);
            return NULL;
        }
    }
    if (command != NULL) {
        /* What is left is an argv of its own: argv[0] names the command in getopt's messages. */
        int rest = argc - optind;
        char **from = argv + optind;
        static char self[] = "patchwatch";

        from[0] = self;
        optind = 0; /* getopt starts anew */
        count = add_options(options, 0, cli_global_options);
        count = add_options(options, count, command->options);
        options[count] = (struct option){NULL, 0, NULL, 0};
        if (!read_options(cli, rest, from, "", options))
            return NULL;
        cli->operands = from + optind;
        cli->operand_count = rest - optind;
    }
    *code = EX_OK;
    if (cli->options[CLI_VERSION] != NULL) {
        (void)puts("patchwatch " PW_VERSION);
        return NULL;
    }
    if (cli->options[CLI_HELP] != NULL) {
        if (command != NULL)
            cli_print_command_usage(command);
        else
            cli_print_usage();
        return NULL;
    }
    *code = EX_USAGE;
    if (command == NULL) {
        *code = cli_fail_command(NULL);
    } else if (cli->operand_count < command->operands_min) {
        *code = cli_usage("%s needs %s", command->name, command->arguments);
        return NULL;
    } else if (cli->operand_count > command->operands_max) {
        char shown[64];

        *code = cli_usage("%s: unexpected argument '%s'", command->name,
                          pw_text_printable(shown, sizeof shown,
                                            pw_str_of(cli->operands[command->operands_max])));
        return NULL;
    } else if (cli->options[CLI_CONFIG] != NULL && cli->options[CLI_DATABASE] != NULL) {
        *code = cli_usage("--config or --database, not both");
        return NULL;
    }
    for (int i = 0; i < cli->operand_count; i++) {
        if (cli->operands[i][0] == '\0') {
            *code = cli_usage("%s: %s is empty", command->name, command->arguments);
            return NULL;
        }
    }
    return command;
}

/* The run ------------------------------------------------------------------------------------- */

static bool find_database(struct cli *cli)
{
    const char *path =
        cli->options[CLI_CONFIG] != NULL ? cli->options[CLI_CONFIG] : CLI_DEFAULT_CONFIG;
    struct pw_problems problems;
    bool found;

    if (cli->options[CLI_DATABASE] != NULL) {
        cli->database = cli->options[CLI_DATABASE];
        return true;
    }
    pw_problems_init(&problems);
    found = pw_config_peek(path, &cli->config, &problems) == PW_OK;
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    if (found)
        cli->database = cli->config->daemon.database;
    else
        (void)fputs("patchwatch: the configuration does not tell where the history is; "
                    "--config FILE or --database FILE does\n",
                    stderr);
    return found;
}

static void look_at_terminal(struct cli *cli)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    const char *columns = getenv("COLUMNS");
    int64_t given;
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return;
    cli->colour = (no_colour == NULL || no_colour[0] == '\0') && terminal != NULL &&
                  strcmp(terminal, "dumb") != 0;
    if (columns != NULL && pw_parse_int(columns, 20, 10000, &given, NULL) == PW_OK)
        cli->width = (size_t)given;
    else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        cli->width = size.ws_col;
    else
        cli->width = 80;
}

static int run(struct cli *cli, const struct cli_command *command)
{
    enum pw_status status;
    int code;

    if (!find_database(cli))
        return EX_CONFIG;
    if (!command->needs_no_history) {
        status = pw_db_open(cli->database, PW_DB_READ, &cli->db, &cli->err);
        if (status != PW_OK)
            return cli_fail(cli, status);
    }
    code = command->run(cli);
    return cli_finish(cli, code);
}

int main(int argc, char **argv)
{
    struct cli cli = {.now_ms = pw_clock_wall_ms(pw_clock_system())};
    const struct cli_command *command;
    int code;

    /* What we print is UTF-8 in any case; the locale only knows how wide it is. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is seen when writing */
    pw_log_init();
    pw_log_set_level(PW_LOG_WARNING);
    pw_buffer_init(&cli.buffer, (size_t)64 << 20);
    pw_json_init(&cli.json, &cli.buffer);
    command = read_command_line(&cli, argc, argv, &code);
    if (command == NULL)
        return cli_finish(&cli, code);
    if (cli.options[CLI_UTC] != NULL)
        (void)setenv("TZ", "UTC", 1);
    tzset();
    look_at_terminal(&cli);
    code = run(&cli, command);
    pw_db_close(cli.db);
    pw_config_free(cli.config);
    pw_buffer_free(&cli.buffer);
    return code;
}

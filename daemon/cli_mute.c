/* mute: what is held back for a time. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_ask.h"
#include "daemon/cli_given.h"
#include "daemon/cli_output.h"
#include "store/mute.h"

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

static const struct cli_column mute_columns[] = {
    {"MUTE", "mute_id", CLI_NUMBER, 0},  {"STATE", "state", CLI_STATUS_OF, 0},
    {"FROM", "from_at", CLI_TIME, 3},    {"UNTIL", "until_at", CLI_TIME, 0},
    {"MATCH", "match", CLI_TEXT, 0},     {"AUTHOR", "author", CLI_TEXT, 1},
    {"COMMENT", "comment", CLI_TEXT, 1}, {"REMOVED BY", "removed_by", CLI_TEXT, 2},
};

/* mute ----------------------------------------------------------------------------------------- */

static void put(struct pw_json *json, const char *key, const char *value)
{
    if (value == NULL)
        return;
    pw_json_key(json, key);
    pw_json_text(json, value);
}

/* EX_OK, with the JSON of what the options name in *match. */
static int write_match(struct cli *cli, struct pw_buffer *match)
{
    struct pw_json json;
    struct pw_rows rows;
    int64_t node_id = 0;
    int code = EX_OK;
    enum pw_status status;

    pw_json_init(&json, match);
    pw_json_object_begin(&json);
    put(&json, "type", cli->options[CLI_TYPE]);
    put(&json, "severity", cli->options[CLI_SEVERITY]);
    put(&json, "region", cli->options[CLI_REGION]);
    put(&json, "scene", cli->options[CLI_SCENE]);
    put(&json, "name", cli->options[CLI_MATCH]);
    if (cli->options[CLI_NODE] == NULL) {
        put(&json, "source", cli->options[CLI_SOURCE]);
    } else {
        code = cli_find_node(cli, cli->options[CLI_NODE], cli->options[CLI_SOURCE], &node_id);
        if (code != EX_OK)
            return code;
        status = cli_read_node(cli, node_id, &rows);
        if (status != PW_OK)
            return cli_fail(cli, status);
        pw_json_key(&json, "source");
        pw_json_str(&json, pw_rows_str(&rows, "source"));
        pw_json_key(&json, "node");
        pw_json_str(&json, pw_rows_str(&rows, "node_key"));
        pw_rows_stop(&rows);
    }
    pw_json_object_end(&json);
    return match->failed == PW_OK ? EX_OK : cli_fail(cli, pw_fail_nomem(&cli->err));
}

/* A mute of everything, or for ever, is one that somebody meant. */
static bool check_add(const struct cli *cli)
{
    static const enum cli_option narrowing[] = {CLI_SOURCE, CLI_REGION, CLI_SCENE,   CLI_MATCH,
                                                CLI_NODE,   CLI_TYPE,   CLI_SEVERITY};
    static const char *const severities[] = {"critical",      "high",        "medium", "low",
                                             "informational", "unspecified", NULL};
    bool is_narrow = false, ends = cli->options[CLI_FOR] != NULL || cli->options[CLI_UNTIL] != NULL;

    for (size_t i = 0; i < COUNT(narrowing); i++)
        is_narrow = is_narrow || cli->options[narrowing[i]] != NULL;
    if (!is_narrow && cli->options[CLI_ALL] == NULL)
        (void)cli_usage("mute add: of what? --source, --region, --scene, --match, --node, --type, "
                        "--severity; --all for everything");
    else if (is_narrow && cli->options[CLI_ALL] != NULL)
        (void)cli_usage("mute add: --all is everything: it goes with nothing that narrows it");
    else if (!ends && cli->options[CLI_FOREVER] == NULL)
        (void)cli_usage("mute add: for how long? --for 2h, --until TIME or --forever");
    else if (ends && cli->options[CLI_FOREVER] != NULL)
        (void)cli_usage("mute add: --forever goes with neither --for nor --until");
    else
        return cli_word(cli, CLI_SEVERITY, severities);
    return false;
}

/* A type as match has it: whole, without what stands before all of them. */
static bool check_type(struct cli *cli)
{
    static const char prefix[] = "io.patchwatch.";
    const char *type = cli->options[CLI_TYPE];
    char pattern[96];

    if (type == NULL)
        return true;
    if (strncmp(type, prefix, sizeof prefix - 1) == 0)
        cli->options[CLI_TYPE] = type = type + sizeof prefix - 1;
    if (strpbrk(type, "*?[") != NULL) {
        (void)cli_usage("mute add: --type takes one type, not a pattern");
        return false;
    }
    return cli_type_pattern(cli, pattern, sizeof pattern);
}

static void show_added(struct cli *cli, const struct cli_answer *answer)
{
    int64_t mute_id = 0;
    char what[64];

    (void)cli;
    (void)pw_json_reader_number(answer->reader, "mute_id", &mute_id);
    (void)snprintf(what, sizeof what, "mute %" PRId64, mute_id);
    cli_print_until(what, answer);
}

static int add_mute(struct cli *cli)
{
    static const enum cli_option allowed[] = {
        CLI_SOURCE, CLI_REGION, CLI_SCENE, CLI_MATCH,   CLI_NODE, CLI_TYPE,    CLI_SEVERITY,
        CLI_FROM,   CLI_UNTIL,  CLI_FOR,   CLI_FOREVER, CLI_ALL,  CLI_COMMENT, CLI_OPTION_COUNT};
    struct pw_request request;
    struct pw_buffer match;
    int64_t from_ms = cli->now_ms, until_ms;
    int code;

    if (!cli_no_operand(cli, "mute add") || !cli_only_options(cli, "mute add", allowed) ||
        !check_add(cli) || !check_type(cli))
        return EX_USAGE;
    if (cli->options[CLI_FROM] != NULL && !cli_time(cli, cli->options[CLI_FROM], &from_ms))
        return EX_USAGE;
    if (!cli_read_end(cli, from_ms, &until_ms))
        return EX_USAGE;
    if (until_ms != PW_TIME_NONE && until_ms <= cli->now_ms)
        return cli_usage("mute add: it would be over already");
    code = cli_check_source(cli);
    if (code != EX_OK)
        return code;
    pw_request_init(&request, PW_REQUEST_MUTE_ADD);
    pw_buffer_init(&match, PW_REQUEST_MAX_BYTES / 2);
    code = write_match(cli, &match);
    if (cli->options[CLI_FROM] != NULL)
        request.numbers[PW_REQUEST_FROM_AT] = from_ms;
    request.numbers[PW_REQUEST_UNTIL_AT] = until_ms;
    if (code == EX_OK &&
        (!cli_request_text(&request, PW_REQUEST_MATCH, match.data) ||
         !cli_request_text(&request, PW_REQUEST_COMMENT, cli->options[CLI_COMMENT]) ||
         !cli_request_author(&request)))
        code = EX_OSERR;
    pw_buffer_free(&match);
    if (code == EX_OK)
        return cli_change(cli, &request, show_added);
    pw_request_free(&request);
    return code;
}

static void show_removed(struct cli *cli, const struct cli_answer *answer)
{
    int64_t mute_id = 0;

    (void)cli;
    (void)pw_json_reader_number(answer->reader, "mute_id", &mute_id);
    (void)printf("mute %" PRId64 " is over\n", mute_id);
}

static int remove_mute(struct cli *cli)
{
    static const enum cli_option allowed[] = {CLI_OPTION_COUNT};
    struct pw_request request;

    pw_request_init(&request, PW_REQUEST_MUTE_REMOVE);
    if (!cli_only_options(cli, "mute remove", allowed) ||
        !cli_read_id(cli, "mute remove", &request.numbers[PW_REQUEST_ID]))
        return EX_USAGE;
    if (!cli_request_author(&request))
        return EX_OSERR;
    return cli_change(cli, &request, show_removed);
}

static int list_mutes(struct cli *cli)
{
    static const enum cli_option allowed[] = {CLI_ALL, CLI_OPTION_COUNT};
    bool all = cli->options[CLI_ALL] != NULL;
    struct pw_rows rows;
    size_t count = 0;
    enum pw_status status;

    if (!cli_no_operand(cli, "mute list") || !cli_only_options(cli, "mute list", allowed))
        return EX_USAGE;
    status = pw_mute_list(cli->db, all, cli->now_ms, &rows, &cli->err);
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        status = cli_json_rows(cli, "mutes", &rows, NULL);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        status =
            cli_table(cli, mute_columns, COUNT(mute_columns) - (all ? 0 : 1), 0, &rows, &count);
        if (status == PW_OK && count == 0)
            (void)puts(all ? "no mutes" : "no mute holds or is to come");
    }
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

int cli_mute(struct cli *cli)
{
    const char *what = cli->operands[0];

    if (strcmp(what, "add") == 0)
        return add_mute(cli);
    if (strcmp(what, "remove") == 0)
        return remove_mute(cli);
    if (strcmp(what, "list") == 0)
        return list_mutes(cli);
    return cli_usage("mute add, mute list or mute remove ID");
}

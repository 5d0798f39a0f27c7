/* mute, ack, unack, deliveries retry and drop: what people change in the history. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_ask.h"
#include "daemon/cli_commands.h"
#include "daemon/cli_output.h"
#include "store/mute.h"

#define COUNT(columns) (sizeof(columns) / sizeof *(columns))

static const struct cli_column mute_columns[] = {
    {"MUTE", "mute_id", CLI_NUMBER, 0},  {"STATE", "state", CLI_STATUS_OF, 0},
    {"FROM", "from_at", CLI_TIME, 3},    {"UNTIL", "until_at", CLI_TIME, 0},
    {"MATCH", "match", CLI_TEXT, 0},     {"AUTHOR", "author", CLI_TEXT, 1},
    {"COMMENT", "comment", CLI_TEXT, 1}, {"REMOVED BY", "removed_by", CLI_TEXT, 2},
};

/* The command line ----------------------------------------------------------------------------- */

/* Whether every option of the command's own that is given goes with what is asked for. */
static bool only_options(const struct cli *cli, const char *what, const enum cli_option *allowed)
{
    for (int option = CLI_SOURCE; option < CLI_OPTION_COUNT; option++) {
        const enum cli_option *each = allowed;

        if (cli->options[option] == NULL)
            continue;
        while (*each != CLI_OPTION_COUNT && (int)*each != option)
            each++;
        if (*each == CLI_OPTION_COUNT) {
            (void)cli_usage("%s takes no --%s", what, cli_option_table[option].name);
            return false;
        }
    }
    return true;
}

/* The operand behind the first as a number that the history gives. */
static bool read_id(const struct cli *cli, const char *what, int64_t *out)
{
    struct pw_error err = {PW_OK, ""};

    if (cli->operand_count != 2) {
        (void)cli_usage("%s needs an ID", what);
        return false;
    }
    if (pw_parse_int(cli->operands[1], 1, INT64_MAX, out, &err) == PW_OK)
        return true;
    (void)cli_usage("%s: %s", what, err.message);
    return false;
}

static bool no_operand(const struct cli *cli, const char *what)
{
    if (cli->operand_count == 1)
        return true;
    (void)cli_usage("%s takes no argument", what);
    return false;
}

/* When it ends by --for or --until; PW_TIME_NONE where neither is given. */
static bool read_end(const struct cli *cli, int64_t from_ms, int64_t *until_ms)
{
    struct pw_error err = {PW_OK, ""};
    const char *span = cli->options[CLI_FOR], *until = cli->options[CLI_UNTIL];
    int64_t span_ms;

    *until_ms = PW_TIME_NONE;
    if (span != NULL && until != NULL) {
        (void)cli_usage("--for or --until, not both");
        return false;
    }
    if (span != NULL) {
        if (pw_parse_duration_ms(span, &span_ms, &err) != PW_OK) {
            (void)cli_usage("--for: %s", err.message);
            return false;
        }
        if (span_ms <= 0 || span_ms > INT64_C(36500) * PW_DAY_MS) {
            (void)cli_usage("--for: it must be more than nothing and at most 100 years");
            return false;
        }
        *until_ms = from_ms + span_ms;
    }
    if (until != NULL) {
        if (!cli_time(cli, until, until_ms))
            return false;
        if (*until_ms <= from_ms) {
            (void)cli_usage("--until: that is not later than its beginning; --for 2h means two "
                            "hours from then on");
            return false;
        }
    }
    return true;
}

static void print_until(const char *what, const struct cli_answer *answer)
{
    int64_t until_ms;
    char text[PW_WHEN_SIZE];

    if (pw_json_reader_number(answer->reader, "until_at", &until_ms))
        (void)printf("%s until %s\n", what, pw_when_text(text, until_ms));
    else
        (void)printf("%s\n", what);
}

/* mute ----------------------------------------------------------------------------------------- */

static void put(struct pw_json *json, const char *key, const char *value)
{
    if (value == NULL)
        return;
    pw_json_key(json, key);
    pw_json_text(json, value);
}

/* Source and key of a machine that was found. */
static enum pw_status read_node(struct cli *cli, int64_t node_id, struct pw_rows *rows)
{
    bool row = false;
    enum pw_status status = pw_query_node(cli->db, node_id, rows, &cli->err);

    if (status == PW_OK)
        status = pw_rows_next(rows, &row, &cli->err);
    if (status == PW_OK && !row)
        status = pw_fail(&cli->err, PW_ENOTFOUND, "the machine is gone");
    return status;
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
        status = read_node(cli, node_id, &rows);
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
    print_until(what, answer);
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

    if (!no_operand(cli, "mute add") || !only_options(cli, "mute add", allowed) ||
        !check_add(cli) || !check_type(cli))
        return EX_USAGE;
    if (cli->options[CLI_FROM] != NULL && !cli_time(cli, cli->options[CLI_FROM], &from_ms))
        return EX_USAGE;
    if (!read_end(cli, from_ms, &until_ms))
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
    if (!only_options(cli, "mute remove", allowed) ||
        !read_id(cli, "mute remove", &request.numbers[PW_REQUEST_ID]))
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

    if (!no_operand(cli, "mute list") || !only_options(cli, "mute list", allowed))
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

/* ack, unack ----------------------------------------------------------------------------------- */

/* EX_OK, with the machine of the operand in the request. */
static int name_node(struct cli *cli, struct pw_request *request)
{
    struct pw_rows rows;
    int64_t node_id = 0;
    int code = cli_check_source(cli);
    enum pw_status status;

    if (code == EX_OK)
        code = cli_find_node(cli, cli->operands[0], cli->options[CLI_SOURCE], &node_id);
    if (code != EX_OK)
        return code;
    status = read_node(cli, node_id, &rows);
    if (status != PW_OK)
        return cli_fail(cli, status);
    request->texts[PW_REQUEST_SOURCE] = pw_str_dup(pw_rows_str(&rows, "source"));
    request->texts[PW_REQUEST_NODE_KEY] = pw_str_dup(pw_rows_str(&rows, "node_key"));
    pw_rows_stop(&rows);
    if (request->texts[PW_REQUEST_SOURCE] == NULL || request->texts[PW_REQUEST_NODE_KEY] == NULL ||
        !cli_request_author(request))
        return EX_OSERR;
    return EX_OK;
}

static void show_node(const struct cli_answer *answer, const char *what)
{
    struct cli_text hold;
    char line[1024];

    (void)snprintf(line, sizeof line, "%s: %s",
                   cli_printable(&hold, pw_json_reader_text(answer->reader, "node_key")), what);
    cli_text_free(&hold);
    print_until(line, answer);
}

static void show_acked(struct cli *cli, const struct cli_answer *answer)
{
    (void)cli;
    show_node(answer, "acknowledged");
}

static void show_unacked(struct cli *cli, const struct cli_answer *answer)
{
    (void)cli;
    show_node(answer, "no longer acknowledged");
}

int cli_ack(struct cli *cli)
{
    struct pw_request request;
    int code;

    pw_request_init(&request, PW_REQUEST_ACK);
    if (!read_end(cli, cli->now_ms, &request.numbers[PW_REQUEST_UNTIL_AT]))
        return EX_USAGE;
    code = name_node(cli, &request);
    if (code == EX_OK && !cli_request_text(&request, PW_REQUEST_COMMENT, cli->options[CLI_COMMENT]))
        code = EX_OSERR;
    if (code == EX_OK)
        return cli_change(cli, &request, show_acked);
    pw_request_free(&request);
    return code;
}

int cli_unack(struct cli *cli)
{
    struct pw_request request;
    int code;

    pw_request_init(&request, PW_REQUEST_UNACK);
    code = name_node(cli, &request);
    if (code == EX_OK)
        return cli_change(cli, &request, show_unacked);
    pw_request_free(&request);
    return code;
}

/* deliveries retry, drop ----------------------------------------------------------------------- */

static void show_retried(struct cli *cli, const struct cli_answer *answer)
{
    int64_t count = 0;

    (void)cli;
    (void)pw_json_reader_number(answer->reader, "deliveries", &count);
    (void)printf("%" PRId64 " %s tried again\n", count,
                 count == 1 ? "delivery is" : "deliveries are");
}

static void show_dropped(struct cli *cli, const struct cli_answer *answer)
{
    (void)cli;
    (void)answer;
    (void)puts("dropped");
}

static int retry(struct cli *cli)
{
    static const enum cli_option allowed[] = {CLI_DEAD, CLI_HOOK, CLI_OPTION_COUNT};
    bool is_dead = cli->options[CLI_DEAD] != NULL;
    struct pw_request request;

    pw_request_init(&request, PW_REQUEST_RETRY);
    if (!only_options(cli, "deliveries retry", allowed))
        return EX_USAGE;
    if (is_dead ? !no_operand(cli, "deliveries retry --dead")
                : !read_id(cli, "deliveries retry", &request.numbers[PW_REQUEST_ID]))
        return EX_USAGE;
    if (!is_dead && cli->options[CLI_HOOK] != NULL)
        return cli_usage("deliveries retry: --hook goes with --dead");
    if (!cli_request_author(&request) ||
        !cli_request_text(&request, PW_REQUEST_STATE, is_dead ? "dead" : NULL) ||
        !cli_request_text(&request, PW_REQUEST_HOOK, cli->options[CLI_HOOK])) {
        pw_request_free(&request);
        return EX_OSERR;
    }
    return cli_change(cli, &request, show_retried);
}

static int drop(struct cli *cli)
{
    static const enum cli_option allowed[] = {CLI_OPTION_COUNT};
    struct pw_request request;

    pw_request_init(&request, PW_REQUEST_DROP);
    if (!only_options(cli, "deliveries drop", allowed) ||
        !read_id(cli, "deliveries drop", &request.numbers[PW_REQUEST_ID]))
        return EX_USAGE;
    if (!cli_request_author(&request))
        return EX_OSERR;
    return cli_change(cli, &request, show_dropped);
}

int cli_manage(struct cli *cli)
{
    const char *what = cli->operand_count > 0 ? cli->operands[0] : "";

    if (strcmp(what, "retry") == 0)
        return retry(cli);
    if (strcmp(what, "drop") == 0)
        return drop(cli);
    return what[0] == '\0'
               ? cli_usage("deliveries: --dead goes with retry")
               : cli_usage("deliveries, deliveries retry ID|--dead or deliveries drop ID");
}

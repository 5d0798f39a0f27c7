/* ack, unack; deliveries retry and drop: what people change in the history beside mutes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "daemon/cli.h"
#include "daemon/cli_ask.h"
#include "daemon/cli_given.h"
#include "daemon/cli_output.h"

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
    status = cli_read_node(cli, node_id, &rows);
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
    cli_print_until(line, answer);
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
    if (!cli_read_end(cli, cli->now_ms, &request.numbers[PW_REQUEST_UNTIL_AT]))
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
    if (!cli_only_options(cli, "deliveries retry", allowed))
        return EX_USAGE;
    if (is_dead ? !cli_no_operand(cli, "deliveries retry --dead")
                : !cli_read_id(cli, "deliveries retry", &request.numbers[PW_REQUEST_ID]))
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
    if (!cli_only_options(cli, "deliveries drop", allowed) ||
        !cli_read_id(cli, "deliveries drop", &request.numbers[PW_REQUEST_ID]))
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

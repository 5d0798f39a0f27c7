/* verify, backup: is the history what it was, and a copy of it. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"
#include "store/backup.h"
#include "store/verify.h"

/* backup -------------------------------------------------------------------------------------- */

int cli_backup(struct cli *cli)
{
    const char *path = cli->operands[0];
    struct cli_text hold;
    int64_t size_bytes = 0;
    enum pw_status status =
        pw_store_backup(cli->db, path, cli->options[CLI_OVERWRITE] != NULL, &size_bytes, &cli->err);

    if (status == PW_EBUSY || status == PW_EINVAL) {
        (void)cli_fail(cli, status);
        return EX_CANTCREAT;
    }
    if (status != PW_OK)
        return cli_fail(cli, status);
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "file");
        pw_json_text(&cli->json, path);
        pw_json_key(&cli->json, "bytes");
        pw_json_int(&cli->json, size_bytes);
        pw_json_object_end(&cli->json);
        (void)cli_json_line(cli);
    } else {
        (void)printf("%s: %" PRId64 " bytes\n", cli_printable(&hold, pw_str_of(path)), size_bytes);
        cli_text_free(&hold);
    }
    return EX_OK;
}

/* verify -------------------------------------------------------------------------------------- */

struct verifying {
    struct cli *cli;
    int64_t told; /* findings of the check that runs */
    bool is_open; /* a check's line is */
};

static void end_check(struct verifying *verifying)
{
    if (verifying->is_open && verifying->told == 0)
        cli_print(verifying->cli, PW_PAINT_GOOD, "ok\n");
    verifying->is_open = false;
}

static void on_begin(void *context, enum pw_verify_check check)
{
    struct verifying *verifying = context;

    if (cli_is_json(verifying->cli))
        return;
    end_check(verifying);
    (void)printf("%-11s ", pw_verify_check_name(check));
    (void)fflush(stdout); /* a big file takes its time */
    verifying->is_open = true;
    verifying->told = 0;
}

static void on_finding(void *context, enum pw_verify_check check, const char *message)
{
    struct verifying *verifying = context;
    struct cli *cli = verifying->cli;
    struct cli_text hold;

    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "check");
        pw_json_text(&cli->json, pw_verify_check_name(check));
        pw_json_key(&cli->json, "message");
        pw_json_text(&cli->json, message);
        pw_json_object_end(&cli->json);
        return;
    }
    if (verifying->told++ == 0)
        cli_print(cli, PW_PAINT_BAD, "WRONG\n");
    (void)printf("  %s\n", cli_printable(&hold, pw_str_of(message)));
    cli_text_free(&hold);
}

static void json_link(struct cli *cli, const char *key, const struct pw_chain_link *link)
{
    char hex[PW_CHAIN_HEX_SIZE];

    pw_json_key(&cli->json, key);
    if (link->event_id == 0) {
        pw_json_null(&cli->json);
        return;
    }
    pw_json_object_begin(&cli->json);
    pw_json_key(&cli->json, "event_id");
    pw_json_int(&cli->json, link->event_id);
    pw_json_key(&cli->json, "hash");
    pw_json_text(&cli->json, pw_chain_hex(hex, link->hash));
    pw_json_object_end(&cli->json);
}

static void print_json_end(struct cli *cli, const struct pw_verify_result *result)
{
    const struct {
        const char *key;
        int64_t value;
    } checked[] = {{"events", result->events},
                   {"reports", result->reports},
                   {"nodes", result->nodes},
                   {"deliveries", result->deliveries}};

    pw_json_array_end(&cli->json);
    pw_json_key(&cli->json, "ok");
    pw_json_bool(&cli->json, result->total == 0);
    pw_json_key(&cli->json, "total");
    pw_json_int(&cli->json, result->total);
    pw_json_key(&cli->json, "checked");
    pw_json_object_begin(&cli->json);
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        pw_json_key(&cli->json, checked[i].key);
        pw_json_int(&cli->json, checked[i].value);
    }
    pw_json_object_end(&cli->json);
    json_link(cli, "pruned_to", &result->first);
    cli_json_time(cli, "pruned_at",
                  result->pruned_at_ms != 0 ? result->pruned_at_ms : PW_TIME_NONE);
    json_link(cli, "last", &result->last);
    pw_json_object_end(&cli->json);
    (void)cli_json_line(cli);
}

static void print_end(struct cli *cli, const struct pw_verify_result *result)
{
    char hex[PW_CHAIN_HEX_SIZE], when[PW_WHEN_SIZE];

    (void)printf("\n%" PRId64 " events, %" PRId64 " report versions, %" PRId64
                 " machines and %" PRId64 " deliveries were looked at\n",
                 result->events, result->reports, result->nodes, result->deliveries);
    if (result->first.event_id != 0)
        (void)printf("events up to %" PRId64 " were pruned by retention, last at %s\n",
                     result->first.event_id, pw_when_text(when, result->pruned_at_ms));
    if (result->last.event_id != 0)
        (void)printf("the chain ends at event %" PRId64 ": %s\n", result->last.event_id,
                     pw_chain_hex(hex, result->last.hash));
    if (result->total == 0)
        cli_print(cli, PW_PAINT_GOOD, "nothing is wrong\n");
    else
        cli_print(cli, PW_PAINT_BAD, "%" PRId64 " thing%s wrong\n", result->total,
                  result->total == 1 ? " is" : "s are");
}

int cli_verify(struct cli *cli)
{
    struct verifying verifying = {.cli = cli};
    struct pw_verify_params params = {&verifying, on_finding, on_begin};
    struct pw_verify_result result = {.total = 0};
    enum pw_status status;

    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "findings");
        pw_json_array_begin(&cli->json);
    }
    status = pw_store_verify(cli->db, &params, &result, &cli->err);
    if (cli_is_json(cli)) {
        print_json_end(cli, &result);
    } else {
        end_check(&verifying);
        print_end(cli, &result);
    }
    if (status != PW_OK) {
        int code = cli_fail(cli, status);

        return result.total > 0 ? CLI_EXIT_WRONG : code;
    }
    return result.total > 0 ? CLI_EXIT_WRONG : EX_OK;
}

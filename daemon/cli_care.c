/* verify, backup: is the history what it was, and a copy of it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli.h"
#include "daemon/cli_output.h"
#include "store/backup.h"
#include "store/verify.h"

/* backup -------------------------------------------------------------------------------------- */

/* What ends a backup. A signal that is ignored (nohup) does not. */
static void ending_signals(sigset_t *out)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    (void)sigemptyset(out);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action;

        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            (void)sigaddset(out, signals[i]);
    }
}

/* The signals are blocked while the copy is made; those that came wait. */
static bool has_signal(void *context)
{
    const sigset_t *ending = context;
    sigset_t pending;

    if (sigpending(&pending) != 0)
        return false;
    for (int number = 1; number < NSIG; number++) {
        if (sigismember(ending, number) == 1 && sigismember(&pending, number) == 1)
            return true;
    }
    return false;
}

int cli_backup(struct cli *cli)
{
    const char *path = cli->operands[0];
    struct cli_text hold;
    sigset_t ending, before;
    struct pw_backup_params params = {.overwrite = cli->options[CLI_OVERWRITE] != NULL,
                                      .is_canceled = has_signal,
                                      .context = &ending};
    int64_t size_bytes = 0;
    int code = EX_OK;
    enum pw_status status;

    ending_signals(&ending);
    (void)sigprocmask(SIG_BLOCK, &ending, &before);
    status = pw_store_backup(cli->db, path, &params, &size_bytes, &cli->err);
    if (status != PW_OK)
        code = cli_fail(cli, status);
    /* A signal that waits ends us here, so that the exit code says which. */
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (status == PW_EBUSY || status == PW_EINVAL)
        return EX_CANTCREAT;
    if (status != PW_OK)
        return code;
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

/* verify: each check -------------------------------------------------------------------------- */

struct verifying {
    struct cli *cli;
    int64_t told;     /* findings of the check that runs */
    int begun;        /* checks; the last of them runs */
    bool is_open;     /* a check's line is */
    bool was_stopped; /* the one that runs could not be ended, nor could those behind it */
};

static bool is_done(const struct verifying *verifying, enum pw_verify_check check)
{
    return (int)check < verifying->begun - (verifying->was_stopped ? 1 : 0);
}

static void end_check(struct verifying *verifying)
{
    if (verifying->is_open && verifying->told == 0)
        cli_print(verifying->cli, PW_PAINT_GOOD, "ok\n");
    verifying->is_open = false;
}

static void on_begin(void *context, enum pw_verify_check check)
{
    struct verifying *verifying = context;

    verifying->begun = (int)check + 1;
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

/* The lines of what was not checked to its end: no "ok" for these. */
static void print_rest(struct verifying *verifying)
{
    struct cli *cli = verifying->cli;

    if (verifying->is_open && verifying->told == 0)
        cli_print(cli, PW_PAINT_BAD, "NOT CHECKED\n");
    else if (verifying->is_open)
        cli_print(cli, PW_PAINT_BAD, "  and NOT CHECKED to the end\n");
    verifying->is_open = false;
    for (int check = verifying->begun; check < PW_VERIFY_CHECK_COUNT; check++) {
        (void)printf("%-11s ", pw_verify_check_name((enum pw_verify_check)check));
        cli_print(cli, PW_PAINT_BAD, "NOT CHECKED\n");
    }
}

/* verify: the end ----------------------------------------------------------------------------- */

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

static void print_json_end(const struct verifying *verifying, const struct pw_verify_result *result)
{
    struct cli *cli = verifying->cli;
    static const struct pw_chain_link unknown = {0, {0}};
    bool is_known = is_done(verifying, PW_VERIFY_CHAIN);
    const struct {
        const char *key;
        int64_t value;
    } checked[] = {{"events", result->events},
                   {"reports", result->reports},
                   {"nodes", result->nodes},
                   {"deliveries", result->deliveries}};

    pw_json_array_end(&cli->json);
    pw_json_key(&cli->json, "ok");
    pw_json_bool(&cli->json, result->total == 0 && !verifying->was_stopped);
    pw_json_key(&cli->json, "complete");
    pw_json_bool(&cli->json, !verifying->was_stopped);
    pw_json_key(&cli->json, "error");
    pw_json_text(&cli->json, verifying->was_stopped ? cli->err.message : NULL);
    pw_json_key(&cli->json, "not_checked");
    pw_json_array_begin(&cli->json);
    for (int check = 0; check < PW_VERIFY_CHECK_COUNT; check++) {
        if (!is_done(verifying, (enum pw_verify_check)check))
            pw_json_text(&cli->json, pw_verify_check_name((enum pw_verify_check)check));
    }
    pw_json_array_end(&cli->json);
    pw_json_key(&cli->json, "total");
    pw_json_int(&cli->json, result->total);
    pw_json_key(&cli->json, "checked");
    pw_json_object_begin(&cli->json);
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
        pw_json_key(&cli->json, checked[i].key);
        pw_json_int(&cli->json, checked[i].value);
    }
    pw_json_object_end(&cli->json);
    json_link(cli, "pruned_to", is_known ? &result->first : &unknown);
    cli_json_time(cli, "pruned_at",
                  is_known && result->pruned_at_ms != 0 ? result->pruned_at_ms : PW_TIME_NONE);
    json_link(cli, "last", is_known ? &result->last : &unknown);
    pw_json_object_end(&cli->json);
    (void)cli_json_line(cli);
}

static void print_end(struct verifying *verifying, const struct pw_verify_result *result)
{
    struct cli *cli = verifying->cli;
    char hex[PW_CHAIN_HEX_SIZE], when[PW_WHEN_SIZE];

    (void)printf("\n%" PRId64 " events, %" PRId64 " report versions, %" PRId64
                 " machines and %" PRId64 " deliveries were looked at\n",
                 result->events, result->reports, result->nodes, result->deliveries);
    if (is_done(verifying, PW_VERIFY_CHAIN)) {
        if (result->first.event_id != 0)
            (void)printf("events up to %" PRId64 " were pruned by retention, last at %s\n",
                         result->first.event_id, pw_when_text(when, result->pruned_at_ms));
        if (result->last.event_id != 0)
            (void)printf("the chain ends at event %" PRId64 ": %s\n", result->last.event_id,
                         pw_chain_hex(hex, result->last.hash));
    }
    if (result->total > 0)
        cli_print(cli, PW_PAINT_BAD, "%" PRId64 " thing%s wrong\n", result->total,
                  result->total == 1 ? " is" : "s are");
    if (verifying->was_stopped)
        cli_print(cli, PW_PAINT_BAD, "NOT VERIFIED: not everything could be checked\n");
    else if (result->total == 0)
        cli_print(cli, PW_PAINT_GOOD, "nothing is wrong\n");
}

/* "EVENT:HASH", as an earlier run printed it. */
static bool read_expected(const char *text, struct pw_chain_link *out)
{
    const char *colon = strchr(text, ':');
    char number[32];

    if (colon == NULL || (size_t)(colon - text) >= sizeof number)
        return false;
    (void)snprintf(number, sizeof number, "%.*s", (int)(colon - text), text);
    if (pw_parse_int(number, 1, INT64_MAX, &out->event_id, NULL) != PW_OK)
        return false;
    colon += 1 + strspn(colon + 1, " "); /* the line of verify has a space there */
    if (strlen(colon) != 2 * PW_CHAIN_BYTES ||
        strspn(colon, "0123456789abcdefABCDEF") != 2 * PW_CHAIN_BYTES)
        return false;
    for (size_t i = 0; i < PW_CHAIN_BYTES; i++) {
        unsigned byte = 0;

        (void)sscanf(colon + 2 * i, "%2x", &byte);
        out->hash[i] = (unsigned char)byte;
    }
    return true;
}

int cli_verify(struct cli *cli)
{
    struct verifying verifying = {.cli = cli};
    struct pw_chain_link expected = {0, {0}};
    struct pw_verify_params params = {
        .context = &verifying, .found = on_finding, .begins = on_begin};
    struct pw_verify_result result = {.total = 0};
    int code = EX_OK;
    enum pw_status status;

    if (cli->options[CLI_EXPECT] != NULL) {
        if (!read_expected(cli->options[CLI_EXPECT], &expected))
            return cli_usage("--expect: write EVENT:HASH, a number and 64 hex digits, as the last "
                             "lines of verify say them");
        params.expected = &expected;
    }
    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "findings");
        pw_json_array_begin(&cli->json);
    }
    status = pw_store_verify(cli->db, &params, &result, &cli->err);
    verifying.was_stopped = status != PW_OK;
    if (cli_is_json(cli)) {
        print_json_end(&verifying, &result);
    } else {
        if (verifying.was_stopped)
            print_rest(&verifying);
        end_check(&verifying);
        print_end(&verifying, &result);
    }
    if (status != PW_OK)
        code = cli_fail(cli, status);
    return result.total > 0 ? CLI_EXIT_WRONG : code;
}

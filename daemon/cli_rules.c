/* rules test: what the rules of alerts.yaml would have made of the events of the past. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "alert/alerts.h"
#include "base/clock.h"
#include "base/when.h"
#include "daemon/cli_output.h"
#include "store/replay.h"

#define DEFAULT_SINCE_MS (INT64_C(30) * PW_DAY_MS)

/* How often a hook was told on behalf of a rule. */
struct tally {
    char *hook, *rule;
    int64_t attempts, events, reminders;
};

struct telling {
    struct cli *cli;
    struct pw_table *table; /* NULL: JSON */
    struct tally *tallies;
    size_t tally_count;
    int64_t attempts;
    bool is_out_of_memory;
};

static struct tally *tally_of(struct telling *telling, const struct pw_delivery *delivery)
{
    struct tally *tallies;

    for (size_t i = 0; i < telling->tally_count; i++) {
        if (strcmp(telling->tallies[i].hook, delivery->hook) == 0 &&
            strcmp(telling->tallies[i].rule, delivery->rule) == 0)
            return &telling->tallies[i];
    }
    tallies = realloc(telling->tallies, (telling->tally_count + 1) * sizeof *tallies);
    if (tallies == NULL)
        return NULL;
    telling->tallies = tallies;
    tallies += telling->tally_count;
    *tallies = (struct tally){.hook = strdup(delivery->hook), .rule = strdup(delivery->rule)};
    if (tallies->hook == NULL || tallies->rule == NULL) {
        free(tallies->hook);
        free(tallies->rule);
        return NULL;
    }
    telling->tally_count++;
    return tallies;
}

static void print_json(struct telling *telling, const struct pw_delivery *delivery, int64_t at_ms,
                       int64_t together)
{
    struct pw_json *json = &telling->cli->json;

    pw_json_object_begin(json);
    cli_json_time(telling->cli, "at", at_ms);
    pw_json_key(json, "hook");
    pw_json_text(json, delivery->hook);
    pw_json_key(json, "rule");
    pw_json_text(json, delivery->rule);
    pw_json_key(json, "event_id");
    pw_json_int(json, delivery->event_id);
    pw_json_key(json, "type");
    pw_json_text(json, delivery->type);
    pw_json_key(json, "source");
    pw_json_text(json, delivery->source_name);
    pw_json_key(json, "node_key");
    pw_json_str(json, delivery->node_key);
    pw_json_key(json, "name");
    pw_json_str(json, delivery->node_name);
    pw_json_key(json, "attempt");
    pw_json_int(json, telling->attempts);
    pw_json_key(json, "together");
    pw_json_int(json, together);
    pw_json_key(json, "reminder");
    pw_json_int(json, delivery->reminder);
    pw_json_object_end(json);
    cli_json_flush(telling->cli);
}

static void print_row(struct telling *telling, const struct pw_delivery *delivery, int64_t at_ms,
                      int64_t together)
{
    char time[PW_WHEN_SIZE], number[24], reminder[24] = "-";
    struct pw_str name =
        pw_str_empty(delivery->node_name) ? delivery->node_key : delivery->node_name;

    (void)snprintf(number, sizeof number, "%" PRId64, together);
    if (delivery->reminder > 0)
        (void)snprintf(reminder, sizeof reminder, "%" PRId64, delivery->reminder);
    (void)pw_table_text(telling->table, pw_when_text(time, at_ms), PW_PAINT_NONE);
    (void)pw_table_text(telling->table, delivery->hook, PW_PAINT_NONE);
    (void)pw_table_text(telling->table, delivery->rule, PW_PAINT_NONE);
    (void)pw_table_text(telling->table, delivery->type + strlen("io.patchwatch."), PW_PAINT_NONE);
    (void)pw_table_cell(telling->table, name, PW_PAINT_NONE);
    (void)pw_table_text(telling->table, number, PW_PAINT_NONE);
    (void)pw_table_text(telling->table, reminder, PW_PAINT_NONE);
}

static void on_told(void *context, const struct pw_delivery *list, int64_t at_ms)
{
    struct telling *telling = context;
    struct tally *tally = tally_of(telling, list);
    int64_t together = 0;

    for (const struct pw_delivery *each = list; each != NULL; each = each->next)
        together++;
    if (tally == NULL) {
        telling->is_out_of_memory = true;
        return;
    }
    telling->attempts++;
    tally->attempts++;
    tally->events += together;
    for (const struct pw_delivery *each = list; each != NULL; each = each->next) {
        tally->reminders += each->reminder > 0;
        if (telling->table != NULL)
            print_row(telling, each, at_ms, together);
        else
            print_json(telling, each, at_ms, together);
    }
}

/* How often each hook would have been told, by rule. */
static void print_tallies(struct telling *telling, const struct pw_replay_result *result)
{
    for (size_t i = 0; i < telling->tally_count; i++) {
        const struct tally *tally = &telling->tallies[i];

        (void)printf("%s by '%s': %" PRId64 " time%s, %" PRId64 " event%s%s", tally->hook,
                     tally->rule, tally->attempts, tally->attempts == 1 ? "" : "s", tally->events,
                     tally->events == 1 ? "" : "s", tally->reminders > 0 ? "" : "\n");
        if (tally->reminders > 0)
            (void)printf(", of these %" PRId64 " reminders\n", tally->reminders);
    }
    (void)printf("%" PRId64 " event%s, %" PRId64 " of them told to nobody\n", result->events,
                 result->events == 1 ? "" : "s", result->unheard);
}

static void print_json_tallies(struct telling *telling, const struct pw_replay_result *result)
{
    struct pw_json *json = &telling->cli->json;

    pw_json_array_end(json);
    pw_json_key(json, "hooks");
    pw_json_array_begin(json);
    for (size_t i = 0; i < telling->tally_count; i++) {
        const struct tally *tally = &telling->tallies[i];

        pw_json_object_begin(json);
        pw_json_key(json, "hook");
        pw_json_text(json, tally->hook);
        pw_json_key(json, "rule");
        pw_json_text(json, tally->rule);
        pw_json_key(json, "attempts");
        pw_json_int(json, tally->attempts);
        pw_json_key(json, "events");
        pw_json_int(json, tally->events);
        pw_json_key(json, "reminders");
        pw_json_int(json, tally->reminders);
        pw_json_object_end(json);
    }
    pw_json_array_end(json);
    pw_json_key(json, "events");
    pw_json_int(json, result->events);
    pw_json_key(json, "unheard");
    pw_json_int(json, result->unheard);
    pw_json_object_end(json);
    (void)cli_json_line(telling->cli);
}

static enum pw_status replay(struct telling *telling, const struct pw_alerts *alerts,
                             int64_t since_ms, struct pw_replay_result *result)
{
    const char *hooks[PW_ALERTS_MAX_HOOKS];
    struct pw_replay_params params = {
        .router = &alerts->router,
        .hooks = hooks,
        .hook_count = alerts->hook_count,
        .since_ms = since_ms,
        .until_ms = telling->cli->now_ms,
        .context = telling,
        .told = on_told,
    };
    enum pw_status status;

    for (size_t i = 0; i < alerts->hook_count; i++)
        hooks[i] = alerts->hooks[i].name;
    status = pw_replay(telling->cli->db, &params, result, &telling->cli->err);
    if (status == PW_OK && telling->is_out_of_memory)
        status = pw_fail_nomem(&telling->cli->err);
    return status;
}

static int test_rules(struct cli *cli, const struct pw_alerts *alerts, int64_t since_ms)
{
    static const struct pw_table_column columns[] = {
        {"TIME", false, 0}, {"HOOK", false, 0},    {"RULE", false, 2},    {"TYPE", false, 0},
        {"NAME", false, 0}, {"TOGETHER", true, 3}, {"REMINDER", true, 1},
    };
    struct pw_table_style style = {.width = cli->width, .colour = cli->colour};
    struct telling telling = {.cli = cli};
    struct pw_replay_result result;
    enum pw_status status;

    if (cli_is_json(cli)) {
        pw_json_object_begin(&cli->json);
        pw_json_key(&cli->json, "deliveries");
        pw_json_array_begin(&cli->json);
        status = replay(&telling, alerts, since_ms, &result);
        print_json_tallies(&telling, &result);
    } else {
        telling.table = pw_table_new(stdout, columns, sizeof columns / sizeof columns[0], &style);
        status = telling.table != NULL ? replay(&telling, alerts, since_ms, &result)
                                       : pw_fail_nomem(&cli->err);
        if (telling.table != NULL && pw_table_end(telling.table) != PW_OK && status == PW_OK)
            status = pw_fail_nomem(&cli->err);
        if (status == PW_OK && telling.attempts > 0)
            (void)puts("");
        if (status == PW_OK)
            print_tallies(&telling, &result);
    }
    for (size_t i = 0; i < telling.tally_count; i++) {
        free(telling.tallies[i].hook);
        free(telling.tallies[i].rule);
    }
    free(telling.tallies);
    return status == PW_OK ? EX_OK : cli_fail(cli, status);
}

int cli_rules(struct cli *cli)
{
    struct pw_alerts *alerts = NULL;
    struct pw_problems problems;
    int64_t since_ms = cli->now_ms - DEFAULT_SINCE_MS;
    bool is_loaded;
    int code;

    if (strcmp(cli->operands[0], "test") != 0)
        return cli_usage("rules: there is only 'rules test'");
    if (cli->config == NULL)
        return cli_usage("rules test needs the rules: --config FILE, not --database");
    if (cli->options[CLI_SINCE] != NULL && !cli_time(cli, cli->options[CLI_SINCE], &since_ms))
        return EX_USAGE;
    pw_problems_init(&problems);
    is_loaded = pw_alerts_load(cli->config->daemon.alerts, &alerts, &problems) == PW_OK;
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    if (!is_loaded)
        return EX_CONFIG;
    code = test_rules(cli, alerts, since_ms);
    pw_alerts_free(alerts);
    return code;
}

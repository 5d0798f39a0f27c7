/* What of alerts.yaml's hooks ends up where: the keys of every kind, and those of kinds that speak
 * HTTP. What is refused is in tests/data/alerts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/alerts.h"
#include "alert/hook.h"
#include "alert/hook_alertmanager.h"
#include "alert/hook_webhook.h"

struct fixture {
    char dir[64], path[96];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/pw-keys-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/alerts.yaml", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[160];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static struct pw_alerts *load(const struct fixture *f, const char *hooks)
{
    struct pw_problems problems;
    struct pw_alerts *alerts;
    char text[2048];

    (void)snprintf(text, sizeof text, "version: 1\nhooks:\n%s\n", hooks);
    write_file(f, "alerts.yaml", text);
    pw_problems_init(&problems);
    if (pw_alerts_load(f->path, &alerts, &problems) != PW_OK) {
        pw_problems_print(&problems, stderr);
        fail();
    }
    pw_problems_free(&problems);
    return alerts;
}

static void test_keys_of_every_kind(void **state)
{
    struct pw_alerts *alerts =
        load(*state, "  a: {type: exec, command: [/bin/true]}\n"
                     "  b: {type: webhook, url: https://a.example/, concurrency: 16, rate: 5/m, "
                     "retry_for: 1m, timeout: 1h}\n"
                     "  c: {type: alertmanager, urls: http://127.0.0.1:1, rate: 10/h}\n"
                     "  d: {type: exec, command: [/bin/true], rate: 0, retry_for: 30d}\n"
                     "  e: {type: exec, command: [/bin/true], rate: 10000/s, concurrency: 1}");
    const struct pw_hook_config *hooks = alerts->hooks;

    assert_int_equal(hooks[0].concurrency, 4);
    assert_int_equal(hooks[0].rate_count, 0);
    assert_int_equal(hooks[0].retry_for_ms, 3 * PW_DAY_MS);
    assert_int_equal(hooks[0].timeout_ms, 30000);
    assert_string_equal(hooks[0].target, "");
    assert_int_equal(hooks[1].concurrency, 16);
    assert_int_equal(hooks[1].rate_count, 5);
    assert_int_equal(hooks[1].rate_period_ms, 60000);
    assert_int_equal(hooks[1].retry_for_ms, 60000);
    assert_int_equal(hooks[1].timeout_ms, 3600000);
    assert_int_equal(hooks[2].rate_count, 10);
    assert_int_equal(hooks[2].rate_period_ms, 3600000);
    assert_int_equal(hooks[3].rate_count, 0);
    assert_int_equal(hooks[3].retry_for_ms, 30 * PW_DAY_MS);
    assert_int_equal(hooks[4].rate_count, 10000);
    assert_int_equal(hooks[4].rate_period_ms, 1000);
    assert_int_equal(hooks[4].concurrency, 1);
    assert_ptr_equal(pw_hook_kind_of(&hooks[0]), &pw_hook_exec);
    assert_ptr_equal(pw_hook_kind_of(&hooks[1]), &pw_hook_webhook);
    assert_ptr_equal(pw_hook_kind_of(&hooks[2]), &pw_hook_alertmanager);
    assert_null(pw_hook_exec.resend_ms);
    assert_null(pw_hook_webhook.resend_ms);
    pw_alerts_free(alerts);
}

static void test_targets(void **state)
{
    struct fixture *f = *state;
    struct pw_alerts *alerts;
    const struct pw_hook_config *hooks;

    write_file(f, "url", "https://a.example/\n");
    alerts = load(f, "  a: {type: webhook, url: https://a.example/}\n"
                     "  b: {type: webhook, url_file: url, format: slack, timeout: 5s}\n"
                     "  c: {type: webhook, url: https://a.example/x}\n"
                     "  d: {type: alertmanager, urls: [http://127.0.0.1:1, http://127.0.0.1:2]}\n"
                     "  e: {type: alertmanager, urls: [http://127.0.0.1:1]}");
    hooks = alerts->hooks;
    assert_int_equal(strlen(hooks[0].target), 64);
    assert_string_equal(hooks[0].target, hooks[1].target);
    assert_string_not_equal(hooks[0].target, hooks[2].target);
    assert_string_not_equal(hooks[3].target, hooks[4].target);
    pw_alerts_free(alerts);
}

static void test_webhook(void **state)
{
    struct fixture *f = *state;
    const struct pw_webhook_config *config;
    struct pw_alerts *alerts;
    char expected[160];

    write_file(f, "url", "HTTPS://user:pass@chat.example/services/T0?k=v\n");
    write_file(f, "token", "abc\n");
    write_file(f, "body.json", "[]");
    alerts = load(f, "  a: {type: webhook, url_file: url, token_file: token, template: body.json,\n"
                     "      ca_file: body.json, proxy: 'socks5h://p:1', headers: {X-A: b c}}\n");
    config = alerts->hooks[0].webhook;
    assert_int_equal(config->format, PW_WEBHOOK_TEMPLATE);
    assert_string_equal(config->link.urls[0].data,
                        "HTTPS://user:pass@chat.example/services/T0?k=v");
    assert_true(config->link.url_is_secret);
    assert_string_equal(config->link.path.data, "/services/T0?k=v");
    assert_string_equal(config->link.password.data, "pass");
    assert_string_equal(config->link.bearer.data, "Authorization: Bearer abc");
    assert_string_equal(config->link.headers[0], "X-A: b c");
    assert_null(config->link.headers[1]);
    (void)snprintf(expected, sizeof expected, "%s/body.json", f->dir);
    assert_string_equal(config->link.ca_file, expected);
    assert_string_equal(config->link.proxy, "socks5h://p:1");
    assert_int_equal(config->keys.count, 0);
    pw_alerts_free(alerts);
}

static void test_alertmanager(void **state)
{
    struct pw_alerts *alerts =
        load(*state, "  a: {type: alertmanager, urls: ['http://127.0.0.1:9093/am//', "
                     "'https://b.example'], labels: {team: infra, b: c}, resend: 2m, "
                     "node_labels: [name, group]}\n"
                     "  b: {type: alertmanager, urls: http://127.0.0.1:9093, node_labels: []}\n"
                     "  c: {type: alertmanager, urls: http://127.0.0.1:9093}");
    const struct pw_alertmanager_config *config = alerts->hooks[0].alertmanager;

    assert_int_equal(config->link.url_count, 2);
    assert_string_equal(config->link.urls[0].data, "http://127.0.0.1:9093/am/api/v2/alerts");
    assert_string_equal(config->link.urls[1].data, "https://b.example/api/v2/alerts");
    assert_string_equal(config->labels[0], "team");
    assert_string_equal(config->labels[1], "infra");
    assert_string_equal(config->labels[3], "c");
    assert_null(config->labels[4]);
    assert_int_equal(config->node_labels, 2 | 4);
    assert_int_equal(pw_hook_alertmanager.resend_ms(&alerts->hooks[0]), 120000);
    assert_int_equal(alerts->hooks[1].alertmanager->node_labels, 0);
    assert_int_equal(pw_hook_alertmanager.resend_ms(&alerts->hooks[2]), 60000);
    assert_int_equal(alerts->hooks[2].alertmanager->node_labels, 1);
    pw_alerts_free(alerts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_of_every_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_webhook, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alertmanager, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

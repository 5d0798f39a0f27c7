/* Loading as a user sees it: values, conf.d, secret files. Each test works in a folder of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

#define SOURCE "[source s]\nendpoint = https://coc.example\nauth = none\n"

struct fixture {
    char dir[64];
    char path[128];
    struct pw_problems problems;
    struct pw_config *config;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    strcpy(f->dir, "/tmp/pw-config-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/patchwatch.ini", f->dir);
    pw_problems_init(&f->problems);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pw_config_free(f->config);
    pw_problems_free(&f->problems);
    (void)nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void write_mode(struct fixture *f, const char *name, const char *text, mode_t mode)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    write_mode(f, name, text, 0644);
}

static void make_dir(struct fixture *f, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

/* Loads again, forgetting what was. */
static enum pw_status load(struct fixture *f)
{
    pw_config_free(f->config);
    f->config = NULL;
    pw_problems_free(&f->problems);
    return pw_config_load(f->path, &f->config, &f->problems);
}

static void assert_loads(struct fixture *f)
{
    enum pw_status status = load(f);

    for (size_t i = 0; i < f->problems.count; i++)
        print_error("%s\n", f->problems.items[i].text);
    assert_int_equal(status, PW_OK);
    assert_int_equal(f->problems.count, 0);
    assert_non_null(f->config);
}

/* FILE is a suffix of the blamed file's path; LINE 0 = none. */
static void assert_problem(struct fixture *f, const char *file, int line, const char *text)
{
    char wanted[512];

    if (line > 0)
        (void)snprintf(wanted, sizeof wanted, "%s/%s:%d: ", f->dir, file, line);
    else
        (void)snprintf(wanted, sizeof wanted, "%s/%s: ", f->dir, file);
    for (size_t i = 0; i < f->problems.count; i++) {
        const char *problem = f->problems.items[i].text;

        if (strncmp(problem, wanted, strlen(wanted)) == 0 && strstr(problem, text) != NULL)
            return;
    }
    for (size_t i = 0; i < f->problems.count; i++)
        print_error("%s\n", f->problems.items[i].text);
    fail_msg("no problem %s%s", wanted, text);
}

static void assert_in_dir(struct fixture *f, const char *path, const char *name)
{
    char wanted[256];

    (void)snprintf(wanted, sizeof wanted, "%s/%s", f->dir, name);
    assert_non_null(path);
    assert_string_equal(path, wanted);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    const struct pw_source_config *s;

    write_file(f, "patchwatch.ini", SOURCE);
    assert_loads(f);
    assert_string_equal(f->config->path, f->path);
    assert_string_equal(f->config->daemon.database, "/var/lib/patchwatch/history.db");
    assert_string_equal(f->config->daemon.alerts, "/etc/patchwatch/alerts.yaml");
    assert_string_equal(f->config->daemon.control, "/run/patchwatch/control.sock");
    assert_null(f->config->daemon.listen);
    assert_int_equal(f->config->daemon.log_level, PW_LOG_INFO);
    assert_true(f->config->daemon.retention_ms == INT64_C(400) * 86400000);
    assert_int_equal(f->config->source_count, 1);
    s = &f->config->sources[0];
    assert_string_equal(s->name, "s");
    assert_string_equal(s->endpoint, "https://coc.example");
    assert_int_equal(s->auth, PW_AUTH_NONE);
    assert_string_equal(s->metadata_endpoint, "http://169.254.169.254");
    assert_true(s->interval_ms == 900000 && s->jitter_percent == 10);
    assert_true(s->timeout_ms == 60000 && s->connect_timeout_ms == 10000);
    assert_true(s->sweep_timeout_ms == 1800000 && s->page_size == 100 && s->concurrency == 4);
    assert_int_equal(s->offset, PW_OFFSET_SETTING_AUTO);
    assert_true(s->sort_by_report_time);
    assert_true(s->rate_count == 10 && s->rate_period_ms == 1000);
    assert_true(s->retries == 5 && s->confirm == 1 && s->missing_after == 3);
    assert_null(s->ca_file);
    assert_null(s->proxy);
    assert_null(s->token_file);
    assert_null(s->domain_id);
    for (int i = 0; i < PW_FILTER_COUNT; i++)
        assert_null(s->filter[i]);
    assert_string_equal(s->file, f->path);
    assert_int_equal(s->line, 1);
}

static void test_every_value(void **state)
{
    struct fixture *f = *state;
    const struct pw_source_config *s;

    write_file(f, "ca.pem", "");
    write_file(f, "patchwatch.ini",
               "[daemon]\ndatabase = /srv/h.db\nalerts = a.yaml\ncontrol = c.sock\nlisten = ; off\n"
               "log_level = debug\nretention = 0\n"
               "[source A-b_c.9]\nendpoint = HTTPS://[2001:db8::1]:8443/pre/fix//\nauth = none\n"
               "domain_id = d=1\nproject_id = p;1 ; a comment\ninterval = 1h30m\njitter = 0\n"
               "timeout = 1ms\nconnect_timeout = 2s\nsweep_timeout = 7d\npage_size = 1\n"
               "offset = record\nsort = none\nconcurrency = 64\nrate = 600/m\nretries = 0\n"
               "confirm = 1000\nmissing_after = 1\nca_file = ca.pem\nproxy = socks5h://proxy:1080\n"
               "filter.region = cn-north-4\nfilter.report_scene = ANY\nfilter.name = "
               "gr\xc3\xbc\xc3\x9f e\n"
               "[source second]\nendpoint = https://x\nauth = none\nrate = 0\noffset = page\n");
    assert_loads(f);
    assert_string_equal(f->config->daemon.database, "/srv/h.db");
    assert_in_dir(f, f->config->daemon.alerts, "a.yaml");
    assert_in_dir(f, f->config->daemon.control, "c.sock");
    assert_null(f->config->daemon.listen);
    assert_int_equal(f->config->daemon.log_level, PW_LOG_DEBUG);
    assert_true(f->config->daemon.retention_ms == 0);
    assert_int_equal(f->config->source_count, 2);
    s = &f->config->sources[0];
    assert_string_equal(s->name, "A-b_c.9");
    assert_string_equal(s->endpoint, "https://[2001:db8::1]:8443/pre/fix");
    assert_string_equal(s->domain_id, "d=1");
    assert_string_equal(s->project_id, "p;1");
    assert_true(s->interval_ms == 5400000 && s->jitter_percent == 0 && s->timeout_ms == 1);
    assert_true(s->connect_timeout_ms == 2000 && s->sweep_timeout_ms == 7 * INT64_C(86400000));
    assert_true(s->page_size == 1 && s->concurrency == 64 && s->retries == 0);
    assert_true(s->confirm == 1000 && s->missing_after == 1);
    assert_int_equal(s->offset, PW_OFFSET_SETTING_RECORD);
    assert_false(s->sort_by_report_time);
    assert_true(s->rate_count == 600 && s->rate_period_ms == 60000);
    assert_in_dir(f, s->ca_file, "ca.pem");
    assert_string_equal(s->proxy, "socks5h://proxy:1080");
    assert_string_equal(s->filter[PW_FILTER_REGION], "cn-north-4");
    assert_string_equal(s->filter[PW_FILTER_REPORT_SCENE], "ANY");
    assert_string_equal(s->filter[PW_FILTER_NAME], "gr\xc3\xbc\xc3\x9f e");
    assert_int_equal(s->line, 8);
    assert_true(f->config->sources[1].rate_count == 0);
    assert_int_equal(f->config->sources[1].offset, PW_OFFSET_SETTING_PAGE);
}

static void test_empty_values_mean_none(void **state)
{
    struct fixture *f = *state;

    write_file(f, "patchwatch.ini",
               "[daemon]\nalerts =\ncontrol =\n[defaults]\nproxy = http://p:1\nauth = none\n"
               "filter.region = r\n[source s]\nendpoint = https://x\nproxy =\nfilter.region =\n"
               "[source t]\nendpoint = https://x\n");
    assert_loads(f);
    assert_null(f->config->daemon.alerts);
    assert_null(f->config->daemon.control);
    assert_null(f->config->sources[0].proxy);
    assert_null(f->config->sources[0].filter[PW_FILTER_REGION]);
    assert_string_equal(f->config->sources[1].proxy, "http://p:1");
    assert_string_equal(f->config->sources[1].filter[PW_FILTER_REGION], "r");
}

static void test_defaults_yield_to_the_source(void **state)
{
    struct fixture *f = *state;

    write_file(f, "patchwatch.ini",
               "[source a]\nendpoint = https://a\nretries = 2\n[defaults]\nauth = none\n"
               "endpoint = https://d\nretries = 7\n[source b]\nconfirm = 2\n");
    assert_loads(f);
    assert_true(f->config->sources[0].retries == 2 && f->config->sources[1].retries == 7);
    assert_string_equal(f->config->sources[0].endpoint, "https://a");
    assert_string_equal(f->config->sources[1].endpoint, "https://d");
}

static void test_conf_d(void **state)
{
    struct fixture *f = *state;
    char link[256];

    make_dir(f, "conf.d");
    make_dir(f, "conf.d/dir.ini");
    write_file(f, "patchwatch.ini", SOURCE "interval = bad\nretries = 1\nconfirm = 1\n");
    write_file(f, "conf.d/20.ini", "[source s]\nretries = 20\n");
    write_file(
        f, "conf.d/10.ini",
        "[source s]\ninterval = 5m\nretries = 10\nconfirm = 10\n"
        "[source t]\nendpoint = https://t\n[daemon]\nlog_level = err\n[defaults]\nauth = none\n");
    write_file(f, "conf.d/.hidden.ini", "nonsense");
    write_file(f, "conf.d/.ini", "nonsense");
    write_file(f, "conf.d/30.ini.bak", "nonsense");
    assert_loads(f);
    assert_int_equal(f->config->file_count, 3);
    assert_string_equal(f->config->files[0], f->path);
    assert_in_dir(f, f->config->files[1], "conf.d/10.ini");
    assert_in_dir(f, f->config->files[2], "conf.d/20.ini");
    assert_int_equal(f->config->source_count, 2);
    assert_true(f->config->sources[0].interval_ms == 300000);
    assert_true(f->config->sources[0].retries == 20 && f->config->sources[0].confirm == 10);
    assert_string_equal(f->config->sources[0].file, f->path);
    assert_string_equal(f->config->sources[1].file, f->config->files[1]);
    assert_int_equal(f->config->sources[1].line, 5);
    assert_int_equal(f->config->daemon.log_level, PW_LOG_ERR);

    write_file(f, "conf.d/20.ini", "\n[source s]\nretries = 200\nretries = 2\n");
    assert_int_equal(load(f), PW_EINVAL);
    assert_null(f->config);
    assert_int_equal(f->problems.count, 2);
    assert_problem(f, "conf.d/20.ini", 3, "retries: '200' is not a whole number from 0 to 20");
    assert_problem(f, "conf.d/20.ini", 4, "'retries' stands here again; it is at line 3 already");

    write_file(f, "conf.d/20.ini", "");
    (void)snprintf(link, sizeof link, "%s/conf.d/40.ini", f->dir);
    assert_int_equal(symlink("nowhere", link), 0);
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "conf.d/40.ini", 0, "cannot open: No such file");
}

static void test_conf_d_is_a_file(void **state)
{
    struct fixture *f = *state;

    write_file(f, "patchwatch.ini", SOURCE);
    write_file(f, "conf.d", "");
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "conf.d", 0, "cannot read the directory: Not a directory");
}

static void test_main_file_unreadable(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(load(f), PW_EINVAL);
    assert_int_equal(f->problems.count, 1);
    assert_problem(f, "patchwatch.ini", 0, "cannot open: No such file or directory");
    make_dir(f, "patchwatch.ini");
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "patchwatch.ini", 0, "is not a regular file");
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "patchwatch.ini", 0, "is not a regular file");
    assert_int_equal(unlink(f->path), 0);
    write_file(f, "patchwatch.ini", SOURCE);
    assert_int_equal(truncate(f->path, (1 << 20) + 1), 0);
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "patchwatch.ini", 0, "is larger than 1048576 bytes");
}

static void test_earlier_problems_do_not_count(void **state)
{
    struct fixture *f = *state;

    write_file(f, "patchwatch.ini", SOURCE);
    pw_problem_error(&f->problems, "other", 1, "from somebody else");
    assert_int_equal(pw_config_load(f->path, &f->config, &f->problems), PW_OK);
    assert_int_equal(f->problems.count, 1);
}

static void test_relative_config_path(void **state)
{
    struct fixture *f = *state;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(here >= 0);
    write_file(f, "patchwatch.ini", "[daemon]\nalerts = sub/a.yaml\n" SOURCE);
    make_dir(f, "conf.d");
    write_mode(f, "conf.d/tok", "t", 0600);
    write_file(f, "conf.d/x.ini", "[defaults]\ntoken_file = tok\n");
    strcpy(f->path, "patchwatch.ini");
    assert_int_equal(chdir(f->dir), 0);
    assert_loads(f);
    assert_int_equal(fchdir(here), 0);
    (void)close(here);
    assert_in_dir(f, f->config->daemon.alerts, "sub/a.yaml");
    assert_in_dir(f, f->config->sources[0].token_file, "conf.d/tok");
    assert_string_equal(f->config->files[1], "conf.d/x.ini");
}

static void test_secret_files(void **state)
{
    struct fixture *f = *state;
    char text[512];

    write_mode(f, "ak", "x", 0600);
    write_mode(f, "sk", "x", 0400);
    write_mode(f, "group", "x", 0640);
    write_mode(f, "others", "x", 0604);
    (void)snprintf(text, sizeof text,
                   SOURCE "[defaults]\naccess_key_file = ak\nsecret_key_file = %s/sk\n", f->dir);
    write_file(f, "patchwatch.ini", text);
    assert_loads(f);
    assert_in_dir(f, f->config->sources[0].access_key_file, "ak");
    assert_in_dir(f, f->config->sources[0].secret_key_file, "sk");

    write_file(f, "patchwatch.ini",
               SOURCE "[defaults]\naccess_key_file = group\nsecret_key_file = others\n"
                      "token_file = absent\niam_password_file = conf.d\n");
    make_dir(f, "conf.d");
    assert_int_equal(load(f), PW_EINVAL);
    assert_int_equal(f->problems.count, 4);
    assert_problem(f, "patchwatch.ini", 5, "group is open to others (mode 0640)");
    assert_problem(f, "patchwatch.ini", 6, "others is open to others (mode 0604)");
    assert_problem(f, "patchwatch.ini", 7, "absent: No such file or directory");
    assert_problem(f, "patchwatch.ini", 8, "conf.d is not a regular file");

    /* All keys of a kind are there. */
    write_file(f, "patchwatch.ini",
               "[source s]\nendpoint = https://x\naccess_key_file = ak\nsecret_key_file = sk\n");
    assert_int_equal(load(f), PW_OK);
    assert_int_equal(f->problems.count, 0);
}

/* What cannot be a secret of its kind is found before the daemon runs, and is not shown. */
static void test_secret_contents(void **state)
{
    struct fixture *f = *state;

    write_mode(f, "empty", "\n\n", 0600);
    write_mode(f, "lines", "PLANTED\nPLANTED\n", 0600);
    write_mode(f, "blank", "PLANTED key\n", 0600);
    write_mode(f, "good", "PLANTED\r\n\n", 0600);
    write_mode(f, "phrase", "a PLANTED \xC3\xA4 phrase\n", 0600);
    write_file(
        f, "patchwatch.ini",
        "[source a]\nendpoint = https://x\naccess_key_file = empty\nsecret_key_file = lines\n"
        "security_token_file = blank\n"
        "[source b]\nendpoint = https://x\nauth = token\ntoken_file = blank\n"
        "[source c]\nendpoint = https://x\nauth = password\niam_endpoint = https://i\n"
        "iam_domain = d\niam_user = u\niam_password_file = lines\n");
    assert_int_equal(load(f), PW_EINVAL);
    assert_int_equal(f->problems.count, 5);
    assert_problem(f, "patchwatch.ini", 3, "empty is empty");
    assert_problem(f, "patchwatch.ini", 4, "lines holds more than one line");
    assert_problem(f, "patchwatch.ini", 5, "blank holds a blank");
    assert_problem(f, "patchwatch.ini", 9, "source b: token_file: ");
    assert_problem(f, "patchwatch.ini", 16, "lines holds more than one line");
    for (size_t i = 0; i < f->problems.count; i++)
        assert_null(strstr(f->problems.items[i].text, "PLANTED"));
    write_file(f, "patchwatch.ini",
               "[source a]\nendpoint = https://x\naccess_key_file = good\nsecret_key_file = good\n"
               "[source c]\nendpoint = https://x\nauth = password\niam_endpoint = https://i\n"
               "iam_domain = d\niam_user = u\niam_password_file = phrase\n");
    assert_loads(f);
}

static void test_credentials_directory(void **state)
{
    struct fixture *f = *state;
    char credentials[128], text[512];

    make_dir(f, "cred");
    (void)snprintf(credentials, sizeof credentials, "%s/cred/", f->dir);
    write_mode(f, "cred/tok", "x", 0440);
    write_mode(f, "tok", "x", 0600);
    write_mode(f, "open", "x", 0644);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", credentials, 1), 0);
    write_file(f, "patchwatch.ini", SOURCE "[defaults]\ntoken_file = tok\n");
    assert_loads(f);
    assert_in_dir(f, f->config->sources[0].token_file, "cred/tok");

    /* The same file by its absolute path is as good; one that climbs out of there is not. */
    (void)snprintf(text, sizeof text, SOURCE "[defaults]\ntoken_file = %s/cred/tok\n", f->dir);
    write_file(f, "patchwatch.ini", text);
    assert_loads(f);
    write_file(f, "patchwatch.ini", SOURCE "[defaults]\ntoken_file = ../open\n");
    assert_int_equal(load(f), PW_EINVAL);
    assert_problem(f, "patchwatch.ini", 5, "is open to others (mode 0644)");

    /* It is looked up there only; other files are not. */
    write_file(f, "only-here", "x");
    write_file(f, "patchwatch.ini",
               SOURCE "ca_file = only-here\n[defaults]\ntoken_file = only-here\n");
    assert_int_equal(load(f), PW_EINVAL);
    assert_int_equal(f->problems.count, 1);
    assert_problem(f, "patchwatch.ini", 6, "cred/only-here: No such file");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_samples_load(void **state)
{
    struct fixture *f = *state;

    /* The samples name two files that only their user has. */
    write_mode(f, "access-key", "ak", 0600);
    write_mode(f, "secret-key", "sk", 0600);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->dir, 1), 0);
    strcpy(f->path, PW_TEST_DATA "/../../etc/patchwatch.ini");
    assert_loads(f);
    strcpy(f->path, PW_TEST_DATA "/../../etc/patchwatch-minimal.ini");
    assert_loads(f);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_every_value),
        TEST(test_empty_values_mean_none),
        TEST(test_defaults_yield_to_the_source),
        TEST(test_conf_d),
        TEST(test_conf_d_is_a_file),
        TEST(test_main_file_unreadable),
        TEST(test_earlier_problems_do_not_count),
        TEST(test_relative_config_path),
        TEST(test_secret_files),
        TEST(test_secret_contents),
        TEST(test_credentials_directory),
        TEST(test_samples_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

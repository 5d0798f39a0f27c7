/* The option table: complete, its defaults readable, and the sample file says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "config/config.h"
#include "config/option.h"
#include "config/value.h"

static void test_each_option_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < pw_option_count; i++) {
        const struct pw_option *o = &pw_options[i];

        assert_non_null(o->key);
        assert_non_null(o->default_text);
        assert_true(o->help != NULL && strlen(o->help) > 10);
        assert_ptr_equal(pw_option_find(o->section, o->key), o);
        assert_int_equal(pw_option_index(o), i);
    }
}

static void test_defaults_are_values(void **state)
{
    struct pw_daemon_config daemon = {0};
    struct pw_source_config source = {0};
    int read = 0;

    (void)state;
    for (size_t i = 0; i < pw_option_count; i++) {
        const struct pw_option *o = &pw_options[i];
        struct pw_error err = {0};

        if (o->default_text[0] == '\0')
            continue;
        if (pw_value_set(o, o->section == PW_SECTION_DAEMON ? (void *)&daemon : (void *)&source,
                         o->default_text, "/etc/patchwatch/patchwatch.ini", &err) != PW_OK)
            fail_msg("%s: %s", o->key, err.message);
        read++;
    }
    assert_true(read > 15);
    pw_value_free_all(PW_SECTION_DAEMON, &daemon);
    pw_value_free_all(PW_SECTION_SOURCE, &source);
}

static void test_filters_have_names(void **state)
{
    static const char *const names[PW_FILTER_COUNT] = {"enterprise_project_id",
                                                       "name",
                                                       "instance_id",
                                                       "ip",
                                                       "eip",
                                                       "operating_system",
                                                       "region",
                                                       "group",
                                                       "compliant_status",
                                                       "order_id",
                                                       "report_scene",
                                                       "cce_info_id"};

    (void)state;
    for (int i = 0; i < PW_FILTER_COUNT; i++)
        assert_string_equal(pw_filter_name((enum pw_filter)i), names[i]);
}

struct listing {
    size_t count;
    char *sample;
};

/* The sample shows each option with its default, as a comment or not. */
static void check_listed(void *context, const char *section, const char *key,
                         const char *default_text, const char *help)
{
    struct listing *listing = context;
    int found = 0;

    assert_true(strcmp(section, "daemon") == 0 || strcmp(section, "source") == 0);
    assert_non_null(help);
    listing->count++;
    for (const char *line = listing->sample; line != NULL && *line != '\0' && !found;) {
        const char *p = line + (line[0] == '#');
        size_t len = strlen(key);

        if (strncmp(p, key, len) == 0 && p[len + strspn(p + len, " ")] == '=') {
            const char *value = p + len + strspn(p + len, " ") + 1;
            size_t value_len;

            value += strspn(value, " ");
            value_len = strcspn(value, "\n");
            /* Those that a source does not do without have no useful default to show. */
            found =
                strcmp(key, "endpoint") == 0 || strcmp(key, "access_key_file") == 0 ||
                strcmp(key, "secret_key_file") == 0 ||
                (value_len == strlen(default_text) && strncmp(value, default_text, value_len) == 0);
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    if (!found)
        fail_msg("etc/patchwatch.ini does not show %s = %s", key, default_text);
}

static void test_each_option_is_in_the_sample(void **state)
{
    struct listing listing = {0, calloc(1, 65536)};
    FILE *file = fopen(PW_TEST_DATA "/../../etc/patchwatch.ini", "r");

    (void)state;
    assert_non_null(file);
    assert_non_null(listing.sample);
    assert_true(fread(listing.sample, 1, 65535, file) > 0);
    (void)fclose(file);
    pw_config_each_option(check_listed, &listing);
    assert_int_equal(listing.count, pw_option_count);
    free(listing.sample);
}

static void test_suggestions(void **state)
{
    (void)state;
    assert_string_equal(pw_option_nearest(PW_SECTION_SOURCE, "intervall")->key, "interval");
    assert_string_equal(pw_option_nearest(PW_SECTION_SOURCE, "Page_Size")->key, "page_size");
    assert_string_equal(pw_option_nearest(PW_SECTION_SOURCE, "filter.regoin")->key,
                        "filter.region");
    assert_string_equal(pw_option_nearest(PW_SECTION_DAEMON, "databse")->key, "database");
    assert_null(pw_option_nearest(PW_SECTION_DAEMON, "interval"));
    assert_null(pw_option_nearest(PW_SECTION_SOURCE, "xyz"));
    assert_int_equal(pw_edit_distance("sort", "sort"), 0);
    assert_int_equal(pw_edit_distance("srot", "sort"), 1);
    assert_int_equal(pw_edit_distance("proxxies", "proxy"), PW_NEAREST_MAX + 1);
    assert_int_equal(pw_edit_distance("", "ip"), PW_NEAREST_MAX + 1);
}

static void test_support(void **state)
{
    (void)state;
    assert_false(pw_listen_is_supported());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_is_told),
        cmocka_unit_test(test_defaults_are_values),
        cmocka_unit_test(test_filters_have_names),
        cmocka_unit_test(test_each_option_is_in_the_sample),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_support),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

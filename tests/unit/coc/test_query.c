/* The query of a page: parameters in the order of their names, encoded by RFC 3986. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "coc/query.h"

#define PATH "https://coc.example/v1/patch/instance/compliant?"

static void check(const struct pw_source_config *source, int64_t offset, const char *expected)
{
    struct pw_buffer url;

    pw_buffer_init(&url, 16384);
    assert_int_equal(pw_buffer_append_text(&url, "what an earlier call left"), PW_OK);
    assert_int_equal(pw_query_url(source, offset, &url), PW_OK);
    assert_string_equal(url.data, expected);
    assert_int_equal(url.len, strlen(expected));
    pw_buffer_free(&url);
}

static struct pw_source_config plain_source(void)
{
    static char endpoint[] = "https://coc.example";

    return (struct pw_source_config){.endpoint = endpoint, .page_size = 100};
}

static void test_plain(void **state)
{
    struct pw_source_config source = plain_source();
    char prefixed[] = "http://[::1]:8080/api", empty[] = "";

    (void)state;
    check(&source, 1, PATH "limit=100&offset=1");
    source.sort_by_report_time = true;
    check(&source, 1000000, PATH "limit=100&offset=1000000&sort_dir=desc&sort_key=report_time");
    source.sort_by_report_time = false;
    source.page_size = 1;
    source.filter[PW_FILTER_REGION] = empty; /* as if not set */
    source.endpoint = prefixed;
    check(&source, 2, "http://[::1]:8080/api/v1/patch/instance/compliant?limit=1&offset=2");
}

static void test_every_filter(void **state)
{
    static char values[PW_FILTER_COUNT][2];
    struct pw_source_config source = plain_source();

    (void)state;
    for (int i = 0; i < PW_FILTER_COUNT; i++) {
        values[i][0] = (char)('a' + i);
        source.filter[i] = values[i];
    }
    source.sort_by_report_time = true;
    check(&source, 7,
          PATH "cce_info_id=l&compliant_status=i&eip=e&enterprise_project_id=a&group=h"
               "&instance_id=c&ip=d&limit=100&name=b&offset=7&operating_system=f&order_id=j"
               "&region=g&report_scene=k&sort_dir=desc&sort_key=report_time");
}

/* Each filter alone lands under its own name, and the names are sorted. */
static void test_each_filter(void **state)
{
    (void)state;
    for (int i = 0; i < PW_FILTER_COUNT; i++) {
        struct pw_source_config source = plain_source();
        const char *name = pw_filter_name((enum pw_filter)i);
        char value[] = "v", expected[200];
        int before_limit = strcmp(name, "limit") < 0, before_offset = strcmp(name, "offset") < 0;

        source.filter[i] = value;
        (void)snprintf(expected, sizeof expected, PATH "%s%s%slimit=100&%s%s%soffset=3%s%s%s",
                       before_limit ? name : "", before_limit ? "=v" : "", before_limit ? "&" : "",
                       !before_limit && before_offset ? name : "",
                       !before_limit && before_offset ? "=v" : "",
                       !before_limit && before_offset ? "&" : "", before_offset ? "" : "&",
                       before_offset ? "" : name, before_offset ? "" : "=v");
        check(&source, 3, expected);
    }
}

static void test_encoding(void **state)
{
    static const struct {
        const char *value, *encoded;
    } cases[] = {
        {"prod web", "prod%20web"},
        {"2001:db8::1", "2001%3Adb8%3A%3A1"},
        {"a+b", "a%2Bb"},
        {"a&offset=9", "a%26offset%3D9"},
        {"100%", "100%25"},
        {"50%20", "50%2520"},
        {"a/b?c#d", "a%2Fb%3Fc%23d"},
        {"ä€😀", "%C3%A4%E2%82%AC%F0%9F%98%80"},
        {"AZaz09-_.~", "AZaz09-_.~"},
        {"!*'();@,[]\"<>\\^`{|}$", "%21%2A%27%28%29%3B%40%2C%5B%5D%22%3C%3E%5C%5E%60%7B%7C%7D%24"},
        {"\x01\x7f\xff\r\n", "%01%7F%FF%0D%0A"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pw_source_config source = plain_source();
        char value[100], expected[300];

        (void)snprintf(value, sizeof value, "%s", cases[i].value);
        source.filter[PW_FILTER_NAME] = value;
        (void)snprintf(expected, sizeof expected, PATH "limit=100&name=%s&offset=1",
                       cases[i].encoded);
        check(&source, 1, expected);
    }
}

static void test_too_long(void **state)
{
    struct pw_source_config source = plain_source();
    char value[200];
    struct pw_buffer url;

    (void)state;
    memset(value, ' ', sizeof value - 1); /* three bytes each, encoded */
    value[sizeof value - 1] = '\0';
    source.filter[PW_FILTER_NAME] = value;
    for (size_t max_bytes = 0; max_bytes < 690; max_bytes += 23) {
        pw_buffer_init(&url, max_bytes);
        assert_int_equal(pw_query_url(&source, 1, &url), max_bytes < 670 ? PW_ELIMIT : PW_OK);
        assert_true(url.len <= max_bytes);
        pw_buffer_free(&url);
    }
    /* The failure does not stick to the buffer. */
    pw_buffer_init(&url, 100);
    assert_int_equal(pw_query_url(&source, 1, &url), PW_ELIMIT);
    source.filter[PW_FILTER_NAME] = NULL;
    assert_int_equal(pw_query_url(&source, 1, &url), PW_OK);
    assert_string_equal(url.data, PATH "limit=100&offset=1");
    pw_buffer_free(&url);
}

static void test_patches(void **state)
{
    struct pw_source_config source = plain_source();
    char region[] = "cn-north-4";
    struct pw_buffer url;

    (void)state;
    source.page_size = 20;
    source.filter[PW_FILTER_REGION] = region; /* is not for this one */
    source.sort_by_report_time = true;
    pw_buffer_init(&url, 300);
    assert_int_equal(pw_query_patches_url(&source, "3f5f", "PENDING_REBOOT", 21, &url), PW_OK);
    assert_string_equal(url.data, "https://coc.example/v1/patch/instance/compliant/3f5f"
                                  "?limit=20&offset=21&patch_status=PENDING_REBOOT");
    assert_int_equal(pw_query_patches_url(&source, "a/../b?c", "x", 1, &url), PW_OK);
    assert_non_null(strstr(url.data, "compliant/a%2F..%2Fb%3Fc?limit"));
    pw_buffer_free(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),       cmocka_unit_test(test_every_filter),
        cmocka_unit_test(test_each_filter), cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_too_long),    cmocka_unit_test(test_patches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

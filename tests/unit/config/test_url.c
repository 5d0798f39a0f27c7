/* URLs: what is taken, what is refused, and where credentials may go in the clear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "config/url.h"

static void test_accepted(void **state)
{
    static const char *const cases[][2] = {
        {"https://coc.myhuaweicloud.com", "https://coc.myhuaweicloud.com"},
        {"https://coc.myhuaweicloud.com/", "https://coc.myhuaweicloud.com"},
        {"HTTP://h:80/a/b//", "http://h:80/a/b"},
        {"https://h:65535/a%20b;c=@", "https://h:65535/a%20b;c=@"},
        {"https://[::1]:443/", "https://[::1]:443"},
        {"http://[fe80::1%25eth0]", "http://[fe80::1%25eth0]"},
        {"https://10.0.0.1", "https://10.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pw_error err = {0};
        char *url = NULL;

        if (pw_url_parse(cases[i][0], &url, &err) != PW_OK)
            fail_msg("%s: %s", cases[i][0], err.message);
        assert_string_equal(url, cases[i][1]);
        free(url);
    }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "h",
        "https:/h",
        "https://",
        "https:///p",
        "https://:1",
        "https://h:x",
        "https://h:",
        "https://h:1:2",
        "https://u@h",
        "https://[]",
        "https://[1]x",
        "https://[::1]x",
        "https://[::1%]",
        "https://h\\p",
        "https://h p",
        "https://h/\"",
        "https://h?",
        "https://h/#f",
        "https://h:99999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pw_error err = {0};
        char *url = NULL;

        if (pw_url_parse(cases[i], &url, &err) != PW_EINVAL)
            fail_msg("%s was taken", cases[i]);
        assert_null(url);
    }
}

static void test_exposure(void **state)
{
    static const struct {
        const char *url;
        bool exposes;
    } cases[] = {
        {"https://coc.example", false},      {"http://coc.example", true},
        {"http://localhost:80/x", false},    {"http://LOCALHOST", false},
        {"http://localhost.evil", true},     {"http://127.0.0.1", false},
        {"http://127.255.0.9:1", false},     {"http://128.0.0.1", true},
        {"http://169.254.169.254/x", false}, {"http://169.255.0.1", true},
        {"http://127.0.0.1.evil", true},     {"http://127.1", true},
        {"http://[::1]:80", false},          {"http://[::2]", true},
        {"http://[fe80::1]", false},         {"http://[febf::1%25eth0]", false},
        {"http://[fec0::1]", true},          {"http://10.0.0.1", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (pw_url_exposes_credentials(cases[i].url) != cases[i].exposes)
            fail_msg("%s", cases[i].url);
    }
}

static void test_proxy_and_listen(void **state)
{
    (void)state;
    assert_int_equal(pw_url_check_proxy("proxy", NULL), PW_OK);
    assert_int_equal(pw_url_check_proxy("proxy:3128", NULL), PW_OK);
    assert_int_equal(pw_url_check_proxy("http://proxy:3128/", NULL), PW_OK);
    assert_int_equal(pw_url_check_proxy("SOCKS5H://[::1]:1080", NULL), PW_OK);
    assert_int_equal(pw_url_check_proxy("http://", NULL), PW_EINVAL);
    assert_int_equal(pw_url_check_proxy("gopher://proxy", NULL), PW_EINVAL);
    assert_int_equal(pw_url_check_proxy("u:p@proxy", NULL), PW_EINVAL);
    assert_int_equal(pw_url_check_proxy("proxy/path", NULL), PW_EINVAL);
    assert_int_equal(pw_url_check_host_port("127.0.0.1:9100", NULL), PW_OK);
    assert_int_equal(pw_url_check_host_port("[::]:9100", NULL), PW_OK);
    assert_int_equal(pw_url_check_host_port("localhost", NULL), PW_EINVAL);
    assert_int_equal(pw_url_check_host_port(":9100", NULL), PW_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_exposure),
        cmocka_unit_test(test_proxy_and_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

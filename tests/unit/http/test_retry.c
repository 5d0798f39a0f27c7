/* The retry policy: which answers, which failures, when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/retry.h"
#include "http/transfer.h"

static void test_statuses(void **state)
{
    static const long retried[] = {408, 425, 429, 500, 502, 503, 504, 599};
    static const long refused[] = {100, 200, 204, 301, 302, 400, 401, 403, 404, 409, 410, 501, 600};

    (void)state;
    for (size_t i = 0; i < sizeof retried / sizeof retried[0]; i++)
        assert_true(pw_retry_status(retried[i]));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(pw_retry_status(refused[i]));
}

static void test_codes(void **state)
{
    static const struct {
        CURLcode code;
        enum pw_status status;
        bool retry;
    } cases[] = {
        {CURLE_COULDNT_RESOLVE_HOST, PW_ENETWORK, true},
        {CURLE_COULDNT_CONNECT, PW_ENETWORK, true},
        {CURLE_OPERATION_TIMEDOUT, PW_ENETWORK, true},
        {CURLE_PARTIAL_FILE, PW_ENETWORK, true},
        {CURLE_GOT_NOTHING, PW_ENETWORK, true},
        {CURLE_RECV_ERROR, PW_ENETWORK, true},
        {CURLE_SSL_CONNECT_ERROR, PW_ENETWORK, true},
        {CURLE_ABORTED_BY_CALLBACK, PW_ENETWORK, true},
        {CURLE_OUT_OF_MEMORY, PW_ENOMEM, true},
        {CURLE_BAD_CONTENT_ENCODING, PW_EFORMAT, true},
        {CURLE_PEER_FAILED_VERIFICATION, PW_ENETWORK, false},
        {CURLE_SSL_CACERT_BADFILE, PW_EINVAL, false},
        {CURLE_URL_MALFORMAT, PW_EINVAL, false},
    };
    bool retry = true;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pw_retry_code(cases[i].code, &retry), cases[i].status);
        assert_int_equal(retry, cases[i].retry);
    }
    assert_int_equal(pw_retry_code(CURLE_OK, &retry), PW_OK);
    assert_false(retry);
}

static void test_retry_after(void **state)
{
    const int64_t now_ms = INT64_C(784111777000); /* Sun, 06 Nov 1994 08:49:37 GMT */

    (void)state;
    assert_int_equal(pw_retry_after_parse_ms("0", now_ms), 0);
    assert_int_equal(pw_retry_after_parse_ms("120", now_ms), 120000);
    assert_int_equal(pw_retry_after_parse_ms("Sun, 06 Nov 1994 08:50:07 GMT", now_ms), 30000);
    assert_int_equal(pw_retry_after_parse_ms("Sunday, 06-Nov-94 08:50:07 GMT", now_ms), 30000);
    assert_int_equal(pw_retry_after_parse_ms("Sun, 06 Nov 1994 08:00:00 GMT", now_ms), 0);
    /* A number of any length is long, not negative. */
    assert_true(pw_retry_after_parse_ms("99999999999999999999999999", now_ms) > 86400000);
    assert_int_equal(pw_retry_after_parse_ms("", now_ms), -1);
    assert_int_equal(pw_retry_after_parse_ms("-5", now_ms), -1);
    assert_int_equal(pw_retry_after_parse_ms("1.5", now_ms), -1);
    assert_int_equal(pw_retry_after_parse_ms("10 seconds", now_ms), -1);
    assert_int_equal(pw_retry_after_parse_ms("soon", now_ms), -1);
}

static void test_waits(void **state)
{
    (void)state;
    /* Full jitter: from nothing to base, doubling up to the cap. */
    assert_int_equal(pw_retry_wait_ms(1, 500, 30000, -1, 0), 0);
    assert_int_equal(pw_retry_wait_ms(1, 500, 30000, -1, 500), 500);
    assert_int_equal(pw_retry_wait_ms(3, 500, 30000, -1, 2000), 2000);
    for (uint64_t random = 0; random < 100000; random += 777)
        assert_true(pw_retry_wait_ms(60, 500, 30000, -1, random) <= 30000);
    /* What the server asks for is the least; jitter comes on top. */
    assert_int_equal(pw_retry_wait_ms(1, 500, 30000, 7000, 0), 7000);
    assert_int_equal(pw_retry_wait_ms(1, 500, 30000, 7000, 500), 7500);
    /* Five minutes are the most. */
    assert_int_equal(pw_retry_wait_ms(1, 500, 30000, INT64_C(86400000000), 0), 300000);
}

static void test_urls(void **state)
{
    struct pw_error err;
    char out[256];

    (void)state;
    assert_int_equal(pw_url_display("https://user:secret@host.example:8443/a/b?token=x#y", out,
                                    sizeof out, &err),
                     PW_OK);
    assert_string_equal(out, "https://host.example:8443/a/b");
    assert_int_equal(pw_url_display("http://[::1]/", out, sizeof out, &err), PW_OK);
    assert_string_equal(out, "http://[::1]/");
    assert_int_equal(pw_url_display("ftp://host/", out, sizeof out, &err), PW_EINVAL);
    assert_int_equal(pw_url_display("file:///etc/passwd", out, sizeof out, &err), PW_EINVAL);
    assert_int_equal(pw_url_display("host/path", out, sizeof out, &err), PW_EINVAL);
    assert_int_equal(pw_url_display("http://ho st/", out, sizeof out, &err), PW_EINVAL);
    assert_int_equal(pw_url_display("http://host/a\r\nX: y", out, sizeof out, &err), PW_EINVAL);
    assert_int_equal(pw_url_display("", out, sizeof out, &err), PW_EINVAL);
}

static void test_headers(void **state)
{
    (void)state;
    assert_false(pw_header_is_bad("Name: value"));
    assert_false(pw_header_is_bad("Name:"));
    assert_true(pw_header_is_bad("Name: value\r\nOther: value"));
    assert_true(pw_header_is_bad("Name: value\n"));
    assert_true(pw_header_is_bad("Name"));
    assert_true(pw_header_is_bad(": value"));
    assert_true(pw_header_is_bad(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),    cmocka_unit_test(test_codes),
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_waits),
        cmocka_unit_test(test_urls),        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Signatures: published vectors, and the canonical form of everything that is awkward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cloud/sign.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The vendor's Go SDK, core/auth/signer, its own test. */
static void test_vector_of_the_go_sdk(void **state)
{
    static const struct pw_sign_header headers[] = {{"X-Sdk-Date", "20060102T150405Z"}};
    struct pw_sign_request request = {.method = "GET",
                                      .url = "https://example.com/path?limit=1",
                                      .headers = headers,
                                      .header_count = 1};
    struct pw_buffer out;
    struct pw_error err;

    (void)state;
    pw_buffer_init(&out, 1000);
    assert_int_equal(pw_sign_authorization(&request, "20060102T150405Z", "AccessKey",
                                           pw_str_of("SecretKey"), &out, &err),
                     PW_OK);
    assert_string_equal(out.data,
                        "SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=x-sdk-date, Signature="
                        "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624");
    pw_buffer_free(&out);
}

/* API Gateway, "Request signing", the step of the HMAC. */
static void test_vector_of_the_signing_guide(void **state)
{
    char signature[PW_SIGN_HEX_SIZE];
    struct pw_error err;

    (void)state;
    assert_int_equal(
        pw_sign_hmac(pw_str_of("MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"),
                     pw_str_of("SDK-HMAC-SHA256\n20191115T033655Z\n"
                               "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a"),
                     signature, &err),
        PW_OK);
    assert_string_equal(signature,
                        "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe");
}

static void test_empty_key_and_text(void **state)
{
    char signature[PW_SIGN_HEX_SIZE];
    struct pw_error err;

    (void)state; /* RFC 4231's algorithm over nothing; a known value */
    assert_int_equal(pw_sign_hmac(PW_STR_NULL, PW_STR_NULL, signature, &err), PW_OK);
    assert_string_equal(signature,
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_date(void **state)
{
    char date[PW_SIGN_DATE_SIZE];

    (void)state;
    pw_sign_date(INT64_C(1767366245999), date);
    assert_string_equal(date, "20260102T150405Z");
    pw_sign_date(0, date);
    assert_string_equal(date, "19700101T000000Z");
    pw_sign_date(INT64_MAX, date); /* no year of four digits */
    assert_string_equal(date, "19700101T000000Z");
}

/* Path and query of the canonical request of a GET. */
static void assert_canonical(const char *url, const char *path, const char *query)
{
    static const struct pw_sign_header headers[] = {{"x-sdk-date", "20260102T150405Z"}};
    struct pw_sign_request request = {
        .method = "GET", .url = url, .headers = headers, .header_count = 1};
    struct pw_buffer out;
    struct pw_error err;
    char expected[1024];

    pw_buffer_init(&out, 4096);
    if (pw_sign_canonical(&request, &out, &err) != PW_OK)
        fail_msg("%s: %s", url, err.message);
    (void)snprintf(expected, sizeof expected,
                   "GET\n%s\n%s\nx-sdk-date:20260102T150405Z\n\nx-sdk-date\n" EMPTY_HASH, path,
                   query);
    assert_string_equal(out.data, expected);
    pw_buffer_free(&out);
}

static void test_paths(void **state)
{
    (void)state;
    assert_canonical("https://h", "/", "");
    assert_canonical("https://h/", "/", "");
    assert_canonical("https://h?a=1", "/", "a=1");
    assert_canonical("https://h/v1/patch", "/v1/patch/", "");
    assert_canonical("https://h/v1/patch/", "/v1/patch/", "");
    assert_canonical("https://h/pre/fix/v1", "/pre/fix/v1/", "");
    assert_canonical("https://h//a//b", "//a//b/", "");
    assert_canonical("https://h/a%20b:c+d", "/a%20b%3Ac%2Bd/", "");
    assert_canonical("https://h/a%2fb/%7euser", "/a%2Fb/~user/", "");
    assert_canonical("https://h/%e4%b8%ad", "/%E4%B8%AD/", "");
    assert_canonical("https://h/a/../b/.", "/a/../b/./", ""); /* as sent: nothing is resolved */
    assert_canonical("https://h/a#fragment?x", "/a/", "");
    assert_canonical("https://[2001:db8::1]:8443/a", "/a/", "");
    assert_canonical("https://user@h/a", "/a/", "");
}

static void test_queries(void **state)
{
    (void)state;
    assert_canonical("https://h/?b=2&a=1", "/", "a=1&b=2");
    assert_canonical("https://h/?a", "/", "a=");
    assert_canonical("https://h/?a=", "/", "a=");
    assert_canonical("https://h/?", "/", "");
    assert_canonical("https://h/?&a=1&&b=2&", "/", "a=1&b=2");
    assert_canonical("https://h/?a=b=c", "/", "a=b%3Dc");
    assert_canonical("https://h/?=v", "/", "=v");
    assert_canonical("https://h/?a=x%20y", "/", "a=x%20y");
    assert_canonical("https://h/?a=x+y", "/", "a=x%20y");
    assert_canonical("https://h/?a=x%2By", "/", "a=x%2By");
    assert_canonical("https://h/?ip=fe80%3A%3A1&ip2=fe80::1", "/",
                     "ip=fe80%3A%3A1&ip2=fe80%3A%3A1");
    assert_canonical("https://h/?n=%E4%B8%AD%E6%96%87", "/", "n=%E4%B8%AD%E6%96%87");
    assert_canonical("https://h/?n=\xE4\xB8\xAD", "/", "n=%E4%B8%AD");
    assert_canonical("https://h/?a=2&a=1&a=10&a", "/", "a=&a=1&a=10&a=2");
    assert_canonical("https://h/?a-b=1&a=2&aa=3&A=4", "/", "A=4&a=2&a-b=1&aa=3");
    assert_canonical("https://h/?a=%00-_.~!*'()", "/", "a=%00-_.~%21%2A%27%28%29");
    assert_canonical("https://h/?a=/?", "/", "a=%2F%3F");
    assert_canonical("https://h/?a=1#b=2", "/", "a=1");
}

static void test_headers(void **state)
{
    static const struct pw_sign_header headers[] = {{"X-Sdk-Date", "20260102T150405Z"},
                                                    {"Host", "  h:8443\t"},
                                                    {"X-Project-Id", ""},
                                                    {"x_dropped", "1"},
                                                    {"X-Domain-Id", "a  b"}};
    struct pw_sign_request request = {.method = "POST",
                                      .url = "https://h:8443/a?b",
                                      .body = pw_str_of("{}"),
                                      .headers = headers,
                                      .header_count = 5};
    struct pw_buffer out;
    struct pw_error err;

    (void)state;
    pw_buffer_init(&out, 4096);
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_OK);
    assert_string_equal(out.data,
                        "POST\n/a/\nb=\nhost:h:8443\nx-domain-id:a  b\nx-project-id:\n"
                        "x-sdk-date:20260102T150405Z\n\n"
                        "host;x-domain-id;x-project-id;x-sdk-date\n"
                        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    pw_buffer_free(&out);
}

static void assert_host(const char *url, const char *expected)
{
    struct pw_buffer out;
    struct pw_error err;

    pw_buffer_init(&out, 100);
    if (expected == NULL) {
        assert_int_equal(pw_sign_host(url, &out, &err), PW_EINVAL);
    } else {
        if (pw_sign_host(url, &out, &err) != PW_OK)
            fail_msg("%s: %s", url, err.message);
        assert_string_equal(out.data, expected);
    }
    pw_buffer_free(&out);
}

static void test_hosts(void **state)
{
    (void)state;
    assert_host("https://h/a", "h");
    assert_host("https://h:443/a", "h");
    assert_host("http://h:443/a", "h:443");
    assert_host("http://h:80", "h");
    assert_host("https://h:80?x", "h:80");
    assert_host("https://h:/a", "h");
    assert_host("https://user:pass@h:8443/a@b", "h:8443");
    assert_host("https://[2001:db8::1]/a", "[2001:db8::1]");
    assert_host("https://[2001:db8::1]:8443", "[2001:db8::1]:8443");
    assert_host("http://[fe80::1%25eth0]:8080/a", "[fe80::1]:8080");
    assert_host("https://", NULL);
    assert_host("https:///path", NULL);
    assert_host("https://:8443/path", NULL);
    assert_host("https://[::1/path", NULL);
    assert_host("h/path", NULL);
    assert_host("", NULL);
}

static void test_impossible(void **state)
{
    struct pw_sign_header many[PW_SIGN_MAX_HEADERS + 1];
    struct pw_sign_request request = {.method = "GET", .url = "https://h/?a=%4"};
    struct pw_buffer out;
    struct pw_error err;
    char url[1024] = "https://h/?";

    (void)state;
    pw_buffer_init(&out, 4096);
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_EINVAL);
    request.url = "https://h/?%zz";
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_EINVAL);
    request.url = "https://h/%";
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_EINVAL);
    request.url = "https:///a";
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_EINVAL);
    assert_int_equal(
        pw_sign_authorization(&request, "20260102T150405Z", "AK", pw_str_of("SK"), &out, &err),
        PW_EINVAL);
    request.url = "https://h/a";
    assert_int_equal(pw_sign_authorization(&request, "now", "AK", pw_str_of("SK"), &out, &err),
                     PW_EINVAL);
    for (int i = 0; i <= PW_SIGN_MAX_HEADERS; i++)
        many[i] = (struct pw_sign_header){"a", "b"};
    request.headers = many;
    request.header_count = PW_SIGN_MAX_HEADERS + 1;
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_ELIMIT);
    assert_int_equal(
        pw_sign_authorization(&request, "20260102T150405Z", "AK", pw_str_of("SK"), &out, &err),
        PW_ELIMIT);
    request.header_count = PW_SIGN_MAX_HEADERS;
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_OK);
    for (int i = 0; i <= PW_SIGN_MAX_PARAMETERS; i++)
        (void)snprintf(url + strlen(url), sizeof url - strlen(url), "p%d=1&", i);
    request.url = url;
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_ELIMIT);
    pw_buffer_free(&out);
    pw_buffer_init(&out, 20); /* too small for any */
    request.url = "https://h/a";
    assert_int_equal(pw_sign_canonical(&request, &out, &err), PW_ELIMIT);
    assert_int_equal(
        pw_sign_authorization(&request, "20260102T150405Z", "AK", pw_str_of("SK"), &out, &err),
        PW_ELIMIT);
    pw_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_of_the_go_sdk),
        cmocka_unit_test(test_vector_of_the_signing_guide),
        cmocka_unit_test(test_empty_key_and_text),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_impossible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

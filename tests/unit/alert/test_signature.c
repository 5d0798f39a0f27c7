/* Standard Webhooks: the example of the specification's own libraries, keys, and ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "alert/signature.h"

static enum pw_status parse(struct pw_signature_keys *keys, const char *text, struct pw_error *err)
{
    struct pw_secret lines = {0};
    enum pw_status status;

    *keys = (struct pw_signature_keys){.count = 0};
    assert_int_equal(pw_secret_set(&lines, pw_str_of(text), err), PW_OK);
    status = pw_signature_keys_parse(keys, &lines, err);
    pw_secret_clear(&lines);
    return status;
}

static void test_example_of_the_libraries(void **state)
{
    struct pw_signature_keys keys;
    char line[PW_SIGNATURE_LINE_SIZE];
    struct pw_error err;

    (void)state;
    assert_int_equal(parse(&keys, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &err), PW_OK);
    assert_int_equal(keys.count, 1);
    assert_int_equal(pw_signature_line(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                       pw_str_of("{\"test\": 2432232314}"), line, &err),
                     PW_OK);
    assert_string_equal(line, "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    pw_signature_keys_clear(&keys);
}

static void test_keys(void **state)
{
    static const char *const bad[] = {
        "whsec_",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",          /* no multiple of four */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=",         /* 23 bytes */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-",         /* the alphabet of URLs */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw A",       /* two things on a line */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAB==",     /* bits left over */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw====",     /* padding of nothing */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_", /* the second */
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",          /* asymmetric */
        "\n\n",
    };
    struct pw_signature_keys keys;
    char line[PW_SIGNATURE_LINE_SIZE];
    struct pw_error err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(&keys, bad[i], &err) != PW_EFORMAT)
            fail_msg("taken: %s", bad[i]);
        assert_null(strstr(err.message, "MfKQ"));
        pw_signature_keys_clear(&keys);
    }
    assert_int_equal(parse(&keys,
                           "\r\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw \r\n"
                           "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n",
                           &err),
                     PW_OK);
    assert_int_equal(keys.count, 2);
    assert_int_equal(keys.keys[0].len, 24);
    assert_int_equal(keys.keys[1].len, 32);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(keys.keys[1].data[i], (int)i);
    assert_int_equal(pw_signature_line(&keys, "a", 1, (struct pw_str){"", 0}, line, &err), PW_OK);
    assert_int_equal(strlen(line), strlen("webhook-signature:") + 2 * strlen(" v1,") + 2 * 44);
    pw_signature_keys_clear(&keys);
}

static void test_most_keys_fit(void **state)
{
    struct pw_signature_keys keys;
    char text[2048] = "", line[PW_SIGNATURE_LINE_SIZE];
    struct pw_error err;

    (void)state;
    for (int i = 0; i < PW_SIGNATURE_MAX_KEYS; i++)
        (void)strcat(text, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    assert_int_equal(parse(&keys, text, &err), PW_OK);
    assert_int_equal(pw_signature_line(&keys, "a", INT64_MAX, pw_str_of("b"), line, &err), PW_OK);
    assert_string_equal(line + strlen(line) - 1, "=");
    pw_signature_keys_clear(&keys);
}

static void test_ids(void **state)
{
    struct pw_delivery one = {.uid = "00000000-0000-5000-8000-000000000001"};
    struct pw_delivery two = {.uid = "00000000-0000-5000-8000-000000000002"};
    char alone[PW_SIGNATURE_ID_SIZE], reminder[PW_SIGNATURE_ID_SIZE];
    char both[PW_SIGNATURE_ID_SIZE], again[PW_SIGNATURE_ID_SIZE];

    (void)state;
    assert_int_equal(pw_signature_id(&one, alone, NULL), PW_OK);
    assert_string_equal(alone, one.uid);
    one.next = &two;
    assert_int_equal(pw_signature_id(&one, both, NULL), PW_OK);
    assert_null(strchr(both, '.'));
    one.attempts = 7; /* of no account */
    assert_int_equal(pw_signature_id(&one, again, NULL), PW_OK);
    assert_string_equal(both, again);
    two.reminder = 1;
    assert_int_equal(pw_signature_id(&one, again, NULL), PW_OK);
    assert_string_not_equal(both, again);
    one.next = NULL;
    one.reminder = INT64_MAX;
    assert_int_equal(pw_signature_id(&one, reminder, NULL), PW_OK);
    assert_string_equal(reminder, "00000000-0000-5000-8000-000000000001-r9223372036854775807");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_the_libraries),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_most_keys_fit),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Pages of patches: what they say, and bodies that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bodies.h"
#include "coc/items.h"

_Static_assert((int)PW_ITEMS_PADDING <= (int)PW_PAGE_PADDING, "bodies have too little padding");

#define GOOD                                                                                       \
    "{\"count\":3,\"compliance_items\":[{\"classification\":\"Security\","                         \
    "\"compliance_level\":\"UNSPECIFIED\",\"instance_id\":\"i-1\",\"patch_detail\":"               \
    "{\"installed_time\":1713864585000,\"patch_baseline_id\":\"b\",\"patch_baseline_name\":"       \
    "\"bn\",\"patch_status\":\"PENDING_REBOOT\"},\"severity_level\":\"\",\"title\":\"curl-8\"},"   \
    "{\"title\":\"a\\u0000b\",\"patch_detail\":null,\"severity_level\":null},{}]}"

static int setup(void **state)
{
    *state = pw_items_decoder_new();
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state)
{
    pw_items_decoder_free(*state);
    return 0;
}

static struct pw_items items;
static struct pw_error error;

static enum pw_status decode_bytes(void **state, const char *data, size_t len)
{
    struct body body = body_of(data, len);
    enum pw_status status = pw_items_decode(*state, body.block, body.len, &items, &error);

    body_free(&body);
    return status;
}

static void test_good(void **state)
{
    assert_int_equal(decode_bytes(state, GOOD, strlen(GOOD)), PW_OK);
    assert_int_equal(items.reported_count, 3);
    assert_int_equal(items.count, 3);
    assert_str(items.patches[0].title, "curl-8");
    assert_str(items.patches[0].classification, "Security");
    assert_str(items.patches[0].severity_level, "");
    assert_str(items.patches[0].compliance_level, "UNSPECIFIED");
    assert_str(items.patches[0].status, "PENDING_REBOOT");
    assert_int_equal(items.patches[1].title.len, 3);
    assert_str(items.patches[1].status, NULL);
    assert_str(items.patches[1].severity_level, NULL);
    assert_str(items.patches[2].title, NULL);
    assert_int_equal(decode_bytes(state, "{\"count\":7,\"compliance_items\":[]}", 33), PW_OK);
    assert_int_equal(items.count, 0);
    assert_int_equal(items.reported_count, 7);
}

static void test_success_code_is_no_error(void **state)
{
    static const char good[] = "{\"error_code\":\"COC.00000000\",\"error_msg\":\"success\","
                               "\"count\":0,\"compliance_items\":[]}";
    static const char bad[] = "{\"error_code\":\"COC.00010001\",\"count\":0,"
                              "\"compliance_items\":[]}";

    assert_int_equal(decode_bytes(state, good, strlen(good)), PW_OK);
    assert_int_equal(decode_bytes(state, bad, strlen(bad)), PW_EREMOTE);
}

/* Each is refused, and no message repeats what it holds. */
static void test_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "secret",
        "[]",
        "null",
        "{}",
        "<html>secret</html>",
        "{\"count\":1}",
        "{\"compliance_items\":[]}",
        "{\"count\":null,\"compliance_items\":[]}",
        "{\"count\":\"1\",\"compliance_items\":[]}",
        "{\"count\":-1,\"compliance_items\":[]}",
        "{\"count\":1.5,\"compliance_items\":[]}",
        "{\"count\":1e400,\"compliance_items\":[]}",
        "{\"count\":1000001,\"compliance_items\":[]}",
        "{\"count\":9223372036854775808,\"compliance_items\":[]}",
        "{\"count\":1,\"compliance_items\":null}",
        "{\"count\":1,\"compliance_items\":{\"0\":{}}}",
        "{\"count\":1,\"compliance_items\":\"secret\"}",
        "{\"count\":1,\"compliance_items\":[null]}",
        "{\"count\":1,\"compliance_items\":[\"secret\"]}",
        "{\"count\":1,\"compliance_items\":[[{}]]}",
        "{\"count\":1,\"compliance_items\":[{\"title\":17}]}",
        "{\"count\":1,\"compliance_items\":[{\"title\":[\"secret\"]}]}",
        "{\"count\":1,\"compliance_items\":[{\"classification\":true}]}",
        "{\"count\":1,\"compliance_items\":[{\"severity_level\":1}]}",
        "{\"count\":1,\"compliance_items\":[{\"compliance_level\":{}}]}",
        "{\"count\":1,\"compliance_items\":[{\"patch_detail\":\"MISSING\"}]}",
        "{\"count\":1,\"compliance_items\":[{\"patch_detail\":[]}]}",
        "{\"count\":1,\"compliance_items\":[{\"patch_detail\":{\"patch_status\":1}}]}",
        "{\"count\":1,\"compliance_items\":[{\"title\":\"\xFF\"}]}",
        "{\"count\":1,\"compliance_items\":[{}]",
        "{\"count\":1,\"compliance_items\":[{}]}x",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (decode_bytes(state, bad[i], strlen(bad[i])) != PW_EFORMAT)
            fail_msg("not refused: %s", bad[i]);
        assert_null(strstr(error.message, "secret"));
        assert_true(error.message[0] != '\0');
    }
}

/* Cut anywhere, or with any byte replaced, it is an error or a page, and no crash. */
static void test_cut_and_spoiled(void **state)
{
    static const char bytes[] = {'\0', '"', '{', ']', ',', '\\', '9', '\x80'};
    char copy[] = GOOD;
    size_t len = strlen(copy);

    for (size_t i = 0; i < len; i++)
        assert_int_equal(decode_bytes(state, copy, i), PW_EFORMAT);
    for (size_t i = 0; i < len; i++) {
        char kept = copy[i];

        for (size_t k = 0; k < sizeof bytes; k++) {
            copy[i] = bytes[k];
            if (decode_bytes(state, copy, len) == PW_OK)
                assert_true(items.count <= 3);
        }
        copy[i] = kept;
    }
}

/* A list of more than the API document allows, and brackets without end. */
static void test_bounds(void **state)
{
    enum { DEPTH = 20000 };
    static const char head[] = "{\"count\":5000,\"compliance_items\":[";
    char *text = malloc(sizeof head + 3 * (PW_ITEMS_MAX + 1) + 2);
    char *deep = malloc(2 * DEPTH);
    size_t len;

    assert_non_null(text);
    assert_non_null(deep);
    for (int count = PW_ITEMS_MAX; count <= PW_ITEMS_MAX + 1; count++) {
        len = (size_t)sprintf(text, "%s", head);
        for (int i = 0; i < count; i++)
            len += (size_t)sprintf(text + len, "{},");
        len += (size_t)sprintf(text + len - 1, "]}") - 1;
        assert_int_equal(decode_bytes(state, text, len),
                         count <= PW_ITEMS_MAX ? PW_OK : PW_EFORMAT);
    }
    memset(deep, '[', DEPTH);
    memset(deep + DEPTH, ']', DEPTH);
    assert_int_equal(decode_bytes(state, deep, 2 * DEPTH), PW_EFORMAT);
    free(text);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_success_code_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_and_spoiled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

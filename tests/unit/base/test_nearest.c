/* Suggestions for mistyped words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/nearest.h"

static const char *const names[] = {"command", "timeout", "type", "node.non_compliant", NULL};

static void test_near(void **state)
{
    (void)state;
    assert_string_equal(pw_nearest("comand", names), "command");
    assert_string_equal(pw_nearest("commands", names), "command");
    assert_string_equal(pw_nearest("timeuot", names), "timeout");
    assert_string_equal(pw_nearest("tpye", names), "type");
    assert_string_equal(pw_nearest("node.noncompliant", names), "node.non_compliant");
}

static void test_far(void **state)
{
    (void)state;
    assert_null(pw_nearest("", names));
    assert_null(pw_nearest("x", names));
    assert_null(pw_nearest("something else", names));
    assert_null(pw_nearest("a word that is much longer than any key could ever be", names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_near), cmocka_unit_test(test_far)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

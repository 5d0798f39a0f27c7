/* Lists of missing patches: what is kept, in which order, and what is said where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "compliance/patches.h"
#include "compliance/report.h"

static int setup(void **state)
{
    *state = pw_patch_book_new();
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state)
{
    pw_patch_book_free(*state);
    return 0;
}

static struct pw_patch_list *list_of(void **state)
{
    struct pw_patch_book *book = *state;

    assert_true(pw_patch_book_add(book, pw_str_of("r-1"), 3));
    return &book->lists[0];
}

static void take(struct pw_patch_list *list, const char *title, const char *severity,
                 const char *compliance)
{
    struct pw_patch_view patch = {.title = pw_str_of(title),
                                  .severity_level = pw_str_of(severity),
                                  .compliance_level = pw_str_of(compliance),
                                  .status = pw_str_of("MISSING")};

    assert_int_equal(pw_patch_list_take(list, &patch), PW_OK);
}

static void test_ids(void **state)
{
    static const char *const bad[] = {"",    ".",    "..",       "a/b", "a?b",
                                      "a b", "a%2e", "\xC3\xA4", "a\n"};
    char longest[PW_REPORT_ID_MAX_BYTES + 2];

    (void)state;
    assert_true(pw_report_id_is_askable(pw_str_of("3f5f3c944f50da3a7038457c5ff76c66")));
    assert_true(pw_report_id_is_askable(pw_str_of("AZ-az_09")));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(pw_report_id_is_askable(pw_str_of(bad[i])));
    assert_false(pw_report_id_is_askable(PW_STR_NULL));
    assert_false(pw_report_id_is_askable((struct pw_str){"a\0b", 3}));
    memset(longest, 'x', sizeof longest);
    assert_true(pw_report_id_is_askable((struct pw_str){longest, PW_REPORT_ID_MAX_BYTES}));
    assert_false(pw_report_id_is_askable((struct pw_str){longest, PW_REPORT_ID_MAX_BYTES + 1}));
}

static void test_book(void **state)
{
    struct pw_patch_book *book = *state;
    const struct pw_patch_list *found;
    char id[16];

    for (int i = 0; i < PW_PATCH_LISTS_MAX; i++) {
        (void)snprintf(id, sizeof id, "r-%d", i);
        assert_true(pw_patch_book_add(book, pw_str_of(id), i));
        assert_true(pw_patch_book_add(book, pw_str_of(id), 7)); /* there already */
    }
    assert_int_equal(book->count, PW_PATCH_LISTS_MAX);
    assert_int_equal(book->lists[99].expected, 99);
    assert_true(pw_patch_book_add(book, pw_str_of("../r"), 1)); /* never to be asked for */
    assert_string_equal(pw_patch_book_find(book, pw_str_of("r-x"))->error, "not asked for");
    assert_false(pw_patch_book_add(book, pw_str_of("one-more"), 1));
    assert_non_null(
        strstr(pw_patch_book_find(book, pw_str_of("one-more"))->error, "more than 100"));
    assert_non_null(strstr(pw_patch_book_find(book, pw_str_of("../r"))->error, "no id"));
    assert_non_null(strstr(pw_patch_book_find(book, PW_STR_NULL)->error, "no id"));
    found = pw_patch_book_find(book, pw_str_of("r-42"));
    assert_false(found->was_read);
    assert_string_equal(found->error, "not asked for"); /* nobody has read it yet */
    book->lists[42].was_read = true;
    assert_ptr_equal(pw_patch_book_find(book, pw_str_of("r-42")), &book->lists[42]);
    (void)strcpy(book->lists[43].error, "HTTP 500");
    assert_string_equal(pw_patch_book_find(book, pw_str_of("r-43"))->error, "HTTP 500");
}

static void test_order(void **state)
{
    static const char *const wanted = "cChIMdlLiuU";
    struct pw_patch_list *list = list_of(state);

    take(list, "u", "", "UNSPECIFIED");
    take(list, "i", "Informational", NULL);
    take(list, "l", "LOW", "CRITICAL"); /* the severity counts where there is one */
    take(list, "L", NULL, "low");
    take(list, "M", "medium", NULL);
    take(list, "d", "Moderate", NULL);
    take(list, "h", "HIGH", NULL);
    take(list, "I", "important", NULL);
    take(list, "c", "critical", NULL);
    take(list, "C", "", "Critical");
    take(list, "U", "odd", "critical");
    take(list, "c", "critical", NULL); /* once */
    assert_int_equal(list->count, strlen(wanted));
    for (size_t i = 0; i < list->count; i++)
        assert_int_equal(list->listed[i].title[0], wanted[i]);
    assert_int_equal(list->total, 0);
}

/* Of many the worst stay, in the order in which they came. */
static void test_bound(void **state)
{
    struct pw_patch_list *list = list_of(state);
    char title[16];

    for (int i = 0; i < 500; i++) {
        (void)snprintf(title, sizeof title, "%d", i);
        take(list, title, i % 100 == 99 ? "critical" : i % 2 == 0 ? "low" : "medium", NULL);
    }
    assert_int_equal(list->count, PW_PATCHES_LISTED_MAX);
    assert_string_equal(list->listed[0].title, "99");
    assert_string_equal(list->listed[4].title, "499");
    assert_string_equal(list->listed[5].title, "1");
    assert_string_equal(list->listed[49].title, "89");
}

static void test_texts(void **state)
{
    static char longest[70000];
    struct pw_patch_list *list = list_of(state);
    struct pw_patch_view patch = {.title = {"a\0b\n\"", 5}, .status = pw_str_of("\xFF")};

    assert_int_equal(pw_patch_list_take(list, &patch), PW_OK);
    assert_string_equal(list->listed[0].title, "a\\x00b\\x0A\"");
    assert_string_equal(list->listed[0].status, "\\xFF");
    assert_string_equal(list->listed[0].classification, "");
    memset(longest, 'x', sizeof longest);
    patch.title = patch.classification = patch.severity_level = patch.compliance_level =
        patch.status = (struct pw_str){longest, sizeof longest};
    assert_int_equal(pw_patch_list_take(list, &patch), PW_OK);
    assert_true(strlen(list->listed[1].title) < sizeof list->listed[1].title);
    assert_true(strlen(list->listed[1].title) > 200);
    assert_non_null(strstr(list->listed[1].status, "…"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test_setup_teardown(test_book, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

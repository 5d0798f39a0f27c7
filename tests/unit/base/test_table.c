/* Tables: aligned by what is seen, within the width, and steered by no name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static const struct pw_table_column columns[] = {
    {"NAME", false, 0}, {"COUNT", true, 1}, {"REGION", false, 2}};

/* Prints rows of three cells; the caller frees. */
static char *print(const struct pw_table_style *style, const char *const (*rows)[3], size_t count)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    struct pw_table *table = pw_table_new(file, columns, 3, style);

    assert_non_null(table);
    for (size_t i = 0; i < count; i++) {
        for (size_t column = 0; column < 3; column++)
            assert_int_equal(
                pw_table_text(table, rows[i][column], column == 0 ? PW_PAINT_BAD : PW_PAINT_NONE),
                PW_OK);
    }
    assert_int_equal(pw_table_rows(table), count);
    assert_int_equal(pw_table_end(table), PW_OK);
    (void)fclose(file);
    return out;
}

static void expect(const struct pw_table_style *style, const char *const (*rows)[3], size_t count,
                   const char *expected)
{
    char *out = print(style, rows, count);

    assert_string_equal(out, expected);
    free(out);
}

static const struct pw_table_style pipe_style = {0, false, 0};

static void test_aligned(void **state)
{
    static const char *const rows[][3] = {{"a", "1", "cn-north-4"}, {"web-1", "1234567", NULL}};
    static const struct pw_table_style indented = {0, false, 2};

    (void)state;
    expect(&pipe_style, rows, 2,
           "NAME     COUNT  REGION\n"
           "a            1  cn-north-4\n"
           "web-1  1234567  -\n");
    expect(&indented, rows, 1, "  NAME  COUNT  REGION\n  a         1  cn-north-4\n");
    expect(&pipe_style, rows, 0, "");
}

/* A Chinese character takes two columns, a combining one none. */
static void test_display_width(void **state)
{
    static const char *const rows[][3] = {{"数据库", "1", "x"}, {"e\u0301a", "2", "y"}};

    (void)state;
    assert_int_equal(pw_display_width(pw_str_of("数据库-1")), 8);
    assert_int_equal(pw_display_width(pw_str_of("e\u0301")), 1);
    assert_int_equal(pw_display_width(pw_str_of("プリント")), 8);
    assert_int_equal(pw_display_width((struct pw_str){"\xff", 1}), 1);
    expect(&pipe_style, rows, 2,
           "NAME    COUNT  REGION\n"
           "数据库      1  x\n"
           "e\u0301a          2  y\n");
}

static void test_fits(void **state)
{
    static const char *const rows[][3] = {
        {"a-name-of-thirty-six-characters-or-so", "12", "cn-north-4"}};
    struct pw_table_style style = {60, false, 0};

    (void)state;
    expect(&style, rows, 1,
           "NAME                                   COUNT  REGION\n"
           "a-name-of-thirty-six-characters-or-so     12  cn-north-4\n");
    style.width = 45; /* the longest is cut first */
    expect(&style, rows, 1,
           "NAME                        COUNT  REGION\n"
           "a-name-of-thirty-six-char…     12  cn-north-4\n");
    style.width = 40; /* then the least important column goes */
    expect(&style, rows, 1,
           "NAME                      COUNT\n"
           "a-name-of-thirty-six-ch…     12\n");
    style.width = 28;
    expect(&style, rows, 1, "NAME\na-name-of-thirty-six-ch…\n");
    style.width = 20;
    expect(&style, rows, 1, "NAME\na-name-of-thirty-si…\n");
    style.width = 2; /* not below what can be read */
    expect(&style, rows, 1, "NAME\na-name-…\n");
}

/* A wide character that would stick out by half is not begun. */
static void test_cut_wide(void **state)
{
    static const char *const rows[][3] = {{"数据库服务器一号数据库服务器一号", "1", "x"}};
    struct pw_table_style style = {9, false, 0};

    (void)state;
    expect(&style, rows, 1, "NAME\n数据库服…\n");
    style.width = 8;
    expect(&style, rows, 1, "NAME\n数据库…\n");
}

/* An escape is cut as a whole: half of one would read as another. */
static void test_cut_escape(void **state)
{
    static const char *const rows[][3] = {{"abc\033[2Jdefghijk", "1", "x"}};
    static const char *const marks[][3] = {{"abcd\u202Eefghijk", "1", "x"}};
    struct pw_table_style style = {8, false, 0};

    (void)state;
    expect(&style, rows, 1, "NAME\nabc\\x1B…\n");
    expect(&style, marks, 1, "NAME\nabcd…\n");
    style.width = 13;
    expect(&style, marks, 1, "NAME\nabcd\\u{202E}…\n");
    style.width = 12;
    expect(&style, marks, 1, "NAME\nabcd…\n");
}

/* What shows nothing, or a blank that is no space. */
static void test_unseen(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"\u115F", "\\u{115F}"},      {"\u3164", "\\u{3164}"}, {"\u200B", "\\u{200B}"},
        {"\u200F", "\\u{200F}"},      {"\u2028", "\\u{2028}"}, {"\u202E", "\\u{202E}"},
        {"\u2060", "\\u{2060}"},      {"\u2069", "\\u{2069}"}, {"\uFEFF", "\\u{FEFF}"},
        {"\u00A0", "\\u{A0}"},        {"\u2003", "\\u{2003}"}, {"\u2800", "\\u{2800}"},
        {"\u3000", "\u3000"},         {"e\u0301", "e\u0301"},  {"a b", "a b"},
        {"\U000E0041", "\\u{E0041}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *shown = pw_display_escape(pw_str_of(cases[i].text));

        assert_string_equal(shown, cases[i].shown);
        free(shown);
    }
}

static void test_colour(void **state)
{
    static const char *const rows[][3] = {{"a", "1", "x"}};
    static const struct pw_table_style style = {80, true, 0};

    (void)state;
    expect(&style, rows, 1,
           "\033[2mNAME\033[0m  \033[2mCOUNT\033[0m  \033[2mREGION\033[0m\n"
           "\033[1;31ma\033[0m         1  x\n");
}

static void test_hostile(void **state)
{
    static const char *const rows[][3] = {{"\033[2J\033]0;x\a", "\n", "\r"},
                                          {"safe\u202Eexe", "\u200B", "\xC2\x85"},
                                          {"\xff\xfe", "\t", "\x7f"}};
    char *out = print(&pipe_style, rows, 3);

    (void)state;
    for (const char *p = out; *p != '\0'; p++)
        assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
    assert_int_equal(strcspn(out, "\033\a\r\t\x7f"), strlen(out));
    assert_non_null(strstr(out, "\\x1B[2J"));
    assert_non_null(strstr(out, "safe\\u{202E}exe"));
    assert_non_null(strstr(out, "\\u{200B}"));
    assert_non_null(strstr(out, "\\xC2\\x85"));
    assert_non_null(strstr(out, "\\xFF\\xFE"));
    free(out);
}

static void test_escape(void **state)
{
    static const char *const cases[][2] = {
        {"", ""}, {"plain", "plain"}, {"数据", "数据"}, {"\n", "\\x0A"}, {"\uFEFF", "\\u{FEFF}"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = pw_display_escape(pw_str_of(cases[i][0]));

        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

/* A fleet is printed while it is read; the widths are those of the first thousand. */
static void test_many_rows(void **state)
{
    char *out = NULL;
    size_t size = 0, lines = 0, before;
    FILE *file = open_memstream(&out, &size);
    struct pw_table *table = pw_table_new(file, columns, 3, &pipe_style);

    (void)state;
    for (int i = 0; i < 999 * 3; i++)
        assert_int_equal(pw_table_text(table, "abcdef", PW_PAINT_NONE), PW_OK);
    (void)fflush(file);
    assert_int_equal(size, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pw_table_text(table, "abcdef", PW_PAINT_NONE), PW_OK);
    (void)fflush(file);
    before = size;
    assert_true(before > 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pw_table_text(table, "longer than before", PW_PAINT_NONE), PW_OK);
    assert_int_equal(pw_table_text(table, "unfinished", PW_PAINT_NONE), PW_OK);
    assert_int_equal(pw_table_rows(table), 1001);
    assert_int_equal(pw_table_end(table), PW_OK);
    (void)fclose(file);
    for (const char *p = out; *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 1002);
    /* Nothing is cut where no terminal looks on. */
    assert_non_null(strstr(out + before, "longer than before  longer than before"));
    assert_null(strstr(out, "unfinished"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned),    cmocka_unit_test(test_display_width),
        cmocka_unit_test(test_fits),       cmocka_unit_test(test_cut_wide),
        cmocka_unit_test(test_cut_escape), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_colour),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_escape),     cmocka_unit_test(test_many_rows),
    };

    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Secrets: what is kept, what is refused, what is left in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"

#define PLANTED "correct-horse-battery-staple"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/pw-secret-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char command[96];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *put(const char *name, const void *bytes, size_t len, mode_t mode)
{
    static char path[160];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void assert_reads(const char *bytes, const char *expected)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;

    assert_int_equal(pw_secret_read(&secret, put("f", bytes, strlen(bytes), 0600), &err), PW_OK);
    assert_string_equal(secret.data, expected);
    assert_int_equal(secret.len, strlen(expected));
    pw_secret_clear(&secret);
    assert_null(secret.data);
}

static void test_reads(void **state)
{
    (void)state;
    assert_reads(PLANTED, PLANTED);
    assert_reads(PLANTED "\n", PLANTED);
    assert_reads(PLANTED "\r\n", PLANTED);
    assert_reads(PLANTED "\n\n\n", PLANTED);
    assert_reads(PLANTED "\r\n\r\n\n", PLANTED);
    assert_reads(" with blanks \n", " with blanks ");
}

/* Refused with that status, the path in the message, the content not; the old value stays. */
static void assert_refused(const char *path, enum pw_status expected)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err = {.status = PW_OK};

    assert_int_equal(pw_secret_set(&secret, pw_str_of("before"), &err), PW_OK);
    assert_int_equal(pw_secret_read(&secret, path, &err), expected);
    assert_int_equal(err.status, expected);
    assert_non_null(strstr(err.message, path));
    assert_null(strstr(err.message, "horse"));
    assert_string_equal(secret.data, "before");
    pw_secret_clear(&secret);
}

static void test_refuses(void **state)
{
    static char big[PW_SECRET_MAX_BYTES + 1];
    char path[160];

    (void)state;
    memset(big, 'a', sizeof big);
    assert_refused(put("empty", "", 0, 0600), PW_EFORMAT);
    assert_refused(put("newline", "\n", 1, 0600), PW_EFORMAT);
    assert_refused(put("nul", PLANTED "\0x", sizeof PLANTED + 1, 0600), PW_EFORMAT);
    assert_refused(put("lines", PLANTED "\nx\n", sizeof PLANTED + 2, 0600), PW_EFORMAT);
    assert_refused(put("newlines", "\r\n\n", 3, 0600), PW_EFORMAT);
    assert_refused(put("returns", PLANTED "\r", sizeof PLANTED, 0600), PW_EFORMAT);
    assert_refused(put("blank-line", PLANTED "\n \n", sizeof PLANTED + 2, 0600), PW_EFORMAT);
    assert_refused(put("big", big, sizeof big, 0600), PW_ELIMIT);
    assert_refused(put("group", PLANTED, 5, 0640), PW_EPERM);
    assert_refused(put("others", PLANTED, 5, 0604), PW_EPERM);
    (void)snprintf(path, sizeof path, "%s/absent", folder);
    assert_refused(path, PW_ENOTFOUND);
    assert_refused(folder, PW_EINVAL);
    (void)snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, PW_EINVAL); /* and does not wait for a writer */
}

static void test_largest(void **state)
{
    static char big[PW_SECRET_MAX_BYTES];
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;

    (void)state;
    memset(big, 'a', sizeof big);
    assert_int_equal(pw_secret_read(&secret, put("f", big, sizeof big, 0600), &err), PW_OK);
    assert_int_equal(secret.len, sizeof big);
    pw_secret_clear(&secret);
}

static void test_systemd_credentials(void **state)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;
    char path[200];

    (void)state;
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    assert_int_equal(pw_secret_read(&secret, put("cred", PLANTED, 5, 0440), &err), PW_OK);
    (void)snprintf(path, sizeof path, "%s/../%s/cred", folder, strrchr(folder, '/') + 1);
    assert_refused(path, PW_EPERM);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1), 0);
    assert_refused(put("cred", PLANTED, 5, 0440), PW_EPERM);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    pw_secret_clear(&secret);
}

static void test_lines(void **state)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;

    (void)state;
    assert_int_equal(pw_secret_read_lines(&secret, put("f", "a\nb\n", 4, 0600), &err), PW_OK);
    assert_string_equal(secret.data, "a\nb\n");
    pw_secret_clear(&secret);
}

static void test_write(void **state)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_buffer over;
    struct pw_error err;
    char *data;

    (void)state;
    assert_int_equal(pw_secret_write(&secret, 100, &over, &err), PW_OK);
    data = over.data;
    assert_int_equal(pw_buffer_printf(&over, "%s=%d", PLANTED, 7), PW_OK);
    assert_int_equal(pw_secret_written(&secret, &over), PW_OK);
    assert_string_equal(secret.data, PLANTED "=7");
    assert_ptr_equal(secret.data, data);
    /* Again, shorter: nothing of the old is left behind it. */
    assert_int_equal(pw_secret_write(&secret, 10, &over, &err), PW_OK);
    (void)pw_buffer_append_text(&over, "x");
    assert_int_equal(pw_secret_written(&secret, &over), PW_OK);
    assert_string_equal(secret.data, "x");
    assert_null(memmem(secret.data, secret.mapped_bytes, "horse", 5));
    /* More than there is room for fails, and leaves nothing. */
    assert_int_equal(pw_secret_write(&secret, 10, &over, &err), PW_OK);
    for (int i = 0; i < 1000; i++)
        (void)pw_buffer_append_text(&over, PLANTED);
    assert_int_equal(pw_secret_written(&secret, &over), PW_ELIMIT);
    assert_null(secret.data);
}

static void test_set_from_itself(void **state)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;

    (void)state;
    assert_int_equal(pw_secret_set(&secret, pw_str_of(PLANTED), &err), PW_OK);
    assert_int_equal(pw_secret_set(&secret, (struct pw_str){secret.data + 8, secret.len - 8}, &err),
                     PW_OK);
    assert_string_equal(secret.data, "horse-battery-staple");
    pw_secret_clear(&secret);
}

/* "dd" = not in a core dump, "dc" = not in a child (proc_pid_smaps(5)). */
static void test_memory_flags(void **state)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;
    char line[512], start[32];
    bool is_ours = false, is_seen = false;
    FILE *smaps;

    (void)state;
    assert_int_equal(pw_secret_set(&secret, pw_str_of(PLANTED), &err), PW_OK);
    (void)snprintf(start, sizeof start, "%zx-", (size_t)(uintptr_t)secret.data);
    smaps = fopen("/proc/self/smaps", "r");
    if (smaps == NULL)
        skip();
    while (fgets(line, sizeof line, smaps) != NULL) {
        if (strstr(line, "-") != NULL && strstr(line, ":") != NULL && line[0] != ' ' &&
            strchr("0123456789abcdef", line[0]) != NULL)
            is_ours = strncmp(line, start, strlen(start)) == 0;
        if (is_ours && strncmp(line, "VmFlags:", 8) == 0) {
            is_seen = true;
            assert_non_null(strstr(line, " dd"));
            assert_non_null(strstr(line, " dc"));
        }
    }
    (void)fclose(smaps);
    if (!is_seen) /* a kernel that does not show the flags */
        print_message("no VmFlags here\n");
    pw_secret_clear(&secret);
}

static void assert_redacts(const char *planted, const char *text, const char *expected)
{
    struct pw_secret secret = {NULL, 0, 0};
    struct pw_error err;
    char copy[256];

    assert_int_equal(pw_secret_set(&secret, pw_str_of(planted), &err), PW_OK);
    (void)snprintf(copy, sizeof copy, "%s", text);
    pw_secret_redact(&secret, copy);
    assert_string_equal(copy, expected);
    pw_secret_clear(&secret);
}

static void assert_redacted(const char *text, const char *expected)
{
    assert_redacts(PLANTED, text, expected);
}

/* All of shown is the secret in some way of writing, and nothing around it is touched. */
static void assert_gone(const char *planted, const char *shown)
{
    char text[256], expected[256];
    size_t len = strlen(shown);

    (void)snprintf(text, sizeof text, "<%s>", shown);
    (void)snprintf(expected, sizeof expected, "<%s>", shown);
    memset(expected + 1, '*', len);
    assert_redacts(planted, text, expected);
}

/* As servers write what they were sent into JSON and URLs. */
static void test_redacts_escapes(void **state)
{
    static const char odd[] = "a\"b\\c/d\te\xC3\xA4\xF0\x9F\x98\x80+f", tricky[] = "ab\\n\\\\%41cd";

    (void)state;
    assert_gone(odd, odd);
    assert_gone(odd, "a\\\"b\\\\c\\/d\\te\\u00e4\\ud83d\\uDE00\\u002bf");
    /* Half escaped, as by a library that leaves / and UTF-8 as they are. */
    assert_gone(odd, "a\\\"b\\\\c/d\\te\xC3\xA4\xF0\x9F\x98\x80+f");
    assert_gone(odd, "a%22b%5Cc%2fd%09e%C3%a4%F0%9f%98%80%2Bf");
    assert_gone(odd, "a%22b%5cc/d%09e\xC3\xA4%F0%9f%98%80+f");
    assert_gone("x\b\f\n\ry", "x\\b\\f\\n\\ry");
    /* What looks like an escape may be the secret itself. */
    assert_gone(tricky, tricky);
    assert_gone(tricky, "ab\\\\n\\\\\\\\%41cd");
    assert_gone(tricky, "ab%5Cn%5C%5C%2541cd");
    assert_gone("ab\\n\"\\\"cd", "ab\\n\\\"\\\\\\\"cd");
    assert_gone(PLANTED, "correct%2Dhorse\\u002Dbattery-staple");
    /* Cut, also within an escape. */
    assert_redacts(odd, "a\\\"b\\\\c\\/d\\te\\u00", "*************\\u00");
    assert_redacts(odd, "a%22b%5Cc%2fd%09e%", "*****************%");
    assert_redacts(odd, "a%22b%5Cc", "a%22b%5Cc"); /* under eight bytes of it */
    assert_redacts(PLANTED, "\\ \\u \\ud83d \\u00zz % %4 %zz \\q",
                   "\\ \\u \\ud83d \\u00zz % %4 %zz \\q");
}

static void test_redacts(void **state)
{
    struct pw_secret small = {NULL, 0, 0}, none = {NULL, 0, 0};
    struct pw_error err;
    char text[] = "abc abcd ab";

    (void)state;
    assert_redacted("", "");
    assert_redacted("nothing here", "nothing here");
    assert_redacted("[" PLANTED "]", "[****************************]");
    assert_redacted("cut: correct-ho", "cut: **********");
    assert_redacted("the word correct stays", "the word correct stays");
    assert_redacted(PLANTED PLANTED, "********************************************************");
    assert_int_equal(pw_secret_set(&small, pw_str_of("abcd"), &err), PW_OK);
    pw_secret_redact(&small, text);
    assert_string_equal(text, "abc **** ab");
    assert_int_equal(pw_secret_set(&small, pw_str_of("abc"), &err), PW_OK);
    pw_secret_redact(&small, text); /* too short to tell from a word */
    assert_string_equal(text, "abc **** ab");
    pw_secret_redact(&none, text);
    pw_secret_clear(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),           cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_largest),         cmocka_unit_test(test_systemd_credentials),
        cmocka_unit_test(test_lines),           cmocka_unit_test(test_write),
        cmocka_unit_test(test_set_from_itself), cmocka_unit_test(test_memory_flags),
        cmocka_unit_test(test_redacts),         cmocka_unit_test(test_redacts_escapes),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

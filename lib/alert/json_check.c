/* Whether a text is JSON (RFC 8259), and where it is not: a parser says only that. */
#include <stdint.h>
#include <string.h>

#include "alert/template_parts.h"
#include "base/text.h"

enum { MAX_DEPTH = 64 };

struct check {
    struct pw_str text;
    size_t at; /* where it stands; at an error, there */
};

static int peek(const struct check *check)
{
    return check->at < check->text.len ? (unsigned char)check->text.data[check->at] : -1;
}

static void skip_space(struct check *check)
{
    while (check->at < check->text.len && strchr(" \t\r\n", peek(check)) != NULL &&
           peek(check) != '\0')
        check->at++;
}

static bool take(struct check *check, int c)
{
    if (peek(check) != c)
        return false;
    check->at++;
    return true;
}

static bool check_string(struct check *check)
{
    static const char hex[] = "0123456789abcdefABCDEF";

    if (!take(check, '"'))
        return false;
    for (;;) {
        int c = peek(check);
        size_t n = pw_utf8_length(check->text.data + check->at, check->text.len - check->at);

        if (c < 0x20 || n == 0)
            return false;
        check->at += n;
        if (c == '"')
            return true;
        if (c != '\\')
            continue;
        c = peek(check);
        if (c <= 0 || strchr("\"\\/bfnrtu", c) == NULL)
            return false;
        check->at++;
        for (int i = 0; c == 'u' && i < 4; i++) {
            if (peek(check) <= 0 || strchr(hex, peek(check)) == NULL)
                return false;
            check->at++;
        }
    }
}

static bool check_digits(struct check *check)
{
    size_t start = check->at;

    while (peek(check) >= '0' && peek(check) <= '9')
        check->at++;
    return check->at > start;
}

static bool check_number(struct check *check)
{
    (void)take(check, '-');
    if (!take(check, '0') && !check_digits(check))
        return false;
    if (take(check, '.') && !check_digits(check))
        return false;
    if (take(check, 'e') || take(check, 'E')) {
        if (!take(check, '+'))
            (void)take(check, '-');
        return check_digits(check);
    }
    return true;
}

static bool check_word(struct check *check, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(check, (unsigned char)*word))
            return false;
    }
    return true;
}

static bool check_value(struct check *check, int depth);

/* The members of an object or the items of a list, past its first bracket. */
static bool check_members(struct check *check, bool is_object, int depth)
{
    int end = is_object ? '}' : ']';

    skip_space(check);
    if (take(check, end))
        return true;
    for (;;) {
        skip_space(check);
        if (is_object) {
            if (!check_string(check))
                return false;
            skip_space(check);
            if (!take(check, ':'))
                return false;
        }
        if (!check_value(check, depth))
            return false;
        skip_space(check);
        if (take(check, end))
            return true;
        if (!take(check, ','))
            return false;
    }
}

static bool check_value(struct check *check, int depth)
{
    skip_space(check);
    switch (peek(check)) {
    case '{':
    case '[':
        if (depth == MAX_DEPTH)
            return false;
        check->at++;
        return check_members(check, check->text.data[check->at - 1] == '{', depth + 1);
    case '"':
        return check_string(check);
    case 't':
        return check_word(check, "true");
    case 'f':
        return check_word(check, "false");
    case 'n':
        return check_word(check, "null");
    default:
        return check_number(check);
    }
}

size_t pw_json_check(struct pw_str text)
{
    struct check check = {.text = text};

    if (!check_value(&check, 0))
        return check.at;
    skip_space(&check);
    return check.at == text.len ? SIZE_MAX : check.at;
}

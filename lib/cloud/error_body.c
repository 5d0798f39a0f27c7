/* Error bodies. */
#include "cloud/error_body.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json_reader.h"

/* How deep an error may be nested. Real ones are one or two levels down. */
enum { MAX_DEPTH = 5, MAX_MEMBERS = 2000, EXCERPT_BYTES = 200, LOOK_BYTES = 64 * 1024 };

/* What an object or the whole body was found to hold, best first. */
enum what { CODE, MESSAGE, REQUEST_ID, LOOSE_MESSAGE, WHAT_COUNT };

static const struct {
    const char *key;
    enum what what;
    unsigned char rank; /* of the names for one thing within one object */
} names[] = {
    {"error_code", CODE, 0},
    {"errorCode", CODE, 1},
    {"code", CODE, 2},
    {"error_msg", MESSAGE, 0},
    {"errorMsg", MESSAGE, 1},
    {"errorMessage", MESSAGE, 2},
    {"error_message", MESSAGE, 3},
    {"message", MESSAGE, 4},
    {"msg", MESSAGE, 5},
    {"request_id", REQUEST_ID, 0},
    {"requestId", REQUEST_ID, 1},
    {"error_description", LOOSE_MESSAGE, 0},
    {"error", LOOSE_MESSAGE, 1},
};

struct found {
    struct pw_str text; /* in the reader's document, or a copy of a number */
    char number[32];
    size_t object;
    unsigned depth;
    unsigned char rank;
};

struct pw_error_body {
    struct pw_json_reader *json;
    struct found found[WHAT_COUNT];
    struct found code_message; /* the message of the object that found[CODE] is in */
    size_t members;
    char code[96], message[512], request_id[96];
};

struct pw_error_body *pw_error_body_new(void)
{
    struct pw_error_body *reader = calloc(1, sizeof *reader);

    if (reader == NULL)
        return NULL;
    reader->json = pw_json_reader_new();
    if (reader->json == NULL) {
        free(reader);
        return NULL;
    }
    return reader;
}

void pw_error_body_free(struct pw_error_body *reader)
{
    if (reader == NULL)
        return;
    pw_json_reader_free(reader->json);
    explicit_bzero(reader, sizeof *reader);
    free(reader);
}

/* Whether member is better than what was found: less deep, then first, then by its name. */
static bool is_better(const struct found *found, const struct pw_json_member *member,
                      unsigned char rank)
{
    if (found->text.data == NULL || member->depth != found->depth)
        return found->text.data == NULL || member->depth < found->depth;
    if (member->object != found->object)
        return member->object < found->object;
    return rank < found->rank;
}

static void keep(struct found *found, const struct pw_json_member *member, unsigned char rank)
{
    found->text = member->text;
    if (member->is_number && member->text.len < sizeof found->number) {
        memcpy(found->number, member->text.data, member->text.len);
        found->text.data = found->number;
    }
    found->object = member->object;
    found->depth = member->depth;
    found->rank = rank;
}

static bool on_member(void *context, const struct pw_json_member *member)
{
    struct pw_error_body *reader = context;

    if (++reader->members > MAX_MEMBERS)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct found *found = &reader->found[names[i].what];

        if (!pw_str_is(member->key, names[i].key) || member->text.len == 0)
            continue;
        /* A number names a code or a request; as a message it says nothing. */
        if (member->is_number && names[i].what != CODE && names[i].what != REQUEST_ID)
            continue;
        if (is_better(found, member, names[i].rank))
            keep(found, member, names[i].rank);
    }
    return true;
}

/* The second walk: the message that stands beside the code. */
static bool on_member_beside_code(void *context, const struct pw_json_member *member)
{
    struct pw_error_body *reader = context;
    struct found *found = &reader->code_message;

    if (member->object != reader->found[CODE].object || member->is_number || member->text.len == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].what == MESSAGE && pw_str_is(member->key, names[i].key) &&
            (found->text.data == NULL || names[i].rank < found->rank))
            keep(found, member, names[i].rank);
    }
    return true;
}

static struct pw_str printable(char *out, size_t size_bytes, struct pw_str text)
{
    if (text.data == NULL)
        return PW_STR_NULL;
    return pw_str_of(pw_text_printable(out, size_bytes, text));
}

/* The beginning of a body in which no error was found, without the blanks around it. Not all of
 * megabytes of blanks are looked at. */
static struct pw_str excerpt_of(const char *body, size_t len)
{
    if (len > LOOK_BYTES)
        len = LOOK_BYTES;
    while (len > 0 && isspace((unsigned char)body[0])) {
        body++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)body[len - 1]))
        len--;
    return len > 0 ? (struct pw_str){body, len} : PW_STR_NULL;
}

void pw_error_body_decode(struct pw_error_body *reader, const char *body, size_t len,
                          struct pw_api_error *out)
{
    struct pw_str message;
    size_t message_bytes = sizeof reader->message;

    *out = (struct pw_api_error){.code = PW_STR_NULL};
    memset(reader->found, 0, sizeof reader->found);
    memset(&reader->code_message, 0, sizeof reader->code_message);
    reader->members = 0;
    if (pw_json_reader_parse(reader->json, (struct pw_str){body, len}, true, NULL) == PW_OK) {
        pw_json_reader_walk(reader->json, MAX_DEPTH, on_member, reader);
        if (reader->found[CODE].text.data != NULL)
            pw_json_reader_walk(reader->json, MAX_DEPTH, on_member_beside_code, reader);
    }
    message = reader->code_message.text;
    if (message.data == NULL)
        message = reader->found[MESSAGE].text;
    if (message.data == NULL)
        message = reader->found[LOOSE_MESSAGE].text;
    if (message.data == NULL && reader->found[CODE].text.data == NULL) {
        message = excerpt_of(body, len);
        message_bytes = EXCERPT_BYTES + 1;
    }
    out->code = printable(reader->code, sizeof reader->code, reader->found[CODE].text);
    out->message = printable(reader->message, message_bytes, message);
    out->request_id =
        printable(reader->request_id, sizeof reader->request_id, reader->found[REQUEST_ID].text);
    pw_json_reader_wipe(reader->json);
}

/* ---- causes ----------------------------------------------------------------------------------*/

const char *pw_api_cause_name(enum pw_api_cause cause)
{
    static const char *const texts[] = {"other",     "auth",      "forbidden",
                                        "throttled", "not found", "bad request"};

    return (unsigned)cause < PW_API_CAUSE_COUNT ? texts[cause] : "unknown";
}

/* The gateway's table, by the four digits after the last dot; and IAM's "common.01010001". */
static enum pw_api_cause cause_of_code(struct pw_str code)
{
    static const struct {
        const char *suffix;
        enum pw_api_cause cause;
    } table[] = {
        {"0101", PW_API_NOT_FOUND},   {"0103", PW_API_NOT_FOUND},   {"0104", PW_API_BAD_REQUEST},
        {"0105", PW_API_BAD_REQUEST}, {"0106", PW_API_BAD_REQUEST}, {"0301", PW_API_AUTH},
        {"0302", PW_API_FORBIDDEN},   {"0303", PW_API_AUTH},        {"0304", PW_API_FORBIDDEN},
        {"0305", PW_API_AUTH},        {"0306", PW_API_FORBIDDEN},   {"0307", PW_API_AUTH},
        {"0308", PW_API_THROTTLED},   {"01010001", PW_API_AUTH},
    };
    const char *dot = code.len > 0 ? memrchr(code.data, '.', code.len) : NULL;
    struct pw_str suffix;

    if (dot == NULL)
        return PW_API_OTHER;
    suffix = (struct pw_str){dot + 1, code.len - (size_t)(dot + 1 - code.data)};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (pw_str_is(suffix, table[i].suffix))
            return table[i].cause;
    }
    return PW_API_OTHER;
}

enum pw_api_cause pw_api_cause_of(long http_status, struct pw_str code)
{
    switch (http_status) {
    case 401:
    case 407: /* the proxy before it */
        return PW_API_AUTH;
    case 403:
        return PW_API_FORBIDDEN;
    case 404:
        return PW_API_NOT_FOUND;
    case 408:
    case 425:
        return PW_API_OTHER;
    case 429:
        return PW_API_THROTTLED;
    default:
        break;
    }
    if (http_status >= 400 && http_status <= 499)
        return PW_API_BAD_REQUEST;
    if (http_status >= 200 && http_status <= 299)
        return cause_of_code(code);
    return PW_API_OTHER;
}

/* ---- throttle --------------------------------------------------------------------------------*/

/* Copies the text after the first "label:" (any case, blanks allowed) into out; false without. */
static bool text_after(struct pw_str text, const char *label, char *out, size_t size_bytes)
{
    size_t label_len = strlen(label);

    for (size_t i = 0; i + label_len < text.len; i++) {
        size_t at = i + label_len, used = 0;

        if (strncasecmp(text.data + i, label, label_len) != 0 ||
            (i > 0 && isalpha((unsigned char)text.data[i - 1])))
            continue;
        while (at < text.len && text.data[at] == ' ')
            at++;
        if (at >= text.len || (text.data[at] != ':' && text.data[at] != '='))
            continue;
        at++;
        while (at < text.len && text.data[at] == ' ')
            at++;
        while (at < text.len && used + 1 < size_bytes)
            out[used++] = text.data[at++];
        out[used] = '\0';
        return true;
    }
    return false;
}

/* A whole number of at most nine digits at the start of text; -1 where there is none. */
static int64_t leading_number(const char *text, const char **rest)
{
    size_t digits = strspn(text, "0123456789");

    *rest = text + digits;
    return digits >= 1 && digits <= 9 ? strtoll(text, NULL, 10) : -1;
}

int64_t pw_api_throttle_window_ms(struct pw_str message, int64_t *limit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"millisecond", 1}, {"ms", 1},      {"second", 1000},  {"sec", 1000},
                 {"minute", 60000},  {"min", 60000}, {"hour", 3600000}, {"day", PW_DAY_MS}};
    char text[48];
    const char *rest;
    int64_t count, found_limit = -1;

    if (message.data != NULL && text_after(message, "limit", text, sizeof text))
        found_limit = leading_number(text, &rest);
    if (limit != NULL)
        *limit = found_limit;
    if (message.data == NULL || !text_after(message, "time", text, sizeof text))
        return -1;
    count = leading_number(text, &rest);
    if (count <= 0)
        return -1;
    rest += strspn(rest, " ");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i].name);

        if (strncasecmp(rest, units[i].name, len) == 0) {
            const char *end = rest + len + (tolower((unsigned char)rest[len]) == 's' ? 1 : 0);

            if (isalnum((unsigned char)*end))
                continue;
            return count > PW_DAY_MS / units[i].ms ? PW_DAY_MS : count * units[i].ms;
        }
    }
    return -1;
}

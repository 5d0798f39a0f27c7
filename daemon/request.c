/* Reading and writing requests by one table of what each command takes. */
#include "daemon/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "base/json_writer.h"

static const char *const text_keys[PW_REQUEST_TEXT_COUNT + 1] = {
    "source", "node_key", "match", "author", "comment", "hook", "state", NULL};
static const char *const number_keys[PW_REQUEST_NUMBER_COUNT + 1] = {"id", "from_at", "until_at",
                                                                     NULL};

#define BIT(n) (1U << (n))

/* What may be there, and what must: a bit each. */
struct shape {
    const char *name;
    unsigned texts, texts_needed;
    unsigned numbers, numbers_needed;
};
#define NODE_TEXTS (BIT(PW_REQUEST_SOURCE) | BIT(PW_REQUEST_NODE_KEY))
#define BY_WHOM BIT(PW_REQUEST_AUTHOR)

static const struct shape shapes[PW_REQUEST_COMMAND_COUNT] = {
    [PW_REQUEST_MUTE_ADD] = {"mute add", BIT(PW_REQUEST_MATCH) | BY_WHOM | BIT(PW_REQUEST_COMMENT),
                             BIT(PW_REQUEST_MATCH),
                             BIT(PW_REQUEST_FROM_AT) | BIT(PW_REQUEST_UNTIL_AT), 0},
    [PW_REQUEST_MUTE_REMOVE] = {"mute remove", BY_WHOM, 0, BIT(PW_REQUEST_ID), BIT(PW_REQUEST_ID)},
    [PW_REQUEST_ACK] = {"ack", NODE_TEXTS | BY_WHOM | BIT(PW_REQUEST_COMMENT), NODE_TEXTS,
                        BIT(PW_REQUEST_UNTIL_AT), 0},
    [PW_REQUEST_UNACK] = {"unack", NODE_TEXTS | BY_WHOM, NODE_TEXTS, 0, 0},
    [PW_REQUEST_RETRY] = {"deliveries retry",
                          BY_WHOM | BIT(PW_REQUEST_STATE) | BIT(PW_REQUEST_HOOK), 0,
                          BIT(PW_REQUEST_ID), 0},
    [PW_REQUEST_DROP] = {"deliveries drop", BY_WHOM, 0, BIT(PW_REQUEST_ID), BIT(PW_REQUEST_ID)},
    [PW_REQUEST_SWEEP] = {"sweep", BIT(PW_REQUEST_SOURCE), 0, 0, 0},
    [PW_REQUEST_RELOAD] = {"reload", 0, 0, 0, 0},
    [PW_REQUEST_HOOK_TEST] = {"hook test", BIT(PW_REQUEST_HOOK), BIT(PW_REQUEST_HOOK), 0, 0},
};

const char *pw_request_name(enum pw_request_command command)
{
    return shapes[command].name;
}

void pw_request_init(struct pw_request *request, enum pw_request_command command)
{
    *request = (struct pw_request){.command = command};
    for (size_t i = 0; i < PW_REQUEST_NUMBER_COUNT; i++)
        request->numbers[i] = PW_TIME_NONE;
}

void pw_request_free(struct pw_request *request)
{
    for (size_t i = 0; i < PW_REQUEST_TEXT_COUNT; i++)
        free(request->texts[i]);
    pw_request_init(request, request->command);
}

/* Reading ------------------------------------------------------------------------------------- */

struct reading {
    struct pw_request *request;
    bool has_command;
    enum pw_status status;
    struct pw_error *err;
};

static size_t index_of(const char *const *keys, struct pw_str key)
{
    size_t i = 0;

    while (keys[i] != NULL && !pw_str_is(key, keys[i]))
        i++;
    return i;
}

static void refuse(struct reading *reading, const char *why, struct pw_str what)
{
    char shown[128];

    reading->status = pw_fail(reading->err, PW_EFORMAT, "request: %s '%s'", why,
                              pw_text_printable(shown, sizeof shown, what));
}

static void read_command(struct reading *reading, struct pw_str name)
{
    const char *names[PW_REQUEST_COMMAND_COUNT + 1] = {NULL};
    size_t i;

    for (i = 0; i < PW_REQUEST_COMMAND_COUNT; i++)
        names[i] = shapes[i].name;
    i = index_of(names, name);
    if (names[i] == NULL) {
        refuse(reading, "there is no command", name);
        return;
    }
    reading->request->command = (enum pw_request_command)i;
    reading->has_command = true;
}

static void read_text(struct reading *reading, const struct pw_json_member *member, size_t i)
{
    char **text = &reading->request->texts[i];

    if (*text != NULL) {
        refuse(reading, "twice there is", member->key);
        return;
    }
    if (memchr(member->text.data, '\0', member->text.len) != NULL) {
        refuse(reading, "a NUL is in", member->key);
        return;
    }
    *text = pw_str_dup(member->text);
    if (*text == NULL)
        reading->status = pw_fail_nomem(reading->err);
}

static void read_number(struct reading *reading, const struct pw_json_member *member, size_t i)
{
    int64_t *number = &reading->request->numbers[i];

    if (*number != PW_TIME_NONE) {
        refuse(reading, "twice there is", member->key);
        return;
    }
    /* Of what is flat a number is a whole one that fits; its text is decimal and ends with NUL. */
    *number = strtoll(member->text.data, NULL, 10);
    if (*number < 0)
        refuse(reading, "negative is", member->key);
}

static bool read_member(void *context, const struct pw_json_member *member)
{
    struct reading *reading = context;
    size_t text = index_of(text_keys, member->key), number = index_of(number_keys, member->key);

    if (pw_str_is(member->key, "command") && !member->is_number && !reading->has_command)
        read_command(reading, member->text);
    else if (text_keys[text] != NULL && !member->is_number)
        read_text(reading, member, text);
    else if (number_keys[number] != NULL && member->is_number)
        read_number(reading, member, number);
    else
        refuse(reading, "not understood is", member->key);
    return reading->status == PW_OK;
}

/* Whether it has what its command takes and no more. */
static enum pw_status check_shape(const struct pw_request *request, struct pw_error *err)
{
    const struct shape *shape = &shapes[request->command];
    const char *missing = NULL, *unknown = NULL;

    for (size_t i = 0; i < PW_REQUEST_TEXT_COUNT; i++) {
        if (request->texts[i] != NULL && (shape->texts & BIT(i)) == 0)
            unknown = text_keys[i];
        if (request->texts[i] == NULL && (shape->texts_needed & BIT(i)) != 0)
            missing = text_keys[i];
    }
    for (size_t i = 0; i < PW_REQUEST_NUMBER_COUNT; i++) {
        if (request->numbers[i] != PW_TIME_NONE && (shape->numbers & BIT(i)) == 0)
            unknown = number_keys[i];
        if (request->numbers[i] == PW_TIME_NONE && (shape->numbers_needed & BIT(i)) != 0)
            missing = number_keys[i];
    }
    if (unknown != NULL)
        return pw_fail(err, PW_EFORMAT, "request: '%s' takes no '%s'", shape->name, unknown);
    if (missing != NULL)
        return pw_fail(err, PW_EFORMAT, "request: '%s' needs '%s'", shape->name, missing);
    return PW_OK;
}

enum pw_status pw_request_parse(struct pw_str line, struct pw_request *out, struct pw_error *err)
{
    struct reading reading = {.request = out, .err = err};
    struct pw_json_reader *reader = NULL;
    enum pw_status status;

    pw_request_init(out, PW_REQUEST_RELOAD);
    if (line.len > PW_REQUEST_MAX_BYTES)
        return pw_fail(err, PW_ELIMIT, "request: longer than %d bytes", PW_REQUEST_MAX_BYTES);
    reader = pw_json_reader_new();
    if (reader == NULL)
        return pw_fail_nomem(err);
    status = pw_json_reader_parse(reader, line, false, err);
    if (status != PW_OK) {
        status = pw_fail_in(err, "request");
    } else if (!pw_json_reader_is_flat(reader)) {
        status =
            pw_fail(err, PW_EFORMAT, "request: it must be an object of strings and whole numbers");
    } else {
        pw_json_reader_walk(reader, 0, read_member, &reading);
        status = reading.status;
        if (status == PW_OK && !reading.has_command)
            status = pw_fail(err, PW_EFORMAT, "request: it has no 'command'");
        if (status == PW_OK)
            status = check_shape(out, err);
    }
    pw_json_reader_free(reader);
    if (status != PW_OK)
        pw_request_free(out);
    return status;
}

/* Writing ------------------------------------------------------------------------------------- */

void pw_request_write(const struct pw_request *request, struct pw_buffer *out)
{
    struct pw_json json;

    pw_json_init(&json, out);
    pw_json_object_begin(&json);
    pw_json_key(&json, "command");
    pw_json_text(&json, shapes[request->command].name);
    for (size_t i = 0; i < PW_REQUEST_TEXT_COUNT; i++) {
        if (request->texts[i] == NULL)
            continue;
        pw_json_key(&json, text_keys[i]);
        pw_json_text(&json, request->texts[i]);
    }
    for (size_t i = 0; i < PW_REQUEST_NUMBER_COUNT; i++) {
        if (request->numbers[i] == PW_TIME_NONE)
            continue;
        pw_json_key(&json, number_keys[i]);
        pw_json_int(&json, request->numbers[i]);
    }
    pw_json_object_end(&json);
    (void)pw_buffer_append_text(out, "\n");
}

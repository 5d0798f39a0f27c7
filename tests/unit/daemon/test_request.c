/* Requests as bytes: what is written is read back, and whatever else comes is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/request.h"

static enum pw_status parse(struct pw_str line, struct pw_request *out, char why[512])
{
    struct pw_error err = {PW_OK, ""};
    enum pw_status status = pw_request_parse(line, out, &err);

    memcpy(why, err.message, sizeof err.message);
    return status;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int command = 0; command < PW_REQUEST_COMMAND_COUNT; command++) {
        static const struct {
            enum pw_request_command command;
            unsigned texts, numbers;
        } takes[] = {
            {PW_REQUEST_MUTE_ADD, 1 << PW_REQUEST_MATCH | 1 << PW_REQUEST_COMMENT,
             1 << PW_REQUEST_FROM_AT | 1 << PW_REQUEST_UNTIL_AT},
            {PW_REQUEST_MUTE_REMOVE, 1 << PW_REQUEST_AUTHOR, 1 << PW_REQUEST_ID},
            {PW_REQUEST_ACK, 1 << PW_REQUEST_SOURCE | 1 << PW_REQUEST_NODE_KEY,
             1 << PW_REQUEST_UNTIL_AT},
            {PW_REQUEST_UNACK, 1 << PW_REQUEST_SOURCE | 1 << PW_REQUEST_NODE_KEY, 0},
            {PW_REQUEST_RETRY, 1 << PW_REQUEST_STATE | 1 << PW_REQUEST_HOOK, 0},
            {PW_REQUEST_DROP, 0, 1 << PW_REQUEST_ID},
            {PW_REQUEST_SWEEP, 1 << PW_REQUEST_SOURCE, 0},
            {PW_REQUEST_RELOAD, 0, 0},
            {PW_REQUEST_HOOK_TEST, 1 << PW_REQUEST_HOOK, 0},
        };
        struct pw_request request, again;
        struct pw_buffer line;
        char why[512];

        assert_int_equal(takes[command].command, command);
        pw_request_init(&request, takes[command].command);
        pw_buffer_init(&line, PW_REQUEST_MAX_BYTES);
        for (int i = 0; i < PW_REQUEST_TEXT_COUNT; i++) {
            if ((takes[command].texts & 1U << i) != 0)
                request.texts[i] = strdup("{\"a\": \"ä\\n\"}\n");
        }
        for (int i = 0; i < PW_REQUEST_NUMBER_COUNT; i++) {
            if ((takes[command].numbers & 1U << i) != 0)
                request.numbers[i] = INT64_MAX - i;
        }
        pw_request_write(&request, &line);
        assert_int_equal(line.failed, PW_OK);
        assert_ptr_equal(strchr(line.data, '\n'), line.data + line.len - 1);
        assert_int_equal(parse((struct pw_str){line.data, line.len - 1}, &again, why), PW_OK);
        assert_int_equal(again.command, command);
        for (int i = 0; i < PW_REQUEST_TEXT_COUNT; i++) {
            assert_int_equal(again.texts[i] == NULL, request.texts[i] == NULL);
            if (request.texts[i] != NULL)
                assert_string_equal(again.texts[i], request.texts[i]);
        }
        assert_memory_equal(again.numbers, request.numbers, sizeof again.numbers);
        pw_request_free(&request);
        pw_request_free(&again);
        pw_buffer_free(&line);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"", "empty"},
        {" ", ""},
        {"reload", "not JSON"},
        {"{\"command\":\"reload\"", "not JSON"},
        {"{\"command\":\"reload\"} {}", "not JSON"},
        {"[\"reload\"]", "an object of strings"},
        {"\"reload\"", "an object of strings"},
        {"{}", "no 'command'"},
        {"{\"source\":\"prod\"}", "no 'command'"},
        {"{\"command\":7}", "not understood is 'command'"},
        {"{\"command\":\"Reload\"}", "no command 'Reload'"},
        {"{\"command\":\"reload\",\"command\":\"sweep\"}", "not understood is 'command'"},
        {"{\"command\":\"reload\",\"force\":\"yes\"}", "not understood is 'force'"},
        {"{\"command\":\"reload\",\"force\":true}", "an object of strings"},
        {"{\"command\":\"reload\",\"source\":\"prod\"}", "'reload' takes no 'source'"},
        {"{\"command\":\"sweep\",\"source\":null}", "an object of strings"},
        {"{\"command\":\"sweep\",\"source\":[\"prod\"]}", "an object of strings"},
        {"{\"command\":\"sweep\",\"source\":{\"a\":\"b\"}}", "an object of strings"},
        {"{\"command\":\"sweep\",\"source\":1}", "not understood is 'source'"},
        {"{\"command\":\"sweep\",\"source\":\"a\",\"source\":\"b\"}", "twice there is 'source'"},
        {"{\"command\":\"sweep\",\"source\":\"a\\u0000b\"}", "a NUL is in 'source'"},
        {"{\"command\":\"sweep\",\"source\":\"\xff\"}", "not JSON"},
        {"{\"command\":\"sweep\",\"source\":\"\\ud800\"}", "not JSON"},
        {"{\"command\":\"mute add\"}", "'mute add' needs 'match'"},
        {"{\"command\":\"mute remove\"}", "'mute remove' needs 'id'"},
        {"{\"command\":\"mute remove\",\"id\":\"1\"}", "not understood is 'id'"},
        {"{\"command\":\"mute remove\",\"id\":1.0}", "an object of strings"},
        {"{\"command\":\"mute remove\",\"id\":1e3}", "an object of strings"},
        {"{\"command\":\"mute remove\",\"id\":-1}", "negative is 'id'"},
        {"{\"command\":\"mute remove\",\"id\":9223372036854775808}", "an object of strings"},
        {"{\"command\":\"mute remove\",\"id\":1,\"id\":1}", "twice there is 'id'"},
        {"{\"command\":\"ack\",\"source\":\"prod\"}", "'ack' needs 'node_key'"},
        {"{\"command\":\"hook test\"}", "'hook test' needs 'hook'"},
        {"{\"command\":\"\\u001b[31m\"}", "no command '\\x1B[31m'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pw_request request;
        char why[512];

        assert_int_equal(parse(pw_str_of(cases[i].line), &request, why), PW_EFORMAT);
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].line, why);
        for (int t = 0; t < PW_REQUEST_TEXT_COUNT; t++)
            assert_null(request.texts[t]);
    }
}

static void test_large(void **state)
{
    static char line[PW_REQUEST_MAX_BYTES + 2];
    struct pw_request request;
    char why[512];

    (void)state;
    memset(line, '[', sizeof line);
    assert_int_equal(parse((struct pw_str){line, PW_REQUEST_MAX_BYTES}, &request, why), PW_EFORMAT);
    assert_int_equal(parse((struct pw_str){line, PW_REQUEST_MAX_BYTES + 1}, &request, why),
                     PW_ELIMIT);
    memset(line, 0, sizeof line);
    assert_int_equal(parse((struct pw_str){line, PW_REQUEST_MAX_BYTES}, &request, why), PW_EFORMAT);
}

/* Bytes of a good line changed, cut and doubled at every place: never more than a refusal. */
static void test_spoiled(void **state)
{
    static const char good[] =
        "{\"command\":\"mute add\",\"match\":\"{\\\"a\\\":1}\",\"until_at\":12,"
        "\"comment\":\"\\u00e4\"}";
    static const char bytes[] = {'"', '\\', '{', '}', ',', ':', '0', '-', '\0', '\n', (char)0xff};
    struct pw_request request;
    char line[sizeof good], why[512];
    int accepted = 0;

    (void)state;
    assert_int_equal(parse(pw_str_of(good), &request, why), PW_OK);
    pw_request_free(&request);
    for (size_t at = 0; at < sizeof good - 1; at++) {
        assert_int_not_equal(parse((struct pw_str){good, at}, &request, why), PW_OK);
        for (size_t b = 0; b < sizeof bytes; b++) {
            memcpy(line, good, sizeof good);
            line[at] = bytes[b];
            if (parse((struct pw_str){line, sizeof good - 1}, &request, why) == PW_OK) {
                accepted++; /* inside of a text */
                assert_int_equal(request.command, PW_REQUEST_MUTE_ADD);
                assert_non_null(request.texts[PW_REQUEST_MATCH]);
                pw_request_free(&request);
            }
        }
    }
    assert_in_range(accepted, 1, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_spoiled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

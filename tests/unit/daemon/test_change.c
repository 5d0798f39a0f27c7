/* Changes from request to answer, on a history of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/change.h"
#include "scratch.h"

enum { NOW = 1000000 };

static struct pw_db *with_node(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'prod', 'x');"
                 "INSERT INTO node (node_id, source_id, node_key, name, status,"
                 " last_definite_status, status_since, first_seen_at, last_seen_at)"
                 " VALUES (1, 1, 'ECS/a', 'a', 'non_compliant', 'non_compliant', 1, 1, 1)");
    return db;
}

/* The whole answer to a request, in a static buffer. */
static const char *change(struct pw_db *db, const char *line)
{
    static char text[2048];
    struct pw_request request;
    struct pw_error err = {PW_OK, ""};
    struct pw_answer answer;

    assert_int_equal(pw_request_parse(pw_str_of(line), &request, &err), PW_OK);
    assert_true(pw_change_is(request.command));
    pw_answer_init(&answer);
    (void)pw_change_run(db, &request, NOW, &answer);
    (void)snprintf(text, sizeof text, "%s", pw_answer_line(&answer).data);
    pw_answer_free(&answer);
    pw_request_free(&request);
    return text;
}

static void test_answers(void **state)
{
    static const char *const cases[][2] = {
        {"{\"command\":\"mute add\",\"match\":\"{}\",\"until_at\":2000000,\"author\":\"al\"}",
         "{\"mute_id\":1,\"match\":\"{}\",\"from_at\":1000000,"
         "\"from_at_utc\":\"1970-01-01T00:16:40.000Z\",\"until_at\":2000000,"
         "\"until_at_utc\":\"1970-01-01T00:33:20.000Z\",\"author\":\"al\",\"comment\":null,"
         "\"ok\":true,\"exit\":0}\n"},
        {"{\"command\":\"mute remove\",\"id\":1}",
         "{\"mute_id\":1,\"had_begun\":false,\"ok\":true,\"exit\":0}\n"},
        {"{\"command\":\"mute remove\",\"id\":1}",
         "{\"error\":\"there is no mute 1\",\"ok\":false,\"exit\":1}\n"},
        {"{\"command\":\"unack\",\"source\":\"prod\",\"node_key\":\"ECS/a\"}",
         "{\"error\":\"ECS/a is not acknowledged\",\"ok\":false,\"exit\":1}\n"},
        {"{\"command\":\"ack\",\"source\":\"prod\",\"node_key\":\"ECS/a\"}",
         "{\"ack_id\":1,\"source\":\"prod\",\"node_key\":\"ECS/a\",\"until_at\":null,"
         "\"until_at_utc\":null,\"author\":null,\"comment\":null,\"renewed\":false,\"ok\":true,"
         "\"exit\":0}\n"},
        {"{\"command\":\"unack\",\"source\":\"prod\",\"node_key\":\"ECS/a\"}",
         "{\"ack_id\":1,\"source\":\"prod\",\"node_key\":\"ECS/a\",\"ok\":true,\"exit\":0}\n"},
        {"{\"command\":\"deliveries retry\",\"state\":\"dead\"}",
         "{\"deliveries\":0,\"ok\":true,\"exit\":0}\n"},
        {"{\"command\":\"deliveries retry\",\"state\":\"muted\"}",
         "{\"error\":\"request: 'id', or 'state' of 'dead', and not both\",\"ok\":false,"
         "\"exit\":64}\n"},
        {"{\"command\":\"deliveries drop\",\"id\":4}",
         "{\"error\":\"there is no delivery 4\",\"ok\":false,\"exit\":1}\n"},
    };
    struct pw_db *db = with_node(state);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(change(db, cases[i][0]), cases[i][1]);
    pw_db_close(db);
}

static void test_matches_that_mean_nothing(void **state)
{
    static const char *const matches[] = {
        "",
        "[]",
        "x",
        "{",
        "{\\\"a\\\":1}",
        "{\\\"regoin\\\":\\\"r\\\"}",
        "{\\\"type\\\":\\\"node.bad\\\"}",
        "{\\\"severity\\\":\\\"hihg\\\"}",
        "{\\\"name\\\":{\\\"a\\\":\\\"b\\\"}}",
        "{}{}",
    };
    struct pw_db *db = with_node(state);

    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) {
        char line[256];

        (void)snprintf(line, sizeof line, "{\"command\":\"mute add\",\"match\":\"%s\"}",
                       matches[i]);
        if (strstr(change(db, line), "\"ok\":false,\"exit\":1}") == NULL)
            fail_msg("%s", matches[i]);
    }
    assert_int_equal(number(db, "SELECT count(*) FROM mute"), 0);
    assert_non_null(strstr(change(db, "{\"command\":\"mute add\",\"match\":\"{\\\"regoin\\\":"
                                      "\\\"r\\\"}\"}"),
                           "did you mean 'region'?"));
    assert_non_null(strstr(change(db, "{\"command\":\"mute add\",\"match\":\"{\\\"region\\\":"
                                      "[\\\"r\\\",\\\"s\\\"]}\"}"),
                           "\"ok\":true"));
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_matches_that_mean_nothing, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

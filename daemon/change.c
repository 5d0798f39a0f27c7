/* Changes to the history, from request to answer. */
#include "daemon/change.h"

#include <string.h>
#include <sysexits.h>

#include "alert/mute_check.h"
#include "store/ack.h"
#include "store/mute.h"
#include "store/outbox.h"
#include "store/outbox_manage.h"

bool pw_change_is(enum pw_request_command command)
{
    return command <= PW_REQUEST_DROP;
}

static void put_int(struct pw_answer *answer, const char *key, int64_t value)
{
    pw_json_key(&answer->json, key);
    pw_json_int(&answer->json, value);
}

static void put_text(struct pw_answer *answer, const char *key, const char *value)
{
    pw_json_key(&answer->json, key);
    pw_json_text(&answer->json, value);
}

static enum pw_status add_mute(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                               struct pw_answer *answer, struct pw_error *err)
{
    const char *match = request->texts[PW_REQUEST_MATCH];
    struct pw_mute_row mute = {
        .match = match,
        .from_ms = request->numbers[PW_REQUEST_FROM_AT],
        .until_ms = request->numbers[PW_REQUEST_UNTIL_AT],
        .author = request->texts[PW_REQUEST_AUTHOR],
        .comment = request->texts[PW_REQUEST_COMMENT],
    };
    int64_t mute_id;
    enum pw_status status = pw_mute_check(pw_str_of(match), err);

    if (mute.from_ms == PW_TIME_NONE)
        mute.from_ms = now_ms;
    if (status == PW_OK)
        status = pw_mute_add(db, &mute, now_ms, &mute_id, err);
    if (status == PW_OK)
        status = pw_outbox_look_again(db, err);
    if (status != PW_OK)
        return status;
    put_int(answer, "mute_id", mute_id);
    put_text(answer, "match", match);
    pw_answer_time(answer, "from_at", mute.from_ms);
    pw_answer_time(answer, "until_at", mute.until_ms);
    put_text(answer, "author", mute.author);
    put_text(answer, "comment", mute.comment);
    return PW_OK;
}

static enum pw_status remove_mute(struct pw_db *db, const struct pw_request *request,
                                  int64_t now_ms, struct pw_answer *answer, struct pw_error *err)
{
    bool was_begun;
    enum pw_status status =
        pw_mute_remove(db, request->numbers[PW_REQUEST_ID], request->texts[PW_REQUEST_AUTHOR],
                       now_ms, &was_begun, err);

    if (status == PW_OK)
        status = pw_outbox_look_again(db, err);
    if (status != PW_OK)
        return status;
    put_int(answer, "mute_id", request->numbers[PW_REQUEST_ID]);
    pw_json_key(&answer->json, "had_begun");
    pw_json_bool(&answer->json, was_begun);
    return PW_OK;
}

static void put_ack(struct pw_answer *answer, const struct pw_request *request, int64_t ack_id)
{
    put_int(answer, "ack_id", ack_id);
    put_text(answer, "source", request->texts[PW_REQUEST_SOURCE]);
    put_text(answer, "node_key", request->texts[PW_REQUEST_NODE_KEY]);
}

static enum pw_status add_ack(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                              struct pw_answer *answer, struct pw_error *err)
{
    struct pw_ack_row ack = {
        .source = request->texts[PW_REQUEST_SOURCE],
        .node_key = request->texts[PW_REQUEST_NODE_KEY],
        .until_ms = request->numbers[PW_REQUEST_UNTIL_AT],
        .author = request->texts[PW_REQUEST_AUTHOR],
        .comment = request->texts[PW_REQUEST_COMMENT],
    };
    int64_t ack_id;
    bool is_renewal;
    enum pw_status status = pw_ack_add(db, &ack, now_ms, &ack_id, &is_renewal, err);

    if (status != PW_OK)
        return status;
    put_ack(answer, request, ack_id);
    pw_answer_time(answer, "until_at", ack.until_ms);
    put_text(answer, "author", ack.author);
    put_text(answer, "comment", ack.comment);
    pw_json_key(&answer->json, "renewed");
    pw_json_bool(&answer->json, is_renewal);
    return PW_OK;
}

static enum pw_status end_ack(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                              struct pw_answer *answer, struct pw_error *err)
{
    int64_t ack_id;
    enum pw_status status = pw_ack_end(db, request->texts[PW_REQUEST_SOURCE],
                                       request->texts[PW_REQUEST_NODE_KEY], now_ms, &ack_id, err);

    if (status == PW_OK)
        put_ack(answer, request, ack_id);
    return status;
}

static enum pw_status retry(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                            struct pw_answer *answer, struct pw_error *err)
{
    int64_t id = request->numbers[PW_REQUEST_ID], count = 1;
    const char *state = request->texts[PW_REQUEST_STATE], *hook = request->texts[PW_REQUEST_HOOK];
    enum pw_status status;

    if (id != PW_TIME_NONE && state == NULL && hook == NULL)
        status = pw_outbox_revive(db, id, now_ms, err);
    else if (id == PW_TIME_NONE && state != NULL && strcmp(state, "dead") == 0)
        status = pw_outbox_revive_dead(db, hook, now_ms, &count, err);
    else
        status = pw_fail(err, PW_EFORMAT, "request: 'id', or 'state' of 'dead', and not both");
    if (status == PW_OK)
        put_int(answer, "deliveries", count);
    return status;
}

static enum pw_status drop(struct pw_db *db, const struct pw_request *request,
                           struct pw_answer *answer, struct pw_error *err)
{
    enum pw_status status =
        pw_outbox_drop(db, request->numbers[PW_REQUEST_ID], request->texts[PW_REQUEST_AUTHOR], err);

    if (status == PW_OK)
        put_int(answer, "deliveries", 1);
    return status;
}

enum pw_status pw_change_run(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                             struct pw_answer *answer)
{
    struct pw_error error = {PW_OK, ""};
    enum pw_status status = PW_EINVAL;

    pw_answer_begin(answer);
    switch (request->command) {
    case PW_REQUEST_MUTE_ADD:
        status = add_mute(db, request, now_ms, answer, &error);
        break;
    case PW_REQUEST_MUTE_REMOVE:
        status = remove_mute(db, request, now_ms, answer, &error);
        break;
    case PW_REQUEST_ACK:
        status = add_ack(db, request, now_ms, answer, &error);
        break;
    case PW_REQUEST_UNACK:
        status = end_ack(db, request, now_ms, answer, &error);
        break;
    case PW_REQUEST_RETRY:
        status = retry(db, request, now_ms, answer, &error);
        break;
    case PW_REQUEST_DROP:
        status = drop(db, request, answer, &error);
        break;
    default:
        status =
            pw_fail(&error, PW_EINVAL, "'%s' changes nothing", pw_request_name(request->command));
        break;
    }
    if (status == PW_OK)
        pw_answer_end(answer, EX_OK);
    else
        pw_answer_fail(answer, pw_answer_exit_code(status), "%s", error.message);
    return status;
}

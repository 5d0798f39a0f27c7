/*
 * What a fault makes of an answer, whatever service it is from: other answers in its place, and
 * ways to send it badly (see fault.h).
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>

static const char login_page[] =
    "<!DOCTYPE html>\n<html><head><title>Login</title></head><body>"
    "<form method=\"post\"><input name=\"user\"><input type=\"password\"></form></body></html>\n";

static void set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = sim_strdup(text);
}

static void answer_status(const struct fault *fault, struct answer *answer)
{
    unsigned status = (unsigned)fault->number[NUMBER_STATUS];
    const char *code = NULL;
    const char *message = NULL;
    api_error_for(status, &code, &message);
    answer_realm_error(answer, fault->realm, status, code,
                       fault->realm == REALM_API || fault->realm == REALM_PATCHES
                           ? message
                           : status_title(status));
    if (fault->has_body) {
        answer->body.len = 0;
        buf_add(&answer->body, fault->body.data, fault->body.len);
    }
    if (fault->text[TEXT_CONTENT_TYPE] != NULL || fault->has_body) {
        set_text(&answer->content_type, fault->text[TEXT_CONTENT_TYPE]);
    }
    if (status >= 300) {
        set_text(&answer->subject_token, NULL);
    }
    set_text(&answer->retry_after, fault->text[TEXT_RETRY_AFTER]);
}

static void answer_throttle(const struct fault *fault, struct answer *answer)
{
    const char *window = fault->text[TEXT_WINDOW];
    struct buf message = {0};
    buf_printf(&message,
               "The throttling threshold has been reached: policy user over ratelimit,"
               "limit:%lld,time:1 %s",
               (long long)fault->number[NUMBER_RATE], window != NULL ? window : "minute");
    buf_add(&message, "", 1);
    answer_realm_error(answer, fault->realm, 429, "APIGW.0308", message.data);
    buf_free(&message);
    set_text(&answer->subject_token, NULL);
    set_text(&answer->retry_after, fault->text[TEXT_RETRY_AFTER]);
}

static void answer_html(const struct fault *fault, struct answer *answer)
{
    const char *location = fault->text[TEXT_LOCATION];
    answer->body.len = 0;
    answer->status = 200;
    set_text(&answer->subject_token, NULL);
    buf_str(&answer->body, login_page);
    set_text(&answer->content_type, "text/html; charset=utf-8");
    if (fault->kind == FAULT_HTML_302) {
        answer->status = 302;
        set_text(&answer->location, location != NULL ? location : "/sim/login");
    }
}

static void answer_wire(const struct fault *fault, struct request *request)
{
    struct answer *answer = &request->answer;
    gzip_answer(request); /* lengths and halves are those of what is sent */
    int64_t len = (int64_t)answer->body.len;
    switch (fault->kind) {
    case FAULT_RESET:
        answer->wire = WIRE_RESET;
        break;
    case FAULT_RESET_MID:
        answer->wire = WIRE_RESET_MID;
        break;
    case FAULT_TIMEOUT:
        answer->wire = WIRE_SILENT;
        break;
    case FAULT_DRIP:
        answer->wire = WIRE_DRIP;
        answer->wire_arg = fault->number[NUMBER_BYTES_PER_SECOND];
        break;
    case FAULT_TRUNCATE:
        answer->wire = WIRE_TRUNCATE;
        break;
    case FAULT_LENGTH_LONG:
    case FAULT_LENGTH_SHORT:
        answer->wire = WIRE_LENGTH;
        answer->wire_arg =
            fault->kind == FAULT_LENGTH_LONG ? len + fault->number[NUMBER_BY] : len / 2;
        answer->close = true;
        break;
    default:
        break;
    }
}

void fault_answer(const struct fault *fault, struct request *request)
{
    struct answer *answer = &request->answer;
    if (fault->realm != REALM_API && fault->realm != REALM_PATCHES) {
        spoil_body(fault, &answer->body);
    }
    answer->fault = fault_kind_name(fault->kind);
    answer->delay_ms = fault->number[NUMBER_DELAY_MS];
    switch (fault->kind) {
    case FAULT_STATUS:
        answer_status(fault, answer);
        break;
    case FAULT_THROTTLE:
        answer_throttle(fault, answer);
        break;
    case FAULT_HTML:
    case FAULT_HTML_302:
        answer_html(fault, answer);
        break;
    case FAULT_ERROR_200: {
        const char *code = fault->text[TEXT_CODE];
        const char *msg = fault->text[TEXT_MSG];
        set_text(&answer->content_type, NULL);
        set_text(&answer->subject_token, NULL);
        answer_api_error(answer, 200, code != NULL ? code : "COC.00010001",
                         msg != NULL ? msg : "Internal error");
        break;
    }
    case FAULT_NO_TOKEN:
        set_text(&answer->subject_token, NULL);
        break;
    case FAULT_GZIP_BOMB:
        gzip_bomb(answer, (size_t)fault->number[NUMBER_SIZE]);
        break;
    default:
        answer_wire(fault, request);
        break;
    }
}

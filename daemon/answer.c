/* Answers to requests. */
#include "daemon/answer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"

void pw_answer_init(struct pw_answer *answer)
{
    pw_buffer_init(&answer->buffer, PW_ANSWER_MAX_BYTES);
    pw_json_init(&answer->json, &answer->buffer);
    answer->exit_code = EX_SOFTWARE;
}

void pw_answer_free(struct pw_answer *answer)
{
    pw_buffer_free(&answer->buffer);
}

void pw_answer_begin(struct pw_answer *answer)
{
    pw_buffer_clear(&answer->buffer);
    pw_json_init(&answer->json, &answer->buffer);
    pw_json_object_begin(&answer->json);
}

void pw_answer_end(struct pw_answer *answer, int exit_code)
{
    pw_json_key(&answer->json, "ok");
    pw_json_bool(&answer->json, exit_code == EX_OK);
    pw_json_key(&answer->json, "exit");
    pw_json_int(&answer->json, exit_code);
    pw_json_object_end(&answer->json);
    (void)pw_buffer_append_text(&answer->buffer, "\n");
    answer->exit_code = exit_code;
}

void pw_answer_fail(struct pw_answer *answer, int exit_code, const char *format, ...)
{
    char message[sizeof((struct pw_error *)0)->message];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    pw_answer_begin(answer);
    pw_json_key(&answer->json, "error");
    pw_json_text(&answer->json, message);
    pw_answer_end(answer, exit_code);
}

void pw_answer_time(struct pw_answer *answer, const char *key, int64_t unix_ms)
{
    char text[PW_ISO8601_SIZE], name[64];

    pw_json_key(&answer->json, key);
    if (unix_ms == PW_TIME_NONE)
        pw_json_null(&answer->json);
    else
        pw_json_int(&answer->json, unix_ms);
    (void)snprintf(name, sizeof name, "%s_utc", key);
    pw_json_key(&answer->json, name);
    pw_json_text(&answer->json, unix_ms == PW_TIME_NONE ? NULL : pw_iso8601(text, unix_ms));
}

struct pw_str pw_answer_line(const struct pw_answer *answer)
{
    if (answer->buffer.failed != PW_OK)
        return pw_str_of("{\"error\":\"no memory for the answer; what was asked for may have been "
                         "done\",\"ok\":false,\"exit\":71}\n");
    return pw_buffer_str(&answer->buffer);
}

int pw_answer_exit_code(enum pw_status status)
{
    switch (status) {
    case PW_OK:
        return EX_OK;
    case PW_ENOTFOUND:
    case PW_EINVAL:
        return 1;
    case PW_EFORMAT:
    case PW_ELIMIT:
        return EX_USAGE;
    case PW_EPERM:
        return EX_NOPERM;
    case PW_EBUSY:
    case PW_ECANCELED:
        return EX_TEMPFAIL;
    case PW_ECORRUPT:
        return EX_CONFIG;
    case PW_ENOMEM:
        return EX_OSERR;
    default:
        return EX_IOERR;
    }
}

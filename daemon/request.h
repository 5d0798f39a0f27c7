/* A request to the daemon: one line of JSON, an object of strings and whole numbers, such as
 *   {"command": "mute add", "match": "{\"region\": \"cn-north-4\"}", "until_at": 1795506828000}
 * The command writes it, the control socket reads it, and where no daemon runs the command does
 * itself what it says. The reader trusts nothing. */
#ifndef PW_DAEMON_REQUEST_H
#define PW_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

enum { PW_REQUEST_MAX_BYTES = 64 * 1024 };

enum pw_request_command {
    PW_REQUEST_MUTE_ADD,
    PW_REQUEST_MUTE_REMOVE,
    PW_REQUEST_ACK,
    PW_REQUEST_UNACK,
    PW_REQUEST_RETRY,
    PW_REQUEST_DROP,
    PW_REQUEST_SWEEP,
    PW_REQUEST_RELOAD,
    PW_REQUEST_HOOK_TEST,
    PW_REQUEST_COMMAND_COUNT
};

enum pw_request_text {
    PW_REQUEST_SOURCE,
    PW_REQUEST_NODE_KEY,
    PW_REQUEST_MATCH,
    PW_REQUEST_AUTHOR,
    PW_REQUEST_COMMENT,
    PW_REQUEST_HOOK,
    PW_REQUEST_STATE,
    PW_REQUEST_TEXT_COUNT
};

enum pw_request_number {
    PW_REQUEST_ID,
    PW_REQUEST_FROM_AT,
    PW_REQUEST_UNTIL_AT,
    PW_REQUEST_NUMBER_COUNT
};

struct pw_request {
    enum pw_request_command command;
    char *texts[PW_REQUEST_TEXT_COUNT];       /* NULL: not given */
    int64_t numbers[PW_REQUEST_NUMBER_COUNT]; /* PW_TIME_NONE: not given */
};

/* "mute add" … */
const char *pw_request_name(enum pw_request_command command);
void pw_request_init(struct pw_request *request, enum pw_request_command command);
/* Reads a line without its newline. What the command does not know, needs and lacks, or has twice
 * is an error: a limit that were ignored would make a mute of everything. PW_EFORMAT, PW_ELIMIT,
 * PW_ENOMEM; then *out holds nothing. Else it is freed with pw_request_free. */
PW_MUST_CHECK enum pw_status pw_request_parse(struct pw_str line, struct pw_request *out,
                                              struct pw_error *err);
void pw_request_free(struct pw_request *request);
/* Appends the line, newline included. Failure is the buffer's. */
void pw_request_write(const struct pw_request *request, struct pw_buffer *out);

#endif

/* The answer to a request: one line of JSON, an object whose "ok" and "exit" say how it ended, with
 * "error" where it could not be done. The command prints it as it stands for --json. */
#ifndef PW_DAEMON_ANSWER_H
#define PW_DAEMON_ANSWER_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json_writer.h"

enum { PW_ANSWER_MAX_BYTES = 512 * 1024 };

struct pw_answer {
    struct pw_buffer buffer;
    struct pw_json json; /* between begin and end: members of the object */
    int exit_code;       /* as ended */
};

/* Allocates nothing before it is written to. */
void pw_answer_init(struct pw_answer *answer);
void pw_answer_free(struct pw_answer *answer);
/* Begins the object anew, whatever was written before. */
void pw_answer_begin(struct pw_answer *answer);
void pw_answer_end(struct pw_answer *answer, int exit_code);
/* The whole of an answer that says why not. */
void pw_answer_fail(struct pw_answer *answer, int exit_code, const char *format, ...)
    PW_PRINTF(3, 4);
/* A time, its ISO 8601 text beside it as KEY_utc; null for PW_TIME_NONE. */
void pw_answer_time(struct pw_answer *answer, const char *key, int64_t unix_ms);
/* The line, newline included, of an answer that was ended; where memory was short a line that says
 * so. Lives as long as the answer. */
struct pw_str pw_answer_line(const struct pw_answer *answer);

/* The exit code of the command (sysexits) that belongs to a status: 1 for what does not exist or
 * cannot be done with it. */
int pw_answer_exit_code(enum pw_status status);

#endif

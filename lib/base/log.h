/* Logging to stderr: one line a call, levels as in syslog. With the journal behind stderr a line
 * starts with its "<priority>" (sd-daemon(3)); elsewhere with the time and the level's name.
 * Control characters are escaped, so that text from outside cannot forge a line.
 * The level is the only mutable global of the program; set it before threads start. */
#ifndef PW_BASE_LOG_H
#define PW_BASE_LOG_H

#include "base/error.h"

enum pw_log_level {
    PW_LOG_ERR = 3,
    PW_LOG_WARNING = 4,
    PW_LOG_NOTICE = 5,
    PW_LOG_INFO = 6,
    PW_LOG_DEBUG = 7,
};

/* Lines above this level are dropped. The start value is info. */
void pw_log_set_level(enum pw_log_level level);
enum pw_log_level pw_log_get_level(void);
/* "debug info notice warning err" to a level. PW_EINVAL names what is allowed. */
PW_MUST_CHECK enum pw_status pw_log_parse_level(const char *name, enum pw_log_level *out,
                                                struct pw_error *err);
/* Looks once whether stderr is the journal (JOURNAL_STREAM, systemd.exec(5)). */
void pw_log_init(void);

void pw_log(enum pw_log_level level, const char *format, ...) PW_PRINTF(2, 3);

#define pw_log_err(...) pw_log(PW_LOG_ERR, __VA_ARGS__)
#define pw_log_warning(...) pw_log(PW_LOG_WARNING, __VA_ARGS__)
#define pw_log_notice(...) pw_log(PW_LOG_NOTICE, __VA_ARGS__)
#define pw_log_info(...) pw_log(PW_LOG_INFO, __VA_ARGS__)
#define pw_log_debug(...) pw_log(PW_LOG_DEBUG, __VA_ARGS__)

#endif

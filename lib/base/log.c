/* Log lines, written with one write(2) each so that threads do not mix theirs. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

enum { LINE_BYTES = 2048 };

static atomic_int log_level = PW_LOG_INFO;
static atomic_bool log_to_journal = false;

static const struct {
    const char *name;
    enum pw_log_level level;
} level_names[] = {{"debug", PW_LOG_DEBUG},
                   {"info", PW_LOG_INFO},
                   {"notice", PW_LOG_NOTICE},
                   {"warning", PW_LOG_WARNING},
                   {"err", PW_LOG_ERR}};

void pw_log_set_level(enum pw_log_level level)
{
    atomic_store(&log_level, (int)level);
}

enum pw_log_level pw_log_get_level(void)
{
    return (enum pw_log_level)atomic_load(&log_level);
}

enum pw_status pw_log_parse_level(const char *name, enum pw_log_level *out, struct pw_error *err)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(level_names[i].name, name) == 0) {
            *out = level_names[i].level;
            return PW_OK;
        }
    }
    return pw_fail(err, PW_EINVAL, "'%s' is not one of debug, info, notice, warning, err", name);
}

void pw_log_init(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device = 0, inode = 0;
    struct stat st;

    atomic_store(&log_to_journal,
                 stream != NULL && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
                     fstat(STDERR_FILENO, &st) == 0 && (uintmax_t)st.st_dev == device &&
                     (uintmax_t)st.st_ino == inode);
}

static const char *level_name(enum pw_log_level level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (level_names[i].level == level)
            return level_names[i].name;
    }
    return "?";
}

void pw_log(enum pw_log_level level, const char *format, ...)
{
    char raw[LINE_BYTES];
    char line[LINE_BYTES + 64];
    char time_text[PW_ISO8601_SIZE];
    size_t used;
    int len;
    va_list args;

    if ((int)level > atomic_load(&log_level))
        return;
    va_start(args, format);
    len = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (len < 0)
        return;
    if (atomic_load(&log_to_journal))
        used = (size_t)snprintf(line, sizeof line, "<%d>", (int)level);
    else
        used =
            (size_t)snprintf(line, sizeof line,
                             "%s %s: ", pw_iso8601(time_text, pw_clock_wall_ms(pw_clock_system())),
                             level_name(level));
    (void)pw_text_printable(line + used, sizeof line - used - 1,
                            (struct pw_str){raw, strnlen(raw, sizeof raw)});
    used = strlen(line);
    line[used++] = '\n';
    /* Nobody is left to tell where stderr itself is gone. */
    while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR) {
    }
}

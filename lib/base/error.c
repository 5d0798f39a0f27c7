/* Filling and naming errors. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *pw_status_name(enum pw_status status)
{
    static const char *const names[PW_STATUS_COUNT] = {
        [PW_OK] = "ok",
        [PW_ENOMEM] = "out of memory",
        [PW_EINVAL] = "invalid",
        [PW_EFORMAT] = "malformed",
        [PW_ELIMIT] = "over a limit",
        [PW_ENOTFOUND] = "not found",
        [PW_EPERM] = "not permitted",
        [PW_EIO] = "input/output error",
        [PW_EFULL] = "disk full",
        [PW_ECORRUPT] = "database damaged",
        [PW_ENETWORK] = "network error",
        [PW_EREMOTE] = "refused by the server",
        [PW_ECANCELED] = "canceled",
        [PW_EBUSY] = "busy",
    };
    if ((unsigned)status >= PW_STATUS_COUNT)
        return "unknown status";
    return names[status];
}

enum pw_status pw_fail(struct pw_error *err, enum pw_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        (void)vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

enum pw_status pw_fail_nomem(struct pw_error *err)
{
    return pw_fail(err, PW_ENOMEM, "out of memory");
}

enum pw_status pw_fail_in(struct pw_error *err, const char *format, ...)
{
    char before[sizeof err->message];
    char context[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(context, sizeof context, format, args);
    va_end(args);
    memcpy(before, err->message, sizeof before);
    /* What is cut is the tail of the old message. */
    (void)snprintf(err->message, sizeof err->message, "%s: %.*s", context,
                   (int)(sizeof err->message - strlen(context) - 3), before);
    return err->status;
}

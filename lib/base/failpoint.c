/* The crash points of the test build. */
#include "base/failpoint.h"

#ifdef PW_FAILPOINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void pw_failpoint(const char *name)
{
    static atomic_long passed = 0;
    const char *wanted = getenv("PATCHWATCH_FAILPOINT");
    size_t len = strlen(name);
    long at = 1;

    if (wanted == NULL || strncmp(wanted, name, len) != 0 ||
        (wanted[len] != '\0' && wanted[len] != ':'))
        return;
    if (wanted[len] == ':')
        at = strtol(wanted + len + 1, NULL, 10);
    if (atomic_fetch_add(&passed, 1) + 1 == at)
        (void)raise(SIGKILL);
}
#else
typedef int pw_failpoint_unused; /* ISO C forbids an empty file */
#endif

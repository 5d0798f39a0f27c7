/* Crash points for the tests. PATCHWATCH_FAILPOINT=NAME or NAME:N kills the process with SIGKILL at
 * the Nth passing of that point. Compiled in only with PW_FAILPOINTS (preset dev); elsewhere the
 * call is nothing at all. */
#ifndef PW_BASE_FAILPOINT_H
#define PW_BASE_FAILPOINT_H

#ifdef PW_FAILPOINTS
void pw_failpoint(const char *name);
#else
static inline void pw_failpoint(const char *name)
{
    (void)name;
}
#endif

#endif

/* How long the loop was ever held up: between two looks at its descriptors, less the time that it
 * waited there, and less the time that it was ready to run and the machine had no processor for it
 * (Linux: /proc/thread-self/schedstat), which is none of our doing. What it does not serve
 * meanwhile, a page, a hook, a signal, waits as long. */
#ifndef PW_DAEMON_STALL_H
#define PW_DAEMON_STALL_H

#include <stdint.h>
#include <uv.h>

struct pw_stall {
    uv_prepare_t prepare;
    int schedstat;                              /* descriptor, -1 = the kernel does not say */
    uint64_t looked_at_ns, idle_ns, starved_ns; /* at the last look */
    uint64_t longest_ns, longest_starved_ns;
};

/* Before anything else is done with the loop, on its thread (it switches the loop's metrics on).
 * Keeps no loop alive. */
void pw_stall_start(struct pw_stall *stall, uv_loop_t *loop);
/* Logs the longest of both and closes; nothing where it did so before. */
void pw_stall_stop(struct pw_stall *stall);

#endif

/* Measuring stalls with libuv's idle metric (uv_metrics_idle_time). */
#include "daemon/stall.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

enum { NS_PER_MS = 1000000 };

/* Nanoseconds that the thread was ready to run and did not: the second number of the file. */
static uint64_t starved_ns(const struct pw_stall *stall)
{
    char text[128], *delay;
    ssize_t len = stall->schedstat < 0 ? -1 : pread(stall->schedstat, text, sizeof text - 1, 0);

    if (len <= 0)
        return 0;
    text[len] = '\0';
    (void)strtoull(text, &delay, 10);
    return strtoull(delay, NULL, 10);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct pw_stall *stall = prepare->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(prepare->loop);
    uint64_t starved = starved_ns(stall);
    uint64_t passed = now - stall->looked_at_ns, waited = idle - stall->idle_ns;
    uint64_t starving = starved - stall->starved_ns;

    if (stall->looked_at_ns != 0) {
        if (passed > waited + starving && passed - waited - starving > stall->longest_ns)
            stall->longest_ns = passed - waited - starving;
        if (starving > stall->longest_starved_ns)
            stall->longest_starved_ns = starving;
    }
    stall->looked_at_ns = now;
    stall->idle_ns = idle;
    stall->starved_ns = starved;
}

void pw_stall_start(struct pw_stall *stall, uv_loop_t *loop)
{
    *stall = (struct pw_stall){0};
    stall->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    (void)uv_loop_configure(loop, UV_METRICS_IDLE_TIME); /* without it, waiting counts as a stall */
    (void)uv_prepare_init(loop, &stall->prepare);
    stall->prepare.data = stall;
    (void)uv_prepare_start(&stall->prepare, on_prepare);
    uv_unref((uv_handle_t *)&stall->prepare);
}

void pw_stall_stop(struct pw_stall *stall)
{
    if (uv_is_closing((uv_handle_t *)&stall->prepare))
        return;
    pw_log_info("the loop was held up for %" PRIu64 " ms at most, and waited %" PRIu64
                " ms at most for a processor",
                stall->longest_ns / NS_PER_MS, stall->longest_starved_ns / NS_PER_MS);
    if (stall->schedstat >= 0)
        (void)close(stall->schedstat);
    uv_close((uv_handle_t *)&stall->prepare, NULL);
}

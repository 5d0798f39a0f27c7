/* Measuring stalls with libuv's idle metric (uv_metrics_idle_time). */
#include "daemon/stall.h"

#include "base/log.h"

enum { NS_PER_MS = 1000000 };

static void on_prepare(uv_prepare_t *prepare)
{
    struct pw_stall *stall = prepare->data;
    uint64_t now = uv_hrtime();
    uint64_t idle = uv_metrics_idle_time(prepare->loop);
    uint64_t passed = now - stall->looked_at_ns, waited = idle - stall->idle_ns;

    if (stall->looked_at_ns != 0 && passed > waited && passed - waited > stall->longest_ns)
        stall->longest_ns = passed - waited;
    stall->looked_at_ns = now;
    stall->idle_ns = idle;
}

void pw_stall_start(struct pw_stall *stall, uv_loop_t *loop)
{
    *stall = (struct pw_stall){0};
    (void)uv_loop_configure(loop, UV_METRICS_IDLE_TIME); /* without it, waiting counts as a stall */
    (void)uv_prepare_init(loop, &stall->prepare);
    stall->prepare.data = stall;
    (void)uv_prepare_start(&stall->prepare, on_prepare);
    uv_unref((uv_handle_t *)&stall->prepare);
}

void pw_stall_stop(struct pw_stall *stall)
{
    pw_log_info("the loop was held up for %llu ms at most",
                (unsigned long long)(stall->longest_ns / NS_PER_MS));
    uv_close((uv_handle_t *)&stall->prepare, NULL);
}

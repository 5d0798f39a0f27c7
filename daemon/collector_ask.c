/* The collector as others ask of it: a sweep at once, and what came of the last one. */
#include "daemon/collecting.h"

int64_t pw_collector_sweep_now(struct pw_collector *collector)
{
    collector->is_asked = true;
    if (collector->state == STATE_IDLE) {
        collector->due_monotonic_ms = pw_clock_monotonic_ms(collector->params.clock);
        pw_collecting_set_timer(collector);
    }
    return collector->begun + 1;
}

int64_t pw_collector_begun(const struct pw_collector *collector)
{
    return collector->begun;
}

void pw_collector_last(const struct pw_collector *collector, struct pw_collector_swept *out)
{
    const struct pw_sweep_summary *summary = &collector->summary;

    *out = (struct pw_collector_swept){
        .sweep_id = collector->sweep_id,
        .outcome = collector->outcome,
        .started_ms = collector->started_ms,
        .took_ms = collector->took_ms,
        .records = summary->records,
        .nodes = summary->nodes,
        .changed = collector->changed,
        .transitions = collector->transitions,
        .reason = summary->reason,
        .error_code = summary->error_code,
        .error_msg = summary->error_msg,
    };
}

/*
 * The ring of the last requests (see reqlog.h).
 */
#include "reqlog.h"

#include <stdlib.h>
#include <time.h>

void reqlog_add(struct reqlog *log, struct reqlog_entry entry, const char *query)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    entry.n = ++log->last_n;
    entry.at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    entry.query = sim_strdup(query);
    free(log->entry[log->next].query);
    log->entry[log->next] = entry;
    log->next = (log->next + 1) % REQLOG_KEPT;
    if (log->count < REQLOG_KEPT) {
        log->count++;
    }
}

void reqlog_write(const struct reqlog *log, struct buf *out)
{
    buf_str(out, "{\"requests\":[");
    for (size_t i = 0; i < log->count; i++) {
        size_t at = (log->next + REQLOG_KEPT - log->count + i) % REQLOG_KEPT;
        const struct reqlog_entry *entry = &log->entry[at];
        buf_printf(out, "%s{\"n\":%lld,\"at_ms\":%lld,\"path\":\"%s\",\"query\":", i > 0 ? "," : "",
                   (long long)entry->n, (long long)entry->at_ms, entry->path);
        buf_json_str(out, entry->query);
        buf_printf(out, ",\"status\":%u,\"fault\":", entry->status);
        buf_json_str(out, entry->fault);
        buf_str(out, ",\"auth\":");
        buf_json_str(out, entry->auth);
        buf_printf(out, ",\"bytes\":%zu}", entry->bytes);
    }
    buf_str(out, "]}\n");
}

size_t reqlog_clear(struct reqlog *log)
{
    size_t count = log->count;
    for (size_t i = 0; i < REQLOG_KEPT; i++) {
        free(log->entry[i].query);
        log->entry[i].query = NULL;
    }
    log->count = 0;
    return count;
}

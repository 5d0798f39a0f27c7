/*
 * What the simulator knows: its state, the truth about the nodes, and the requests it got.
 */
#include "control.h"

static void write_faults(const struct faults *faults, struct buf *out)
{
    buf_str(out, "\"faults\":[");
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        buf_printf(
            out,
            "%s{\"fault\":%lld,\"kind\":\"%s\",\"path\":\"%s\",\"matched\":%lld,\"fired\":%lld,"
            "\"times\":%lld,\"armed\":%s}",
            i > 0 ? "," : "", (long long)fault->id, fault_kind_name(fault->kind),
            realm_name(fault->realm), (long long)fault->matched, (long long)fault->fired,
            (long long)fault->number[NUMBER_TIMES], fault_armed(fault) ? "true" : "false");
    }
    buf_str(out, "]");
}

static void write_fleet(struct server *server, struct buf *out)
{
    struct fleet *fleet = &server->fleet;
    const struct query everything = {.offset = 1, .limit = 1};
    long long count = match_find(&server->matches, fleet, &everything).counted;
    size_t by_status[STATUSES + 1] = {0};
    size_t present = 0;
    size_t records = 0;
    for (uint32_t i = 0; i < fleet->node_count; i++) {
        if (fleet_has_node(fleet, i)) {
            present++;
            by_status[report_status(fleet, i)]++;
        }
    }
    for (uint32_t i = 0; i < fleet->record_count; i++) {
        records += record_present(fleet, i);
    }
    buf_printf(out, "\"nodes\":%zu,\"nodes_total\":%zu,\"records\":%zu,\"count\":%lld,", present,
               fleet->node_count, records, count);
    buf_printf(out, "\"compliant\":%zu,\"non_compliant\":%zu,\"unknown\":%zu,",
               by_status[STATUS_COMPLIANT], by_status[STATUS_NON_COMPLIANT],
               by_status[STATUS_UNKNOWN] + by_status[STATUSES]);
    buf_printf(out, "\"seed\":%llu,\"offset_mode\":\"%s\",\"clock_ms\":%lld,",
               (unsigned long long)fleet->seed, fleet->page_mode ? "page" : "record",
               (long long)fleet->clock_ms);
}

void control_state(struct server *server, struct request *request)
{
    const struct stats *stats = &server->stats;
    struct buf *out = &request->answer.body;
    request->answer.status = 200;
    buf_str(out, "{");
    write_fleet(server, out);
    buf_printf(out, "\"requests\":%lld,\"api_requests\":%lld,\"api_active\":%lld,",
               (long long)stats->requests, (long long)stats->api_requests,
               (long long)stats->api_active);
    buf_printf(out, "\"api_max_concurrent\":%lld,\"connections\":%lld,\"connections_open\":%lld,",
               (long long)stats->api_max_concurrent, (long long)stats->connections,
               (long long)stats->connections_open);
    control_write_cloud(server, out);
    write_faults(&server->faults, out);
    buf_str(out, "}\n");
}

void control_truth(struct server *server, struct request *request)
{
    static const char *const known[] = {"from", "limit", NULL};
    struct control control = {server, request, false};
    const struct fleet *fleet = &server->fleet;
    control_only(&control, known);
    int64_t from = control_int(&control, "from", 0, NODES_MAX, 0);
    int64_t left = control_int(&control, "limit", 0, NODES_MAX, NODES_MAX);
    if (control.failed) {
        return;
    }
    struct buf *out = &request->answer.body;
    for (uint32_t i = (uint32_t)from; i < fleet->node_count && left > 0; i++) {
        if (fleet_has_node(fleet, i)) {
            struct row row;
            (void)fleet_row(fleet, i, &row);
            buf_str(out, "{");
            control_write_node(i, &row, out);
            buf_str(out, ",\"status\":");
            buf_json(out, row.field[FIELD_STATUS].bytes, row.field[FIELD_STATUS].len);
            buf_printf(out, ",\"report_time\":%lld}\n", (long long)row.report_time_ms);
            left--;
        }
    }
    request->answer.status = 200;
    request->answer.content_type = sim_strdup("application/jsonl");
}

void control_requests(struct server *server, struct request *request)
{
    static const char *const known[] = {NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    if (!control.failed) {
        reqlog_write(&server->log, &request->answer.body);
        request->answer.status = 200;
    }
}

void control_requests_clear(struct server *server, struct request *request)
{
    static const char *const known[] = {NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    if (!control.failed) {
        size_t cleared = reqlog_clear(&server->log);
        struct stats *stats = &server->stats;
        stats->requests = 0;
        stats->api_requests = 0;
        stats->connections = 0;
        server->auth.refused = 0;
        server->iam.requests = 0;
        server->iam.refused = 0;
        server->metadata.token_requests = 0;
        server->metadata.key_requests = 0;
        stats->api_max_concurrent = stats->api_active;
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"cleared\":%zu}\n", cleared);
    }
}

void control_login(struct server *server, struct request *request)
{
    (void)server;
    request->answer.status = 200;
    request->answer.content_type = sim_strdup("text/html; charset=utf-8");
    buf_str(&request->answer.body, "<!DOCTYPE html>\n<html><head><title>Login</title></head>"
                                   "<body>Please log in.</body></html>\n");
}

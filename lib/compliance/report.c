/* Names, keys, hashes and comparisons of reports. */
#include "compliance/report.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char *pw_severity_name(enum pw_severity severity)
{
    static const char *const names[PW_SEVERITY_COUNT] = {
        "critical", "high", "medium", "low", "informational", "unspecified"};
    return names[severity];
}

const char *pw_compliance_name(enum pw_compliance status)
{
    switch (status) {
    case PW_COMPLIANT:
        return "compliant";
    case PW_NON_COMPLIANT:
        return "non_compliant";
    case PW_UNKNOWN:
        break;
    }
    return "unknown";
}

enum pw_compliance pw_compliance_of(struct pw_str text)
{
    if (pw_str_is(text, "compliant"))
        return PW_COMPLIANT;
    if (pw_str_is(text, "non_compliant"))
        return PW_NON_COMPLIANT;
    return PW_UNKNOWN;
}

enum pw_status pw_report_node_key(const struct pw_report *report, struct pw_buffer *out,
                                  struct pw_error *err)
{
    bool is_cce = pw_str_is(report->report_scene, "CCE");
    struct pw_str machine =
        is_cce && !pw_str_empty(report->node_id) ? report->node_id : report->instance_id;
    size_t before = out->len;

    if (pw_str_empty(machine) && !(is_cce && !pw_str_empty(report->cce_info_id))) {
        if (pw_str_empty(report->id))
            return pw_fail(err, PW_EFORMAT, "the record names no instance_id, node_id or id");
        (void)pw_buffer_append_text(out, "id/");
        (void)pw_buffer_append_str(out, report->id);
    } else {
        (void)pw_buffer_append_str(out, pw_str_empty(report->report_scene) ? pw_str_of("-")
                                                                           : report->report_scene);
        (void)pw_buffer_append_text(out, "/");
        if (is_cce) {
            (void)pw_buffer_append_str(out, report->cce_info_id);
            (void)pw_buffer_append_text(out, "/");
        }
        (void)pw_buffer_append_str(out, machine);
    }
    if (out->failed == PW_ENOMEM)
        return pw_fail_nomem(err);
    if (out->failed != PW_OK || out->len - before > PW_KEY_MAX_BYTES)
        return pw_fail(err, PW_EFORMAT, "the ids of the record are longer than %d bytes",
                       PW_KEY_MAX_BYTES);
    return PW_OK;
}

struct pw_report_key pw_report_key_of(struct pw_str node_key, struct pw_str baseline_id)
{
    struct pw_report_key key;

    key.node = XXH3_64bits(node_key.data, node_key.len);
    key.report = XXH3_64bits_withSeed(baseline_id.len > 0 ? baseline_id.data : "", baseline_id.len,
                                      key.node);
    if (key.node == 0 && key.report == 0)
        key.report = 1; /* both 0 marks a free slot of the index */
    return key;
}

/* Digests go through one flat buffer: a single XXH3 over some 600 bytes beats twenty small ones. */
struct digest_buffer {
    char bytes[2048];
    size_t used;
    uint64_t so_far; /* seed made of what did not fit */
};

static void digest_bytes(struct digest_buffer *buffer, const void *data, size_t len)
{
    if (len > sizeof buffer->bytes - buffer->used) {
        buffer->so_far = XXH3_64bits_withSeed(buffer->bytes, buffer->used, buffer->so_far);
        buffer->used = 0;
        if (len > sizeof buffer->bytes) {
            buffer->so_far = XXH3_64bits_withSeed(data, len, buffer->so_far);
            return;
        }
    }
    memcpy(buffer->bytes + buffer->used, data, len);
    buffer->used += len;
}

static void digest_str(struct digest_buffer *buffer, struct pw_str text)
{
    uint32_t len = text.data == NULL ? UINT32_MAX : (uint32_t)text.len;

    digest_bytes(buffer, &len, sizeof len);
    if (text.data != NULL && text.len > 0)
        digest_bytes(buffer, text.data, text.len);
}

uint64_t pw_report_digest(const struct pw_report *report)
{
    struct digest_buffer buffer;

    buffer.used = 0;
    buffer.so_far = 0;
    digest_str(&buffer, report->name);
    digest_str(&buffer, report->instance_id);
    digest_str(&buffer, report->node_id);
    digest_str(&buffer, report->ip);
    digest_str(&buffer, report->eip);
    digest_str(&buffer, report->region);
    digest_str(&buffer, report->group);
    digest_str(&buffer, report->enterprise_project_id);
    digest_str(&buffer, report->operating_system);
    digest_str(&buffer, report->report_scene);
    digest_str(&buffer, report->cce_info_id);
    digest_str(&buffer, report->id);
    /* A null baseline is stored as an empty one. */
    digest_str(&buffer, pw_str_empty(report->baseline_id) ? PW_STR_NULL : report->baseline_id);
    digest_str(&buffer, report->baseline_name);
    digest_str(&buffer, report->rule_type);
    digest_str(&buffer, report->status_text);
    digest_str(&buffer, report->job_id);
    digest_str(&buffer, report->order_id);
    digest_bytes(&buffer, &report->report_time_ms, sizeof report->report_time_ms);
    digest_bytes(&buffer, &report->compliant, sizeof report->compliant);
    digest_bytes(&buffer, &report->non_compliant, sizeof report->non_compliant);
    return XXH3_64bits_withSeed(buffer.bytes, buffer.used, buffer.so_far);
}

uint64_t pw_report_identity(const struct pw_report *report, struct pw_report_key key,
                            uint64_t digest)
{
    if (pw_str_empty(report->id))
        return digest;
    return XXH3_64bits_withSeed(report->id.data, report->id.len, key.node * 31 + key.report);
}

bool pw_patch_counts_same(const struct pw_patch_counts *a, const struct pw_patch_counts *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool pw_report_same_version(const struct pw_report *a, const struct pw_report *b)
{
    return a->report_time_ms == b->report_time_ms &&
           pw_patch_counts_same(&a->compliant, &b->compliant) &&
           pw_patch_counts_same(&a->non_compliant, &b->non_compliant) && pw_str_eq(a->id, b->id) &&
           pw_str_eq(a->status_text, b->status_text) &&
           pw_str_eq(a->baseline_name, b->baseline_name) && pw_str_eq(a->rule_type, b->rule_type) &&
           pw_str_eq(a->job_id, b->job_id) && pw_str_eq(a->order_id, b->order_id);
}

bool pw_report_is_stale(const struct pw_report *candidate, const struct pw_report *stored,
                        int64_t now_ms)
{
    if (candidate->report_time_ms == PW_TIME_NONE || stored->report_time_ms == PW_TIME_NONE)
        return false;
    return candidate->report_time_ms < stored->report_time_ms &&
           stored->report_time_ms <= now_ms + PW_DAY_MS;
}

static int compare_counts(int64_t a, int64_t b)
{
    a = a == PW_COUNT_NONE ? 0 : a;
    b = b == PW_COUNT_NONE ? 0 : b;
    return (a > b) - (a < b);
}

int pw_patch_counts_compare(const struct pw_patch_counts *a, const struct pw_patch_counts *b)
{
    for (int i = 0; i < PW_SEVERITY_COUNT; i++) {
        int order = compare_counts(a->by_severity[i], b->by_severity[i]);
        if (order != 0)
            return order;
    }
    return compare_counts(a->total, b->total);
}

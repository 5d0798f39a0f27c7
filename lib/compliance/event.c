/* Names, ids and the CloudEvents form of events (CloudEvents 1.0.2, JSON event format). */
#include "compliance/event.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/json_writer.h"

#define TYPE_PREFIX "io.patchwatch."
enum { NAME_MAX_BYTES = 2 * PW_KEY_MAX_BYTES };

static const char *const type_names[PW_EVENT_TYPE_COUNT] = {
    [PW_EVENT_NODE_NON_COMPLIANT] = "node.non_compliant",
    [PW_EVENT_NODE_COMPLIANT] = "node.compliant",
    [PW_EVENT_NODE_DISCOVERED] = "node.discovered",
    [PW_EVENT_NODE_MISSING] = "node.missing",
    [PW_EVENT_NODE_RETURNED] = "node.returned",
    [PW_EVENT_NODE_WORSENED] = "node.worsened",
    [PW_EVENT_NODE_IMPROVED] = "node.improved",
    [PW_EVENT_NODE_FLAPPING] = "node.flapping",
    [PW_EVENT_NODE_SETTLED] = "node.settled",
    [PW_EVENT_FLEET_SHIFT] = "fleet.shift",
    [PW_EVENT_SOURCE_BASELINE] = "source.baseline",
    [PW_EVENT_SOURCE_FAILING] = "source.failing",
    [PW_EVENT_SOURCE_RECOVERED] = "source.recovered",
};

const char *pw_event_type_name(enum pw_event_type type)
{
    return type_names[type];
}

bool pw_event_type_parse(struct pw_str name, enum pw_event_type *out)
{
    size_t prefix = strlen(TYPE_PREFIX);

    if (name.len > prefix && memcmp(name.data, TYPE_PREFIX, prefix) == 0) {
        name.data += prefix;
        name.len -= prefix;
    }
    for (int i = 0; i < PW_EVENT_TYPE_COUNT; i++) {
        if (pw_str_is(name, type_names[i])) {
            *out = (enum pw_event_type)i;
            return true;
        }
    }
    return false;
}

const char *pw_event_cause_name(enum pw_event_cause cause)
{
    switch (cause) {
    case PW_CAUSE_NONE:
    case PW_CAUSE_COUNT:
        break;
    case PW_CAUSE_PATCHES:
        return "patches";
    case PW_CAUSE_BASELINE:
        return "baseline";
    case PW_CAUSE_STATUS:
        return "status";
    case PW_CAUSE_FIRST_SEEN:
        return "first_seen";
    case PW_CAUSE_RETURNED:
        return "returned";
    case PW_CAUSE_NOT_SHOWN:
        return "not_shown";
    case PW_CAUSE_FIRST_SWEEP:
        return "first_sweep";
    case PW_CAUSE_INCOMPLETE:
        return "incomplete";
    case PW_CAUSE_FAILED:
        return "failed";
    case PW_CAUSE_COMPLETE:
        return "complete";
    }
    return NULL;
}

enum pw_event_cause pw_event_cause_of(struct pw_str name)
{
    for (int i = PW_CAUSE_NONE + 1; i < PW_CAUSE_COUNT; i++) {
        if (pw_str_is(name, pw_event_cause_name((enum pw_event_cause)i)))
            return (enum pw_event_cause)i;
    }
    return PW_CAUSE_NONE;
}

enum pw_matter pw_matter_of(const struct pw_event *event)
{
    switch (event->type) {
    case PW_EVENT_NODE_NON_COMPLIANT:
    case PW_EVENT_NODE_COMPLIANT:
    case PW_EVENT_NODE_FLAPPING:
    case PW_EVENT_NODE_SETTLED:
        return PW_MATTER_STATUS;
    case PW_EVENT_NODE_DISCOVERED:
        return event->has_to && event->to == PW_NON_COMPLIANT ? PW_MATTER_STATUS : PW_MATTER_NONE;
    case PW_EVENT_NODE_MISSING:
    case PW_EVENT_NODE_RETURNED:
        return PW_MATTER_PRESENCE;
    case PW_EVENT_SOURCE_FAILING:
    case PW_EVENT_SOURCE_RECOVERED:
        return PW_MATTER_SOURCE;
    case PW_EVENT_NODE_WORSENED:
    case PW_EVENT_NODE_IMPROVED:
    case PW_EVENT_SOURCE_BASELINE:
    case PW_EVENT_FLEET_SHIFT:
    case PW_EVENT_TYPE_COUNT:
        break;
    }
    return PW_MATTER_NONE;
}

bool pw_event_outlives_mute(const struct pw_event *event)
{
    return pw_matter_of(event) != PW_MATTER_NONE || event->type == PW_EVENT_FLEET_SHIFT;
}

bool pw_event_is_end(const struct pw_event *event)
{
    return event->type == PW_EVENT_NODE_COMPLIANT || event->type == PW_EVENT_NODE_RETURNED ||
           event->type == PW_EVENT_SOURCE_RECOVERED ||
           (event->type == PW_EVENT_NODE_SETTLED && event->has_to && event->to == PW_COMPLIANT);
}

static const char *to_name(const struct pw_event *event)
{
    return event->has_to ? pw_compliance_name(event->to) : "";
}

void pw_event_uid(const struct pw_event *event, unsigned counter, char out[PW_EVENT_UID_SIZE])
{
    /* The namespace of patchwatch's ids: 8d0c1b1e-6d0e-4b57-9c43-2f7f0e0a5b61. */
    static const unsigned char namespace_id[16] = {0x8d, 0x0c, 0x1b, 0x1e, 0x6d, 0x0e, 0x4b, 0x57,
                                                   0x9c, 0x43, 0x2f, 0x7f, 0x0e, 0x0a, 0x5b, 0x61};
    char name[NAME_MAX_BYTES];
    char report_time[24] = "";
    char number[16] = "";
    unsigned char hash[SHA_DIGEST_LENGTH];
    size_t len;
    int wrote;

    if (event->report != NULL && event->report->report_time_ms != PW_TIME_NONE)
        (void)snprintf(report_time, sizeof report_time, "%" PRId64, event->report->report_time_ms);
    if (counter > 0)
        (void)snprintf(number, sizeof number, "\n%u", counter);
    memcpy(name, namespace_id, sizeof namespace_id);
    len = sizeof namespace_id;
    wrote = snprintf(name + len, sizeof name - len, "/patchwatch/%s\n%.*s\n%s%s\n%s\n%s%s",
                     event->source_name, PW_STR_ARG(event->node_key), TYPE_PREFIX,
                     type_names[event->type], to_name(event), report_time, number);
    if (wrote > 0)
        len += (size_t)wrote < sizeof name - len ? (size_t)wrote : sizeof name - len - 1;
    (void)SHA1((const unsigned char *)name, len, hash);
    hash[6] = (unsigned char)((hash[6] & 0x0F) | 0x50); /* version 5 */
    hash[8] = (unsigned char)((hash[8] & 0x3F) | 0x80); /* the variant of RFC 4122 */
    (void)snprintf(out, PW_EVENT_UID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", hash[0],
                   hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7], hash[8], hash[9],
                   hash[10], hash[11], hash[12], hash[13], hash[14], hash[15]);
}

static void write_node(struct pw_json *json, const struct pw_event *event)
{
    const struct pw_report *node = event->report;

    pw_json_key(json, "node");
    pw_json_object_begin(json);
    pw_json_key(json, "key");
    pw_json_str(json, event->node_key);
    if (node != NULL) {
        const struct {
            const char *key;
            struct pw_str value;
        } fields[] = {
            {"name", node->name},
            {"instance_id", node->instance_id},
            {"node_id", node->node_id},
            {"ip", node->ip},
            {"eip", node->eip},
            {"region", node->region},
            {"group", node->group},
            {"enterprise_project_id", node->enterprise_project_id},
            {"operating_system", node->operating_system},
            {"report_scene", node->report_scene},
            {"cce_info_id", node->cce_info_id},
        };
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            pw_json_key(json, fields[i].key);
            pw_json_str(json, fields[i].value);
        }
    }
    pw_json_object_end(json);
}

static void write_count(struct pw_json *json, const char *key, int64_t count)
{
    pw_json_key(json, key);
    if (count == PW_COUNT_NONE)
        pw_json_null(json);
    else
        pw_json_int(json, count);
}

static void write_counts(struct pw_json *json, const char *key,
                         const struct pw_patch_counts *counts)
{
    pw_json_key(json, key);
    pw_json_object_begin(json);
    write_count(json, "count", counts->total);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++)
        write_count(json, pw_severity_name((enum pw_severity)i), counts->by_severity[i]);
    pw_json_object_end(json);
}

static void write_report(struct pw_json *json, const char *key, const struct pw_report *report)
{
    pw_json_key(json, key);
    if (report == NULL) {
        pw_json_null(json);
        return;
    }
    pw_json_object_begin(json);
    pw_json_key(json, "id");
    pw_json_str(json, report->id);
    pw_json_key(json, "status");
    pw_json_text(json, pw_compliance_name(report->status));
    pw_json_key(json, "status_text");
    pw_json_str(json, report->status_text);
    pw_json_key(json, "baseline_id");
    pw_json_str(json, report->baseline_id);
    pw_json_key(json, "baseline_name");
    pw_json_str(json, report->baseline_name);
    pw_json_key(json, "rule_type");
    pw_json_str(json, report->rule_type);
    pw_json_key(json, "report_time");
    if (report->report_time_ms == PW_TIME_NONE)
        pw_json_null(json);
    else
        pw_json_int(json, report->report_time_ms);
    pw_json_key(json, "job_id");
    pw_json_str(json, report->job_id);
    pw_json_key(json, "order_id");
    pw_json_str(json, report->order_id);
    write_counts(json, "compliant", &report->compliant);
    write_counts(json, "non_compliant", &report->non_compliant);
    pw_json_object_end(json);
}

static void write_difference(struct pw_json *json, const char *key, int64_t before, int64_t after)
{
    pw_json_key(json, key);
    if (before == PW_COUNT_NONE || after == PW_COUNT_NONE)
        pw_json_null(json);
    else
        pw_json_int(json, after - before); /* neither is negative, so it fits */
}

/* How many non-compliant patches more (less: negative) than before, by severity. */
static void write_delta(struct pw_json *json, const struct pw_event *event)
{
    const struct pw_patch_counts *before, *after;

    pw_json_key(json, "delta");
    if (event->report == NULL || event->previous == NULL) {
        pw_json_null(json);
        return;
    }
    before = &event->previous->non_compliant;
    after = &event->report->non_compliant;
    pw_json_object_begin(json);
    write_difference(json, "count", before->total, after->total);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++)
        write_difference(json, pw_severity_name((enum pw_severity)i), before->by_severity[i],
                         after->by_severity[i]);
    pw_json_object_end(json);
}

static void write_text(struct pw_json *json, const char *key, const char *text)
{
    pw_json_key(json, key);
    pw_json_text(json, text[0] != '\0' ? text : NULL);
}

static void write_patches(struct pw_json *json, const struct pw_patch_list *patches)
{
    if (patches->was_read) {
        pw_json_key(json, "patches");
        pw_json_object_begin(json);
        pw_json_key(json, "total");
        pw_json_int(json, patches->total);
        pw_json_key(json, "listed");
        pw_json_array_begin(json);
        for (size_t i = 0; i < patches->count; i++) {
            const struct pw_patch *patch = &patches->listed[i];

            pw_json_object_begin(json);
            write_text(json, "title", patch->title);
            write_text(json, "classification", patch->classification);
            write_text(json, "severity_level", patch->severity_level);
            write_text(json, "compliance_level", patch->compliance_level);
            write_text(json, "status", patch->status);
            pw_json_object_end(json);
        }
        pw_json_array_end(json);
        pw_json_object_end(json);
    }
    if (patches->error[0] != '\0')
        write_text(json, "patches_error", patches->error);
}

static void write_totals(struct pw_json *json, const struct pw_fleet_totals *totals)
{
    pw_json_key(json, "totals");
    pw_json_object_begin(json);
    pw_json_key(json, "nodes");
    pw_json_int(json, totals->nodes);
    pw_json_key(json, "compliant");
    pw_json_int(json, totals->compliant);
    pw_json_key(json, "non_compliant");
    pw_json_int(json, totals->non_compliant);
    pw_json_key(json, "unknown");
    pw_json_int(json, totals->unknown);
    pw_json_object_end(json);
}

static void write_failure(struct pw_json *json, const struct pw_source_failure *failure)
{
    pw_json_key(json, "failure");
    pw_json_object_begin(json);
    pw_json_key(json, "sweeps");
    pw_json_int(json, failure->sweeps);
    pw_json_key(json, "since");
    pw_json_int(json, failure->since_ms);
    pw_json_key(json, "reason");
    pw_json_text(json, failure->reason);
    pw_json_key(json, "error_code");
    pw_json_text(json, failure->error_code);
    pw_json_key(json, "error_msg");
    pw_json_text(json, failure->error_msg);
    pw_json_object_end(json);
}

const char *pw_shift_kind_name(enum pw_shift_kind kind)
{
    static const char *const names[] = {"to_non_compliant", "to_compliant", "missing", "returned",
                                        "flapping",         "settled",      NULL};
    return names[kind];
}

/* Millionths as a JSON number of three decimals. */
static void write_share(struct pw_json *json, const char *key, int64_t share_ppm)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64 ".%03" PRId64, share_ppm / 1000000,
                   share_ppm % 1000000 / 1000);
    pw_json_key(json, key);
    pw_json_raw(json, pw_str_of(text));
}

static void write_flapping(struct pw_json *json, const struct pw_flapping *flapping)
{
    pw_json_key(json, "flapping");
    pw_json_object_begin(json);
    pw_json_key(json, "changes");
    pw_json_int(json, flapping->changes);
    pw_json_key(json, "sweeps");
    pw_json_int(json, flapping->sweeps);
    write_share(json, "share", flapping->share_ppm);
    pw_json_object_end(json);
}

static void write_shift_shares(struct pw_json *json, const char *key, bool has_id,
                               const struct pw_shift_share *shares, size_t count)
{
    pw_json_key(json, key);
    pw_json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        pw_json_object_begin(json);
        if (has_id) {
            pw_json_key(json, "id");
            pw_json_text(json, shares[i].id);
        }
        pw_json_key(json, "name");
        pw_json_text(json, shares[i].name);
        pw_json_key(json, "nodes");
        pw_json_int(json, shares[i].nodes);
        pw_json_object_end(json);
    }
    pw_json_array_end(json);
}

static void write_shift_causes(struct pw_json *json, const struct pw_event *event)
{
    const struct pw_fleet_shift *shift = event->shift;

    pw_json_key(json, "causes");
    pw_json_object_begin(json);
    for (int cause = PW_CAUSE_NONE + 1; cause < PW_CAUSE_COUNT; cause++) {
        if (shift->by_cause[cause] == 0)
            continue;
        pw_json_key(json, pw_event_cause_name((enum pw_event_cause)cause));
        pw_json_int(json, shift->by_cause[cause]);
    }
    pw_json_object_end(json);
    write_share(json, "cause_share",
                shift->nodes > 0 ? shift->by_cause[event->cause] * 1000000 / shift->nodes : 0);
}

static void write_shift(struct pw_json *json, const struct pw_event *event)
{
    const struct pw_fleet_shift *shift = event->shift;

    pw_json_key(json, "shift");
    pw_json_object_begin(json);
    pw_json_key(json, "confirmed");
    pw_json_bool(json, shift->is_confirmed);
    pw_json_key(json, "nodes");
    pw_json_int(json, shift->nodes);
    pw_json_key(json, "of");
    pw_json_int(json, shift->of_nodes);
    write_share(json, "share", shift->share_ppm);
    pw_json_key(json, "changes");
    pw_json_object_begin(json);
    for (int kind = 0; kind < PW_SHIFT_KIND_COUNT; kind++) {
        pw_json_key(json, pw_shift_kind_name((enum pw_shift_kind)kind));
        pw_json_int(json, shift->by_kind[kind]);
    }
    pw_json_object_end(json);
    pw_json_key(json, "went_back");
    pw_json_int(json, shift->went_back);
    write_shift_causes(json, event);
    write_shift_shares(json, "baselines", true, shift->baselines, shift->baseline_count);
    write_shift_shares(json, "regions", false, shift->regions, shift->region_count);
    pw_json_key(json, "examples");
    pw_json_array_begin(json);
    for (size_t i = 0; i < shift->example_count; i++) {
        pw_json_object_begin(json);
        pw_json_key(json, "key");
        pw_json_text(json, shift->examples[i].node_key);
        pw_json_key(json, "name");
        pw_json_text(json, shift->examples[i].name);
        pw_json_key(json, "change");
        pw_json_text(json, pw_shift_kind_name(shift->examples[i].kind));
        pw_json_object_end(json);
    }
    pw_json_array_end(json);
    pw_json_key(json, "since");
    pw_json_int(json, shift->since_ms);
    pw_json_key(json, "first_sweep");
    pw_json_int(json, shift->first_sweep_id);
    pw_json_key(json, "last_sweep");
    pw_json_int(json, event->sweep_id);
    pw_json_object_end(json);
}

static void write_data(struct pw_json *json, const struct pw_event *event)
{
    bool is_of_node = event->totals == NULL && event->failure == NULL && event->shift == NULL;

    pw_json_key(json, "data");
    pw_json_object_begin(json);
    if (event->totals != NULL)
        write_totals(json, event->totals);
    if (event->failure != NULL)
        write_failure(json, event->failure);
    if (event->shift != NULL)
        write_shift(json, event);
    if (is_of_node) {
        write_node(json, event);
        pw_json_key(json, "from");
        pw_json_text(json, event->has_from ? pw_compliance_name(event->from) : NULL);
        pw_json_key(json, "to");
        pw_json_text(json, event->has_to ? pw_compliance_name(event->to) : NULL);
    }
    pw_json_key(json, "cause");
    pw_json_text(json, pw_event_cause_name(event->cause));
    if (is_of_node) {
        write_report(json, "report", event->report);
        write_report(json, "previous", event->previous);
        write_delta(json, event);
        if (event->patches != NULL)
            write_patches(json, event->patches);
    }
    if (event->flapping != NULL)
        write_flapping(json, event->flapping);
    pw_json_key(json, "sweep");
    pw_json_int(json, event->sweep_id);
    pw_json_object_end(json);
}

void pw_event_write(const struct pw_event *event, struct pw_buffer *out)
{
    struct pw_json json;
    char time_text[PW_ISO8601_SIZE];
    char text[128];

    pw_json_init(&json, out);
    pw_json_object_begin(&json);
    pw_json_key(&json, "specversion");
    pw_json_text(&json, "1.0");
    pw_json_key(&json, "id");
    pw_json_text(&json, event->uid);
    pw_json_key(&json, "source");
    (void)snprintf(text, sizeof text, "/patchwatch/%s", event->source_name);
    pw_json_text(&json, text);
    pw_json_key(&json, "type");
    (void)snprintf(text, sizeof text, TYPE_PREFIX "%s", type_names[event->type]);
    pw_json_text(&json, text);
    if (event->node_key.data != NULL) {
        pw_json_key(&json, "subject");
        pw_json_str(&json, event->node_key);
    }
    pw_json_key(&json, "time");
    pw_json_text(&json, pw_iso8601(time_text, event->occurred_at_ms));
    pw_json_key(&json, "datacontenttype");
    pw_json_text(&json, "application/json");
    pw_json_key(&json, "recordedtime");
    pw_json_text(&json, pw_iso8601(time_text, event->recorded_at_ms));
    /* Sequence numbers must sort as text (CloudEvents sequence extension). */
    pw_json_key(&json, "sequence");
    (void)snprintf(text, sizeof text, "%019" PRId64, event->sequence);
    pw_json_text(&json, text);
    write_data(&json, event);
    pw_json_object_end(&json);
}

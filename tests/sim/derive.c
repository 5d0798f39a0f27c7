/*
 * What a generated node looks like: every field is a function of the seed, the index and the node's
 * revisions.
 */
#include "fleet.h"

#include <string.h>

enum salt {
    SALT_KIND = 1,
    SALT_STATUS,
    SALT_TIME,
    SALT_INSTANCE,
    SALT_NODE,
    SALT_CLUSTER,
    SALT_BASELINE,
    SALT_COUNTS,
    SALT_ID,
    SALT_JOB,
    SALT_ORDER
};

/* Splitmix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

uint64_t derive_hash(uint64_t seed, uint64_t a, uint64_t b)
{
    return mix(mix(mix(seed + 0x9e3779b97f4a7c15U) + a * 0xd1342543de82ef95U + 1) + b);
}

static uint64_t node_hash(const struct fleet *fleet, uint64_t index, enum salt salt, uint64_t rev)
{
    return derive_hash(fleet->seed, index, ((uint64_t)salt << 48) + rev);
}

struct node derive_node(const struct fleet *fleet, uint32_t index)
{
    double draw = (double)(node_hash(fleet, index, SALT_STATUS, 0) >> 11) * 0x1p-53 * 100.0;
    uint64_t offset_ms = node_hash(fleet, index, SALT_TIME, 0) % 86400000U;
    return (struct node){
        .report_time_ms = fleet->base_time_ms + (int64_t)offset_ms,
        .status = draw < fleet->non_compliant_percent ? STATUS_NON_COMPLIANT : STATUS_COMPLIANT,
    };
}

/* Takes `len` bytes of the row's scratch for a field. */
static char *take(struct row *row, enum field field, size_t len)
{
    char *start = row->scratch + row->scratch_len;
    row->scratch_len += len;
    row->field[field] = (struct text){start, len};
    return start;
}

static void put_hex(char *out, uint64_t value, unsigned digits)
{
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < digits; i++) {
        out[i] = hex[(value >> (60 - 4 * i)) & 15];
    }
}

static void set_hex32(struct row *row, enum field field, uint64_t hash)
{
    char *out = take(row, field, 32);
    put_hex(out, hash, 16);
    put_hex(out + 16, mix(hash + 1), 16);
}

static void set_hex16(struct row *row, enum field field, uint64_t hash)
{
    put_hex(take(row, field, 16), hash, 16);
}

static void set_uuid(struct row *row, enum field field, uint64_t hash)
{
    char *out = take(row, field, 36);
    uint64_t low = mix(hash + 1);
    put_hex(out, hash, 8);
    out[8] = '-';
    put_hex(out + 9, hash << 32, 4);
    out[13] = '-';
    put_hex(out + 14, hash << 48, 4);
    out[14] = '4';
    out[18] = '-';
    put_hex(out + 19, low, 4);
    out[19] = "89ab"[(low >> 60) & 3];
    out[23] = '-';
    put_hex(out + 24, low << 16, 12);
}

static void set_address(struct row *row, enum field field, unsigned net, uint32_t host)
{
    char *start = row->scratch + row->scratch_len;
    char *out = json_put_int(start, net);
    for (int shift = 16; shift >= 0; shift -= 8) {
        *out++ = '.';
        out = json_put_int(out, (host >> shift) & 255);
    }
    (void)take(row, field, (size_t)(out - start));
}

static void set_name(struct row *row, uint64_t kind, uint32_t index)
{
    static const char *const prefixes[] = {
        "prod-web-",      "prod-db-",      "stage-api-",        "batch-worker-", "生产-数据库-",
        "测试-消息网关-", "café-münchen-", "Überwachung-nord-", "build-agent-",  "edge-cache-",
    };
    const char *prefix = prefixes[kind % (sizeof prefixes / sizeof *prefixes)];
    size_t len = strlen(prefix);
    char *out = take(row, FIELD_NAME, len + 7);
    memcpy(out, prefix, len);
    for (int i = 6; i >= 0; i--) {
        out[len + (size_t)i] = (char)('0' + index % 10);
        index /= 10;
    }
}

static void set_baseline(struct row *row, uint64_t seed, uint64_t kind)
{
    static const char *const systems[] = {"HuaweiCloudEulerOS", "EulerOS", "CentOS"};
    static const char *const baselines[] = {
        "COC-HuaweiCloudEulerOSDefaultPatchBaseline",
        "COC-EulerOSDefaultPatchBaseline",
        "COC-CentOSDefaultPatchBaseline",
        "Security-Only-2026",
    };
    unsigned system = (unsigned)(kind % 10 < 2 ? 0 : kind % 10 < 8 ? 1 : 2);
    unsigned baseline = kind / 10 % 8 == 0 ? 3 : system;
    uint64_t hash = derive_hash(seed, baseline, SALT_BASELINE);
    char *out = take(row, FIELD_BASELINE_ID, 32);
    memcpy(out, "JX-", 3);
    put_hex(out + 3, hash, 16);
    put_hex(out + 19, mix(hash + 1), 13);
    row_set(row, FIELD_BASELINE_NAME, baselines[baseline]);
    row_set(row, FIELD_OPERATING_SYSTEM, systems[system]);
    row_set(row, FIELD_RULE_TYPE, "standard");
}

/* Splits a total over the severities; what is left over is unspecified. */
static void set_counts(int64_t *group, int64_t total, uint64_t hash)
{
    static const unsigned char most_percent[SEVERITIES - 1] = {12, 25, 6, 20, 30};
    int64_t rest = total;
    group[0] = total;
    for (unsigned i = 0; i < SEVERITIES - 1; i++) {
        int64_t part = total * (int64_t)((hash >> (8 * i)) & 255) * most_percent[i] / 25500;
        group[1 + i] = part;
        rest -= part;
    }
    group[SEVERITIES] = rest;
}

static void set_place(struct row *row, uint64_t kind, uint32_t index)
{
    static const char *const regions[] = {"cn-north-4",     "cn-east-3",   "cn-south-1",
                                          "ap-southeast-3", "eu-west-101", "la-north-2"};
    static const char *const groups[] = {"web", "payments", "data-lake", "办公系统",
                                         "ci",  "edge",     "réseau",    "crm"};
    static const char *const projects[] = {
        "0",
        "7a1f6bd2-03c5-4e0e-9d55-1c0b7e0a4f01",
        "c27e9a40-8d1b-4b6f-8f3e-52a6d9b3e702",
        "1b88d3f5-64aa-4f39-a2c7-90e4c1d7f803",
        "e05c4a19-2f7d-4c83-b1d6-3b9f8a6c5d04",
    };
    row_set(row, FIELD_REGION, regions[kind % 6]);
    row_set(row, FIELD_GROUP, kind / 6 % 10 < 3 ? NULL : groups[kind / 60 % 8]);
    row_set(row, FIELD_ENTERPRISE_PROJECT_ID, projects[kind / 480 % 5]);
    set_address(row, FIELD_IP, 10, index + 1);
    if (kind / 2400 % 5 < 2) {
        set_address(row, FIELD_EIP, 198, 0x120000U + index % 0x20000U);
    } else {
        row_set(row, FIELD_EIP, NULL);
    }
}

void derive_row(const struct fleet *fleet, uint32_t index, struct row *row)
{
    const struct node *node = &fleet->nodes[index];
    uint64_t kind = node_hash(fleet, index, SALT_KIND, 0);
    uint64_t scene = (kind >> 56) * 100 / 256;

    row_clear(row);
    set_hex32(row, FIELD_ID, node_hash(fleet, index, SALT_ID, node->id_rev));
    set_uuid(row, FIELD_INSTANCE_ID, node_hash(fleet, index, SALT_INSTANCE, 0));
    set_name(row, kind >> 40 & 0xffff, index);
    set_place(row, kind & 0xffffffff, index);
    set_baseline(row, fleet->seed, kind >> 32 & 0xff);
    if (scene < 80) {
        row_set(row, FIELD_REPORT_SCENE, scene < 70 ? "ECS" : "BMS");
        row_set(row, FIELD_NODE_ID, "");
    } else {
        row_set(row, FIELD_REPORT_SCENE, "CCE");
        set_uuid(row, FIELD_NODE_ID, node_hash(fleet, index, SALT_NODE, 0));
        set_hex32(row, FIELD_CCE_INFO_ID, node_hash(fleet, index / 256, SALT_CLUSTER, 0));
    }
    row_set(row, FIELD_STATUS, status_name((enum status)node->status));
    set_hex16(row, FIELD_JOB_ID, node_hash(fleet, index, SALT_JOB, node->report_rev));
    set_hex16(row, FIELD_ORDER_ID, node_hash(fleet, index, SALT_ORDER, node->report_rev));

    uint64_t counts = node_hash(fleet, index, SALT_COUNTS, node->counts_rev);
    uint64_t more = mix(counts);
    set_counts(row->count + COUNT_COMPLIANT, 40 + (int64_t)(more % 360), counts);
    set_counts(row->count + COUNT_NON_COMPLIANT,
               node->status == STATUS_COMPLIANT ? 0 : 1 + (int64_t)(more >> 32) % 60, counts >> 20);
    row->null_counts = 0;
    row->report_time_ms = node->report_time_ms;
    row->null_time = false;
}

/*
 * JSON of a page, written straight into its buffer: this is what the simulator spends its time on
 * (see page.h).
 */
#include "page.h"

#include <string.h>

enum {
    RECORD_FIXED_BYTES = 1600
}; /* names of a record's members, its numbers and nulls, with room to spare */

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_member(char *out, const char *key, const struct row *row, enum field field)
{
    out = put(out, key, strlen(key));
    return json_put_string(out, row->field[field].bytes, row->field[field].len);
}

static char *put_count(char *out, const char *key, const struct row *row, unsigned index)
{
    out = put(out, key, strlen(key));
    if ((row->null_counts & (1U << index)) != 0) {
        return put(out, "null", 4);
    }
    return json_put_int(out, row->count[index]);
}

static char *put_summary(char *out, const char *total_key, const struct row *row, unsigned group,
                         enum object object)
{
    if ((row->null_objects & object) != 0) {
        return put(out, "null", 4);
    }
    out = put_count(out, total_key, row, group);
    out = put_count(out, ",\"severity_summary\":{\"critical_count\":", row, group + 1);
    out = put_count(out, ",\"high_count\":", row, group + 2);
    out = put_count(out, ",\"informational_count\":", row, group + 3);
    out = put_count(out, ",\"low_count\":", row, group + 4);
    out = put_count(out, ",\"medium_count\":", row, group + 5);
    out = put_count(out, ",\"unspecified_count\":", row, group + 6);
    return put(out, "}}", 2);
}

static char *put_execution(char *out, const struct row *row)
{
    if ((row->null_objects & OBJECT_EXECUTION_SUMMARY) != 0) {
        return put(out, "null", 4);
    }
    out = put_member(out, "{\"job_id\":", row, FIELD_JOB_ID);
    out = put_member(out, ",\"order_id\":", row, FIELD_ORDER_ID);
    out = put(out, ",\"report_time\":", 15);
    out = row->null_time ? put(out, "null", 4) : json_put_int(out, row->report_time_ms);
    return put(out, "}", 1);
}

static void add_row(struct buf *buf, const struct row *row)
{
    size_t most = RECORD_FIXED_BYTES;
    for (size_t i = 0; i < FIELDS; i++) {
        most += 6 * row->field[i].len;
    }
    char *out = buf_reserve(buf, most);
    out = put_member(out, "{\"baseline_id\":", row, FIELD_BASELINE_ID);
    out = put_member(out, ",\"baseline_name\":", row, FIELD_BASELINE_NAME);
    out = put_member(out, ",\"cce_info_id\":", row, FIELD_CCE_INFO_ID);
    out = put(out, ",\"compliant_summary\":", 21);
    out = put_summary(out, "{\"compliant_count\":", row, COUNT_COMPLIANT, OBJECT_COMPLIANT_SUMMARY);
    out = put_member(out, ",\"eip\":", row, FIELD_EIP);
    out = put_member(out, ",\"enterprise_project_id\":", row, FIELD_ENTERPRISE_PROJECT_ID);
    out = put(out, ",\"execution_summary\":", 21);
    out = put_execution(out, row);
    out = put_member(out, ",\"group\":", row, FIELD_GROUP);
    out = put_member(out, ",\"id\":", row, FIELD_ID);
    out = put_member(out, ",\"instance_id\":", row, FIELD_INSTANCE_ID);
    out = put_member(out, ",\"ip\":", row, FIELD_IP);
    out = put_member(out, ",\"name\":", row, FIELD_NAME);
    out = put_member(out, ",\"node_id\":", row, FIELD_NODE_ID);
    out = put(out, ",\"non_compliant_summary\":", 25);
    out = put_summary(out, "{\"non_compliant_count\":", row, COUNT_NON_COMPLIANT,
                      OBJECT_NON_COMPLIANT_SUMMARY);
    out = put_member(out, ",\"operating_system\":", row, FIELD_OPERATING_SYSTEM);
    out = put_member(out, ",\"region\":", row, FIELD_REGION);
    out = put_member(out, ",\"report_scene\":", row, FIELD_REPORT_SCENE);
    out = put_member(out, ",\"rule_type\":", row, FIELD_RULE_TYPE);
    out = put_member(out, ",\"status\":", row, FIELD_STATUS);
    out = put(out, "}", 1);
    buf->len = (size_t)(out - buf->data);
}

static void add_item(struct buf *buf, const struct fleet *fleet, uint32_t item)
{
    struct row row;
    if (fleet_row(fleet, item, &row)) {
        add_row(buf, &row);
    } else {
        const struct record *record = &fleet->records[item & ~RECORD_BIT];
        buf_add(buf, record->raw, record->raw_len);
    }
}

void page_render(struct page *page, struct fleet *fleet, struct match_cache *cache,
                 const struct query *query)
{
    struct matches matches = match_find(cache, fleet, query);
    size_t skip = query_skip(query, fleet->page_mode);
    struct buf *body = &page->body;
    page->count = matches.counted;
    page->records = 0;
    (void)buf_reserve(body, (size_t)query->limit * 1000 + 256);
    buf_str(body, "{\"count\":");
    buf_int(body, matches.counted);
    buf_str(body, ",\"instance_compliant\":");
    page->list_start = body->len;
    buf_str(body, "[");
    for (size_t i = skip; i < matches.count && page->records < (size_t)query->limit; i++) {
        if (page->records > 0) {
            buf_str(body, ",");
        }
        page->record_start[page->records] = body->len;
        add_item(body, fleet, matches.items[query->descending ? matches.count - 1 - i : i]);
        page->record_end[page->records++] = body->len;
    }
    buf_str(body, "]");
    page->list_end = body->len;
    buf_str(body, "}");
}

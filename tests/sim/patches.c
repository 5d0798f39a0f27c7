/*
 * GET /v1/patch/instance/compliant/{instance_compliant_id}: the patches of one report, made up from
 * its counts, filtered, sorted and paged as the API's documentation says.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 100000 };

static const char *const filter_names[] = {"title", "patch_status", "classification",
                                           "severity_level", "compliance_level"};
enum { TITLE, STATUS, CLASSIFICATION, SEVERITY, COMPLIANCE, FILTERED };

static const char *const statuses[] = {"INSTALLED", "INSTALLED_OTHER", "MISSING",
                                       "REJECT",    "FAILED",          "PENDING_REBOOT"};

struct item {
    char title[64];
    const char *text[FILTERED];
    int64_t installed_ms; /* 0 = never */
    size_t place;
};

/* The row with that id; false if there is none. */
static bool find_row(struct fleet *fleet, const char *id, struct row *row)
{
    const struct order *order = order_get(fleet);
    size_t len = strlen(id);
    for (size_t i = 0; i < order->count; i++) {
        if (fleet_row(fleet, order->by_item[i], row) && row->field[FIELD_ID].bytes != NULL &&
            row->field[FIELD_ID].len == len && memcmp(row->field[FIELD_ID].bytes, id, len) == 0) {
            return true;
        }
    }
    return false;
}

static int64_t count_of(const struct row *row, unsigned index)
{
    int64_t count = (row->null_counts & (1U << index)) != 0 ? 0 : row->count[index];
    return count < 0 ? 0 : count > ITEMS_MAX ? ITEMS_MAX : count;
}

/* The severity of the k-th patch of a group: the mildest come first, those that no severity counts
 * before them. */
static const char *severity_of(const struct row *row, unsigned group, int64_t k)
{
    /* places in a group, after the API's sample: critical high informational low medium
     * unspecified */
    static const struct {
        unsigned place;
        const char *name;
    } order[] = {{1, "CRITICAL"}, {2, "HIGH"}, {5, "MEDIUM"}, {4, "LOW"}, {3, "INFORMATIONAL"}};
    int64_t from_end = count_of(row, group) - 1 - k;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int64_t count = count_of(row, group + order[i].place);
        if (from_end < count) {
            return order[i].name;
        }
        from_end -= count;
    }
    return "UNSPECIFIED";
}

/* The k-th patch: those that are missing first, then those in place. */
static void make_item(const struct fleet *fleet, const struct row *row, int64_t k,
                      struct item *item)
{
    static const char *const packages[] = {"kernel", "openssl", "glibc", "systemd", "curl"};
    static const char *const missing[] = {"MISSING", "MISSING", "MISSING",        "MISSING",
                                          "MISSING", "FAILED",  "PENDING_REBOOT", "REJECT"};
    int64_t lacking = count_of(row, COUNT_NON_COMPLIANT);
    bool in_place = k >= lacking;
    unsigned group = in_place ? COUNT_COMPLIANT : COUNT_NON_COMPLIANT;
    int64_t place = in_place ? k - lacking : k;
    uint64_t hash = derive_hash(fleet->seed, 0x70617463U, (uint64_t)k);
    const char *severity = severity_of(row, group, place);
    (void)snprintf(item->title, sizeof item->title, "%s-%u.%u-%lld.x86_64", packages[hash % 5],
                   (unsigned)(hash >> 8 & 15), (unsigned)(hash >> 16 & 63), (long long)k);
    item->text[TITLE] = item->title;
    item->text[STATUS] = !in_place        ? missing[place % 8]
                         : place % 8 == 7 ? "INSTALLED_OTHER"
                                          : "INSTALLED";
    item->text[CLASSIFICATION] = hash >> 24 & 1 ? "Security" : "Bugfix";
    item->text[SEVERITY] = strcmp(severity, "UNSPECIFIED") == 0 ? "" : severity;
    item->text[COMPLIANCE] = severity;
    item->installed_ms = in_place ? row->report_time_ms - (place + 1) * 3600000 : 0;
    item->place = (size_t)k;
}

static bool passes(const struct request *request, const struct item *item)
{
    for (unsigned i = 0; i < FILTERED; i++) {
        const char *wanted = request_param(request, filter_names[i]);
        if (wanted != NULL && *wanted != '\0' && strcmp(wanted, item->text[i]) != 0) {
            return false;
        }
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct item *left = a;
    const struct item *right = b;
    if (left->installed_ms != right->installed_ms) {
        return left->installed_ms < right->installed_ms ? -1 : 1;
    }
    return left->place < right->place ? -1 : 1;
}

static void put_item(struct buf *body, const struct row *row, const struct item *item)
{
    buf_str(body, "{\"classification\":");
    buf_json_str(body, item->text[CLASSIFICATION]);
    buf_str(body, ",\"compliance_level\":");
    buf_json_str(body, item->text[COMPLIANCE]);
    buf_str(body, ",\"instance_id\":");
    buf_json(body, row->field[FIELD_INSTANCE_ID].bytes, row->field[FIELD_INSTANCE_ID].len);
    buf_str(body, ",\"patch_detail\":{\"installed_time\":");
    if (item->installed_ms == 0) {
        buf_str(body, "null");
    } else {
        buf_int(body, item->installed_ms);
    }
    buf_str(body, ",\"patch_baseline_id\":");
    buf_json(body, row->field[FIELD_BASELINE_ID].bytes, row->field[FIELD_BASELINE_ID].len);
    buf_str(body, ",\"patch_baseline_name\":");
    buf_json(body, row->field[FIELD_BASELINE_NAME].bytes, row->field[FIELD_BASELINE_NAME].len);
    buf_str(body, ",\"patch_status\":");
    buf_json_str(body, item->text[STATUS]);
    buf_str(body, "},\"severity_level\":");
    buf_json_str(body, item->text[SEVERITY]);
    buf_str(body, ",\"title\":");
    buf_json_str(body, item->text[TITLE]);
    buf_str(body, "}");
}

/* All that pass the filters, in the order asked for; the caller frees them. */
static struct item *find_items(const struct request *request, const struct fleet *fleet,
                               const struct row *row, bool sorted, size_t *count)
{
    int64_t all = count_of(row, COUNT_COMPLIANT) + count_of(row, COUNT_NON_COMPLIANT);
    struct item *items = sim_calloc((size_t)all + 1, sizeof *items);
    *count = 0;
    for (int64_t k = 0; k < all; k++) {
        struct item *item = &items[*count];
        make_item(fleet, row, k, item);
        *count += passes(request, item);
    }
    if (sorted) {
        qsort(items, *count, sizeof *items, by_time);
        for (size_t i = 0; i < *count; i++) {
            items[i].text[TITLE] = items[i].title; /* they have moved */
        }
    }
    return items;
}

static void render(struct page *page, const struct request *request, const struct fleet *fleet,
                   const struct row *row, const struct query *query)
{
    struct buf *body = &page->body;
    size_t skip = query_skip(query, fleet->page_mode);
    size_t count = 0;
    struct item *items = find_items(request, fleet, row, query->by_time, &count);
    page->count = (int64_t)count;
    buf_str(body, "{\"count\":");
    buf_int(body, page->count);
    buf_str(body, ",\"compliance_items\":");
    page->list_start = body->len;
    buf_str(body, "[");
    for (size_t i = skip; i < count && page->records < (size_t)query->limit; i++) {
        if (page->records > 0) {
            buf_str(body, ",");
        }
        page->record_start[page->records] = body->len;
        put_item(body, row, &items[query->descending ? count - 1 - i : i]);
        page->record_end[page->records++] = body->len;
    }
    buf_str(body, "]");
    page->list_end = body->len;
    buf_str(body, "}");
    free(items);
}

static bool is_status(const char *text)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (strcmp(statuses[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* False, with a static message, where a parameter breaks its rule. */
static bool parse(const struct request *request, struct query *query, const char **message)
{
    const char *offset = request_param(request, "offset");
    const char *limit = request_param(request, "limit");
    const char *key = request_param(request, "sort_key");
    const char *dir = request_param(request, "sort_dir");
    const char *status = request_param(request, "patch_status");
    *query = (struct query){.offset = 1, .limit = 10};
    *message = NULL;
    if (offset != NULL && !parse_int(offset, 1, OFFSET_MAX, &query->offset)) {
        *message = "offset must be an integer from 1 to 1000000";
    } else if (limit != NULL && !parse_int(limit, 1, LIMIT_MAX, &query->limit)) {
        *message = "limit must be an integer from 1 to 100";
    } else if (key != NULL && strcmp(key, "installed_time") != 0) {
        *message = "sort_key must be installed_time";
    } else if (dir != NULL && strcmp(dir, "asc") != 0 && strcmp(dir, "desc") != 0) {
        *message = "sort_dir must be asc or desc";
    } else if (status != NULL && !is_status(status)) {
        *message = "patch_status is none";
    }
    query->by_time = key != NULL;
    query->descending = dir != NULL && strcmp(dir, "desc") == 0;
    return *message == NULL;
}

void api_patches(struct server *server, struct request *request)
{
    struct answer *answer = &request->answer;
    struct query query;
    struct row row;
    const char *message = NULL;
    if (!auth_check(server, request)) {
        return;
    }
    if (!parse(request, &query, &message)) {
        answer_api_error(answer, 500, "COC.00010002", message);
        return;
    }
    if (!find_row(&server->fleet, request->rest, &row)) {
        answer_api_error(answer, 404, "COC.00040401", "The compliance report does not exist");
        return;
    }
    const struct fault *fault =
        faults_pick(&server->faults, request, &query, server->fleet.page_mode);
    struct page page = {0};
    render(&page, request, &server->fleet, &row, &query);
    if (fault != NULL) {
        spoil_page(fault, &page);
    }
    answer->status = 200;
    answer->body = page.body;
    if (fault != NULL) {
        fault_answer(fault, request);
    }
}

/*
 * Faults in the text of a page: wrong types, numbers out of range, bad bytes, missing parts (see
 * fault.h).
 */
#include "fault.h"

#include <string.h>

enum scope { SCOPE_BODY, SCOPE_RECORD };

/* Replaces the value of `key` (NULL: the whole) by `text`, in which @ stands for the old value. */
struct variant {
    const char *name;
    enum scope scope;
    const char *key;
    const char *text;
};

static const struct variant wrong_types[] = {
    {"count_string", SCOPE_BODY, "count", "\"@\""},
    {"count_null", SCOPE_BODY, "count", "null"},
    {"count_object", SCOPE_BODY, "count", "{\"total\":@}"},
    {"list_object", SCOPE_BODY, "instance_compliant", "{\"0\":@}"},
    {"list_string", SCOPE_BODY, "instance_compliant", "\"none\""},
    {"body_array", SCOPE_BODY, NULL, "[@]"},
    {"body_string", SCOPE_BODY, NULL, "\"report\""},
    {"record_string", SCOPE_RECORD, NULL, "\"record\""},
    {"record_number", SCOPE_RECORD, NULL, "17"},
    {"record_array", SCOPE_RECORD, NULL, "[@]"},
    {"id_number", SCOPE_RECORD, "id", "17"},
    {"name_array", SCOPE_RECORD, "name", "[@]"},
    {"instance_id_object", SCOPE_RECORD, "instance_id", "{\"id\":@}"},
    {"scene_number", SCOPE_RECORD, "report_scene", "1"},
    {"status_number", SCOPE_RECORD, "status", "1"},
    {"status_bool", SCOPE_RECORD, "status", "true"},
    {"time_string", SCOPE_RECORD, "report_time", "\"@\""},
    {"time_object", SCOPE_RECORD, "report_time", "{\"ms\":@}"},
    {"counts_string", SCOPE_RECORD, "non_compliant_count", "\"@\""},
    {"severity_string", SCOPE_RECORD, "critical_count", "\"@\""},
    {"severity_array", SCOPE_RECORD, "severity_summary", "[@]"},
    {"summary_array", SCOPE_RECORD, "non_compliant_summary", "[@]"},
    {"summary_string", SCOPE_RECORD, "compliant_summary", "\"\""},
    {"execution_array", SCOPE_RECORD, "execution_summary", "[@]"},
};

static const struct variant huge_numbers[] = {
    {"count_1e400", SCOPE_BODY, "count", "1e400"},
    {"count_20_digits", SCOPE_BODY, "count", "99999999999999999999"},
    {"count_negative", SCOPE_BODY, "count", "-1"},
    {"count_fraction", SCOPE_BODY, "count", "@.5"},
    {"time_9e18", SCOPE_RECORD, "report_time", "9e18"},
    {"time_1e300", SCOPE_RECORD, "report_time", "1e300"},
    {"time_20_digits", SCOPE_RECORD, "report_time", "99999999999999999999"},
    {"time_negative", SCOPE_RECORD, "report_time", "-@"},
    {"time_fraction", SCOPE_RECORD, "report_time", "@.5"},
    {"counts_2_63", SCOPE_RECORD, "non_compliant_count", "9223372036854775808"},
    {"counts_negative", SCOPE_RECORD, "non_compliant_count", "-7"},
    {"severity_2_63", SCOPE_RECORD, "critical_count", "9223372036854775808"},
};

static const struct variant invalid_utf8 = {"", SCOPE_RECORD, "name",
                                            "\"a\xff\xc0\x80\xed\xa0\x80z\""};
static const struct variant nul_name = {"", SCOPE_RECORD, "name", "\"a\\u0000b\""};
static const struct variant null_record = {"", SCOPE_RECORD, NULL, "null"};
static const struct variant null_list = {"", SCOPE_BODY, "instance_compliant", "null"};
static const struct variant empty_list = {"", SCOPE_BODY, "instance_compliant", "[]"};

static const struct variant *variants_of(enum fault_kind kind, size_t *count)
{
    if (kind == FAULT_WRONG_TYPES) {
        *count = sizeof wrong_types / sizeof *wrong_types;
        return wrong_types;
    }
    if (kind == FAULT_HUGE_NUMBERS) {
        *count = sizeof huge_numbers / sizeof *huge_numbers;
        return huge_numbers;
    }
    *count = 0;
    return NULL;
}

static const struct variant *variant_find(enum fault_kind kind, const char *name)
{
    size_t count = 0;
    const struct variant *variants = variants_of(kind, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(variants[i].name, name) == 0) {
            return &variants[i];
        }
    }
    return NULL;
}

bool spoil_has_variant(enum fault_kind kind, const char *variant)
{
    if (kind == FAULT_BIG) {
        return strcmp(variant, "space") == 0 || strcmp(variant, "string") == 0;
    }
    return variant_find(kind, variant) != NULL;
}

/* The variant asked for, or the next in turn. */
static const struct variant *variant_of(const struct fault *fault)
{
    if (fault->text[TEXT_VARIANT] != NULL) {
        return variant_find(fault->kind, fault->text[TEXT_VARIANT]);
    }
    size_t count = 0;
    const struct variant *variants = variants_of(fault->kind, &count);
    return &variants[(size_t)(fault->fired - 1) % count];
}

/* The end of the JSON value that starts at `at`. */
static size_t value_end(const struct buf *body, size_t at, size_t end)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = at; i < end; i++) {
        char byte = body->data[i];
        if (quoted) {
            if (byte == '\\') {
                i++;
            } else if (byte == '"') {
                quoted = false;
            }
        } else if (byte == '"') {
            quoted = true;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0) {
                return i;
            }
            depth--;
        } else if (byte == ',' && depth == 0) {
            return i;
        }
    }
    return end;
}

/* What a member of a page is called in a page of patches. */
static const char *key_in(enum realm realm, const char *key)
{
    static const char *const of_patches[][2] = {
        {"instance_compliant", "compliance_items"},
        {"name", "title"},
        {"id", "severity_level"},
        {"report_scene", "classification"},
        {"status", "patch_status"},
        {"report_time", "installed_time"},
        {"execution_summary", "patch_detail"},
    };
    for (size_t i = 0; realm == REALM_PATCHES && i < sizeof of_patches / sizeof *of_patches; i++) {
        if (strcmp(of_patches[i][0], key) == 0) {
            return of_patches[i][1];
        }
    }
    return key;
}

static void replace_value(struct buf *body, size_t start, size_t end, enum realm realm,
                          const struct variant *variant)
{
    size_t at = start;
    size_t value_stop = end;
    if (variant->key != NULL) {
        struct buf pattern = {0};
        buf_json_str(&pattern, key_in(realm, variant->key));
        buf_add(&pattern, ":", 1);
        const char *found = memmem(body->data + start, end - start, pattern.data, pattern.len);
        at = found != NULL ? (size_t)(found - body->data) + pattern.len : end;
        buf_free(&pattern);
        if (found == NULL) {
            return;
        }
        value_stop = value_end(body, at, end);
    }
    struct buf text = {0};
    for (const char *byte = variant->text; *byte != '\0'; byte++) {
        if (*byte == '@') {
            buf_add(&text, body->data + at, value_stop - at);
        } else {
            buf_add(&text, byte, 1);
        }
    }
    buf_splice(body, at, value_stop - at, text.data, text.len);
    buf_free(&text);
}

static size_t first_records(const struct fault *fault, const struct page *page)
{
    size_t n = (size_t)fault->number[NUMBER_N];
    return n < page->records ? n : page->records;
}

/* Applies a variant to the body, or to the first n records from the last to the first. */
static void spoil(const struct fault *fault, struct page *page, const struct variant *variant)
{
    if (variant->scope == SCOPE_BODY) {
        replace_value(&page->body, 0, page->body.len, fault->realm, variant);
        return;
    }
    for (size_t i = first_records(fault, page); i > 0; i--) {
        replace_value(&page->body, page->record_start[i - 1], page->record_end[i - 1], fault->realm,
                      variant);
    }
}

static void repeat_records(const struct fault *fault, struct page *page)
{
    size_t n = first_records(fault, page);
    if (n > 0) {
        struct buf copies = {0};
        buf_add(&copies, ",", 1);
        buf_add(&copies, page->body.data + page->record_start[0],
                page->record_end[n - 1] - page->record_start[0]);
        buf_splice(&page->body, page->list_end - 1, 0, copies.data, copies.len);
        buf_free(&copies);
    }
}

static void insert_first(struct page *page, struct buf *text)
{
    buf_splice(&page->body, 1, 0, text->data, text->len);
    buf_free(text);
}

static void add_depth(const struct fault *fault, struct page *page)
{
    struct buf text = {0};
    size_t depth = (size_t)fault->number[NUMBER_DEPTH];
    buf_str(&text, "\"nested\":");
    buf_fill(&text, '[', depth);
    buf_fill(&text, ']', depth);
    buf_str(&text, ",");
    insert_first(page, &text);
}

static void add_size(const struct fault *fault, struct page *page)
{
    static const char start[] = "\"padding\":\"";
    const char *variant = fault->text[TEXT_VARIANT];
    size_t size = (size_t)fault->number[NUMBER_SIZE];
    struct buf text = {0};
    if (variant != NULL && strcmp(variant, "string") == 0 && size > sizeof start + 1) {
        buf_str(&text, start);
        buf_fill(&text, 'x', size - sizeof start - 1);
        buf_str(&text, "\",");
    } else {
        buf_fill(&text, ' ', size);
    }
    insert_first(page, &text);
}

static void change_count(const struct fault *fault, struct page *page)
{
    uint64_t sum = (uint64_t)page->count + (uint64_t)fault->number[NUMBER_ADD];
    int64_t count = fault_given(fault, NUMBER_SET) ? fault->number[NUMBER_SET] : (int64_t)sum;
    struct buf text = {0};
    buf_int(&text, count);
    buf_add(&text, "", 1);
    spoil(fault, page, &(struct variant){"", SCOPE_BODY, "count", text.data});
    buf_free(&text);
}

static void make_garbage(const struct fault *fault, struct page *page)
{
    size_t size = (size_t)fault->number[NUMBER_SIZE];
    page->body.len = 0;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t hash = derive_hash(fault->seed, (uint64_t)fault->fired, i);
        buf_add(&page->body, &hash, size - i < 8 ? size - i : 8);
    }
}

static void add_success_code(const struct fault *fault, struct page *page)
{
    const char *code = fault->text[TEXT_CODE];
    struct buf text = {0};
    buf_str(&text, "\"error_code\":");
    buf_json_str(&text, code != NULL ? code : "COC.00000000");
    buf_str(&text, ",\"error_msg\":\"success\",");
    insert_first(page, &text);
}

void spoil_page(const struct fault *fault, struct page *page)
{
    switch (fault->kind) {
    case FAULT_CUT_JSON:
        page->body.len /= 2;
        break;
    case FAULT_EMPTY:
        page->body.len = 0;
        break;
    case FAULT_EMPTY_PAGE:
        spoil(fault, page, &empty_list);
        break;
    case FAULT_NULL_LIST:
        spoil(fault, page, &null_list);
        break;
    case FAULT_MISSING_LIST:
        page->body.len = 0;
        buf_printf(&page->body, "{\"count\":%lld}", (long long)page->count);
        break;
    case FAULT_NULL_RECORDS:
        spoil(fault, page, &null_record);
        break;
    case FAULT_DUP_RECORDS:
        repeat_records(fault, page);
        break;
    case FAULT_WRONG_TYPES:
    case FAULT_HUGE_NUMBERS:
        spoil(fault, page, variant_of(fault));
        break;
    case FAULT_DEEP:
        add_depth(fault, page);
        break;
    case FAULT_GARBAGE:
        make_garbage(fault, page);
        break;
    case FAULT_INVALID_UTF8:
        spoil(fault, page, &invalid_utf8);
        break;
    case FAULT_NUL_NAME:
        spoil(fault, page, &nul_name);
        break;
    case FAULT_BIG:
        add_size(fault, page);
        break;
    case FAULT_LYING_COUNT:
        change_count(fault, page);
        break;
    case FAULT_SUCCESS_CODE_200:
        add_success_code(fault, page);
        break;
    default:
        break;
    }
}

void spoil_body(const struct fault *fault, struct buf *body)
{
    struct page page = {.body = *body};
    spoil_page(fault, &page);
    *body = page.body;
}

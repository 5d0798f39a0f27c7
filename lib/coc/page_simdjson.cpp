/* The only C++ of the project: simdjson behind the C face of page.h. Nothing throws across it, and
 * nothing here outlives the decoder that owns the parser, the reports and the repaired strings. */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
#include "coc/page.h"
}

namespace dom = simdjson::dom;

static_assert(PW_PAGE_PADDING >= simdjson::SIMDJSON_PADDING,
              "simdjson reads further than we promise");

struct repaired_text {
    repaired_text *next;
};

struct pw_page_decoder {
    dom::parser parser;
    pw_report *reports = nullptr;
    size_t capacity = 0;
    repaired_text *repaired = nullptr;
    char digits[24] = {}; /* of an error's code that is a number */
};

namespace
{

/* Where in the page a complaint belongs. */
struct place {
    size_t record;
    const char *field;
    const char *problem;
};

bool reserve(pw_page_decoder *decoder, size_t count) noexcept
{
    if (count <= decoder->capacity)
        return true;
    auto *reports =
        static_cast<pw_report *>(std::realloc(decoder->reports, count * sizeof *decoder->reports));
    if (reports == nullptr)
        return false;
    decoder->reports = reports;
    decoder->capacity = count;
    return true;
}

void forget_repaired(pw_page_decoder *decoder) noexcept
{
    while (decoder->repaired != nullptr) {
        repaired_text *next = decoder->repaired->next;
        std::free(decoder->repaired);
        decoder->repaired = next;
    }
}

/* U+0000 is legal JSON but no text that C, SQL or an environment can carry: it becomes U+FFFD. */
bool without_nul(pw_page_decoder *decoder, pw_str *text) noexcept
{
    if (text->len == 0 || std::memchr(text->data, 0, text->len) == nullptr)
        return true;
    auto *block =
        static_cast<repaired_text *>(std::malloc(sizeof(repaired_text) + 3 * text->len + 1));
    if (block == nullptr)
        return false;
    block->next = decoder->repaired;
    decoder->repaired = block;
    char *const start = reinterpret_cast<char *>(block + 1);
    char *out = start;
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] == '\0') {
            std::memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
        } else {
            *out++ = text->data[i];
        }
    }
    *text = {start, static_cast<size_t>(out - start)};
    return true;
}

bool get_text(pw_page_decoder *decoder, dom::element value, pw_str *out, place *at) noexcept
{
    if (value.is_null()) {
        *out = {nullptr, 0};
        return true;
    }
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) {
        at->problem = "is not a string";
        return false;
    }
    *out = {text.data(), text.size()};
    if (!without_nul(decoder, out)) {
        at->problem = "needs memory that is not there";
        return false;
    }
    return true;
}

bool get_number(dom::element value, int64_t none, int64_t *out, place *at) noexcept
{
    int64_t number;

    if (value.is_null()) {
        *out = none;
        return true;
    }
    if (value.get_int64().get(number) != simdjson::SUCCESS || number < 0) {
        at->problem = "is not a whole number from 0 to 2^63-1";
        return false;
    }
    *out = number;
    return true;
}

/* Compares with a literal, whose length the compiler knows. */
template <std::size_t Size> bool is(std::string_view key, const char (&name)[Size]) noexcept
{
    return key.size() == Size - 1 && std::memcmp(key.data(), name, Size - 1) == 0;
}

/* -1 where the key counts no severity. */
int severity_of(std::string_view key) noexcept
{
    switch (key.size()) {
    case 9:
        return is(key, "low_count") ? PW_LOW : -1;
    case 10:
        return is(key, "high_count") ? PW_HIGH : -1;
    case 12:
        return is(key, "medium_count") ? PW_MEDIUM : -1;
    case 14:
        return is(key, "critical_count") ? PW_CRITICAL : -1;
    case 17:
        return is(key, "unspecified_count") ? PW_UNSPECIFIED : -1;
    case 19:
        return is(key, "informational_count") ? PW_INFORMATIONAL : -1;
    default:
        return -1;
    }
}

bool get_severities(dom::element value, pw_patch_counts *counts, place *at) noexcept
{
    dom::object object;

    if (value.is_null())
        return true;
    if (value.get_object().get(object) != simdjson::SUCCESS) {
        at->problem = "is not an object";
        return false;
    }
    for (auto member : object) {
        int severity = severity_of(member.key);

        if (severity >= 0 &&
            !get_number(member.value, PW_COUNT_NONE, &counts->by_severity[severity], at))
            return false;
    }
    return true;
}

bool get_summary(dom::element value, std::string_view total_name, pw_patch_counts *counts,
                 place *at) noexcept
{
    dom::object object;

    if (value.is_null())
        return true;
    if (value.get_object().get(object) != simdjson::SUCCESS) {
        at->problem = "is not an object";
        return false;
    }
    for (auto member : object) {
        if (member.key == total_name) {
            if (!get_number(member.value, PW_COUNT_NONE, &counts->total, at))
                return false;
        } else if (is(member.key, "severity_summary")) {
            if (!get_severities(member.value, counts, at))
                return false;
        }
    }
    return true;
}

bool get_execution(pw_page_decoder *decoder, dom::element value, pw_report *report,
                   place *at) noexcept
{
    dom::object object;

    if (value.is_null())
        return true;
    if (value.get_object().get(object) != simdjson::SUCCESS) {
        at->problem = "is not an object";
        return false;
    }
    for (auto member : object) {
        if (is(member.key, "report_time")) {
            if (!get_number(member.value, PW_TIME_NONE, &report->report_time_ms, at))
                return false;
        } else if (is(member.key, "job_id")) {
            if (!get_text(decoder, member.value, &report->job_id, at))
                return false;
        } else if (is(member.key, "order_id")) {
            if (!get_text(decoder, member.value, &report->order_id, at))
                return false;
        }
    }
    return true;
}

/* The text field of that name. Every key of every record comes through here, so the length goes
 * first and at most three names are compared. */
pw_str *text_field(pw_report *report, std::string_view key) noexcept
{
    switch (key.size()) {
    case 2:
        return is(key, "id") ? &report->id : is(key, "ip") ? &report->ip : nullptr;
    case 3:
        return is(key, "eip") ? &report->eip : nullptr;
    case 4:
        return is(key, "name") ? &report->name : nullptr;
    case 5:
        return is(key, "group") ? &report->group : nullptr;
    case 6:
        return is(key, "region")   ? &report->region
               : is(key, "status") ? &report->status_text
                                   : nullptr;
    case 7:
        return is(key, "node_id") ? &report->node_id : nullptr;
    case 9:
        return is(key, "rule_type") ? &report->rule_type : nullptr;
    case 11:
        return is(key, "baseline_id")   ? &report->baseline_id
               : is(key, "instance_id") ? &report->instance_id
               : is(key, "cce_info_id") ? &report->cce_info_id
                                        : nullptr;
    case 12:
        return is(key, "report_scene") ? &report->report_scene : nullptr;
    case 13:
        return is(key, "baseline_name") ? &report->baseline_name : nullptr;
    case 16:
        return is(key, "operating_system") ? &report->operating_system : nullptr;
    case 21:
        return is(key, "enterprise_project_id") ? &report->enterprise_project_id : nullptr;
    default:
        return nullptr;
    }
}

void clear_counts(pw_patch_counts *counts) noexcept
{
    counts->total = PW_COUNT_NONE;
    for (int i = 0; i < PW_SEVERITY_COUNT; i++)
        counts->by_severity[i] = PW_COUNT_NONE;
}

bool get_report(pw_page_decoder *decoder, dom::element value, pw_report *report, place *at) noexcept
{
    dom::object object;

    std::memset(report, 0, sizeof *report);
    report->report_time_ms = PW_TIME_NONE;
    clear_counts(&report->compliant);
    clear_counts(&report->non_compliant);
    at->field = "";
    if (value.get_object().get(object) != simdjson::SUCCESS) {
        at->problem = value.is_null() ? "is null" : "is not an object";
        return false;
    }
    for (auto member : object) {
        bool good = true;

        at->field = member.key.data();
        if (pw_str *text = text_field(report, member.key))
            good = get_text(decoder, member.value, text, at);
        else if (is(member.key, "execution_summary"))
            good = get_execution(decoder, member.value, report, at);
        else if (is(member.key, "compliant_summary"))
            good = get_summary(member.value, "compliant_count", &report->compliant, at);
        else if (is(member.key, "non_compliant_summary"))
            good = get_summary(member.value, "non_compliant_count", &report->non_compliant, at);
        if (!good)
            return false;
    }
    report->status = pw_compliance_of(report->status_text);
    return true;
}

void complain(pw_page *page, const place &at) noexcept
{
    if (page->complaint.status != PW_OK)
        return;
    page->complaint.status = PW_EFORMAT;
    (void)std::snprintf(page->complaint.message, sizeof page->complaint.message,
                        "record %zu of the page: %.64s%s%s", at.record + 1, at.field,
                        at.field[0] != '\0' ? " " : "", at.problem);
}

/* "COC.00000000", "0" and, where a code stands beside a list, "200" say that all is well. */
bool is_success_code(std::string_view code) noexcept
{
    bool digit = false;

    for (char c : code) {
        if (c >= '1' && c <= '9')
            return code == "200";
        digit = digit || c == '0';
    }
    return digit;
}

bool find_text(dom::object object, const char *const *names, size_t count, pw_str *out) noexcept
{
    for (size_t i = 0; i < count; i++) {
        dom::element value;
        std::string_view text;

        if (object.at_key(names[i]).get(value) == simdjson::SUCCESS &&
            value.get_string().get(text) == simdjson::SUCCESS && !text.empty()) {
            *out = {text.data(), text.size()};
            return true;
        }
    }
    return false;
}

/* The code under that name, a number as its digits in `digits`. */
bool find_code(dom::object object, const char *name, char (&digits)[24], pw_str *out) noexcept
{
    dom::element value;
    int64_t number;

    if (object.at_key(name).get(value) != simdjson::SUCCESS)
        return false;
    if (value.get_int64().get(number) == simdjson::SUCCESS) {
        int len = std::snprintf(digits, sizeof digits, "%lld", static_cast<long long>(number));
        *out = {digits, static_cast<size_t>(len)};
        return true;
    }
    return find_text(object, &name, 1, out);
}

/* An error that the object speaks of, in whatever spelling; a code that says that all is well is
 * none. */
bool find_error(dom::object object, char (&digits)[24], pw_api_error *out, int depth) noexcept
{
    static const char *const codes[] = {"error_code", "errorCode", "code"};
    static const char *const messages[] = {"error_msg",     "errorMsg", "errorMessage",
                                           "error_message", "error",    "message"};
    static const char *const requests[] = {"request_id", "requestId"};
    bool found = false;

    for (const char *name : codes) {
        if (!found && find_code(object, name, digits, &out->code)) {
            if (is_success_code({out->code.data, out->code.len}))
                return false;
            found = true;
        }
    }
    found = find_text(object, messages, 6, &out->message) || found;
    (void)find_text(object, requests, 2, &out->request_id);
    if (found || depth == 0)
        return found;
    for (auto member : object) {
        dom::object inner;
        if (member.value.get_object().get(inner) == simdjson::SUCCESS &&
            find_error(inner, digits, out, depth - 1))
            return true;
    }
    return false;
}

/* Whether the document says of itself that it is an error, whatever else it holds. */
bool is_error(dom::object object, char (&digits)[24]) noexcept
{
    pw_str code;

    for (const char *name : {"error_code", "errorCode"}) {
        if (find_code(object, name, digits, &code) && !is_success_code({code.data, code.len}))
            return true;
    }
    return false;
}

pw_status parse(pw_page_decoder *decoder, const char *body, size_t len, dom::object *object,
                pw_error *err) noexcept
{
    dom::element root;

    forget_repaired(decoder);
    if (len == 0)
        return pw_fail(err, PW_EFORMAT, "the body is empty");
    auto code = decoder->parser.parse(body, len, false).get(root);
    if (code == simdjson::MEMALLOC)
        return pw_fail_nomem(err);
    if (code != simdjson::SUCCESS)
        return pw_fail(err, PW_EFORMAT, "the body (%zu bytes) is not the JSON it should be: %s",
                       len, simdjson::error_message(code));
    if (root.get_object().get(*object) != simdjson::SUCCESS)
        return pw_fail(err, PW_EFORMAT, "the body is JSON, but not an object");
    return PW_OK;
}

/* PW_EREMOTE where the document speaks of an error; beside a list, of one that has a code or is
 * called an error: a mere "message" may be a kind one. */
pw_status fail_as_error(pw_page_decoder *decoder, dom::object object, bool has_list,
                        pw_api_error *api_error, pw_error *err) noexcept
{
    static const char *const bad[] = {"error_msg", "errorMsg", "errorMessage", "error_message",
                                      "error"};
    pw_str words;

    *api_error = pw_api_error{};
    if (find_error(object, decoder->digits, api_error, 1) &&
        (!has_list || !pw_str_empty(api_error->code) || find_text(object, bad, 5, &words)))
        return pw_fail(err, PW_EREMOTE, "the API answered %.*s: %.*s", PW_STR_ARG(api_error->code),
                       PW_STR_ARG(api_error->message));
    *api_error = pw_api_error{};
    return PW_OK;
}

} // namespace

extern "C" pw_page_decoder *pw_page_decoder_new(void)
{
    return new (std::nothrow) pw_page_decoder;
}

extern "C" void pw_page_decoder_free(pw_page_decoder *decoder)
{
    if (decoder == nullptr)
        return;
    forget_repaired(decoder);
    std::free(decoder->reports);
    delete decoder;
}

extern "C" pw_status pw_page_decode(pw_page_decoder *decoder, const char *body, size_t len,
                                    pw_page *page, pw_api_error *api_error, pw_error *err)
{
    dom::object object;
    dom::element value;
    dom::array list;
    pw_status status;

    *page = pw_page{};
    page->reported_count = -1;
    *api_error = pw_api_error{};
    status = parse(decoder, body, len, &object, err);
    if (status != PW_OK)
        return status;
    if (is_error(object, decoder->digits))
        return fail_as_error(decoder, object, false, api_error, err);
    place at{0, "count", "is missing"};
    if (object.at_key("count").get(value) != simdjson::SUCCESS ||
        !get_number(value, -1, &page->reported_count, &at) || page->reported_count < 0) {
        page->reported_count = -1;
        page->complaint.status = PW_EFORMAT;
        (void)std::snprintf(page->complaint.message, sizeof page->complaint.message,
                            "count is missing, null or not a whole number");
    }
    /* A list that is not there or empty may be the rest of an error: a fleet must not go missing
     * for it. */
    if (object.at_key("instance_compliant").get(value) != simdjson::SUCCESS ||
        (value.is_null() && page->reported_count != 0)) {
        status = fail_as_error(decoder, object, false, api_error, err);
        return status != PW_OK ? status
                               : pw_fail(err, PW_EFORMAT, "instance_compliant is missing or null");
    }
    if (value.is_null() || (value.get_array().get(list) == simdjson::SUCCESS && list.size() == 0)) {
        return fail_as_error(decoder, object, true, api_error, err);
    }
    if (value.get_array().get(list) != simdjson::SUCCESS)
        return pw_fail(err, PW_EFORMAT, "instance_compliant is not a list");
    /* A report takes 140 times the room of "{},". */
    if (list.size() > static_cast<std::size_t>(PW_PAGE_MAX_RECORDS))
        return pw_fail(err, PW_EFORMAT, "instance_compliant holds over %d records",
                       static_cast<int>(PW_PAGE_MAX_RECORDS));
    if (!reserve(decoder, list.size()))
        return pw_fail_nomem(err);
    for (auto element : list) {
        at.record = page->rows++;
        if (get_report(decoder, element, &decoder->reports[page->count], &at)) {
            page->count++;
        } else {
            page->bad_records++;
            complain(page, at);
        }
    }
    page->reports = decoder->reports;
    return PW_OK;
}

/* simdjson behind the C face of items.h. Nothing throws across it, and nothing here outlives the
 * decoder that owns the parser and the views. */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cstdlib>
#include <new>

extern "C" {
#include "coc/items.h"
}

namespace dom = simdjson::dom;

static_assert(PW_ITEMS_PADDING >= simdjson::SIMDJSON_PADDING,
              "simdjson reads further than we promise");

struct pw_items_decoder {
    dom::parser parser;
    pw_patch_view *patches = nullptr; /* PW_ITEMS_MAX of them, once there was a page */
};

namespace
{

/* A string, or null; false where it is neither. An absent member stays null. */
bool get_text(dom::element value, pw_str *out) noexcept
{
    std::string_view text;

    *out = {nullptr, 0};
    if (value.is_null())
        return true;
    if (value.get_string().get(text) != simdjson::SUCCESS)
        return false;
    *out = {text.data(), text.size()};
    return true;
}

bool get_detail(dom::element value, pw_patch_view *patch) noexcept
{
    dom::object object;

    if (value.is_null())
        return true;
    if (value.get_object().get(object) != simdjson::SUCCESS)
        return false;
    for (auto member : object) {
        if (member.key == "patch_status" && !get_text(member.value, &patch->status))
            return false;
    }
    return true;
}

bool get_item(dom::element value, pw_patch_view *patch) noexcept
{
    dom::object object;

    *patch = pw_patch_view{};
    if (value.get_object().get(object) != simdjson::SUCCESS)
        return false;
    for (auto member : object) {
        bool good = true;

        if (member.key == "title")
            good = get_text(member.value, &patch->title);
        else if (member.key == "classification")
            good = get_text(member.value, &patch->classification);
        else if (member.key == "severity_level")
            good = get_text(member.value, &patch->severity_level);
        else if (member.key == "compliance_level")
            good = get_text(member.value, &patch->compliance_level);
        else if (member.key == "patch_detail")
            good = get_detail(member.value, patch);
        if (!good)
            return false;
    }
    return true;
}

/* Whether the document says of itself that it is an error; zeros and "200" say that all is well. */
bool is_error(dom::object object) noexcept
{
    for (const char *name : {"error_code", "errorCode"}) {
        dom::element value;
        std::string_view code;

        if (object.at_key(name).get(value) == simdjson::SUCCESS &&
            value.get_string().get(code) == simdjson::SUCCESS && code != "200" &&
            code.find_first_of("123456789") != std::string_view::npos)
            return true;
    }
    return false;
}

pw_status get_list(pw_items_decoder *decoder, dom::array list, pw_items *items,
                   pw_error *err) noexcept
{
    if (decoder->patches == nullptr)
        decoder->patches =
            static_cast<pw_patch_view *>(std::calloc(PW_ITEMS_MAX, sizeof *decoder->patches));
    if (decoder->patches == nullptr)
        return pw_fail_nomem(err);
    items->patches = decoder->patches;
    for (auto element : list) {
        if (items->count == PW_ITEMS_MAX)
            return pw_fail(err, PW_EFORMAT, "compliance_items has over %d elements", PW_ITEMS_MAX);
        if (!get_item(element, &decoder->patches[items->count]))
            return pw_fail(err, PW_EFORMAT, "item %zu is not what it should be", items->count + 1);
        items->count++;
    }
    return PW_OK;
}

} // namespace

extern "C" pw_items_decoder *pw_items_decoder_new(void)
{
    return new (std::nothrow) pw_items_decoder;
}

extern "C" void pw_items_decoder_free(pw_items_decoder *decoder)
{
    if (decoder == nullptr)
        return;
    std::free(decoder->patches);
    delete decoder;
}

extern "C" pw_status pw_items_decode(pw_items_decoder *decoder, const char *body, size_t len,
                                     pw_items *items, pw_error *err)
{
    dom::element root, value;
    dom::object object;
    dom::array list;

    *items = pw_items{};
    if (len == 0)
        return pw_fail(err, PW_EFORMAT, "the body is empty");
    auto code = decoder->parser.parse(body, len, false).get(root);
    if (code == simdjson::MEMALLOC)
        return pw_fail_nomem(err);
    if (code != simdjson::SUCCESS || root.get_object().get(object) != simdjson::SUCCESS)
        return pw_fail(err, PW_EFORMAT, "the body is no JSON object");
    if (object.at_key("compliance_items").get(value) != simdjson::SUCCESS ||
        value.get_array().get(list) != simdjson::SUCCESS)
        return pw_fail(err, PW_EFORMAT, "compliance_items is no list");
    if (is_error(object))
        return pw_fail(err, PW_EREMOTE, "an error beside the list");
    if (object.at_key("count").get(value) != simdjson::SUCCESS ||
        value.get_int64().get(items->reported_count) != simdjson::SUCCESS ||
        items->reported_count < 0 || items->reported_count > PW_ITEMS_COUNT_MAX)
        return pw_fail(err, PW_EFORMAT, "count is no number that counts");
    return get_list(decoder, list, items, err);
}

/* simdjson behind the C face of json_reader.h. Nothing throws across it. The parser's buffers are
 * reached for wiping through dom::document, whose members are public. */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <string.h> /* explicit_bzero */

extern "C" {
#include "base/json_reader.h"
}

namespace dom = simdjson::dom;

static_assert(PW_JSON_READER_PADDING >= simdjson::SIMDJSON_PADDING,
              "simdjson reads further than we promise");

struct pw_json_reader {
    dom::parser *parser = nullptr;
    dom::element root;
    bool has_document = false;
};

namespace
{

/* The sizes that simdjson gives its buffers for a document of that many bytes (dom::document::
 * allocate): a word of tape for each byte, and five bytes of text for each that a string needs. */
void wipe_parser(pw_json_reader *reader) noexcept
{
    if (reader->parser == nullptr)
        return;
    dom::document &document = reader->parser->doc;
    std::size_t capacity = document.capacity();

    if (document.tape != nullptr && capacity > 0)
        explicit_bzero(document.tape.get(), (capacity + 3) * sizeof(std::uint64_t));
    if (document.string_buf != nullptr && capacity > 0)
        explicit_bzero(document.string_buf.get(), 5 * capacity / 3 + simdjson::SIMDJSON_PADDING);
}

void drop(pw_json_reader *reader) noexcept
{
    wipe_parser(reader);
    delete reader->parser;
    reader->parser = nullptr;
    reader->has_document = false;
}

/* The value at a path of keys; false where there is none. */
bool find(const pw_json_reader *reader, const char *path, dom::element *out) noexcept
{
    if (reader == nullptr || !reader->has_document)
        return false;
    *out = reader->root;
    for (;;) {
        std::size_t len = std::strcspn(path, ".");
        dom::object object;

        if (out->get_object().get(object) != simdjson::SUCCESS ||
            object.at_key(std::string_view(path, len)).get(*out) != simdjson::SUCCESS)
            return false;
        if (path[len] == '\0')
            return true;
        path += len + 1;
    }
}

struct walk {
    unsigned max_depth;
    bool (*visit)(void *context, const pw_json_member *member);
    void *context;
    std::size_t objects;
};

bool visit_member(walk *walk, std::size_t object, unsigned depth, std::string_view key,
                  dom::element value) noexcept
{
    pw_json_member member = {};
    std::string_view text;
    char number[32];

    member.object = object;
    member.depth = depth;
    member.key = {key.data(), key.size()};
    switch (value.type()) {
    case dom::element_type::STRING:
        if (value.get_string().get(text) != simdjson::SUCCESS)
            return true;
        member.text = {text.data(), text.size()};
        break;
    case dom::element_type::INT64:
        (void)std::snprintf(number, sizeof number, "%" PRId64, value.get_int64().value_unsafe());
        break;
    case dom::element_type::UINT64:
        (void)std::snprintf(number, sizeof number, "%" PRIu64, value.get_uint64().value_unsafe());
        break;
    case dom::element_type::DOUBLE:
        (void)std::snprintf(number, sizeof number, "%.15g", value.get_double().value_unsafe());
        break;
    default:
        return true;
    }
    if (member.text.data == nullptr) {
        member.is_number = true;
        member.text = {number, std::strlen(number)};
    }
    return walk->visit(walk->context, &member);
}

bool walk_value(walk *walk, dom::element value, unsigned depth) noexcept
{
    dom::object object;
    dom::array array;

    if (depth > walk->max_depth)
        return true;
    if (value.get_array().get(array) == simdjson::SUCCESS) {
        for (auto element : array) {
            if (!walk_value(walk, element, depth + 1))
                return false;
        }
        return true;
    }
    if (value.get_object().get(object) != simdjson::SUCCESS)
        return true;
    std::size_t ordinal = walk->objects++;
    for (auto member : object) {
        if (!visit_member(walk, ordinal, depth, member.key, member.value))
            return false;
    }
    for (auto member : object) {
        if (!walk_value(walk, member.value, depth + 1))
            return false;
    }
    return true;
}

} // namespace

extern "C" pw_json_reader *pw_json_reader_new(void)
{
    return new (std::nothrow) pw_json_reader;
}

extern "C" void pw_json_reader_free(pw_json_reader *reader)
{
    if (reader == nullptr)
        return;
    drop(reader);
    delete reader;
}

extern "C" void pw_json_reader_wipe(pw_json_reader *reader)
{
    if (reader != nullptr)
        drop(reader);
}

extern "C" pw_status pw_json_reader_parse(pw_json_reader *reader, pw_str body, bool is_padded,
                                          pw_error *err)
{
    const char *bytes = body.data;
    char *copy = nullptr;
    pw_status status = PW_OK;

    reader->has_document = false;
    if (body.len == 0)
        return pw_fail(err, PW_EFORMAT, "the document is empty");
    if (body.len > PW_JSON_READER_MAX_BYTES)
        return pw_fail(err, PW_ELIMIT, "the document is longer than %d bytes",
                       static_cast<int>(PW_JSON_READER_MAX_BYTES));
    if (reader->parser == nullptr)
        reader->parser = new (std::nothrow) dom::parser(PW_JSON_READER_MAX_BYTES);
    if (reader->parser == nullptr)
        return pw_fail_nomem(err);
    if (!is_padded) {
        copy = static_cast<char *>(std::calloc(1, body.len + PW_JSON_READER_PADDING));
        if (copy == nullptr)
            return pw_fail_nomem(err);
        std::memcpy(copy, body.data, body.len);
        bytes = copy;
    }
    if (reader->parser->doc.capacity() < body.len) /* simdjson is about to free the old buffers */
        wipe_parser(reader);
    auto code = reader->parser->parse(bytes, body.len, false).get(reader->root);
    if (code == simdjson::MEMALLOC)
        status = pw_fail_nomem(err);
    else if (code != simdjson::SUCCESS)
        status = pw_fail(err, PW_EFORMAT, "the document (%zu bytes) is not JSON: %s", body.len,
                         simdjson::error_message(code));
    reader->has_document = status == PW_OK;
    if (copy != nullptr) {
        explicit_bzero(copy, body.len);
        std::free(copy);
    }
    return status;
}

extern "C" pw_str pw_json_reader_text(const pw_json_reader *reader, const char *path)
{
    dom::element value;
    std::string_view text;

    if (!find(reader, path, &value) || value.get_string().get(text) != simdjson::SUCCESS)
        return {nullptr, 0};
    return {text.data(), text.size()};
}

extern "C" bool pw_json_reader_number(const pw_json_reader *reader, const char *path, int64_t *out)
{
    dom::element value;

    return find(reader, path, &value) && value.get_int64().get(*out) == simdjson::SUCCESS;
}

extern "C" void pw_json_reader_walk(const pw_json_reader *reader, unsigned max_depth,
                                    bool (*visit)(void *context, const pw_json_member *member),
                                    void *context)
{
    walk state = {max_depth, visit, context, 0};

    if (reader != nullptr && reader->has_document)
        (void)walk_value(&state, reader->root, 0);
}

extern "C" bool pw_json_reader_is_flat(const pw_json_reader *reader)
{
    dom::object object;

    if (reader == nullptr || !reader->has_document ||
        reader->root.get_object().get(object) != simdjson::SUCCESS)
        return false;
    for (auto member : object) {
        if (!member.value.is_string() && !member.value.is_int64())
            return false;
    }
    return true;
}

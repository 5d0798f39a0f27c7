/* Reading one YAML file with libyaml. The text is read twice: once as events, where what we refuse
 * (aliases above all: a few lines of them can stand for gigabytes) is still visible, then as a
 * document. The document is pw_yaml's; the text is freed before pw_yaml_open returns. */
#include "alert/yaml_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/text.h"

enum { MAX_FILE_BYTES = 1 << 20, MAX_DEPTH = 16, MAX_KEYS = 1024 };

static enum pw_status refuse(struct pw_yaml *yaml, const char *why)
{
    pw_problem_error(yaml->problems, yaml->path, 0, "%s", why);
    return PW_EINVAL;
}

static enum pw_status read_text(struct pw_yaml *yaml, char **out, size_t *out_len)
{
    enum pw_status status = PW_OK;
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    /* Not blocking, so that a FIFO in the file's place cannot hang the start. */
    int fd = open(yaml->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return PW_ENOTFOUND;
    if (fd < 0 || fstat(fd, &st) != 0) {
        status = refuse(yaml, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = refuse(yaml, "not a regular file");
        goto out;
    }
    text = malloc(MAX_FILE_BYTES + 1);
    if (text == NULL) {
        status = PW_ENOMEM;
        goto out;
    }
    for (;;) {
        ssize_t n = read(fd, text + len, MAX_FILE_BYTES + 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = refuse(yaml, strerror(errno));
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len > MAX_FILE_BYTES) {
            status = refuse(yaml, "larger than 1 MiB");
            break;
        }
    }
out:
    if (fd >= 0)
        (void)close(fd);
    if (status != PW_OK) {
        free(text);
        text = NULL;
    }
    *out = text;
    *out_len = len;
    return status;
}

/* libyaml would guess UTF-16, and names no line for a byte that is wrong. */
static enum pw_status check_bytes(struct pw_yaml *yaml, const char *text, size_t len)
{
    int line = 1;

    for (size_t i = 0; i < len;) {
        size_t n = pw_utf8_length(text + i, len - i);
        unsigned char c = (unsigned char)text[i];

        if (n == 0) {
            pw_problem_error(yaml->problems, yaml->path, line, "not UTF-8 (byte 0x%02X)", c);
            return PW_EINVAL;
        }
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F) {
            pw_problem_error(yaml->problems, yaml->path, line, "control character 0x%02X", c);
            return PW_EINVAL;
        }
        if (c == '\n')
            line++;
        i += n;
    }
    return PW_OK;
}

static enum pw_status parser_problem(struct pw_yaml *yaml, const yaml_parser_t *parser)
{
    bool in_context = parser->context != NULL;

    if (parser->error == YAML_MEMORY_ERROR)
        return PW_ENOMEM;
    pw_problem_error(yaml->problems, yaml->path, (int)parser->problem_mark.line + 1,
                     "not valid YAML: %s%s%s",
                     parser->problem != NULL ? parser->problem : "cannot be parsed",
                     in_context ? " " : "", in_context ? parser->context : "");
    return PW_EINVAL;
}

static bool parser_begin(yaml_parser_t *parser, const char *text, size_t len)
{
    if (!yaml_parser_initialize(parser))
        return false;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
    return true;
}

static const yaml_char_t *event_anchor(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor;
    case YAML_ALIAS_EVENT:
        return event->data.alias.anchor;
    default:
        return NULL;
    }
}

static const yaml_char_t *event_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.tag;
    default:
        return NULL;
    }
}

/* Refuses what the document no longer shows. All of it is reported, but for syntax errors and
 * depth, after which nothing makes sense. */
static enum pw_status check_events(struct pw_yaml *yaml, const char *text, size_t len)
{
    enum pw_status status = PW_OK;
    yaml_parser_t parser;
    int documents = 0, depth = 0;

    if (!parser_begin(&parser, text, len))
        return PW_ENOMEM;
    for (bool end = false; !end;) {
        yaml_event_t event;
        int line;

        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_problem(yaml, &parser);
            break;
        }
        line = (int)event.start_mark.line + 1;
        end = event.type == YAML_STREAM_END_EVENT;
        if (event_anchor(&event) != NULL) {
            pw_problem_error(yaml->problems, yaml->path, line,
                             "anchors and aliases (&%s, *%s) are not supported",
                             (const char *)event_anchor(&event),
                             (const char *)event_anchor(&event));
            status = PW_EINVAL;
        }
        if (event_tag(&event) != NULL) {
            pw_problem_error(yaml->problems, yaml->path, line, "tags (%s) are not supported",
                             (const char *)event_tag(&event));
            status = PW_EINVAL;
        }
        if (event.type == YAML_DOCUMENT_START_EVENT && ++documents == 2) {
            pw_problem_error(yaml->problems, yaml->path, line,
                             "a second YAML document begins here: the file must hold one");
            status = PW_EINVAL;
            end = true;
        }
        if (event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT) {
            if (++depth > MAX_DEPTH) {
                pw_problem_error(yaml->problems, yaml->path, line, "nested too deeply");
                status = PW_EINVAL;
                end = true;
            }
        } else if (event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT) {
            depth--;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

static enum pw_status load_document(struct pw_yaml *yaml, const char *text, size_t len)
{
    enum pw_status status = PW_OK;
    yaml_parser_t parser;

    if (!parser_begin(&parser, text, len))
        return PW_ENOMEM;
    if (yaml_parser_load(&parser, &yaml->document))
        yaml->loaded = true;
    else
        status = parser_problem(yaml, &parser);
    yaml_parser_delete(&parser);
    return status;
}

static enum pw_status load_text(struct pw_yaml *yaml, const char *text, size_t len)
{
    enum pw_status status = check_bytes(yaml, text, len);

    if (status == PW_OK)
        status = check_events(yaml, text, len);
    return status == PW_OK ? load_document(yaml, text, len) : status;
}

enum pw_status pw_yaml_open(struct pw_yaml *yaml, const char *path, struct pw_problems *problems)
{
    enum pw_status status;
    char *text = NULL;
    size_t len = 0;

    *yaml = (struct pw_yaml){.path = path, .problems = problems};
    status = read_text(yaml, &text, &len);
    if (status == PW_OK)
        status = load_text(yaml, text, len);
    free(text);
    return status;
}

enum pw_status pw_yaml_open_text(struct pw_yaml *yaml, const char *what, struct pw_str text,
                                 struct pw_problems *problems)
{
    *yaml = (struct pw_yaml){.path = what, .problems = problems};
    if (text.len > MAX_FILE_BYTES)
        return refuse(yaml, "larger than 1 MiB");
    return load_text(yaml, text.data != NULL ? text.data : "", text.len);
}

void pw_yaml_close(struct pw_yaml *yaml)
{
    if (yaml->loaded)
        yaml_document_delete(&yaml->document);
    yaml->loaded = false;
}

yaml_node_t *pw_yaml_root(struct pw_yaml *yaml)
{
    return yaml_document_get_root_node(&yaml->document);
}

int pw_yaml_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

bool pw_yaml_is_null(const yaml_node_t *node)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = (const char *)node->data.scalar.value;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

const char *pw_yaml_text(struct pw_yaml *yaml, const yaml_node_t *node, const char *what)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s must be plain text",
                         what);
        return NULL;
    }
    text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s holds a NUL character",
                         what);
        return NULL;
    }
    return text;
}

size_t pw_yaml_pair_count(const yaml_node_t *mapping)
{
    return (size_t)(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start);
}

yaml_node_t *pw_yaml_key(struct pw_yaml *yaml, const yaml_node_t *mapping, size_t index)
{
    return yaml_document_get_node(&yaml->document, mapping->data.mapping.pairs.start[index].key);
}

yaml_node_t *pw_yaml_value(struct pw_yaml *yaml, const yaml_node_t *mapping, size_t index)
{
    return yaml_document_get_node(&yaml->document, mapping->data.mapping.pairs.start[index].value);
}

static const char *key_text(struct pw_yaml *yaml, const yaml_node_t *mapping, size_t index)
{
    return (const char *)pw_yaml_key(yaml, mapping, index)->data.scalar.value;
}

bool pw_yaml_check_mapping(struct pw_yaml *yaml, const yaml_node_t *node, const char *what)
{
    bool good = true;
    size_t count;

    if (node->type != YAML_MAPPING_NODE) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s must be a mapping (key: value)", what);
        return false;
    }
    count = pw_yaml_pair_count(node);
    if (count > MAX_KEYS) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s has too many keys",
                         what);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (pw_yaml_text(yaml, pw_yaml_key(yaml, node, i), "a key") == NULL)
            good = false;
    }
    for (size_t i = 1; good && i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(key_text(yaml, node, i), key_text(yaml, node, j)) != 0)
                continue;
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(pw_yaml_key(yaml, node, i)),
                             "duplicate key '%s' in %s, first on line %d", key_text(yaml, node, i),
                             what, pw_yaml_line(pw_yaml_key(yaml, node, j)));
            break;
        }
    }
    return good;
}

yaml_node_t *pw_yaml_get(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key)
{
    for (size_t i = 0; i < pw_yaml_pair_count(mapping); i++) {
        if (strcmp(key_text(yaml, mapping, i), key) == 0)
            return pw_yaml_value(yaml, mapping, i);
    }
    return NULL;
}

static bool is_one_of(const char *word, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++) {
        if (strcmp(word, *names) == 0)
            return true;
    }
    return false;
}

void pw_yaml_check_keys(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *what,
                        const char *const *known, const char *const *later)
{
    for (size_t i = 0; i < pw_yaml_pair_count(mapping); i++) {
        const char *key = key_text(yaml, mapping, i);
        int line = pw_yaml_line(pw_yaml_key(yaml, mapping, i));
        const char *near;

        if (is_one_of(key, known))
            continue;
        near = pw_nearest(key, known);
        if (is_one_of(key, later))
            pw_problem_error(yaml->problems, yaml->path, line,
                             "'%s' of %s is not supported by this version", key, what);
        else if (near != NULL)
            pw_problem_error(yaml->problems, yaml->path, line,
                             "unknown key '%s' in %s; did you mean '%s'?", key, what, near);
        else
            pw_problem_error(yaml->problems, yaml->path, line, "unknown key '%s' in %s", key, what);
    }
}

size_t pw_yaml_item_count(const yaml_node_t *node)
{
    if (node->type == YAML_SCALAR_NODE)
        return 1;
    if (node->type != YAML_SEQUENCE_NODE)
        return 0;
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

yaml_node_t *pw_yaml_item(struct pw_yaml *yaml, yaml_node_t *node, size_t index)
{
    if (node->type == YAML_SCALAR_NODE)
        return node;
    return yaml_document_get_node(&yaml->document, node->data.sequence.items.start[index]);
}

/* Reading and rendering templates. */
#include "alert/template.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/template_parts.h"

enum { MAX_TEXT_BYTES = 256 * 1024, MAX_PARTS = 20000, MAX_NAME_BYTES = 64 };

/* Reading ------------------------------------------------------------------------------------- */

static enum pw_status read_text(const char *path, char **out, struct pw_problems *problems)
{
    FILE *file = fopen(path, "re");
    enum pw_status status = PW_OK;
    struct pw_buffer text;
    char block[4096];
    size_t got;

    *out = NULL;
    pw_buffer_init(&text, MAX_TEXT_BYTES);
    if (file == NULL) {
        pw_problem_error(problems, path, 0, "cannot read it: %s", strerror(errno));
        return PW_OK;
    }
    while ((got = fread(block, 1, sizeof block, file)) > 0)
        (void)pw_buffer_append(&text, block, got);
    if (ferror(file) != 0)
        pw_problem_error(problems, path, 0, "cannot read it: %s", strerror(errno));
    else if (text.failed == PW_ELIMIT)
        pw_problem_error(problems, path, 0, "larger than %d KiB", (int)MAX_TEXT_BYTES / 1024);
    else if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        pw_problem_error(problems, path, 0, "it holds a NUL byte");
    else if (text.failed == PW_ENOMEM || (*out = pw_buffer_take(&text)) == NULL)
        status = PW_ENOMEM;
    pw_buffer_free(&text);
    (void)fclose(file);
    return status;
}

struct reader {
    const char *path;
    struct pw_problems *problems;
    struct pw_template *template;
    size_t room;
    int line;
    int loop_line; /* where the loop that is open began; 0 = none is */
};

static enum pw_status add_part(struct reader *reader, enum pw_template_part_kind kind,
                               struct pw_str text, size_t field)
{
    struct pw_template *template = reader->template;

    if (template->count == MAX_PARTS) {
        pw_problem_error(reader->problems, reader->path, reader->line,
                         "more than %d lines and placeholders", (int)MAX_PARTS);
        return PW_EFORMAT;
    }
    if (template->count == reader->room) {
        size_t room = reader->room > 0 ? 2 * reader->room : 64;
        struct pw_template_part *more = realloc(template->parts, room * sizeof *more);

        if (more == NULL)
            return PW_ENOMEM;
        template->parts = more;
        reader->room = room;
    }
    template->parts[template->count++] =
        (struct pw_template_part){.kind = kind, .line = reader->line, .text = text, .field = field};
    return PW_OK;
}

/* Text without placeholders, a part for each line. */
static enum pw_status add_text(struct reader *reader, const char *text, size_t len)
{
    enum pw_status status = PW_OK;

    while (len > 0 && status == PW_OK) {
        const char *newline = memchr(text, '\n', len);
        size_t n = newline != NULL ? (size_t)(newline + 1 - text) : len;

        status = add_part(reader, PW_PART_TEXT, (struct pw_str){text, n}, 0);
        reader->line += newline != NULL;
        text += n;
        len -= n;
    }
    return status;
}

static enum pw_status add_placeholder(struct reader *reader, const char *name)
{
    const char *near = NULL;
    bool in_loop = reader->loop_line != 0;
    size_t field;

    if (strcmp(name, "#events") == 0 && !in_loop) {
        reader->loop_line = reader->line;
        return add_part(reader, PW_PART_BEGIN, PW_STR_NULL, 0);
    }
    if (strcmp(name, "/events") == 0 && in_loop) {
        reader->loop_line = 0;
        return add_part(reader, PW_PART_END, PW_STR_NULL, 0);
    }
    if (strcmp(name, "count") == 0)
        return add_part(reader, PW_PART_COUNT, PW_STR_NULL, 0);
    if (strcmp(name, "comma") == 0 && in_loop)
        return add_part(reader, PW_PART_COMMA, PW_STR_NULL, 0);
    if (pw_template_field_of(name, &field, &near))
        return add_part(reader, PW_PART_FIELD, PW_STR_NULL, field);
    if (strcmp(name, "#events") == 0)
        pw_problem_error(reader->problems, reader->path, reader->line,
                         "{{#events}} within {{#events}}, which began on line %d",
                         reader->loop_line);
    else if (strcmp(name, "/events") == 0 || strcmp(name, "comma") == 0)
        pw_problem_error(reader->problems, reader->path, reader->line,
                         "{{%s}} without {{#events}} before it", name);
    else
        pw_problem_error(reader->problems, reader->path, reader->line,
                         "unknown placeholder {{%s}}%s%s%s", name,
                         near != NULL ? "; did you mean {{" : "", near != NULL ? near : "",
                         near != NULL ? "}}?" : "");
    return PW_OK;
}

static enum pw_status read_parts(struct reader *reader)
{
    const char *at = reader->template->text, *open;
    enum pw_status status = PW_OK;

    while (status == PW_OK && (open = strstr(at, "{{")) != NULL) {
        const char *name = open + 2, *close = strstr(name, "}}");
        size_t len = close != NULL ? (size_t)(close - name) : 0;
        char copy[MAX_NAME_BYTES];

        status = add_text(reader, at, (size_t)(open - at));
        if (status != PW_OK)
            return status;
        while (len > 0 && *name == ' ') {
            name++;
            len--;
        }
        while (len > 0 && name[len - 1] == ' ')
            len--;
        if (len == 0 || len >= sizeof copy || memchr(name, '\n', len) != NULL) {
            pw_problem_error(reader->problems, reader->path, reader->line,
                             "\"{{\" begins no placeholder; write {\\u007b where a text is to hold "
                             "it");
            return PW_OK;
        }
        memcpy(copy, name, len);
        copy[len] = '\0';
        status = add_placeholder(reader, copy);
        at = close + 2;
    }
    if (status == PW_OK)
        status = add_text(reader, at, strlen(at));
    if (status == PW_OK && reader->loop_line != 0)
        pw_problem_error(reader->problems, reader->path, reader->loop_line,
                         "{{#events}} is not ended by {{/events}}");
    return status;
}

enum pw_status pw_template_load(const char *path, struct pw_template **out,
                                struct pw_problems *problems)
{
    struct pw_template *template = calloc(1, sizeof *template);
    struct reader reader = {.path = path, .problems = problems, .template = template, .line = 1};
    size_t errors_before = problems->errors;
    enum pw_status status = PW_ENOMEM;
    char message[160];
    int line = 0;

    *out = NULL;
    if (template == NULL)
        return PW_ENOMEM;
    status = read_text(path, &template->text, problems);
    if (status == PW_OK && template->text != NULL)
        status = read_parts(&reader);
    if (status == PW_EFORMAT)
        status = PW_OK; /* said already */
    if (status == PW_OK && problems->errors == errors_before)
        status = pw_template_try(template, &line, message, sizeof message);
    if (status == PW_OK && line > 0)
        pw_problem_error(problems, path, line, "%s", message);
    if (status == PW_OK && problems->errors == errors_before)
        *out = template;
    else
        pw_template_free(template);
    return status;
}

void pw_template_free(struct pw_template *template)
{
    if (template == NULL)
        return;
    free(template->text);
    free(template->parts);
    free(template);
}

/* Rendering ----------------------------------------------------------------------------------- */

static void note(struct pw_template_trace *trace, size_t offset, int line)
{
    if (trace == NULL || trace->count == trace->max)
        return;
    trace->offsets[trace->count] = offset;
    trace->lines[trace->count++] = line;
}

enum pw_status pw_template_run(const struct pw_template *template, const struct pw_delivery *list,
                               struct pw_buffer *out, struct pw_template_trace *trace,
                               struct pw_error *err)
{
    struct pw_event_view view = {0};
    const struct pw_delivery *current = list;
    size_t loop_start = 0, event_count = 1;
    enum pw_status status = pw_event_view_open(&view, list, err);

    for (const struct pw_delivery *each = list->next; each != NULL; each = each->next)
        event_count++;
    for (size_t i = 0; i < template->count && status == PW_OK && out->failed == PW_OK; i++) {
        const struct pw_template_part *part = &template->parts[i];

        note(trace, out->len, part->line);
        switch (part->kind) {
        case PW_PART_TEXT:
            (void)pw_buffer_append_str(out, part->text);
            break;
        case PW_PART_FIELD:
            pw_template_field_write(&view, part->field, out);
            break;
        case PW_PART_COUNT:
            (void)pw_buffer_printf(out, "%zu", event_count);
            break;
        case PW_PART_COMMA:
            (void)pw_buffer_append_text(out, current != list ? "," : "");
            break;
        case PW_PART_BEGIN:
            loop_start = i;
            break;
        case PW_PART_END:
            current = current->next;
            if (current != NULL)
                i = loop_start; /* and on, past it */
            else
                current = list;
            status = pw_event_view_open(&view, current, err);
            break;
        }
    }
    pw_event_view_close(&view);
    return status;
}

enum pw_status pw_template_render(const struct pw_template *template,
                                  const struct pw_delivery *list, struct pw_buffer *out,
                                  struct pw_error *err)
{
    return pw_template_run(template, list, out, NULL, err);
}

/* What a template is made of. Internal to the template_*.c files. */
#ifndef PW_ALERT_TEMPLATE_PARTS_H
#define PW_ALERT_TEMPLATE_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "alert/event_view.h"
#include "alert/template.h"

enum pw_template_part_kind {
    PW_PART_TEXT,
    PW_PART_FIELD,
    PW_PART_COUNT,
    PW_PART_COMMA, /* between the events of a loop */
    PW_PART_BEGIN,
    PW_PART_END
};

struct pw_template_part {
    enum pw_template_part_kind kind;
    int line;
    struct pw_str text; /* within the template's own text, at most one line of it */
    size_t field;       /* PW_PART_FIELD: see pw_template_field_of */
};

struct pw_template {
    char *text;
    struct pw_template_part *parts;
    size_t count;
};

/* Which line of the template a byte of the body comes from. */
struct pw_template_trace {
    size_t *offsets; /* where each piece begins, ascending */
    int *lines;
    size_t count, max;
};

/* The number of the placeholder `name`; false where there is none, then *near is one that is like
 * it, or NULL. */
bool pw_template_field_of(const char *name, size_t *out, const char **near);
/* Appends its value: JSON of its own, or text as the inside of a JSON string. */
void pw_template_field_write(const struct pw_event_view *view, size_t field, struct pw_buffer *out);

/* As pw_template_render, with trace (may be NULL), which the caller made large enough; what does
 * not fit is left out. */
PW_MUST_CHECK enum pw_status pw_template_run(const struct pw_template *template,
                                             const struct pw_delivery *list, struct pw_buffer *out,
                                             struct pw_template_trace *trace, struct pw_error *err);

/* Tries the template out on samples; says in *line and message[] what is wrong, *line = 0 where all
 * is well. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_template_try(const struct pw_template *template, int *line,
                                             char *message, size_t size_bytes);

/* The offset of the first byte that cannot stand in a JSON document (RFC 8259), text.len where it
 * ends too early; SIZE_MAX where it is one. At most 64 levels deep. */
size_t pw_json_check(struct pw_str text);

#endif

/* Templates of a webhook's body: JSON with placeholders such as {{node.name}}. Read and tried out
 * on sample events when alerts.yaml is loaded; read-only from then on. */
#ifndef PW_ALERT_TEMPLATE_H
#define PW_ALERT_TEMPLATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/problems.h"
#include "store/outbox.h"

struct pw_template;

/* Reads the file at path. Unknown placeholders, a loop that is not closed, and a template that does
 * not give JSON for every sample event go to problems with the template's own path and line; *out
 * is then NULL. PW_ENOMEM, else PW_OK. The caller frees *out with pw_template_free. */
PW_MUST_CHECK enum pw_status pw_template_load(const char *path, struct pw_template **out,
                                              struct pw_problems *problems);
void pw_template_free(struct pw_template *template); /* NULL is fine */

/* Appends the body for the events of list. Outside of {{#events}}…{{/events}} placeholders speak of
 * the first. Failure of the buffer is its own. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_template_render(const struct pw_template *template,
                                                const struct pw_delivery *list,
                                                struct pw_buffer *out, struct pw_error *err);

#endif

/* The webhook hook: the bodies that it posts. Requests and outcomes are http_post.h's. */
#include "alert/hook_webhook.h"

#include <stdlib.h>

#include "alert/event_view.h"
#include "alert/http_post.h"
#include "base/json_writer.h"

/* Slack cuts texts off, and advises 4,000 characters; others that take its format have less
 * patience still. */
enum { SLACK_MAX_CHARACTERS = 3800, SLACK_LINE_MAX_BYTES = 8192 };

/* CloudEvents 1.0, structured mode; JSON batch format for more than one. */
static void write_cloudevents(const struct pw_delivery *list, struct pw_buffer *out)
{
    bool is_list = list->next != NULL;

    if (is_list)
        (void)pw_buffer_append_text(out, "[");
    for (const struct pw_delivery *each = list; each != NULL; each = each->next) {
        (void)pw_buffer_append_str(out, each->event_json);
        if (each->next != NULL)
            (void)pw_buffer_append_text(out, ",");
    }
    if (is_list)
        (void)pw_buffer_append_text(out, "]");
}

static size_t characters_of(struct pw_str text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

/* ":warning: `web-1` is non-compliant: 2 patches (2 high)  _prod, cn-north-4_" */
static void write_slack_line(const struct pw_event_view *view, struct pw_buffer *out)
{
    struct pw_str region = pw_event_view_text(view, "data.node.region");

    (void)pw_buffer_append_text(out, view->role == PW_VIEW_END    ? ":white_check_mark: "
                                     : view->role == PW_VIEW_NEWS ? ":information_source: "
                                                                  : ":warning: ");
    pw_event_view_summary(view, PW_VIEW_SLACK, out);
    if (view->delivery->node_key.data == NULL)
        return;
    (void)pw_buffer_append_text(out, " (source ");
    pw_event_view_quote(PW_VIEW_SLACK, pw_str_of(view->delivery->source_name), out);
    if (!pw_str_empty(region)) {
        (void)pw_buffer_append_text(out, ", region ");
        pw_event_view_quote(PW_VIEW_SLACK, region, out);
    }
    (void)pw_buffer_append_text(out, ")");
}

static enum pw_status write_slack(const struct pw_delivery *list, struct pw_buffer *out,
                                  struct pw_error *err)
{
    struct pw_event_view view = {0};
    struct pw_buffer text, line;
    struct pw_json json;
    enum pw_status status = PW_OK;
    size_t characters = 0, left = 0;

    pw_buffer_init(&text, (size_t)SLACK_MAX_CHARACTERS * 4 + 2 * SLACK_LINE_MAX_BYTES);
    pw_buffer_init(&line, SLACK_LINE_MAX_BYTES);
    for (const struct pw_delivery *each = list; each != NULL; each = each->next) {
        if (left > 0) {
            left++;
            continue;
        }
        status = pw_event_view_open(&view, each, err);
        if (status != PW_OK)
            goto out;
        pw_buffer_clear(&line);
        write_slack_line(&view, &line);
        if (line.failed == PW_ENOMEM) {
            status = pw_fail_nomem(err);
            goto out;
        }
        characters += characters_of(pw_buffer_str(&line)) + 1;
        if (each != list && characters > SLACK_MAX_CHARACTERS) {
            left = 1;
            continue;
        }
        (void)pw_buffer_append_text(&text, each != list ? "\n" : "");
        (void)pw_buffer_append_str(&text, pw_buffer_str(&line));
    }
    if (left > 0)
        (void)pw_buffer_printf(&text, "\n… and %zu more", left);
    pw_json_init(&json, out);
    pw_json_object_begin(&json);
    pw_json_key(&json, "text");
    pw_json_str(&json, pw_buffer_str(&text));
    pw_json_object_end(&json);
    status = text.failed != PW_OK ? pw_fail_nomem(err) : PW_OK;
out:
    pw_event_view_close(&view);
    pw_buffer_free(&text);
    pw_buffer_free(&line);
    return status;
}

static enum pw_status webhook_start(const struct pw_hook_tools *tools,
                                    const struct pw_hook_config *hook,
                                    const struct pw_delivery *list, pw_hook_done done,
                                    void *context, struct pw_hook_run **out, struct pw_error *err)
{
    const struct pw_webhook_config *config = hook->webhook;
    struct pw_http_post post = {.hook = hook,
                                .link = &config->link,
                                .content_type = "application/json",
                                .is_list = list->next != NULL};
    enum pw_status status = PW_OK;

    *out = NULL;
    pw_buffer_init(&post.body, PW_HTTP_POST_MAX_BYTES);
    switch (config->format) {
    case PW_WEBHOOK_CLOUDEVENTS:
        post.content_type =
            post.is_list ? "application/cloudevents-batch+json" : "application/cloudevents+json";
        write_cloudevents(list, &post.body);
        break;
    case PW_WEBHOOK_SLACK:
        status = write_slack(list, &post.body, err);
        break;
    case PW_WEBHOOK_TEMPLATE:
        status = pw_template_render(config->template, list, &post.body, err);
        break;
    }
    if (status == PW_OK && config->keys.count > 0) {
        post.keys = &config->keys;
        status = pw_signature_id(list, post.id, err);
    }
    if (status != PW_OK) {
        pw_buffer_free(&post.body);
        return status;
    }
    return pw_http_post_start(tools, &post, done, context, out, err);
}

const struct pw_hook_kind pw_hook_webhook = {.start = webhook_start, .stop = pw_http_post_stop};

/* The alertmanager hook: POST /api/v2/alerts (the OpenAPI document of Alertmanager, v2,
 * postAlerts).
 *
 * An alert is what its labels say: the same labels are the same alert, so labels hold nothing that
 * changes while a problem stands. A problem fires, its end resolves, with the same labels. */
#include "alert/hook_alertmanager.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/event_view.h"
#include "alert/http_post.h"
#include "base/json_writer.h"
#include "compliance/report.h"

enum { SUMMARY_MAX_BYTES = 8192, RESENDS_AHEAD = 10 };
/* An alert that we do not send again ends then by itself. A reboot of this machine must not look
 * like a recovery. */
#define MIN_AHEAD_MS (INT64_C(3600) * PW_SECOND_MS)

const char *const pw_alertmanager_node_labels[] = {
    "region", "group", "name", "operating_system", "enterprise_project_id", "ip", NULL};

static const char *alert_name(enum pw_view_matter matter)
{
    switch (matter) {
    case PW_VIEW_STATUS:
        break;
    case PW_VIEW_PRESENCE:
        return "PatchNodeMissing";
    case PW_VIEW_SOURCE:
        return "PatchSourceFailing";
    case PW_VIEW_FLEET:
        return "PatchFleetShift";
    }
    return "PatchNonCompliant";
}

/* An empty label is as none (Prometheus' data model), and none is what is sent. */
static void write_pair(struct pw_json *json, const char *name, struct pw_str value)
{
    if (pw_str_empty(value))
        return;
    pw_json_key(json, name);
    pw_json_str(json, value);
}

static void write_labels(struct pw_json *json, const struct pw_alertmanager_config *config,
                         const struct pw_event_view *view)
{
    const struct pw_delivery *delivery = view->delivery;
    char path[64];

    pw_json_key(json, "labels");
    pw_json_object_begin(json);
    write_pair(json, "alertname", pw_str_of(alert_name(view->matter)));
    write_pair(json, "source", pw_str_of(delivery->source_name));
    write_pair(json, "node_key", delivery->node_key);
    write_pair(json, "scene", pw_event_view_text(view, "data.node.report_scene"));
    for (size_t i = 0; pw_alertmanager_node_labels[i] != NULL; i++) {
        if ((config->node_labels & 1U << i) == 0)
            continue;
        (void)snprintf(path, sizeof path, "data.node.%s", pw_alertmanager_node_labels[i]);
        write_pair(json, pw_alertmanager_node_labels[i], pw_event_view_text(view, path));
    }
    for (char **label = config->labels; label != NULL && *label != NULL; label += 2)
        write_pair(json, label[0], pw_str_of(label[1]));
    pw_json_object_end(json);
}

static void write_counts(struct pw_json *json, const struct pw_event_view *view)
{
    char path[64], number[24];
    int64_t count;

    for (int i = -1; i < PW_SEVERITY_COUNT; i++) {
        const char *name = i < 0 ? "count" : pw_severity_name((enum pw_severity)i);

        (void)snprintf(path, sizeof path, "data.report.non_compliant.%s", name);
        if (!pw_event_view_number(view, path, &count))
            continue;
        (void)snprintf(path, sizeof path, "patches_%s", i < 0 ? "non_compliant" : name);
        (void)snprintf(number, sizeof number, "%" PRId64, count);
        write_pair(json, path, pw_str_of(number));
    }
}

static void write_annotations(struct pw_json *json, const struct pw_event_view *view,
                              struct pw_str summary)
{
    static const struct {
        const char *name, *path;
    } texts[] = {
        {"event_id", "id"},
        {"event_type", "type"},
        {"name", "data.node.name"},
        {"ip", "data.node.ip"},
        {"region", "data.node.region"},
        {"group", "data.node.group"},
        {"operating_system", "data.node.operating_system"},
        {"status", "data.to"},
        {"cause", "data.cause"},
        {"baseline", "data.report.baseline_name"},
        {"time", "time"},
        {"reason", "data.failure.reason"},
    };

    pw_json_key(json, "annotations");
    pw_json_object_begin(json);
    write_pair(json, "summary", summary);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        write_pair(json, texts[i].name, pw_event_view_text(view, texts[i].path));
    write_counts(json, view);
    write_pair(json, "rule", pw_str_of(view->delivery->rule));
    pw_json_object_end(json);
}

static int64_t resend_ms(const struct pw_hook_config *hook)
{
    return hook->alertmanager->resend_ms;
}

/* Alertmanager refuses an alert that ends before it starts, and a later end in the future cannot be
 * taken back but by an end in the past: so nothing starts in the future, whatever the report says,
 * and what is over ended when the report says so. */
static void write_times(struct pw_json *json, const struct pw_alertmanager_config *config,
                        const struct pw_event_view *view, int64_t now_ms)
{
    int64_t starts_ms = pw_event_view_time_ms(view), ends_ms, ahead_ms;
    char text[PW_ISO8601_SIZE];

    if (starts_ms == PW_TIME_NONE || starts_ms > now_ms || starts_ms < 0)
        starts_ms = now_ms;
    ahead_ms = config->resend_ms * RESENDS_AHEAD;
    ends_ms = view->role == PW_VIEW_END
                  ? starts_ms
                  : now_ms + (ahead_ms > MIN_AHEAD_MS ? ahead_ms : MIN_AHEAD_MS);
    pw_json_key(json, "startsAt");
    pw_json_text(json, pw_iso8601(text, starts_ms));
    pw_json_key(json, "endsAt");
    pw_json_text(json, pw_iso8601(text, ends_ms));
}

/* Whether Alertmanager is told at all: what neither stands nor ends is no alert. fleet.shift is one
 * that ends by itself. */
static bool is_alert(const struct pw_event_view *view)
{
    return view->role != PW_VIEW_NEWS || view->matter == PW_VIEW_FLEET;
}

static enum pw_status write_alerts(const struct pw_alertmanager_config *config,
                                   const struct pw_delivery *list, int64_t now_ms,
                                   struct pw_http_post *post, struct pw_error *err)
{
    struct pw_event_view view = {0};
    struct pw_buffer summary;
    struct pw_json json;
    enum pw_status status = PW_OK;

    post->is_empty = true;
    pw_buffer_init(&summary, SUMMARY_MAX_BYTES);
    pw_json_init(&json, &post->body);
    pw_json_array_begin(&json);
    for (; list != NULL && status == PW_OK; list = list->next) {
        status = pw_event_view_open(&view, list, err);
        if (status != PW_OK || !is_alert(&view))
            continue;
        pw_buffer_clear(&summary);
        pw_event_view_summary(&view, PW_VIEW_PLAIN, &summary);
        if (summary.failed == PW_ENOMEM)
            status = pw_fail_nomem(err);
        post->is_empty = false;
        pw_json_object_begin(&json);
        write_labels(&json, config, &view);
        write_annotations(&json, &view, pw_buffer_str(&summary));
        write_times(&json, config, &view, now_ms);
        pw_json_object_end(&json);
    }
    pw_json_array_end(&json);
    pw_event_view_close(&view);
    pw_buffer_free(&summary);
    return status;
}

static enum pw_status alertmanager_start(const struct pw_hook_tools *tools,
                                         const struct pw_hook_config *hook,
                                         const struct pw_delivery *list, pw_hook_done done,
                                         void *context, struct pw_hook_run **out,
                                         struct pw_error *err)
{
    struct pw_http_post post = {.hook = hook,
                                .link = &hook->alertmanager->link,
                                .content_type = "application/json",
                                .is_list = list->next != NULL};
    enum pw_status status;

    *out = NULL;
    pw_buffer_init(&post.body, PW_HTTP_POST_MAX_BYTES);
    status = write_alerts(hook->alertmanager, list, pw_clock_wall_ms(tools->clock), &post, err);
    if (status != PW_OK) {
        pw_buffer_free(&post.body);
        return status;
    }
    return pw_http_post_start(tools, &post, done, context, out, err);
}

const struct pw_hook_kind pw_hook_alertmanager = {
    .start = alertmanager_start, .stop = pw_http_post_stop, .resend_ms = resend_ms};

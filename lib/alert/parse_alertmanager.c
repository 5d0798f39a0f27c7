/* The keys of an alertmanager hook. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/hook_alertmanager.h"
#include "alert/parse.h"
#include "base/nearest.h"

enum { MAX_LABELS = 32, MAX_URL_BYTES = 4200 };
#define DEFAULT_RESEND_MS (INT64_C(60) * PW_SECOND_MS)
#define MIN_RESEND_MS (INT64_C(10) * PW_SECOND_MS)
#define MAX_RESEND_MS (INT64_C(3600) * PW_SECOND_MS)
#define API_PATH "/api/v2/alerts"

/* Each of urls is where Alertmanager is, its --web.external-url or --web.route-prefix included. */
static enum pw_status parse_urls(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                 const struct pw_hook_config *hook)
{
    yaml_node_t *urls = pw_yaml_get(yaml, mapping, "urls");
    enum pw_status status = PW_OK;
    size_t count = urls != NULL ? pw_yaml_item_count(urls) : 0;

    if (count == 0)
        pw_problem_error(yaml->problems, yaml->path, hook->line,
                         "hook '%s' has no urls, such as [http://127.0.0.1:9093]", hook->name);
    for (size_t i = 0; i < count && status == PW_OK; i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, urls, i);
        const char *text = pw_yaml_text(yaml, item, "a url");
        size_t len = text != NULL ? strlen(text) : 0;
        char whole[MAX_URL_BYTES];

        if (text == NULL)
            continue;
        while (len > 0 && text[len - 1] == '/')
            len--;
        if (memchr(text, '?', len) != NULL || len > sizeof whole - sizeof API_PATH) {
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                             "a query must not stand in a url of Alertmanager, nor may it be very "
                             "long");
            continue;
        }
        (void)snprintf(whole, sizeof whole, "%.*s" API_PATH, (int)len, text);
        status = pw_http_link_add_url(&hook->alertmanager->link, yaml, pw_yaml_line(item),
                                      pw_str_of(whole), false);
    }
    return status;
}

/* A label's name in Prometheus' data model. */
static bool is_label_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

    return name[0] != '\0' && !(name[0] >= '0' && name[0] <= '9') &&
           name[strspn(name, letters)] == '\0' && strncmp(name, "__", 2) != 0;
}

static bool is_our_label(const char *name)
{
    static const char *const ours[] = {"alertname", "source", "node_key", "scene", NULL};

    for (size_t i = 0; ours[i] != NULL; i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    for (size_t i = 0; pw_alertmanager_node_labels[i] != NULL; i++) {
        if (strcmp(name, pw_alertmanager_node_labels[i]) == 0)
            return true;
    }
    return false;
}

static enum pw_status parse_labels(struct pw_yaml *yaml, const yaml_node_t *node,
                                   struct pw_alertmanager_config *config)
{
    size_t count, used = 0;

    if (!pw_yaml_check_mapping(yaml, node, "labels"))
        return PW_OK;
    count = pw_yaml_pair_count(node);
    if (count > MAX_LABELS) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "more than %d labels",
                         (int)MAX_LABELS);
        return PW_OK;
    }
    config->labels = calloc(2 * count + 1, sizeof *config->labels);
    if (config->labels == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *key = pw_yaml_key(yaml, node, i);
        const char *name = (const char *)key->data.scalar.value;
        const char *value = pw_yaml_text(yaml, pw_yaml_value(yaml, node, i), "a label's value");

        if (!is_label_name(name))
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "'%.80s' is no name of a label: letters, digits and '_', no digit "
                             "first, not \"__\" first",
                             name);
        else if (is_our_label(name))
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "the label '%s' is set by patchwatch", name);
        else if (value != NULL && value[0] == '\0')
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(key),
                             "the label '%s' is empty", name);
        if (value == NULL)
            continue;
        config->labels[used] = pw_str_dup(pw_str_of(name));
        if (config->labels[used++] == NULL)
            return PW_ENOMEM;
        config->labels[used] = pw_str_dup(pw_str_of(value));
        if (config->labels[used++] == NULL)
            return PW_ENOMEM;
    }
    return PW_OK;
}

static void parse_node_labels(struct pw_yaml *yaml, yaml_node_t *node,
                              struct pw_alertmanager_config *config)
{
    config->node_labels = 0;
    for (size_t i = 0; i < pw_yaml_item_count(node); i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *text = pw_yaml_text(yaml, item, "a label of node_labels");
        bool known = text == NULL;

        for (size_t j = 0; text != NULL && pw_alertmanager_node_labels[j] != NULL; j++) {
            if (strcmp(text, pw_alertmanager_node_labels[j]) != 0)
                continue;
            config->node_labels |= 1U << j;
            known = true;
        }
        if (!known) {
            const char *near = pw_nearest(text, pw_alertmanager_node_labels);

            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                             "unknown label '%s' in node_labels%s%s%s", text,
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                             near != NULL ? "'?" : "");
        }
    }
}

static enum pw_status parse_alertmanager(struct pw_yaml *yaml, yaml_node_t *mapping,
                                         struct pw_hook_config *hook)
{
    yaml_node_t *labels = pw_yaml_get(yaml, mapping, "labels");
    yaml_node_t *node_labels = pw_yaml_get(yaml, mapping, "node_labels");
    struct pw_alertmanager_config *config = calloc(1, sizeof *config);
    enum pw_status status;

    hook->alertmanager = config;
    if (config == NULL)
        return PW_ENOMEM;
    config->resend_ms = DEFAULT_RESEND_MS;
    config->node_labels = 1; /* region */
    pw_parse_hook_duration(yaml, mapping, "resend", MIN_RESEND_MS, MAX_RESEND_MS,
                           &config->resend_ms);
    if (node_labels != NULL)
        parse_node_labels(yaml, node_labels, config);
    status = parse_urls(yaml, mapping, hook);
    if (status == PW_OK && labels != NULL)
        status = parse_labels(yaml, labels, config);
    if (status == PW_OK)
        status = pw_http_link_parse(&config->link, yaml, mapping, hook, false);
    if (status == PW_OK)
        pw_http_link_hash(&config->link, hook->target);
    return status;
}

static void free_alertmanager(struct pw_hook_config *hook)
{
    struct pw_alertmanager_config *config = hook->alertmanager;

    if (config == NULL)
        return;
    for (size_t i = 0; config->labels != NULL && config->labels[i] != NULL; i++)
        free(config->labels[i]);
    free(config->labels);
    pw_http_link_free(&config->link);
    free(config);
}

static const char *const alertmanager_keys[] = {"urls",   "labels",          "node_labels",
                                                "resend", PW_HTTP_LINK_KEYS, NULL};
const struct pw_hook_parser pw_parser_alertmanager = {.name = "alertmanager",
                                                      .type = PW_HOOK_ALERTMANAGER,
                                                      .keys = alertmanager_keys,
                                                      .parse = parse_alertmanager,
                                                      .free = free_alertmanager};

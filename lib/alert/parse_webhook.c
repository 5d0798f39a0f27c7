/* The keys of a webhook hook. */
#include <stdlib.h>
#include <string.h>

#include "alert/hook_webhook.h"
#include "alert/parse.h"

static enum pw_status parse_url(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                const struct pw_hook_config *hook)
{
    yaml_node_t *url = pw_yaml_get(yaml, mapping, "url");
    yaml_node_t *file = pw_yaml_get(yaml, mapping, "url_file");
    struct pw_secret text = {0};
    enum pw_status status;
    bool is_there;

    if ((url == NULL) == (file == NULL)) {
        pw_problem_error(yaml->problems, yaml->path, hook->line,
                         "hook '%s' must have either a url or a url_file", hook->name);
        return PW_OK;
    }
    if (url != NULL) {
        const char *plain = pw_yaml_text(yaml, url, "url");

        return plain == NULL ? PW_OK
                             : pw_http_link_add_url(&hook->webhook->link, yaml, pw_yaml_line(url),
                                                    pw_str_of(plain), false);
    }
    status = pw_http_link_read_secret(yaml, file, "url_file", false, &text, &is_there);
    if (status == PW_OK && is_there)
        status = pw_http_link_add_url(&hook->webhook->link, yaml, pw_yaml_line(file),
                                      pw_secret_str(&text), true);
    pw_secret_clear(&text);
    return status;
}

static enum pw_status parse_keys(struct pw_yaml *yaml, yaml_node_t *node,
                                 struct pw_webhook_config *config)
{
    struct pw_secret lines = {0};
    struct pw_error err = {PW_OK, ""};
    enum pw_status status;
    bool is_there;

    status = pw_http_link_read_secret(yaml, node, "secret_file", true, &lines, &is_there);
    if (status == PW_OK && is_there)
        status = pw_signature_keys_parse(&config->keys, &lines, &err);
    pw_secret_clear(&lines);
    if (status != PW_EFORMAT)
        return status;
    pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "secret_file: %s",
                     err.message);
    return PW_OK;
}

static enum pw_status parse_format(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                   struct pw_webhook_config *config)
{
    yaml_node_t *format = pw_yaml_get(yaml, mapping, "format");
    yaml_node_t *template = pw_yaml_get(yaml, mapping, "template");
    const char *text = format != NULL ? pw_yaml_text(yaml, format, "format") : NULL;
    enum pw_status status;
    char *path = NULL;

    if (format != NULL && template != NULL)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(format),
                         "format and template exclude each other");
    if (text != NULL && strcmp(text, "slack") == 0)
        config->format = PW_WEBHOOK_SLACK;
    else if (text != NULL && strcmp(text, "cloudevents") != 0)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(format),
                         "unknown format '%s': cloudevents or slack", text);
    if (template == NULL)
        return PW_OK;
    config->format = PW_WEBHOOK_TEMPLATE;
    status = pw_http_link_read_path(yaml, template, "template", &path);
    if (status == PW_OK && path != NULL)
        status = pw_template_load(path, &config->template, yaml->problems);
    free(path);
    return status;
}

static enum pw_status parse_webhook(struct pw_yaml *yaml, yaml_node_t *mapping,
                                    struct pw_hook_config *hook)
{
    yaml_node_t *secret = pw_yaml_get(yaml, mapping, "secret_file");
    struct pw_webhook_config *config = calloc(1, sizeof *config);
    enum pw_status status;

    hook->webhook = config;
    if (config == NULL)
        return PW_ENOMEM;
    status = parse_url(yaml, mapping, hook);
    if (status == PW_OK)
        status = parse_format(yaml, mapping, config);
    if (status == PW_OK && secret != NULL)
        status = parse_keys(yaml, secret, config);
    if (status == PW_OK)
        status = pw_http_link_parse(&config->link, yaml, mapping, hook, secret != NULL);
    if (status == PW_OK)
        pw_http_link_hash(&config->link, hook->target);
    return status;
}

static void free_webhook(struct pw_hook_config *hook)
{
    if (hook->webhook == NULL)
        return;
    pw_http_link_free(&hook->webhook->link);
    pw_signature_keys_clear(&hook->webhook->keys);
    pw_template_free(hook->webhook->template);
    free(hook->webhook);
}

static const char *const webhook_keys[] = {"url",         "url_file",        "format", "template",
                                           "secret_file", PW_HTTP_LINK_KEYS, NULL};
const struct pw_hook_parser pw_parser_webhook = {.name = "webhook",
                                                 .type = PW_HOOK_WEBHOOK,
                                                 .keys = webhook_keys,
                                                 .parse = parse_webhook,
                                                 .free = free_webhook};

/* The keys of an email hook. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alert/hook_email.h"
#include "alert/parse.h"
#include "base/text.h"
#include "config/secret.h"
#include "config/url.h"

#define DEFAULT_TIMEOUT_MS (INT64_C(120) * PW_SECOND_MS)
#define DEFAULT_PREFIX "[patchwatch]"
#define HELO_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"
enum { MAX_PREFIX_BYTES = 100, MAX_HELO_BYTES = 255, MAX_USER_BYTES = 255 };

static const char *text_of(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                           int *line)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);

    if (node == NULL)
        return NULL;
    *line = pw_yaml_line(node);
    return pw_yaml_text(yaml, node, key);
}

/* The server ---------------------------------------------------------------------------------- */

static bool is_loopback(const char *server)
{
    const char *host = strstr(server, "://") + 3;
    char copy[64];
    struct in_addr ip;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

    if (len >= sizeof copy)
        return false;
    memcpy(copy, host, len);
    copy[len] = '\0';
    if (strcasecmp(copy, "localhost") == 0 || strcmp(copy, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, copy, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

/* smtp[s]://HOST[:PORT]: what config/url.h takes, but for the scheme and without a path. */
static enum pw_status check_server(const char *text, char **out, struct pw_error *err)
{
    bool is_tls = strncasecmp(text, "smtps://", 8) == 0;
    const char *rest = text + (is_tls ? 8 : 7);
    struct pw_buffer url;
    char *origin = NULL;
    enum pw_status status;

    *out = NULL;
    if (!is_tls && strncasecmp(text, "smtp://", 7) != 0)
        return pw_fail(err, PW_EINVAL, "it must begin with smtps:// or smtp://");
    if (strchr(rest, '/') != NULL)
        return pw_fail(err, PW_EINVAL, "nothing may follow HOST[:PORT]");
    if (strchr(rest, '@') != NULL)
        return pw_fail(err, PW_EINVAL,
                       "a user or password must not stand in it: there are the keys user and "
                       "password_file");
    pw_buffer_init(&url, 4096);
    (void)pw_buffer_printf(&url, "https://%s", rest);
    if (url.failed != PW_OK) {
        status = pw_fail(err, url.failed, "it is too long");
        goto out;
    }
    status = pw_url_parse(url.data, &origin, err);
    if (status != PW_OK)
        goto out;
    pw_buffer_clear(&url);
    (void)pw_buffer_printf(&url, "%s://%s", is_tls ? "smtps" : "smtp", rest);
    *out = pw_buffer_take(&url);
    if (*out == NULL)
        status = pw_fail_nomem(err);
out:
    free(origin);
    pw_buffer_free(&url);
    return status;
}

static enum pw_status parse_server(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                   const struct pw_hook_config *hook)
{
    int line = hook->line;
    const char *text = text_of(yaml, mapping, "smtp", &line);
    struct pw_error err;
    enum pw_status status;

    if (text == NULL) {
        if (pw_yaml_get(yaml, mapping, "smtp") == NULL)
            pw_problem_error(yaml->problems, yaml->path, line,
                             "hook '%s' has no smtp, such as smtps://mail.example", hook->name);
        return PW_OK;
    }
    status = check_server(text, &hook->email->server, &err);
    if (status == PW_ENOMEM)
        return status;
    if (status != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, line, "smtp: %s", err.message);
    return PW_OK;
}

static void parse_starttls(struct pw_yaml *yaml, const yaml_node_t *mapping,
                           struct pw_email_config *email)
{
    bool is_tls = email->server != NULL && strncmp(email->server, "smtps:", 6) == 0;
    int line = 0;
    const char *text = text_of(yaml, mapping, "starttls", &line);

    email->starttls = email->server != NULL && !is_tls && !is_loopback(email->server);
    if (text == NULL || email->server == NULL)
        return;
    if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0) {
        if (is_tls)
            pw_problem_error(yaml->problems, yaml->path, line,
                             "starttls goes with smtp://; smtps:// is encrypted from the start");
        email->starttls = true;
    } else if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0) {
        if (email->starttls)
            pw_problem_warning(yaml->problems, yaml->path, line,
                               "with 'starttls: no' mail goes to %s unencrypted", email->server);
        email->starttls = false;
    } else {
        pw_problem_error(yaml->problems, yaml->path, line, "starttls must be yes or no, not '%s'",
                         text);
    }
}

/* The URL with the name that we give. */
static enum pw_status parse_helo(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                 struct pw_email_config *email)
{
    int line = 0;
    const char *text = text_of(yaml, mapping, "helo", &line);
    struct pw_buffer url;

    if (text != NULL && (text[0] == '\0' || strlen(text) > MAX_HELO_BYTES ||
                         text[strspn(text, HELO_CHARS)] != '\0')) {
        pw_problem_error(yaml->problems, yaml->path, line, "helo '%s' is no host name", text);
        return PW_OK;
    }
    if (email->server == NULL)
        return PW_OK;
    pw_buffer_init(&url, 8192);
    (void)pw_buffer_printf(&url, "%s%s%s", email->server, text != NULL ? "/" : "",
                           text != NULL ? text : "");
    email->url = pw_buffer_take(&url);
    return email->url != NULL ? PW_OK : PW_ENOMEM;
}

/* Files and login ----------------------------------------------------------------------------- */

static enum pw_status parse_password(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                     struct pw_email_config *email)
{
    int line = 0;
    const char *name = text_of(yaml, mapping, "password_file", &line);
    struct pw_error err;
    enum pw_status status;
    char *path = NULL;

    if (name == NULL)
        return PW_OK;
    status = pw_path_secret(yaml->path, name, &path, &err);
    if (status == PW_OK)
        status = pw_secret_read(&email->password, path, &err);
    free(path);
    if (status == PW_ENOMEM)
        return status;
    if (status != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, line, "password_file: %s", err.message);
    return PW_OK;
}

static enum pw_status parse_login(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                  const struct pw_hook_config *hook)
{
    struct pw_email_config *email = hook->email;
    bool has_password = pw_yaml_get(yaml, mapping, "password_file") != NULL;
    int line = hook->line;
    const char *user = text_of(yaml, mapping, "user", &line);

    if (user == NULL) {
        if (has_password)
            pw_problem_error(yaml->problems, yaml->path, line,
                             "hook '%s' has a password_file and no user", hook->name);
        return PW_OK;
    }
    email->user = pw_str_dup(pw_str_of(user));
    if (email->user == NULL)
        return PW_ENOMEM;
    if (user[0] == '\0' || strlen(user) > MAX_USER_BYTES)
        pw_problem_error(yaml->problems, yaml->path, line, "user must be 1 to %d bytes long",
                         (int)MAX_USER_BYTES);
    if (!has_password)
        pw_problem_error(yaml->problems, yaml->path, line,
                         "hook '%s' has a user and no password_file", hook->name);
    if (email->server != NULL && strncmp(email->server, "smtp:", 5) == 0 && !email->starttls &&
        !is_loopback(email->server))
        pw_problem_error(yaml->problems, yaml->path, line,
                         "hook '%s' would show its password on the way to %s: remove 'starttls: "
                         "no', or use smtps://",
                         hook->name, email->server);
    return parse_password(yaml, mapping, email);
}

static enum pw_status parse_ca_file(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                    struct pw_email_config *email)
{
    int line = 0;
    const char *name = text_of(yaml, mapping, "ca_file", &line);
    struct pw_error err;
    enum pw_status status;

    if (name == NULL)
        return PW_OK;
    status = pw_path_existing(yaml->path, name, &email->ca_file, &err);
    if (status == PW_ENOMEM)
        return status;
    if (status != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, line, "ca_file: %s", err.message);
    else if (email->server != NULL && strncmp(email->server, "smtp:", 5) == 0 && !email->starttls)
        pw_problem_warning(yaml->problems, yaml->path, line,
                           "ca_file has no use without smtps:// or 'starttls: yes'");
    return PW_OK;
}

/* Who, to whom -------------------------------------------------------------------------------- */

static void parse_address(struct pw_yaml *yaml, const yaml_node_t *node, const char *key,
                          struct pw_mail_address *out)
{
    const char *text = pw_yaml_text(yaml, node, key);
    struct pw_error err;

    if (text != NULL && pw_mail_address_parse(text, out, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
}

static void parse_from(struct pw_yaml *yaml, const yaml_node_t *mapping,
                       const struct pw_hook_config *hook)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "from");

    if (node == NULL)
        pw_problem_error(yaml->problems, yaml->path, hook->line, "hook '%s' has no from",
                         hook->name);
    else
        parse_address(yaml, node, "from", &hook->email->from);
}

/* Appends the addresses of a list; the same one twice would be sent the message twice. */
static void parse_list(struct pw_yaml *yaml, yaml_node_t *node, const char *key,
                       struct pw_email_config *email)
{
    size_t count = pw_yaml_item_count(node);

    if (count == 0)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s names nobody", key);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        struct pw_mail_address *address = &email->recipients[email->recipient_count];

        if (email->recipient_count == PW_MAIL_MAX_RECIPIENTS) {
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                             "more than %d recipients", (int)PW_MAIL_MAX_RECIPIENTS);
            return;
        }
        parse_address(yaml, item, key, address);
        for (size_t j = 0; j < email->recipient_count; j++) {
            if (address->address[0] != '\0' &&
                strcasecmp(email->recipients[j].address, address->address) == 0)
                pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                                 "%s: '%s' is named twice", key, address->address);
        }
        email->recipient_count++;
    }
}

static enum pw_status parse_recipients(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                       const struct pw_hook_config *hook)
{
    struct pw_email_config *email = hook->email;
    yaml_node_t *to = pw_yaml_get(yaml, mapping, "to"), *cc = pw_yaml_get(yaml, mapping, "cc");

    email->recipients = calloc(PW_MAIL_MAX_RECIPIENTS, sizeof *email->recipients);
    if (email->recipients == NULL)
        return PW_ENOMEM;
    if (to == NULL)
        pw_problem_error(yaml->problems, yaml->path, hook->line, "hook '%s' has no to", hook->name);
    else
        parse_list(yaml, to, "to", email);
    email->to_count = email->recipient_count;
    if (cc != NULL)
        parse_list(yaml, cc, "cc", email);
    return PW_OK;
}

static enum pw_status parse_prefix(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                   struct pw_email_config *email)
{
    int line = 0;
    const char *text = text_of(yaml, mapping, "subject_prefix", &line);
    bool is_bad = text != NULL && strlen(text) > MAX_PREFIX_BYTES;

    for (const char *c = text; c != NULL && *c != '\0'; c++)
        is_bad = is_bad || (unsigned char)*c < 0x20 || *c == 0x7F;
    if (is_bad)
        pw_problem_error(yaml->problems, yaml->path, line,
                         "subject_prefix must be at most %d bytes without control characters",
                         (int)MAX_PREFIX_BYTES);
    email->subject_prefix = pw_str_dup(pw_str_of(text != NULL ? text : DEFAULT_PREFIX));
    return email->subject_prefix != NULL ? PW_OK : PW_ENOMEM;
}

static enum pw_status parse_email(struct pw_yaml *yaml, yaml_node_t *mapping,
                                  struct pw_hook_config *hook)
{
    struct pw_email_config *email = calloc(1, sizeof *email);
    enum pw_status status;

    hook->email = email;
    if (email == NULL)
        return PW_ENOMEM;
    email->memory = calloc(1, sizeof *email->memory);
    if (email->memory == NULL)
        return PW_ENOMEM;
    if (pw_yaml_get(yaml, mapping, "timeout") == NULL)
        hook->timeout_ms = DEFAULT_TIMEOUT_MS; /* servers look at mail before they take it */
    status = parse_server(yaml, mapping, hook);
    parse_starttls(yaml, mapping, email);
    parse_from(yaml, mapping, hook);
    if (status == PW_OK)
        status = parse_helo(yaml, mapping, email);
    if (status == PW_OK)
        status = parse_login(yaml, mapping, hook);
    if (status == PW_OK)
        status = parse_ca_file(yaml, mapping, email);
    if (status == PW_OK)
        status = parse_recipients(yaml, mapping, hook);
    if (status == PW_OK)
        status = parse_prefix(yaml, mapping, email);
    return status;
}

static void free_email(struct pw_hook_config *hook)
{
    struct pw_email_config *email = hook->email;

    if (email == NULL)
        return;
    free(email->url);
    free(email->server);
    free(email->ca_file);
    free(email->user);
    pw_secret_clear(&email->password);
    free(email->recipients);
    free(email->subject_prefix);
    free(email->memory);
    free(email);
    hook->email = NULL;
}

static const char *const email_keys[] = {"smtp", "from",           "to",       "cc",
                                         "user", "password_file",  "starttls", "ca_file",
                                         "helo", "subject_prefix", NULL};
const struct pw_hook_parser pw_parser_email = {.name = "email",
                                               .type = PW_HOOK_EMAIL,
                                               .keys = email_keys,
                                               .parse = parse_email,
                                               .free = free_email};

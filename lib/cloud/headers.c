/* The headers of one attempt, in memory for secrets, since they hold tokens. */
#include <stdio.h>
#include <string.h>

#include "cloud/credentials_state.h"
#include "cloud/sign.h"

enum { HOST_MAX_BYTES = 1024, AUTHORIZATION_MAX_BYTES = 2048 };

/* Headers as "Name: value" lines, each with its NUL, one behind the other in one buffer. */
struct lines {
    struct pw_credentials *credentials;
    struct pw_buffer text;
    size_t starts[PW_CREDENTIALS_MAX_LINES];
    size_t count;
};

/* What the configuration says, else the SDK's places. */
static struct pw_str domain_id(const struct pw_credentials *credentials)
{
    return credentials->source->domain_id != NULL ? pw_str_of(credentials->source->domain_id)
                                                  : pw_secret_str(&credentials->keys.domain_id);
}

static struct pw_str project_id(const struct pw_credentials *credentials)
{
    return credentials->source->project_id != NULL ? pw_str_of(credentials->source->project_id)
                                                   : pw_secret_str(&credentials->keys.project_id);
}

/* A request that waits for another attempt must not show what was refused meanwhile. A token that
 * is being replaced is let be: no number of them locks anything, and the page need not be lost. */
static bool may_be_shown(const struct pw_credentials *credentials)
{
    if (!credentials->is_cleared)
        return false;
    if (credentials->keys.token.len > 0 && credentials->is_refused && credentials->refusal_helps)
        return true;
    return !pw_guard_is_barred(&credentials->shown);
}

static void add_line(struct lines *lines, const char *name, struct pw_str value)
{
    lines->starts[lines->count++] = lines->text.len;
    (void)pw_buffer_append_text(&lines->text, name);
    (void)pw_buffer_append_text(&lines->text, ": ");
    (void)pw_buffer_append_str(&lines->text, value);
    (void)pw_buffer_append(&lines->text, "", 1);
}

/* Adds a line and what is signed of it; the buffer never moves, so views into it hold. */
static void add_signed(struct lines *lines, struct pw_sign_header *headers, size_t *count,
                       const char *name, struct pw_str value)
{
    size_t start = lines->text.len;

    add_line(lines, name, value);
    if (lines->text.failed == PW_OK)
        headers[(*count)++] =
            (struct pw_sign_header){name, lines->text.data + start + strlen(name) + 2};
}

static enum pw_status sign(struct lines *lines, const char *method, const char *url,
                           struct pw_str body, struct pw_error *err)
{
    const struct pw_credentials *credentials = lines->credentials;
    const struct pw_keys *keys = &credentials->keys;
    struct pw_sign_header headers[PW_CREDENTIALS_MAX_LINES];
    struct pw_buffer host, authorization;
    char date[PW_SIGN_DATE_SIZE];
    size_t count = 0;
    enum pw_status status;

    pw_buffer_init(&host, HOST_MAX_BYTES);
    pw_buffer_init(&authorization, AUTHORIZATION_MAX_BYTES);
    pw_sign_date(pw_clock_wall_ms(credentials->clock), date);
    status = pw_sign_host(url, &host, err);
    if (status != PW_OK)
        goto out;
    /* Ours rather than libcurl's Host, so that what is signed is what is sent. */
    add_signed(lines, headers, &count, "Host", pw_buffer_str(&host));
    add_signed(lines, headers, &count, "X-Sdk-Date", pw_str_of(date));
    if (domain_id(credentials).len > 0)
        add_signed(lines, headers, &count, "X-Domain-Id", domain_id(credentials));
    if (project_id(credentials).len > 0)
        add_signed(lines, headers, &count, "X-Project-Id", project_id(credentials));
    if (keys->security_token.len > 0)
        add_signed(lines, headers, &count, "X-Security-Token",
                   pw_secret_str(&keys->security_token));
    status = pw_sign_authorization(
        &(struct pw_sign_request){
            .method = method, .url = url, .body = body, .headers = headers, .header_count = count},
        date, keys->access_key.data, pw_secret_str(&keys->secret_key), &authorization, err);
    if (status == PW_OK)
        add_line(lines, "Authorization", pw_buffer_str(&authorization));
out:
    if (authorization.data != NULL)
        explicit_bzero(authorization.data, authorization.capacity);
    pw_buffer_free(&authorization);
    pw_buffer_free(&host);
    return status;
}

static size_t lines_max_bytes(const struct pw_credentials *credentials)
{
    return HOST_MAX_BYTES + AUTHORIZATION_MAX_BYTES + 512 + credentials->keys.token.len +
           credentials->keys.security_token.len + domain_id(credentials).len +
           project_id(credentials).len;
}

enum pw_status pw_credentials_headers(struct pw_credentials *credentials, const char *method,
                                      const char *url, struct pw_str body,
                                      const char *const **headers, struct pw_error *err)
{
    struct lines lines = {.credentials = credentials};
    enum pw_status status;

    *headers = NULL;
    if (!credentials->has_keys)
        return pw_fail(err, PW_EPERM, "there is no credential yet");
    if (!may_be_shown(credentials)) {
        if (pw_guard_is_barred(&credentials->shown))
            return pw_guard_explain(&credentials->shown, pw_credentials_what(credentials), err);
        return pw_fail(err, PW_EPERM, "%s is not in use yet", pw_credentials_what(credentials));
    }
    status = pw_secret_write(&credentials->lines, lines_max_bytes(credentials), &lines.text, err);
    if (status != PW_OK)
        return status;
    if (credentials->keys.access_key.len > 0) {
        status = sign(&lines, method, url, body, err);
    } else {
        if (credentials->keys.token.len > 0)
            add_line(&lines, "X-Auth-Token", pw_secret_str(&credentials->keys.token));
        if (domain_id(credentials).len > 0)
            add_line(&lines, "X-Domain-Id", domain_id(credentials));
        if (project_id(credentials).len > 0)
            add_line(&lines, "X-Project-Id", project_id(credentials));
    }
    if (status == PW_OK && pw_secret_written(&credentials->lines, &lines.text) != PW_OK)
        status = pw_fail(err, lines.text.failed, "the headers are too long");
    if (status != PW_OK) {
        pw_secret_clear(&credentials->lines);
        return status;
    }
    for (size_t i = 0; i < lines.count; i++)
        credentials->line_list[i] = credentials->lines.data + lines.starts[i];
    credentials->line_list[lines.count] = NULL;
    *headers = credentials->line_list;
    return PW_OK;
}

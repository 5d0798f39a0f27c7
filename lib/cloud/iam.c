/* auth = password: a token from IAM (Huawei Cloud IAM API, "Obtaining a User Token Through Password
 * Authentication": POST /v3/auth/tokens, the token in the header X-Subject-Token). The password is
 * read for each log-in and wiped after it; nothing but the token stays. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_writer.h"
#include "cloud/credentials_state.h"

enum {
    ANSWER_MAX_BYTES = 512 * 1024, /* without its catalogue it has a few kilobytes */
    TIMEOUT_MAX_MS = 30000,
    RETRIES_MAX = 2
};

/* Renewed in the last hour of a day's token, or the last quarter of a shorter one. */
#define MARGIN_MAX_MS (3600 * PW_SECOND_MS)

static bool is_utf8(struct pw_str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = pw_utf8_length(text.data + i, text.len - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static void write_scope(struct pw_json *json, const struct pw_source_config *source)
{
    bool is_project = source->project_id != NULL && source->domain_id == NULL;

    pw_json_key(json, "scope");
    pw_json_object_begin(json);
    pw_json_key(json, is_project ? "project" : "domain");
    pw_json_object_begin(json);
    if (is_project || source->domain_id != NULL) {
        pw_json_key(json, "id");
        pw_json_text(json, is_project ? source->project_id : source->domain_id);
    } else {
        pw_json_key(json, "name");
        pw_json_text(json, source->iam_domain);
    }
    pw_json_object_end(json);
    pw_json_object_end(json);
}

/* {"auth":{"identity":{"methods":["password"],"password":{"user":{…}}},"scope":{…}}} */
static enum pw_status write_body(struct pw_credentials *credentials, struct pw_error *err)
{
    const struct pw_source_config *source = credentials->source;
    struct pw_buffer text;
    struct pw_json json;
    /* Escaping makes six bytes of one at most. */
    size_t max_bytes =
        6 * (credentials->password.len + strlen(source->iam_user) + 2 * strlen(source->iam_domain) +
             pw_str_of(source->domain_id).len + pw_str_of(source->project_id).len) +
        512;
    enum pw_status status = pw_secret_write(&credentials->body, max_bytes, &text, err);

    if (status != PW_OK)
        return status;
    pw_json_init(&json, &text);
    pw_json_object_begin(&json);
    pw_json_key(&json, "auth");
    pw_json_object_begin(&json);
    pw_json_key(&json, "identity");
    pw_json_object_begin(&json);
    pw_json_key(&json, "methods");
    pw_json_array_begin(&json);
    pw_json_text(&json, "password");
    pw_json_array_end(&json);
    pw_json_key(&json, "password");
    pw_json_object_begin(&json);
    pw_json_key(&json, "user");
    pw_json_object_begin(&json);
    pw_json_key(&json, "name");
    pw_json_text(&json, source->iam_user);
    pw_json_key(&json, "password");
    pw_json_str(&json, pw_secret_str(&credentials->password));
    pw_json_key(&json, "domain");
    pw_json_object_begin(&json);
    pw_json_key(&json, "name");
    pw_json_text(&json, source->iam_domain);
    pw_json_object_end(&json);
    pw_json_object_end(&json);
    pw_json_object_end(&json);
    pw_json_object_end(&json);
    write_scope(&json, source);
    pw_json_object_end(&json);
    pw_json_object_end(&json);
    status = pw_secret_written(&credentials->body, &text);
    return status == PW_OK ? PW_OK : pw_fail(err, status, "the request to IAM is too long");
}

static bool says_locked(struct pw_str text)
{
    for (size_t i = 0; i + 4 <= text.len; i++) {
        if (strncasecmp(text.data + i, "lock", 4) == 0 &&
            (i == 0 || !isalpha((unsigned char)text.data[i - 1])))
            return true;
    }
    return false;
}

/* Whether the answer counts towards a lock, or tells of one (with 401, 403 or 4xx of their own). */
static bool is_log_in_refused(const struct pw_http_response *response,
                              const struct pw_api_error *api)
{
    return response->status == 401 || (response->status >= 400 && response->status <= 499 &&
                                       (says_locked(api->message) || says_locked(api->code)));
}

/* What a refusal says, in words that tell what to do. */
static void explain(struct pw_credentials *credentials, const struct pw_http_response *response,
                    struct pw_error *err)
{
    const struct pw_source_config *source = credentials->source;
    struct pw_error plain = *err;
    struct pw_api_error api;

    pw_credentials_said(credentials, response, &api);
    if (is_log_in_refused(response, &api))
        pw_guard_refused(&credentials->login);
    if (response->status == 401)
        (void)pw_fail(err, PW_EPERM,
                      "IAM refuses the user %.64s of the account %.64s (HTTP 401 %.32s: %.160s): "
                      "check iam_domain, iam_user and the password file; it must be an IAM user, "
                      "a HUAWEI ID cannot log in",
                      source->iam_user, source->iam_domain, api.code.data ? api.code.data : "",
                      api.message.data ? api.message.data : "no reason given");
    else if (response->status == 403)
        (void)pw_fail(err, PW_EPERM,
                      "IAM does not let the user %.64s of the account %.64s in (HTTP 403 %.32s: "
                      "%.160s): check that the user may log in by API and is not locked",
                      source->iam_user, source->iam_domain, api.code.data ? api.code.data : "",
                      api.message.data ? api.message.data : "no reason given");
    else if (api.message.data != NULL || api.code.data != NULL)
        (void)pw_fail(err, err->status, "%.250s (%.32s: %.160s)", plain.message,
                      api.code.data ? api.code.data : "-",
                      api.message.data ? api.message.data : "no reason given");
    pw_credentials_redact(credentials, err->message);
}

static enum pw_http_verdict judge(void *context, const struct pw_http_response *response, bool last,
                                  struct pw_error *err)
{
    struct pw_credentials *credentials = context;
    struct pw_keys fresh = {.token = {NULL, 0, 0}};
    int64_t lifetime_ms, margin_ms;

    (void)last;
    if (response->wanted.len == 0) {
        (void)pw_fail(err, PW_EFORMAT, "HTTP %ld without a usable X-Subject-Token: this is not IAM",
                      response->status);
        return PW_HTTP_REFUSE;
    }
    if (pw_keys_set(&fresh.token, response->wanted, "X-Subject-Token", err) != PW_OK)
        return PW_HTTP_REFUSE;
    /* A token whose life is not told is a token all the same. */
    lifetime_ms = pw_credentials_lifetime_ms(credentials, PW_STR_NULL, response);
    if (pw_json_reader_parse(credentials->json, response->body, true, NULL) == PW_OK)
        lifetime_ms = pw_credentials_lifetime_ms(
            credentials, pw_json_reader_text(credentials->json, "token.expires_at"), response);
    pw_json_reader_wipe(credentials->json);
    margin_ms = lifetime_ms / 4 < MARGIN_MAX_MS ? lifetime_ms / 4 : MARGIN_MAX_MS;
    /* IAM has let us in, whatever becomes of the token here. */
    pw_guard_accepted(&credentials->login);
    if (pw_credentials_keep(credentials, &fresh, lifetime_ms, margin_ms, err) == PW_OK)
        return PW_HTTP_ACCEPT;
    pw_keys_clear(&fresh);
    return PW_HTTP_REFUSE;
}

static void on_done(void *context, const struct pw_http_result *result)
{
    struct pw_credentials *credentials = context;
    struct pw_error err = result->error;

    credentials->call = NULL;
    err.status = result->status;
    if (result->status == PW_EREMOTE && result->response != NULL &&
        (result->response->status < 200 || result->response->status > 299))
        explain(credentials, result->response, &err);
    pw_guard_rest(&credentials->login);
    pw_credentials_settle(credentials, &err);
}

/* PW_EPERM where the guard knows this log-in to be refused. */
static enum pw_status ask_guard(struct pw_credentials *credentials, bool *is_waiting,
                                struct pw_error *err)
{
    const struct pw_source_config *source = credentials->source;
    const struct pw_str parts[] = {pw_str_of("iam"), pw_str_of(source->iam_endpoint),
                                   pw_str_of(source->iam_domain), pw_str_of(source->iam_user),
                                   pw_secret_str(&credentials->password)};
    enum pw_guard_answer answer = PW_GUARD_WAIT;
    struct pw_guard_print print;
    char what[192];
    enum pw_status status = pw_guard_fingerprint(credentials->guard, parts,
                                                 sizeof parts / sizeof parts[0], &print, err);

    if (status == PW_OK)
        status = pw_guard_ask(&credentials->login, &print, &answer, err);
    *is_waiting = status == PW_OK && answer == PW_GUARD_WAIT;
    if (status != PW_OK || answer != PW_GUARD_REFUSED)
        return status;
    (void)snprintf(what, sizeof what, "the password of the user %.64s of the account %.64s at IAM",
                   source->iam_user, source->iam_domain);
    return pw_guard_explain(&credentials->login, what, err);
}

/* Sends the log-in whose body is written. */
static enum pw_status start(struct pw_credentials *credentials, struct pw_error *err)
{
    static const char *const headers[] = {"Content-Type: application/json;charset=utf8",
                                          "Accept: application/json", NULL};
    const struct pw_source_config *source = credentials->source;
    enum pw_status status;
    char *url = NULL;

    if (asprintf(&url, "%s/v3/auth/tokens?nocatalog=true", source->iam_endpoint) < 0)
        return pw_fail_nomem(err);
    status = pw_http_start(
        credentials->http,
        &(struct pw_http_request){
            .method = "POST",
            .url = url,
            .headers = headers,
            .body = pw_secret_str(&credentials->body),
            .wanted_header = "X-Subject-Token",
            .is_secret = true,
            .ca_file = source->ca_file,
            .proxy = source->proxy,
            .timeout_ms = source->timeout_ms > 0 && source->timeout_ms < TIMEOUT_MAX_MS
                              ? source->timeout_ms
                              : TIMEOUT_MAX_MS,
            .connect_timeout_ms = source->connect_timeout_ms,
            .body_max_bytes = ANSWER_MAX_BYTES,
            .retries = source->retries < RETRIES_MAX ? (unsigned)source->retries : RETRIES_MAX,
            .context = credentials,
            .judge = judge,
            .done = on_done,
        },
        &credentials->call, err);
    free(url);
    return status;
}

enum pw_status pw_iam_fetch(struct pw_credentials *credentials, struct pw_error *err)
{
    const struct pw_source_config *source = credentials->source;
    bool is_waiting = false;
    enum pw_status status;

    if (source->iam_endpoint == NULL || source->iam_domain == NULL || source->iam_user == NULL ||
        source->iam_password_file == NULL)
        return pw_fail(err, PW_EINVAL,
                       "auth = password needs iam_endpoint, iam_domain, iam_user and "
                       "iam_password_file");
    pw_watch_look(&credentials->watch);
    status = pw_secret_read(&credentials->password, source->iam_password_file, err);
    if (status == PW_OK && !is_utf8(pw_secret_str(&credentials->password)))
        status = pw_fail(err, PW_EFORMAT, "%s is not UTF-8", source->iam_password_file);
    if (status == PW_OK)
        status = ask_guard(credentials, &is_waiting, err);
    if (is_waiting) {
        pw_secret_clear(&credentials->password); /* it is read again when it is our turn */
        return PW_OK;
    }
    if (status == PW_OK)
        status = write_body(credentials, err);
    if (status == PW_OK)
        status = start(credentials, err);
    if (status != PW_OK) {
        pw_guard_rest(&credentials->login);
        pw_secret_clear(&credentials->password);
        pw_secret_clear(&credentials->body);
    }
    return status;
}

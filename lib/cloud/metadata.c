/* auth = metadata: temporary keys of the agency that the machine was given, from the metadata
 * service. First a session token (PUT /meta-data/latest/api/token; services without it answer 404,
 * 405 or 503, or whatever a proxy of theirs thinks of), then the keys (GET
 * /openstack/latest/securitykey). Never by a proxy of ours: the address is the machine's own. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cloud/credentials_state.h"

#define TOKEN_PATH "/meta-data/latest/api/token"
#define KEYS_PATH "/openstack/latest/securitykey"
#define NO_AGENCY "Please configure Cloud Service Agency first"

enum { TIMEOUT_MS = 3000, ANSWER_MAX_BYTES = 64 * 1024, RETRIES = 2 };

/* The service renews keys itself some time before they end; asked earlier, it repeats the old. */
#define MARGIN_MS (2400 * PW_SECOND_MS)

static enum pw_status ask_for_keys(struct pw_credentials *credentials, struct pw_error *err);

static enum pw_status start(struct pw_credentials *credentials, const char *path,
                            struct pw_http_request *request, struct pw_error *err)
{
    const char *endpoint = credentials->source->metadata_endpoint;
    enum pw_status status;
    char *url = NULL;

    if (endpoint == NULL)
        return pw_fail(err, PW_EINVAL, "auth = metadata needs metadata_endpoint");
    if (asprintf(&url, "%s%s", endpoint, path) < 0)
        return pw_fail_nomem(err);
    request->url = url;
    request->is_secret = true;
    request->timeout_ms = request->connect_timeout_ms = TIMEOUT_MS;
    request->body_max_bytes = ANSWER_MAX_BYTES;
    request->context = credentials;
    status = pw_http_start(credentials->http, request, &credentials->call, err);
    free(url);
    return status;
}

static bool says_no_agency(const struct pw_http_response *response)
{
    return memmem(response->body.data, response->body.len, NO_AGENCY, sizeof NO_AGENCY - 1) != NULL;
}

/* What a refusal says, in words that tell what to do. */
static void explain(struct pw_credentials *credentials, const struct pw_http_response *response,
                    struct pw_error *err)
{
    struct pw_error plain = *err;
    struct pw_api_error api;

    pw_credentials_said(credentials, response, &api);
    if (says_no_agency(response))
        (void)pw_fail(err, PW_EPERM,
                      "this machine has no agency: create one for the service ECS that may do "
                      "coc:complianceReport:list, and choose it in the machine's details "
                      "(metadata service: HTTP %ld " NO_AGENCY ")",
                      response->status);
    else if (response->status == 401 || response->status == 403)
        (void)pw_fail(err, PW_EPERM,
                      "the metadata service refuses to give keys (HTTP %ld: %.160s): check the "
                      "machine's agency and that metadata access is not switched off",
                      response->status, api.message.data ? api.message.data : "no reason given");
    else if (response->status == 404)
        (void)pw_fail(err, PW_ENOTFOUND,
                      "the metadata service has no keys (HTTP 404 at " KEYS_PATH "): is this a "
                      "Huawei Cloud ECS with an agency, and metadata_endpoint right?");
    else if (api.message.data != NULL)
        (void)pw_fail(err, err->status, "%.250s (%.160s)", plain.message, api.message.data);
    pw_credentials_redact(credentials, err->message);
}

/* ---- the keys --------------------------------------------------------------------------------*/

static enum pw_status take_keys(struct pw_credentials *credentials,
                                const struct pw_http_response *response, struct pw_keys *fresh,
                                struct pw_error *err)
{
    struct pw_json_reader *json = credentials->json;
    enum pw_status status = pw_json_reader_parse(json, response->body, true, err);

    if (status == PW_OK)
        status = pw_keys_set(&fresh->access_key, pw_json_reader_text(json, "credential.access"),
                             "credential.access", err);
    if (status == PW_OK)
        status = pw_keys_set(&fresh->secret_key, pw_json_reader_text(json, "credential.secret"),
                             "credential.secret", err);
    if (status == PW_OK)
        status = pw_keys_set(&fresh->security_token,
                             pw_json_reader_text(json, "credential.securitytoken"),
                             "credential.securitytoken", err);
    return status;
}

static enum pw_http_verdict judge_keys(void *context, const struct pw_http_response *response,
                                       bool last, struct pw_error *err)
{
    struct pw_credentials *credentials = context;
    struct pw_keys fresh = {.token = {NULL, 0, 0}};
    enum pw_status status = take_keys(credentials, response, &fresh, err);

    (void)last;
    if (status == PW_OK)
        status = pw_credentials_keep(
            credentials, &fresh,
            pw_credentials_lifetime_ms(
                credentials, pw_json_reader_text(credentials->json, "credential.expires_at"),
                response),
            MARGIN_MS, err);
    pw_keys_clear(&fresh);
    pw_json_reader_wipe(credentials->json);
    return status == PW_OK ? PW_HTTP_ACCEPT : PW_HTTP_RETRY;
}

static void on_keys(void *context, const struct pw_http_result *result)
{
    struct pw_credentials *credentials = context;
    const struct pw_http_response *response = result->response;
    struct pw_error err = result->error;

    credentials->call = NULL;
    err.status = result->status;
    if (result->status == PW_EREMOTE && response != NULL && response->status == 401 &&
        !says_no_agency(response) && !credentials->is_repeated && !credentials->is_closing) {
        /* The session token is old or was asked for: a new one, once. */
        credentials->is_repeated = true;
        err.status = pw_metadata_fetch(credentials, &err);
        if (err.status == PW_OK)
            return;
    } else if (result->status == PW_EREMOTE && response != NULL &&
               (response->status < 200 || response->status > 299)) {
        explain(credentials, response, &err);
    }
    credentials->is_repeated = false;
    pw_credentials_settle(credentials, &err);
}

static enum pw_status ask_for_keys(struct pw_credentials *credentials, struct pw_error *err)
{
    const char *headers[] = {"Accept: application/json", credentials->token_line.data, NULL};

    return start(credentials, KEYS_PATH,
                 &(struct pw_http_request){
                     .headers = headers, .retries = RETRIES, .judge = judge_keys, .done = on_keys},
                 err);
}

/* ---- the session token -----------------------------------------------------------------------*/

static struct pw_str trim(struct pw_str text)
{
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.len--;
    while (text.len > 0 && isspace((unsigned char)text.data[0])) {
        text.data++;
        text.len--;
    }
    return text;
}

static enum pw_status take_token(struct pw_credentials *credentials, struct pw_str body,
                                 struct pw_error *err)
{
    struct pw_secret token = {NULL, 0, 0};
    struct pw_buffer line;
    enum pw_status status =
        pw_keys_set(&token, trim(body), "the session token of the metadata service", err);

    /* A page or an object in one word. */
    if (status == PW_OK && strpbrk(token.data, "<>{}\"") != NULL)
        status = pw_fail(err, PW_EFORMAT, "the metadata service gives no session token");
    if (status == PW_OK)
        status = pw_secret_write(&credentials->token_line, token.len + 32, &line, err);
    if (status == PW_OK) {
        (void)pw_buffer_append_text(&line, "X-Metadata-Token: ");
        (void)pw_buffer_append_str(&line, pw_secret_str(&token));
        status = pw_secret_written(&credentials->token_line, &line);
    }
    pw_secret_clear(&token);
    return status;
}

/* Whether an answer to the wish for a session token may mean that there are none. */
static bool is_without_sessions(const struct pw_http_response *response)
{
    return response->status == 400 || response->status == 404 || response->status == 405 ||
           (response->status >= 500 && response->status <= 599);
}

static void on_token(void *context, const struct pw_http_result *result)
{
    struct pw_credentials *credentials = context;
    const struct pw_http_response *response = result->response;
    struct pw_error err = result->error;

    credentials->call = NULL;
    err.status = result->status;
    if (result->status == PW_OK)
        err.status = take_token(credentials, response->body, &err);
    else if (result->status == PW_EREMOTE && response != NULL && !is_without_sessions(response))
        explain(credentials, response, &err);
    else if (result->status == PW_EREMOTE)
        err.status = PW_EFORMAT;
    /* An answer, but no token: the service may do without. */
    if (err.status == PW_EFORMAT || err.status == PW_ELIMIT) {
        pw_log_debug("source %s: no session token from the metadata service: %s",
                     credentials->source->name, err.message);
        pw_secret_clear(&credentials->token_line);
        err.status = PW_OK;
    }
    if (err.status == PW_OK && !credentials->is_closing) {
        err.status = ask_for_keys(credentials, &err);
        if (err.status == PW_OK)
            return;
    }
    credentials->is_repeated = false;
    pw_credentials_settle(credentials, &err);
}

enum pw_status pw_metadata_fetch(struct pw_credentials *credentials, struct pw_error *err)
{
    static const char *const headers[] = {"X-Metadata-Token-Ttl-Seconds: 21600", NULL};

    pw_secret_clear(&credentials->token_line);
    return start(credentials, TOKEN_PATH,
                 &(struct pw_http_request){
                     .method = "PUT", .headers = headers, .retries = RETRIES, .done = on_token},
                 err);
}

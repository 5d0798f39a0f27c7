/*
 * The gateway's checks, in its order, and the lock of an access key that fails too often (see
 * auth.h).
 */
#include "auth.h"
#include "server.h"
#include "sign.h"

#include <stdlib.h>
#include <string.h>

static const char *const mode_names[AUTH_MODES] = {
    [AUTH_NONE] = "none",
    [AUTH_AKSK] = "aksk",
    [AUTH_TOKEN] = "token",
};

/* A secret that goes with an access key. */
struct secret {
    const char *secret_key;
    const char *security_token; /* NULL = none wanted */
    int64_t expires_ms;
};

static bool refuse(struct request *request, unsigned status, const char *code, const char *reason,
                   const char *message)
{
    static const char incorrect[] = "Incorrect IAM authentication information: ";
    struct buf text = {0};
    buf_str(&text, strcmp(code, "APIGW.0301") == 0 ? incorrect : "");
    buf_str(&text, message);
    buf_add(&text, "", 1);
    answer_api_error(&request->answer, status, code, text.data);
    buf_free(&text);
    request->auth = reason;
    request->server->auth.refused++;
    return false;
}

static bool refuse_signature(struct request *request, const char *reason)
{
    return refuse(request, 401, "APIGW.0301", reason, "verify aksk signature fail");
}

size_t auth_keys_used(const struct auth *auth)
{
    return auth->key_count < AUTH_KEYS_MAX ? auth->key_count : AUTH_KEYS_MAX;
}

static struct auth_key *key_of(struct auth *auth, const char *access)
{
    for (size_t i = 0; i < auth_keys_used(auth); i++) {
        if (strcmp(auth->keys[i].access, access) == 0) {
            return &auth->keys[i];
        }
    }
    struct auth_key *key = &auth->keys[auth->key_count++ % AUTH_KEYS_MAX];
    free(key->access);
    *key = (struct auth_key){.access = sim_strdup(access)};
    return key;
}

bool auth_locked(const struct auth_key *key, int64_t now_ms)
{
    return now_ms < key->locked_until_ms;
}

static void count_failure(struct auth_key *key, int64_t now_ms)
{
    if (++key->failures > AUTH_FAILURES_MAX) {
        key->locked_until_ms = now_ms + AUTH_LOCK_MS;
    }
}

static bool find_secret(const struct server *server, const char *access, struct secret *secret)
{
    const struct auth *auth = &server->auth;
    const struct credential *credential = metadata_find(&server->metadata, access);
    if (auth->access_key != NULL && strcmp(auth->access_key, access) == 0) {
        *secret = (struct secret){auth->secret_key, auth->security_token, INT64_MAX};
        return true;
    }
    if (credential != NULL) {
        *secret =
            (struct secret){credential->secret, credential->security_token, credential->expires_ms};
    }
    return credential != NULL;
}

static bool check_date(struct request *request, const char *date, int64_t now_ms)
{
    int64_t date_ms = 0;
    if (!time_parse_basic(date, &date_ms)) {
        return refuse_signature(request, "bad_date");
    }
    int64_t skew_ms = now_ms > date_ms ? now_ms - date_ms : date_ms - now_ms;
    if (skew_ms <= AUTH_SKEW_MAX_MS) {
        return true;
    }
    struct buf message = {0};
    buf_printf(&message, "signature expired, signature time:%s,server time:", date);
    time_put_basic(&message, now_ms);
    buf_add(&message, "", 1);
    (void)refuse(request, 401, "APIGW.0303", "expired", message.data);
    buf_free(&message);
    return false;
}

static bool check_signature(struct request *request, const struct authorization *authorization,
                            const struct secret *secret, const char *date)
{
    struct buf canonical = {0};
    char signature[SIGNATURE_HEX + 1];
    bool good = sign_canonical(request, authorization->signed_headers, &canonical);
    if (good) {
        sign_make(secret->secret_key, date, &canonical, signature);
    }
    buf_free(&canonical);
    if (!good) {
        return refuse_signature(request, "signed_headers");
    }
    return strcmp(signature, authorization->signature) == 0 ||
           refuse_signature(request, "signature");
}

static bool check_security_token(struct request *request, const struct secret *secret,
                                 int64_t now_ms)
{
    const char *given = request_header(request, "X-Security-Token");
    if (secret->security_token == NULL && given == NULL) {
        return true;
    }
    if (secret->security_token == NULL || given == NULL ||
        strcmp(secret->security_token, given) != 0) {
        return refuse(request, 401, "APIGW.0301", "security_token", "decrypt token fail");
    }
    if (now_ms < secret->expires_ms) {
        return true;
    }
    struct buf message = {0};
    buf_str(&message, "token expires, expires_at:");
    time_put_iso(&message, secret->expires_ms, false);
    buf_add(&message, "", 1);
    (void)refuse(request, 401, "APIGW.0301", "security_token_expired", message.data);
    buf_free(&message);
    return false;
}

/* All that counts against the access key. */
static bool check_aksk(struct request *request, const struct authorization *authorization,
                       int64_t now_ms)
{
    const char *date = request_header(request, "X-Sdk-Date");
    struct secret secret;
    if (!find_secret(request->server, authorization->access, &secret)) {
        struct buf message = {0};
        buf_printf(&message, "Get secretKey failed,ak:%s,err:ak not exist", authorization->access);
        buf_add(&message, "", 1);
        (void)refuse(request, 401, "APIGW.0301", "unknown_key", message.data);
        buf_free(&message);
        return false;
    }
    if (date == NULL || !sign_lists(authorization->signed_headers, "x-sdk-date")) {
        return refuse_signature(request, "no_date");
    }
    if (request_header(request, "X-Security-Token") != NULL &&
        !sign_lists(authorization->signed_headers, "x-security-token")) {
        return refuse_signature(request, "security_token_unsigned");
    }
    return check_date(request, date, now_ms) &&
           check_signature(request, authorization, &secret, date) &&
           check_security_token(request, &secret, now_ms);
}

/* With a signature the ids must be there; with a token, which is scoped by itself, they must not
 * contradict. */
static bool check_scope(struct request *request)
{
    const struct auth *auth = &request->server->auth;
    const char *const wanted[] = {auth->domain_id, auth->project_id};
    const char *const given[] = {request_header(request, "X-Domain-Id"),
                                 request_header(request, "X-Project-Id")};
    for (size_t i = 0; i < 2; i++) {
        bool absent_is_wrong = auth->mode == AUTH_AKSK;
        if (wanted[i] != NULL &&
            (given[i] == NULL ? absent_is_wrong : strcmp(wanted[i], given[i]) != 0)) {
            const char *code = NULL;
            const char *message = NULL;
            api_error_for(403, &code, &message);
            return refuse(request, 403, code, i == 0 ? "domain_id" : "project_id", message);
        }
    }
    return true;
}

static bool check_authorization(struct request *request, const struct authorization *authorization)
{
    int64_t now_ms = server_time_ms(request->server);
    struct auth_key *key = key_of(&request->server->auth, authorization->access);
    if (auth_locked(key, now_ms)) {
        return refuse(request, 401, "APIGW.0301", "locked",
                      "AK access failed to reach the limit,forbidden");
    }
    if (key->locked_until_ms > 0) {
        key->locked_until_ms = 0;
        key->failures = 0;
    }
    if (!check_aksk(request, authorization, now_ms)) {
        count_failure(key, now_ms);
        return false;
    }
    key->failures = 0;
    return check_scope(request);
}

static bool check_token(struct request *request)
{
    const char *token = request_header(request, "X-Auth-Token");
    if (token == NULL || *token == '\0') {
        return refuse(request, 401, "APIGW.0301", "no_token", "x-auth-token not found");
    }
    switch (iam_token_state(&request->server->iam, token, server_time_ms(request->server))) {
    case IAM_TOKEN_UNKNOWN:
        return refuse(request, 401, "APIGW.0301", "unknown_token", "decrypt token fail");
    case IAM_TOKEN_EXPIRED:
        return refuse(request, 401, "APIGW.0307", "token_expired", "The token must be updated");
    case IAM_TOKEN_REVOKED:
        return refuse(request, 401, "APIGW.0307", "token_revoked", "The token must be updated");
    default:
        return check_scope(request);
    }
}

bool auth_check(struct server *server, struct request *request)
{
    if (server->auth.mode == AUTH_NONE) {
        return true;
    }
    request->auth = "ok";
    if (server->auth.mode == AUTH_TOKEN) {
        return check_token(request);
    }
    const char *header = request_header(request, "Authorization");
    if (header == NULL) {
        return refuse(request, 401, "APIGW.0301", "no_authorization", "x-auth-token not found");
    }
    struct authorization authorization;
    bool passed = authorization_parse(header, &authorization)
                      ? check_authorization(request, &authorization)
                      : refuse_signature(request, "bad_authorization");
    authorization_free(&authorization);
    return passed;
}

const char *auth_mode_name(enum auth_mode mode)
{
    return mode_names[mode];
}

enum auth_mode auth_mode_find(const char *name)
{
    unsigned i = 0;
    while (i < AUTH_MODES && strcmp(mode_names[i], name) != 0) {
        i++;
    }
    return (enum auth_mode)i;
}

void auth_reset(struct auth *auth)
{
    for (size_t i = 0; i < AUTH_KEYS_MAX; i++) {
        free(auth->keys[i].access);
    }
    free(auth->access_key);
    free(auth->secret_key);
    free(auth->security_token);
    free(auth->domain_id);
    free(auth->project_id);
    *auth = (struct auth){0};
}

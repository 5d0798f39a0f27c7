/*
 * Session tokens and credentials of the metadata service (see metadata.h).
 */
#include "metadata.h"
#include "opaque.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>

static const struct metadata_settings initial = {
    .ttl_ms = 86400000,
    .renew_before_ms = 3600000,
    .agency = true,
    .put_status = 200,
};

static void refuse(struct request *request, unsigned status, const char *message)
{
    answer_realm_error(&request->answer, REALM_METADATA, status, NULL, message);
}

static void meet_fault(struct server *server, struct request *request)
{
    const struct fault *fault = faults_pick(&server->faults, request, NULL, false);
    if (fault != NULL) {
        fault_answer(fault, request);
    }
}

void metadata_token(struct server *server, struct request *request)
{
    struct metadata *metadata = &server->metadata;
    const char *ttl = request_header(request, "X-Metadata-Token-Ttl-Seconds");
    int64_t ttl_s = 0;
    metadata->token_requests++;
    if (metadata->settings.put_status != 200) {
        unsigned status = (unsigned)metadata->settings.put_status;
        refuse(request, status, status_title(status));
        return;
    }
    if (ttl == NULL || !parse_int(ttl, 1, METADATA_TOKEN_TTL_MAX_S, &ttl_s)) {
        refuse(request, 400, "X-Metadata-Token-Ttl-Seconds must be from 1 to 21600");
        return;
    }
    metadata->token_expires_ms[metadata->token_count++ % METADATA_TOKENS_MAX] =
        server_time_ms(server) + ttl_s * 1000;
    char *token = opaque_make(OPAQUE_METADATA_TOKEN, metadata->token_count);
    request->answer.status = 200;
    request->answer.content_type = sim_strdup("text/plain");
    buf_str(&request->answer.body, token);
    free(token);
    meet_fault(server, request);
}

static bool token_good(const struct server *server, const char *text)
{
    const struct metadata *metadata = &server->metadata;
    uint64_t number = text != NULL ? opaque_number(OPAQUE_METADATA_TOKEN, text) : 0;
    if (number == 0 || number > metadata->token_count ||
        metadata->token_count - number >= METADATA_TOKENS_MAX) {
        return false;
    }
    return server_time_ms(server) < metadata->token_expires_ms[(number - 1) % METADATA_TOKENS_MAX];
}

static void credential_free(struct credential *credential)
{
    free(credential->access);
    free(credential->secret);
    free(credential->security_token);
    *credential = (struct credential){0};
}

static struct credential *issue(struct metadata *metadata, int64_t now_ms)
{
    struct credential *credential =
        &metadata->credential[metadata->credential_count++ % METADATA_CREDENTIALS_MAX];
    credential_free(credential);
    *credential = (struct credential){
        .access = opaque_make(OPAQUE_ACCESS_KEY, metadata->credential_count),
        .secret = opaque_make(OPAQUE_SECRET_KEY, metadata->credential_count),
        .security_token = opaque_make(OPAQUE_SECURITY_TOKEN, metadata->credential_count),
        .expires_ms = now_ms + metadata->settings.ttl_ms,
    };
    metadata->rotate = false;
    return credential;
}

/* The latest credential while it has enough time left, else a new one. */
static const struct credential *current(struct metadata *metadata, int64_t now_ms)
{
    const struct metadata_settings *settings = &metadata->settings;
    int64_t least_ms = settings->renew_before_ms < settings->ttl_ms / 2 ? settings->renew_before_ms
                                                                        : settings->ttl_ms / 2;
    const struct credential *latest =
        &metadata->credential[(metadata->credential_count - 1) % METADATA_CREDENTIALS_MAX];
    if (metadata->credential_count == 0 || metadata->rotate || latest->access == NULL ||
        latest->expires_ms - now_ms <= least_ms) {
        return issue(metadata, now_ms);
    }
    return latest;
}

void metadata_key(struct server *server, struct request *request)
{
    struct metadata *metadata = &server->metadata;
    const char *token = request_header(request, "X-Metadata-Token");
    metadata->key_requests++;
    if (metadata->settings.token_required && !token_good(server, token)) {
        request->auth = token == NULL ? "no_token" : "unknown_token";
        refuse(request, 401, "Unauthorized");
        return;
    }
    if (!metadata->settings.agency) {
        refuse(request, 401, "Please configure Cloud Service Agency first");
        return;
    }
    const struct credential *credential = current(metadata, server_time_ms(server));
    struct buf *out = &request->answer.body;
    request->answer.status = 200;
    buf_str(out, "{\"credential\":{\"access\":");
    buf_json_str(out, credential->access);
    buf_str(out, ",\"secret\":");
    buf_json_str(out, credential->secret);
    buf_str(out, ",\"securitytoken\":");
    buf_json_str(out, credential->security_token);
    buf_str(out, ",\"expires_at\":\"");
    time_put_iso(out, credential->expires_ms, metadata->settings.fractional);
    buf_str(out, "\"}}");
    meet_fault(server, request);
}

const struct credential *metadata_find(const struct metadata *metadata, const char *access)
{
    for (size_t i = 0; i < METADATA_CREDENTIALS_MAX; i++) {
        const struct credential *credential = &metadata->credential[i];
        if (credential->access != NULL && !credential->revoked &&
            strcmp(credential->access, access) == 0) {
            return credential;
        }
    }
    return NULL;
}

void metadata_rotate(struct metadata *metadata, bool revoke)
{
    metadata->rotate = true;
    for (size_t i = 0; revoke && i < METADATA_CREDENTIALS_MAX; i++) {
        metadata->credential[i].revoked = true;
    }
}

void metadata_forget(struct metadata *metadata)
{
    for (size_t i = 0; i < METADATA_TOKENS_MAX; i++) {
        metadata->token_expires_ms[i] = INT64_MIN;
    }
}

void metadata_reset(struct metadata *metadata)
{
    for (size_t i = 0; i < METADATA_CREDENTIALS_MAX; i++) {
        credential_free(&metadata->credential[i]);
    }
    *metadata = (struct metadata){
        .settings = initial,
        .credential_count = metadata->credential_count,
        .token_count = metadata->token_count,
    };
    metadata_forget(metadata);
}

/*
 * Control of what stands around the API: authentication, the server's clock, encoding, IAM, the
 * metadata service.
 */
#include "control.h"

#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000 };

static const int64_t offset_max_ms = INT64_C(3650) * DAY_MS;

/* Copies of the parameter's value; NULL where it is absent or empty. */
static char *text_copy(const struct control *control, const char *name)
{
    const char *text = control_text(control, name);
    return text != NULL && *text != '\0' ? sim_strdup(text) : NULL;
}

void control_auth(struct server *server, struct request *request)
{
    static const char *const known[] = {"mode",      "access_key", "secret_key", "security_token",
                                        "domain_id", "project_id", NULL};
    struct control control = {server, request, false};
    struct auth *auth = &server->auth;
    control_only(&control, known);
    const char *name = control_text(&control, "mode");
    const char *access = control_text(&control, "access_key");
    const char *secret = control_text(&control, "secret_key");
    enum auth_mode mode = name != NULL ? auth_mode_find(name) : AUTH_MODES;
    if (mode == AUTH_MODES) {
        control_fail(&control, 400, "mode must be none, aksk or token");
    }
    if ((access == NULL || *access == '\0') != (secret == NULL || *secret == '\0')) {
        control_fail(&control, 400, "access_key and secret_key go together");
    }
    if (!control.failed) {
        auth_reset(auth);
        auth->mode = mode;
        auth->access_key = text_copy(&control, "access_key");
        auth->secret_key = text_copy(&control, "secret_key");
        auth->security_token = text_copy(&control, "security_token");
        auth->domain_id = text_copy(&control, "domain_id");
        auth->project_id = text_copy(&control, "project_id");
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"mode\":\"%s\"}\n", auth_mode_name(mode));
    }
}

void control_clock(struct server *server, struct request *request)
{
    static const char *const known[] = {"offset_ms", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    int64_t offset_ms =
        control_int(&control, "offset_ms", -offset_max_ms, offset_max_ms, server->clock_offset_ms);
    if (!control.failed) {
        server->clock_offset_ms = offset_ms;
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"offset_ms\":%lld,\"server_ms\":%lld}\n",
                   (long long)offset_ms, (long long)server_time_ms(server));
    }
}

void control_gzip(struct server *server, struct request *request)
{
    static const char *const known[] = {"on", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    bool on = control_int(&control, "on", 0, 1, 1) == 1;
    if (!control.failed) {
        server->gzip = on;
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"gzip\":%s}\n", on ? "true" : "false");
    }
}

void control_iam(struct server *server, struct request *request)
{
    static const char *const known[] = {"ttl_ms", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    int64_t ttl_ms = control_int(&control, "ttl_ms", 1, offset_max_ms,
                                 server->iam.ttl_ms > 0 ? server->iam.ttl_ms : IAM_TTL_MS);
    if (!control.failed) {
        server->iam.ttl_ms = ttl_ms;
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"ttl_ms\":%lld}\n", (long long)ttl_ms);
    }
}

void control_iam_user(struct server *server, struct request *request)
{
    static const char *const known[] = {"domain",     "user",      "password",  "project",
                                        "project_id", "domain_id", "forbidden", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    for (size_t i = 0; i < 3; i++) {
        if (control_text(&control, known[i]) == NULL) {
            control_fail(&control, 400, "%s is missing", known[i]);
        }
    }
    bool forbidden = control_flag(&control, "forbidden");
    if (control.failed) {
        return;
    }
    const struct iam_user *user =
        iam_add_user(&server->iam, control_text(&control, "domain"), control_text(&control, "user"),
                     control_text(&control, "password"), control_text(&control, "project"),
                     control_text(&control, "domain_id"), control_text(&control, "project_id"));
    if (user == NULL) {
        control_fail(&control, 400, "too many users");
        return;
    }
    iam_forbid(&server->iam, user, forbidden);
    struct buf *out = &request->answer.body;
    request->answer.status = 200;
    buf_str(out, "{\"user_id\":");
    buf_json_str(out, user->user_id);
    buf_str(out, ",\"domain_id\":");
    buf_json_str(out, user->domain_id);
    buf_str(out, ",\"project\":");
    buf_json_str(out, user->project);
    buf_str(out, ",\"project_id\":");
    buf_json_str(out, user->project_id);
    buf_str(out, "}\n");
}

void control_iam_revoke(struct server *server, struct request *request)
{
    static const char *const known[] = {NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    if (!control.failed) {
        size_t revoked = iam_revoke(&server->iam, server_time_ms(server));
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"revoked\":%zu}\n", revoked);
    }
}

static void write_settings(const struct metadata_settings *settings, struct buf *out)
{
    buf_printf(out, "\"ttl_ms\":%lld,\"renew_before_ms\":%lld,\"token_required\":%s,",
               (long long)settings->ttl_ms, (long long)settings->renew_before_ms,
               settings->token_required ? "true" : "false");
    buf_printf(out, "\"fractional\":%s,\"agency\":%s,\"put_status\":%lld",
               settings->fractional ? "true" : "false", settings->agency ? "true" : "false",
               (long long)settings->put_status);
}

void control_metadata(struct server *server, struct request *request)
{
    static const char *const known[] = {
        "ttl_ms", "renew_before_ms", "token_required", "fractional", "agency", "put_status", NULL};
    struct control control = {server, request, false};
    struct metadata_settings now = server->metadata.settings;
    control_only(&control, known);
    now.ttl_ms = control_int(&control, "ttl_ms", 1, offset_max_ms, now.ttl_ms);
    now.renew_before_ms =
        control_int(&control, "renew_before_ms", 0, offset_max_ms, now.renew_before_ms);
    now.token_required = control_int(&control, "token_required", 0, 1, now.token_required) == 1;
    now.fractional = control_int(&control, "fractional", 0, 1, now.fractional) == 1;
    now.agency = control_int(&control, "agency", 0, 1, now.agency) == 1;
    now.put_status = control_int(&control, "put_status", 200, 599, now.put_status);
    if (!control.failed) {
        server->metadata.settings = now;
        request->answer.status = 200;
        buf_str(&request->answer.body, "{");
        write_settings(&now, &request->answer.body);
        buf_str(&request->answer.body, "}\n");
    }
}

void control_metadata_rotate(struct server *server, struct request *request)
{
    static const char *const known[] = {"revoke", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    bool revoke = control_flag(&control, "revoke");
    if (!control.failed) {
        metadata_rotate(&server->metadata, revoke);
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"revoked\":%s}\n", revoke ? "true" : "false");
    }
}

void control_metadata_forget(struct server *server, struct request *request)
{
    static const char *const known[] = {NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    if (!control.failed) {
        metadata_forget(&server->metadata);
        request->answer.status = 200;
        buf_str(&request->answer.body, "{}\n");
    }
}

static void write_auth(const struct auth *auth, int64_t now_ms, struct buf *out)
{
    buf_printf(out, "\"auth\":{\"mode\":\"%s\",\"refused\":%lld,\"keys\":[",
               auth_mode_name(auth->mode), (long long)auth->refused);
    for (size_t i = 0; i < auth_keys_used(auth); i++) {
        buf_str(out, i > 0 ? ",{\"access_key\":" : "{\"access_key\":");
        buf_json_str(out, auth->keys[i].access);
        buf_printf(out, ",\"failures\":%lld,\"locked\":%s}", (long long)auth->keys[i].failures,
                   auth_locked(&auth->keys[i], now_ms) ? "true" : "false");
    }
    buf_str(out, "]},");
}

void control_write_cloud(const struct server *server, struct buf *out)
{
    const struct iam *iam = &server->iam;
    const struct metadata *metadata = &server->metadata;
    int64_t now_ms = server_time_ms(server);
    buf_printf(out, "\"server_ms\":%lld,\"clock_offset_ms\":%lld,\"gzip\":%s,", (long long)now_ms,
               (long long)server->clock_offset_ms, server->gzip ? "true" : "false");
    write_auth(&server->auth, now_ms, out);
    buf_printf(out, "\"iam\":{\"requests\":%lld,\"refused\":%lld,\"users\":%zu,",
               (long long)iam->requests, (long long)iam->refused, iam->user_count);
    buf_printf(out, "\"issued\":%zu,\"valid\":%zu},", iam->token_count,
               iam_valid_tokens(iam, now_ms));
    buf_printf(out, "\"metadata\":{\"token_requests\":%lld,\"key_requests\":%lld,\"issued\":%llu,",
               (long long)metadata->token_requests, (long long)metadata->key_requests,
               (unsigned long long)metadata->credential_count);
    write_settings(&metadata->settings, out);
    buf_str(out, "},");
}

/* The face of credentials: their life, what is in use, what servers said of it. Memory goes in the
 * close callback of the last timer. */
#include "cloud/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cloud/credentials_state.h"
#include "cloud/sign.h"

/* So long after a replacement a refusal has a new cause. */
#define REPLACEMENT_IS_NEW_MS (300 * PW_SECOND_MS)
/* Where the server does not say how long its token lives. */
#define LIFETIME_UNKNOWN_MS (3600 * PW_SECOND_MS)
/* All attempts of a fetch, with whatever waits a server asks for. */
#define FETCH_LIMIT_MS (60 * PW_SECOND_MS)
/* After a password was changed all tokens end at once: then one log-in shows whether it is good,
 * before the others follow. */
#define LOGIN_PROOF_MS (60 * PW_SECOND_MS)

bool pw_credentials_are_fetched(const struct pw_credentials *credentials)
{
    return credentials->source->auth == PW_AUTH_PASSWORD ||
           credentials->source->auth == PW_AUTH_METADATA;
}

static int64_t now_ms(const struct pw_credentials *credentials)
{
    return pw_clock_monotonic_ms(credentials->clock);
}

/* ---- life ------------------------------------------------------------------------------------*/

static void credentials_free(struct pw_credentials *credentials)
{
    pw_keys_clear(&credentials->keys);
    pw_keys_clear(&credentials->fresh);
    pw_secret_clear(&credentials->password);
    pw_secret_clear(&credentials->body);
    pw_secret_clear(&credentials->token_line);
    pw_secret_clear(&credentials->lines);
    pw_json_reader_free(credentials->json);
    pw_error_body_free(credentials->error_body);
    free(credentials->sdk_file);
    free(credentials);
}

/* The file that Huawei Cloud's SDKs read: HUAWEICLOUD_SDK_CREDENTIALS_FILE, else
 * ~/.huaweicloud/credentials. *out NULL where there can be none, or where variables hold the keys
 * themselves. */
static enum pw_status find_sdk_file(char **out, struct pw_error *err)
{
    const char *named = getenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE"), *home = getenv("HOME");

    *out = NULL;
    if (pw_keys_in_environment())
        return PW_OK;
    if (named != NULL && named[0] != '\0')
        *out = strdup(named);
    else if (home == NULL || home[0] == '\0')
        return PW_OK;
    else if (asprintf(out, "%s/.huaweicloud/credentials", home) < 0)
        *out = NULL;
    return *out != NULL ? PW_OK : pw_fail_nomem(err);
}

static enum pw_status set_up(struct pw_credentials *credentials, struct pw_error *err)
{
    const struct pw_source_config *source = credentials->source;
    struct pw_watch *watch = &credentials->watch;
    enum pw_status status = PW_OK;

    switch (source->auth) {
    case PW_AUTH_NONE:
        break;
    case PW_AUTH_AKSK:
        if (source->access_key_file == NULL && source->secret_key_file == NULL) {
            status = find_sdk_file(&credentials->sdk_file, err);
            pw_watch_add(watch, credentials->sdk_file);
        }
        pw_watch_add(watch, source->access_key_file);
        pw_watch_add(watch, source->secret_key_file);
        if (source->access_key_file != NULL)
            pw_watch_add(watch, source->security_token_file);
        break;
    case PW_AUTH_TOKEN:
        pw_watch_add(watch, source->token_file);
        break;
    case PW_AUTH_PASSWORD:
        pw_watch_add(watch, source->iam_password_file);
        break;
    case PW_AUTH_METADATA:
        break;
    }
    if (status == PW_OK && pw_credentials_are_fetched(credentials)) {
        credentials->json = pw_json_reader_new();
        credentials->error_body = pw_error_body_new();
        if (credentials->json == NULL || credentials->error_body == NULL)
            status = pw_fail_nomem(err);
    }
    return status;
}

enum pw_status pw_credentials_new(uv_loop_t *loop, struct pw_http *http,
                                  const struct pw_clock *clock, struct pw_guard *guard,
                                  const struct pw_source_config *source,
                                  struct pw_credentials **out, struct pw_error *err)
{
    struct pw_credentials *credentials = calloc(1, sizeof *credentials);
    enum pw_status status;

    *out = NULL;
    if (credentials == NULL)
        return pw_fail_nomem(err);
    credentials->http = http;
    credentials->clock = clock;
    credentials->guard = guard;
    credentials->source = source;
    credentials->fetch_limit_ms = FETCH_LIMIT_MS;
    credentials->shown = (struct pw_guard_turn){.guard = guard,
                                                .go = pw_credentials_on_turn,
                                                .context = credentials,
                                                .proof_ms = INT64_MAX};
    credentials->login = (struct pw_guard_turn){.guard = guard,
                                                .go = pw_credentials_on_login_turn,
                                                .context = credentials,
                                                .proof_ms = LOGIN_PROOF_MS};
    status = set_up(credentials, err);
    if (status != PW_OK) {
        credentials_free(credentials);
        return status;
    }
    credentials->has_keys = credentials->is_cleared = source->auth == PW_AUTH_NONE;
    credentials->generation = source->auth == PW_AUTH_NONE ? 1 : 0;
    credentials->renew_at_ms = credentials->expires_at_ms = INT64_MAX;
    (void)uv_timer_init(loop, &credentials->timer);
    (void)uv_timer_init(loop, &credentials->fetch_timer);
    credentials->timer.data = credentials->fetch_timer.data = credentials;
    credentials->open_handles = 2;
    *out = credentials;
    return PW_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_credentials *credentials = handle->data;
    void (*closed)(void *context) = credentials->closed;
    void *context = credentials->closed_context;

    if (--credentials->open_handles > 0)
        return;
    credentials_free(credentials);
    if (closed != NULL)
        closed(context);
}

void pw_credentials_close(struct pw_credentials *credentials, void (*closed)(void *context),
                          void *context)
{
    if (credentials->is_closing)
        return;
    credentials->is_closing = true;
    credentials->closed = closed;
    credentials->closed_context = context;
    if (credentials->call != NULL)
        pw_http_cancel(credentials->call);
    credentials->call = NULL;
    pw_guard_leave(&credentials->shown);
    pw_guard_leave(&credentials->login);
    uv_close((uv_handle_t *)&credentials->timer, on_closed);
    uv_close((uv_handle_t *)&credentials->fetch_timer, on_closed);
}

/* ---- what is in use --------------------------------------------------------------------------*/

static enum pw_status fingerprint(const struct pw_credentials *credentials,
                                  const struct pw_keys *keys, struct pw_guard_print *out,
                                  struct pw_error *err)
{
    struct pw_buffer host;
    enum pw_status status;

    pw_buffer_init(&host, 1024);
    /* Without a usable host nothing can be asked; then the whole endpoint will do. */
    if (pw_sign_host(
            pw_str_of(credentials->source->endpoint).len > 0 ? credentials->source->endpoint : "",
            &host, NULL) != PW_OK)
        pw_buffer_clear(&host);
    {
        const struct pw_str parts[] = {pw_str_of("api"),
                                       host.len > 0 ? pw_buffer_str(&host)
                                                    : pw_str_of(credentials->source->endpoint),
                                       pw_secret_str(&keys->access_key),
                                       pw_secret_str(&keys->secret_key),
                                       pw_secret_str(&keys->security_token),
                                       pw_secret_str(&keys->token)};

        status = pw_guard_fingerprint(credentials->guard, parts, sizeof parts / sizeof parts[0],
                                      out, err);
    }
    pw_buffer_free(&host);
    return status;
}

enum pw_status pw_credentials_keep(struct pw_credentials *credentials, struct pw_keys *fresh,
                                   int64_t lifetime_ms, int64_t margin_ms, struct pw_error *err)
{
    int64_t now = now_ms(credentials);
    enum pw_status status = fingerprint(credentials, fresh, &credentials->fresh_print, err);

    if (status != PW_OK)
        return status;
    pw_keys_take(&credentials->fresh, fresh);
    credentials->has_fresh = true;
    credentials->fresh_fetched_at_ms = now;
    credentials->fresh_expires_at_ms = INT64_MAX;
    credentials->fresh_renew_at_ms = INT64_MAX;
    if (lifetime_ms != INT64_MAX) {
        credentials->fresh_expires_at_ms = now + lifetime_ms;
        credentials->fresh_renew_at_ms = now + lifetime_ms - margin_ms;
    }
    return PW_OK;
}

void pw_credentials_adopt(struct pw_credentials *credentials)
{
    bool is_same = credentials->has_keys && memcmp(&credentials->print, &credentials->fresh_print,
                                                   sizeof credentials->print) == 0;

    pw_keys_take(&credentials->keys, &credentials->fresh);
    credentials->has_fresh = false;
    credentials->has_keys = true;
    credentials->is_cleared = false;
    credentials->print = credentials->fresh_print;
    if (!is_same && ++credentials->generation == 0)
        credentials->generation = 1;
    credentials->fetched_at_ms = credentials->fresh_fetched_at_ms;
    credentials->expires_at_ms = credentials->fresh_expires_at_ms;
    credentials->renew_at_ms = credentials->fresh_renew_at_ms;
    credentials->is_replacement = credentials->is_refused;
    credentials->is_refused = credentials->refusal_helps = false;
}

int64_t pw_credentials_lifetime_ms(const struct pw_credentials *credentials,
                                   struct pw_str expires_at,
                                   const struct pw_http_response *response)
{
    int64_t end_ms = pw_cloud_time_ms(expires_at), start_ms = response->date_ms;

    if (end_ms == PW_TIME_NONE)
        return LIFETIME_UNKNOWN_MS;
    if (start_ms == PW_TIME_NONE)
        start_ms = pw_clock_wall_ms(credentials->clock);
    if (end_ms <= start_ms)
        return 0;
    return end_ms - start_ms < 30 * PW_DAY_MS ? end_ms - start_ms : 30 * PW_DAY_MS;
}

const char *pw_credentials_what(const struct pw_credentials *credentials)
{
    switch (credentials->source->auth) {
    case PW_AUTH_METADATA:
        return "the access key of the metadata service";
    case PW_AUTH_TOKEN:
    case PW_AUTH_PASSWORD:
        return "the token";
    case PW_AUTH_AKSK:
    case PW_AUTH_NONE:
        break;
    }
    return "the access key";
}

unsigned pw_credentials_generation(const struct pw_credentials *credentials)
{
    return credentials->generation;
}

const struct pw_credentials_trouble *
pw_credentials_trouble(const struct pw_credentials *credentials)
{
    return &credentials->trouble;
}

void pw_credentials_said(struct pw_credentials *credentials,
                         const struct pw_http_response *response, struct pw_api_error *api)
{
    struct pw_credentials_trouble *said = &credentials->said;

    pw_error_body_decode(credentials->error_body, response->body.data, response->body.len, api);
    (void)pw_text_printable(said->code, sizeof said->code, api->code);
    (void)pw_text_printable(said->request_id, sizeof said->request_id,
                            response->request_id.len > 0 ? response->request_id : api->request_id);
    pw_credentials_redact(credentials, said->code);
    pw_credentials_redact(credentials, said->request_id);
}

/* ---- what servers said -----------------------------------------------------------------------*/

void pw_credentials_accepted(struct pw_credentials *credentials, unsigned generation)
{
    if (generation == credentials->generation && credentials->is_cleared)
        pw_guard_accepted(&credentials->shown);
}

bool pw_credentials_refused(struct pw_credentials *credentials, unsigned generation)
{
    bool is_fetched = pw_credentials_are_fetched(credentials);

    if (credentials->source->auth == PW_AUTH_NONE)
        return false;
    if (generation != credentials->generation && !credentials->is_refused)
        return true;
    if (generation == credentials->generation && !credentials->is_refused) {
        credentials->is_refused = true;
        credentials->refusal_helps =
            is_fetched &&
            (!credentials->is_replacement ||
             now_ms(credentials) - credentials->fetched_at_ms >= REPLACEMENT_IS_NEW_MS);
        pw_guard_refused(&credentials->shown);
    }
    return credentials->has_fresh || credentials->refusal_helps ||
           (!is_fetched && pw_watch_changed(&credentials->watch));
}

void pw_credentials_forbidden(struct pw_credentials *credentials, unsigned generation)
{
    if (pw_credentials_are_fetched(credentials) && generation == credentials->generation)
        credentials->is_forbidden = true;
}

bool pw_credentials_changed(const struct pw_credentials *credentials)
{
    return pw_watch_changed(&credentials->watch);
}

void pw_credentials_redact(const struct pw_credentials *credentials, char *text)
{
    pw_keys_redact(&credentials->keys, text);
    pw_keys_redact(&credentials->fresh, text);
    pw_secret_redact(&credentials->password, text);
}

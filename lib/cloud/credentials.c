/* The face of credentials: what is in use, when it is renewed, how an outcome reaches the caller.
 * Memory goes in the timer's close callback. */
#include "cloud/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cloud/credentials_state.h"

/* A credential that ends sooner than this is not worth a sweep's start. */
#define STILL_GOOD_MS (60 * PW_SECOND_MS)
/* So long after a replacement a refusal has a new cause. */
#define REPLACEMENT_IS_NEW_MS (300 * PW_SECOND_MS)
/* Where the server does not say how long its token lives. */
#define LIFETIME_UNKNOWN_MS (3600 * PW_SECOND_MS)

static bool is_fetched(const struct pw_credentials *credentials)
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
    if (status == PW_OK && is_fetched(credentials)) {
        credentials->json = pw_json_reader_new();
        credentials->error_body = pw_error_body_new();
        if (credentials->json == NULL || credentials->error_body == NULL)
            status = pw_fail_nomem(err);
    }
    return status;
}

static void on_timer(uv_timer_t *timer);

enum pw_status pw_credentials_new(uv_loop_t *loop, struct pw_http *http,
                                  const struct pw_clock *clock,
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
    credentials->source = source;
    status = set_up(credentials, err);
    if (status != PW_OK) {
        credentials_free(credentials);
        return status;
    }
    credentials->has_keys = source->auth == PW_AUTH_NONE;
    credentials->renew_at_ms = credentials->expires_at_ms = INT64_MAX;
    (void)uv_timer_init(loop, &credentials->timer);
    credentials->timer.data = credentials;
    *out = credentials;
    return PW_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_credentials *credentials = handle->data;
    void (*closed)(void *context) = credentials->closed;
    void *context = credentials->closed_context;

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
    uv_close((uv_handle_t *)&credentials->timer, on_closed);
}

/* ---- what is in use --------------------------------------------------------------------------*/

void pw_credentials_adopt(struct pw_credentials *credentials, struct pw_keys *fresh,
                          int64_t lifetime_ms, int64_t margin_ms)
{
    int64_t now = now_ms(credentials);

    pw_keys_take(&credentials->keys, fresh);
    credentials->has_keys = true;
    credentials->fetched_at_ms = now;
    credentials->expires_at_ms = INT64_MAX;
    credentials->renew_at_ms = INT64_MAX;
    if (lifetime_ms != INT64_MAX) {
        credentials->expires_at_ms = now + lifetime_ms;
        credentials->renew_at_ms = now + lifetime_ms - margin_ms;
    }
    credentials->is_replacement = credentials->is_refused;
    credentials->is_refused = credentials->refusal_helps = false;
    credentials->renewal_barred = false;
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

/* Two files that are replaced one after the other could be read as a pair that never was: where
 * something moved meanwhile, they are read again. */
static enum pw_status read_keys(struct pw_credentials *credentials, struct pw_error *err)
{
    struct pw_keys fresh = {.token = {NULL, 0, 0}};
    enum pw_status status = PW_OK;

    for (int attempt = 0; attempt < 3; attempt++) {
        pw_keys_clear(&fresh);
        pw_watch_look(&credentials->watch);
        status = pw_keys_read(credentials->source, credentials->sdk_file, &fresh, err);
        if (!pw_watch_changed(&credentials->watch))
            break;
    }
    credentials->read_failed = status != PW_OK;
    if (status == PW_OK)
        pw_credentials_adopt(credentials, &fresh, INT64_MAX, 0);
    return status;
}

static bool must_renew(const struct pw_credentials *credentials)
{
    if (credentials->source->auth == PW_AUTH_NONE)
        return false;
    if (!credentials->has_keys || credentials->is_refused)
        return true;
    if (!is_fetched(credentials))
        return credentials->read_failed || pw_watch_changed(&credentials->watch);
    if (now_ms(credentials) < credentials->renew_at_ms)
        return false;
    /* Each refused log-in counts towards a lock: no more of them while the old token holds. */
    return !(credentials->renewal_barred && !pw_watch_changed(&credentials->watch) &&
             now_ms(credentials) + STILL_GOOD_MS < credentials->expires_at_ms);
}

/* ---- prepare ---------------------------------------------------------------------------------*/

/* Whether the old credential can stand in for one that could not be renewed. */
static bool can_go_on(const struct pw_credentials *credentials, enum pw_status status)
{
    if (!credentials->has_keys || credentials->is_refused || status == PW_ECANCELED)
        return false;
    if (is_fetched(credentials))
        return now_ms(credentials) + STILL_GOOD_MS < credentials->expires_at_ms;
    /* A file that is being written is empty or absent for a moment. One that others may read is
     * another matter. */
    return status == PW_EFORMAT || status == PW_ENOTFOUND || status == PW_EIO;
}

void pw_credentials_settle(struct pw_credentials *credentials, const struct pw_error *outcome)
{
    void (*ready)(void *context, enum pw_status status, const struct pw_error *error) =
        credentials->ready;
    struct pw_error result = *outcome;

    pw_secret_clear(&credentials->password);
    pw_secret_clear(&credentials->body);
    pw_secret_clear(&credentials->token_line);
    if (credentials->is_closing || !credentials->is_preparing)
        return;
    credentials->is_preparing = false;
    if (result.status != PW_OK && can_go_on(credentials, result.status)) {
        credentials->renewal_barred = result.status == PW_EPERM;
        pw_log_warning("source %s: the credentials cannot be renewed, the old ones are still used: "
                       "%s",
                       credentials->source->name, result.message);
        result = (struct pw_error){.status = PW_OK};
    }
    ready(credentials->ready_context, result.status, &result);
}

static void on_timer(uv_timer_t *timer)
{
    struct pw_credentials *credentials = timer->data;
    struct pw_error outcome = credentials->outcome;

    pw_credentials_settle(credentials, &outcome);
}

void pw_credentials_prepare(struct pw_credentials *credentials,
                            void (*ready)(void *context, enum pw_status status,
                                          const struct pw_error *error),
                            void *context)
{
    struct pw_error *outcome = &credentials->outcome;
    enum pw_status status = PW_OK;

    if (credentials->is_preparing || credentials->is_closing)
        return;
    credentials->is_preparing = true;
    credentials->ready = ready;
    credentials->ready_context = context;
    *outcome = (struct pw_error){.status = PW_OK};
    if (must_renew(credentials)) {
        if (credentials->source->auth == PW_AUTH_PASSWORD)
            status = pw_iam_fetch(credentials, outcome);
        else if (credentials->source->auth == PW_AUTH_METADATA)
            status = pw_metadata_fetch(credentials, outcome);
        else
            status = read_keys(credentials, outcome);
        if (status == PW_OK && is_fetched(credentials))
            return;
    }
    outcome->status = status;
    (void)uv_timer_start(&credentials->timer, on_timer, 0, 0);
}

/* ---- refusals --------------------------------------------------------------------------------*/

bool pw_credentials_refused(struct pw_credentials *credentials)
{
    if (!is_fetched(credentials))
        return pw_watch_changed(&credentials->watch);
    if (!credentials->is_refused) {
        credentials->is_refused = true;
        credentials->refusal_helps =
            !credentials->is_replacement ||
            now_ms(credentials) - credentials->fetched_at_ms >= REPLACEMENT_IS_NEW_MS;
    }
    return credentials->refusal_helps;
}

bool pw_credentials_changed(const struct pw_credentials *credentials)
{
    return pw_watch_changed(&credentials->watch);
}

void pw_credentials_redact(const struct pw_credentials *credentials, char *text)
{
    pw_keys_redact(&credentials->keys, text);
    pw_secret_redact(&credentials->password, text);
}

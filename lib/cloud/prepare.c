/* Preparing: when files are read and tokens fetched, who waits for that and who does not, and how
 * an outcome reaches the caller. A prepare goes on in steps (advance) from its timer, from the end
 * of a fetch, and when the guard says so. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cloud/credentials_state.h"

/* A credential that ends sooner than this is not worth a sweep's start. */
#define STILL_GOOD_MS (60 * PW_SECOND_MS)
/* Between failed renewals beside a credential that holds. */
#define RENEW_AGAIN_MS (30 * PW_SECOND_MS)
#define RENEW_AGAIN_MAX_MS (600 * PW_SECOND_MS)

static void advance(struct pw_credentials *credentials);

static int64_t now_ms(const struct pw_credentials *credentials)
{
    return pw_clock_monotonic_ms(credentials->clock);
}

/* Whether what is in use can be shown for a while. */
static bool holds(const struct pw_credentials *credentials)
{
    return credentials->has_keys && !credentials->is_refused &&
           now_ms(credentials) + STILL_GOOD_MS < credentials->expires_at_ms;
}

/* ---- outcomes --------------------------------------------------------------------------------*/

/* Once for each cause; numbers in a message (times, ids, ports) make no new cause. */
static void note_trouble(struct pw_credentials *credentials, const char *message)
{
    char cause[sizeof credentials->cause];
    size_t used = 0;
    enum pw_log_level level;

    for (const char *p = message; *p != '\0' && used + 1 < sizeof cause; p++) {
        if (!isdigit((unsigned char)*p))
            cause[used++] = *p;
    }
    cause[used] = '\0';
    level = strcmp(cause, credentials->cause) == 0 ? PW_LOG_DEBUG : PW_LOG_WARNING;
    memcpy(credentials->cause, cause, used + 1);
    pw_log(level, "source %s: the credentials cannot be renewed, the old ones are still used: %s",
           credentials->source->name, message);
}

static void note_recovery(struct pw_credentials *credentials)
{
    if (credentials->cause[0] != '\0')
        pw_log_info("source %s: the credentials can be renewed again", credentials->source->name);
    credentials->cause[0] = '\0';
}

static void finish(struct pw_credentials *credentials, const struct pw_error *outcome)
{
    struct pw_error result = *outcome;

    credentials->is_preparing = false;
    credentials->is_in_sweep = result.status == PW_OK;
    if (result.status != PW_OK) {
        pw_guard_rest(&credentials->shown);
        if (credentials->is_tried && credentials->fetch_error.status != PW_OK)
            credentials->trouble = credentials->said;
        else
            credentials->trouble = (struct pw_credentials_trouble){.code = ""};
    }
    credentials->ready(credentials->ready_context, result.status, &result);
}

/* ---- fetches ---------------------------------------------------------------------------------*/

/* Ends whatever the fetch is doing; done is called within. */
static void on_limit(uv_timer_t *timer)
{
    struct pw_credentials *credentials = timer->data;

    credentials->is_late = true;
    if (credentials->call != NULL)
        pw_http_cancel(credentials->call);
}

static enum pw_status launch(struct pw_credentials *credentials, struct pw_error *err)
{
    enum pw_status status = credentials->source->auth == PW_AUTH_PASSWORD
                                ? pw_iam_fetch(credentials, err)
                                : pw_metadata_fetch(credentials, err);

    if (status == PW_OK && credentials->call != NULL)
        (void)uv_timer_start(&credentials->fetch_timer, on_limit,
                             (uint64_t)credentials->fetch_limit_ms, 0);
    return status;
}

/* Everything about an ended fetch but telling it. */
static void fetch_ended(struct pw_credentials *credentials, const struct pw_error *outcome)
{
    int64_t wait_ms = RENEW_AGAIN_MS;

    credentials->is_fetching = false;
    (void)uv_timer_stop(&credentials->fetch_timer);
    pw_secret_clear(&credentials->password);
    pw_secret_clear(&credentials->body);
    pw_secret_clear(&credentials->token_line);
    credentials->fetch_error = *outcome;
    if (outcome->status == PW_ECANCELED && credentials->is_late) {
        char limit[32];

        (void)pw_fail(&credentials->fetch_error, PW_ENETWORK, "%s gives no usable answer within %s",
                      credentials->source->auth == PW_AUTH_PASSWORD ? "IAM"
                                                                    : "the metadata service",
                      pw_duration_text(limit, sizeof limit, credentials->fetch_limit_ms));
    }
    if (credentials->is_closing || credentials->fetch_error.status == PW_ECANCELED)
        return;
    if (credentials->fetch_error.status == PW_OK) {
        credentials->fetch_failures = 0;
        note_recovery(credentials);
    } else {
        for (unsigned i = 0; i < credentials->fetch_failures && wait_ms < RENEW_AGAIN_MAX_MS; i++)
            wait_ms *= 2;
        if (wait_ms > RENEW_AGAIN_MAX_MS)
            wait_ms = RENEW_AGAIN_MAX_MS;
        credentials->fetch_failures++;
        if (holds(credentials))
            note_trouble(credentials, credentials->fetch_error.message);
    }
    credentials->fetch_again_at_ms = now_ms(credentials) + wait_ms;
}

static void begin_fetch(struct pw_credentials *credentials)
{
    struct pw_error err = {.status = PW_OK};

    credentials->is_fetching = true;
    credentials->is_late = false;
    credentials->said = (struct pw_credentials_trouble){.code = ""};
    if (launch(credentials, &err) != PW_OK)
        fetch_ended(credentials, &err);
}

void pw_credentials_settle(struct pw_credentials *credentials, const struct pw_error *outcome)
{
    if (!credentials->is_fetching)
        return;
    fetch_ended(credentials, outcome);
    if (credentials->is_closing)
        return;
    if (credentials->is_preparing)
        advance(credentials);
    else if (credentials->has_fresh && !credentials->is_in_sweep)
        pw_credentials_adopt(credentials);
}

static void on_login_turn(uv_timer_t *timer)
{
    struct pw_credentials *credentials = timer->data;
    struct pw_error err = {.status = PW_OK};

    if (launch(credentials, &err) != PW_OK)
        pw_credentials_settle(credentials, &err);
}

void pw_credentials_on_login_turn(void *context)
{
    struct pw_credentials *credentials = context;

    if (!credentials->is_closing && credentials->is_fetching)
        (void)uv_timer_start(&credentials->fetch_timer, on_login_turn, 0, 0);
}

/* ---- steps of a prepare ----------------------------------------------------------------------*/

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
    if (status == PW_OK)
        status = pw_credentials_keep(credentials, &fresh, INT64_MAX, 0, err);
    pw_keys_clear(&fresh);
    credentials->read_failed = status != PW_OK;
    if (status == PW_OK)
        pw_credentials_adopt(credentials);
    return status;
}

/* Keys in files: PW_OK where there are some to show. */
static enum pw_status look_at_files(struct pw_credentials *credentials, struct pw_error *err)
{
    enum pw_status status;

    if (credentials->has_keys && !credentials->is_refused && !credentials->read_failed &&
        !pw_watch_changed(&credentials->watch))
        return PW_OK;
    status = read_keys(credentials, err);
    if (status == PW_OK) {
        note_recovery(credentials);
        return PW_OK;
    }
    /* A file that is being written is empty or absent for a moment. One that others may read is
     * another matter, and what was refused is never the better choice. */
    if (!holds(credentials) || (status != PW_EFORMAT && status != PW_ENOTFOUND && status != PW_EIO))
        return status;
    note_trouble(credentials, err->message);
    return PW_OK;
}

static bool is_renewal_due(const struct pw_credentials *credentials)
{
    int64_t now = now_ms(credentials);

    return !credentials->is_fetching && now >= credentials->renew_at_ms &&
           (now >= credentials->fetch_again_at_ms || pw_watch_changed(&credentials->watch));
}

/* Fetched keys: true where there are some to show; false where the prepare waits for a fetch, or
 * where there will be none (*err says why). */
static bool look_after_fetched(struct pw_credentials *credentials, struct pw_error *err)
{
    if (credentials->has_fresh)
        pw_credentials_adopt(credentials);
    if (!credentials->is_tried && (!holds(credentials) || credentials->is_forbidden)) {
        credentials->is_tried = true;
        credentials->is_forbidden = false;
        if (!credentials->is_fetching)
            begin_fetch(credentials);
    }
    if (credentials->is_tried) {
        if (credentials->is_fetching)
            return false;
        *err = credentials->fetch_error;
        return err->status == PW_OK || (err->status != PW_ECANCELED && holds(credentials));
    }
    if (is_renewal_due(credentials))
        begin_fetch(credentials);
    return true;
}

/* The guard's word on what is in use; true where the prepare is to look for other keys. */
static bool ask_guard(struct pw_credentials *credentials)
{
    struct pw_error outcome = {.status = PW_OK};
    enum pw_guard_answer answer;

    if (pw_guard_ask(&credentials->shown, &credentials->print, &answer, &outcome) != PW_OK) {
        finish(credentials, &outcome);
        return false;
    }
    switch (answer) {
    case PW_GUARD_WAIT:
        return false;
    case PW_GUARD_GO:
        credentials->is_cleared = true;
        break;
    case PW_GUARD_REFUSED:
        /* Perhaps by way of another source. */
        credentials->is_refused = true;
        if (pw_credentials_are_fetched(credentials) && !credentials->is_tried)
            return true;
        (void)pw_guard_explain(&credentials->shown, pw_credentials_what(credentials), &outcome);
        break;
    }
    finish(credentials, &outcome);
    return false;
}

static void advance(struct pw_credentials *credentials)
{
    struct pw_error outcome;

    do {
        outcome = (struct pw_error){.status = PW_OK};
        if (pw_credentials_are_fetched(credentials)) {
            if (!look_after_fetched(credentials, &outcome)) {
                if (!credentials->is_fetching)
                    finish(credentials, &outcome);
                return;
            }
        } else if (credentials->source->auth == PW_AUTH_NONE ||
                   look_at_files(credentials, &outcome) != PW_OK) {
            finish(credentials, &outcome);
            return;
        }
    } while (ask_guard(credentials));
}

static void on_timer(uv_timer_t *timer)
{
    struct pw_credentials *credentials = timer->data;

    if (credentials->is_preparing)
        advance(credentials);
}

void pw_credentials_on_turn(void *context)
{
    struct pw_credentials *credentials = context;

    if (!credentials->is_closing)
        (void)uv_timer_start(&credentials->timer, on_timer, 0, 0);
}

/* ---- for the caller --------------------------------------------------------------------------*/

void pw_credentials_prepare(struct pw_credentials *credentials,
                            void (*ready)(void *context, enum pw_status status,
                                          const struct pw_error *error),
                            void *context)
{
    if (credentials->is_preparing || credentials->is_closing)
        return;
    credentials->is_preparing = true;
    credentials->is_tried = false;
    credentials->ready = ready;
    credentials->ready_context = context;
    (void)uv_timer_start(&credentials->timer, on_timer, 0, 0);
}

void pw_credentials_cancel(struct pw_credentials *credentials)
{
    if (!credentials->is_preparing || credentials->is_closing)
        return;
    credentials->is_preparing = false;
    (void)uv_timer_stop(&credentials->timer);
    pw_guard_rest(&credentials->shown);
}

void pw_credentials_rest(struct pw_credentials *credentials)
{
    if (credentials->is_closing || credentials->is_preparing)
        return;
    credentials->is_in_sweep = false;
    pw_guard_rest(&credentials->shown);
    if (credentials->has_fresh)
        pw_credentials_adopt(credentials);
}

/* The inside of pw_credentials, for the files that share it. Internal to this room. */
#ifndef PW_CLOUD_CREDENTIALS_STATE_H
#define PW_CLOUD_CREDENTIALS_STATE_H

#include "base/json_reader.h"
#include "cloud/credentials.h"
#include "cloud/error_body.h"
#include "cloud/guard_state.h"
#include "cloud/keys.h"
#include "cloud/watch.h"

enum { PW_CREDENTIALS_MAX_LINES = 8 };

struct pw_credentials {
    struct pw_http *http;
    const struct pw_clock *clock;
    struct pw_guard *guard;
    const struct pw_source_config *source;
    char *sdk_file; /* owned; NULL = none */
    struct pw_watch watch;

    /* What is in use. Times are monotonic; INT64_MAX = never. */
    struct pw_keys keys;
    struct pw_guard_print print; /* of keys */
    bool has_keys;
    unsigned generation;
    int64_t fetched_at_ms, renew_at_ms, expires_at_ms;
    bool is_cleared;     /* the guard lets keys be shown */
    bool is_refused;     /* the server said no to keys */
    bool refusal_helps;  /* and others may do better */
    bool is_replacement; /* keys were fetched because others had been refused */
    bool is_forbidden;   /* fresh ones may have more rights */
    bool read_failed;    /* the last reading of the files */
    bool is_in_sweep;    /* between an OK of prepare and rest */
    struct pw_guard_turn shown;

    /* A running prepare. */
    bool is_preparing, is_closing;
    bool is_tried; /* it has waited, or waits, for a fetch */
    void (*ready)(void *context, enum pw_status status, const struct pw_error *error);
    void *ready_context;
    uv_timer_t timer; /* its next step */
    struct pw_credentials_trouble trouble;
    void (*closed)(void *context);
    void *closed_context;
    unsigned open_handles;

    /* A fetch, whoever waits for it. */
    bool is_fetching;
    bool is_late; /* it was ended by its limit */
    struct pw_http_call *call;
    struct pw_json_reader *json;
    struct pw_error_body *error_body;
    struct pw_secret password, body; /* IAM; until the answer is there */
    struct pw_secret token_line;     /* "X-Metadata-Token: …" */
    bool is_repeated;                /* the metadata service's 401 was answered by a new token */
    struct pw_guard_turn login;
    uv_timer_t fetch_timer; /* its limit, or its turn to log in */
    int64_t fetch_limit_ms;
    struct pw_credentials_trouble said;
    struct pw_error fetch_error; /* how the last one ended */
    unsigned fetch_failures;
    int64_t fetch_again_at_ms; /* beside keys that hold */
    char cause[512];           /* what was warned of, without digits; "" = renewing works */

    /* What came of it, until it is put in use. */
    struct pw_keys fresh;
    struct pw_guard_print fresh_print;
    bool has_fresh;
    int64_t fresh_fetched_at_ms, fresh_renew_at_ms, fresh_expires_at_ms;

    /* What pw_credentials_headers handed out. */
    struct pw_secret lines;
    const char *line_list[PW_CREDENTIALS_MAX_LINES + 1];
};

bool pw_credentials_are_fetched(const struct pw_credentials *credentials); /* password, metadata */
void pw_credentials_on_turn(void *context);       /* go of shown: the prepare goes on */
void pw_credentials_on_login_turn(void *context); /* go of login: the fetch goes on */
/* What the guard calls the keys in messages. */
const char *pw_credentials_what(const struct pw_credentials *credentials);

/* Start fetching; they end with pw_credentials_settle, or return what kept them from starting.
 * Without a call they wait for their turn to log in. */
PW_MUST_CHECK enum pw_status pw_iam_fetch(struct pw_credentials *credentials, struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_metadata_fetch(struct pw_credentials *credentials,
                                               struct pw_error *err);

/* Keeps fresh, which is empty then, until it is put in use; its life is lifetime_ms from now
 * (INT64_MAX = no end), and renewed margin_ms before its end. */
PW_MUST_CHECK enum pw_status pw_credentials_keep(struct pw_credentials *credentials,
                                                 struct pw_keys *fresh, int64_t lifetime_ms,
                                                 int64_t margin_ms, struct pw_error *err);
/* Puts in use what was kept. */
void pw_credentials_adopt(struct pw_credentials *credentials);
/* How long a credential holds that ends at expires_at (text of the answer). */
int64_t pw_credentials_lifetime_ms(const struct pw_credentials *credentials,
                                   struct pw_str expires_at,
                                   const struct pw_http_response *response);
/* Reads the body of a refusal, and remembers its code and request id. */
void pw_credentials_said(struct pw_credentials *credentials,
                         const struct pw_http_response *response, struct pw_api_error *api);
/* The outcome of the running fetch; may call ready. Nothing of credentials may be touched after. */
void pw_credentials_settle(struct pw_credentials *credentials, const struct pw_error *outcome);

#endif

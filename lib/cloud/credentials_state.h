/* The inside of pw_credentials, for the files that share it. Internal to this room. */
#ifndef PW_CLOUD_CREDENTIALS_STATE_H
#define PW_CLOUD_CREDENTIALS_STATE_H

#include "base/json_reader.h"
#include "cloud/credentials.h"
#include "cloud/error_body.h"
#include "cloud/keys.h"
#include "cloud/watch.h"

enum { PW_CREDENTIALS_MAX_LINES = 8 };

struct pw_credentials {
    struct pw_http *http;
    const struct pw_clock *clock;
    const struct pw_source_config *source;
    char *sdk_file; /* owned; NULL = none */
    struct pw_watch watch;

    /* What is in use. Times are monotonic; INT64_MAX = never. */
    struct pw_keys keys;
    bool has_keys;
    int64_t fetched_at_ms, renew_at_ms, expires_at_ms;
    bool is_refused;     /* the server said no to keys */
    bool refusal_helps;  /* and others may do better */
    bool is_replacement; /* keys were fetched because others had been refused */
    bool read_failed;    /* the last reading of the files */
    bool renewal_barred; /* renewing was refused with the files as they are */

    /* A running prepare. */
    bool is_preparing, is_closing;
    void (*ready)(void *context, enum pw_status status, const struct pw_error *error);
    void *ready_context;
    uv_timer_t timer; /* brings an outcome that was there at once */
    struct pw_error outcome;
    void (*closed)(void *context);
    void *closed_context;

    /* A request for a token. */
    struct pw_http_call *call;
    struct pw_json_reader *json;
    struct pw_error_body *error_body;
    struct pw_secret password, body; /* IAM; until the answer is there */
    struct pw_secret token_line;     /* "X-Metadata-Token: …" */
    bool is_repeated;                /* the metadata service's 401 was answered by a new token */

    /* What pw_credentials_headers handed out. */
    struct pw_secret lines;
    const char *line_list[PW_CREDENTIALS_MAX_LINES + 1];
};

/* Start fetching; they end with pw_credentials_settle, or return what kept them from starting. */
PW_MUST_CHECK enum pw_status pw_iam_fetch(struct pw_credentials *credentials, struct pw_error *err);
PW_MUST_CHECK enum pw_status pw_metadata_fetch(struct pw_credentials *credentials,
                                               struct pw_error *err);

/* Puts fresh in use; its life is lifetime_ms from now, and renewed margin_ms before its end. */
void pw_credentials_adopt(struct pw_credentials *credentials, struct pw_keys *fresh,
                          int64_t lifetime_ms, int64_t margin_ms);
/* How long a credential holds that ends at expires_at (text of the answer). */
int64_t pw_credentials_lifetime_ms(const struct pw_credentials *credentials,
                                   struct pw_str expires_at,
                                   const struct pw_http_response *response);
/* The outcome of the running prepare; calls ready. Nothing of credentials may be touched after. */
void pw_credentials_settle(struct pw_credentials *credentials, const struct pw_error *outcome);

#endif

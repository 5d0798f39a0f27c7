/*
 * The metadata service of a machine: its session tokens, and the temporary credential of the
 * agency that the machine has. Owns the credentials that it gave.
 */
#ifndef COC_SIM_METADATA_H
#define COC_SIM_METADATA_H

#include "request.h"

enum {
    METADATA_CREDENTIALS_MAX = 64, /* remembered; the oldest make room */
    METADATA_TOKENS_MAX = 256,
    METADATA_TOKEN_TTL_MAX_S = 21600
};

/* What POST /sim/metadata sets. */
struct metadata_settings {
    int64_t ttl_ms;          /* of a credential */
    int64_t renew_before_ms; /* with no more left (or half the ttl) a new one is given */
    bool token_required;
    bool fractional;    /* expires_at with a fraction */
    bool agency;        /* else there is no credential to give */
    int64_t put_status; /* of PUT /meta-data/latest/api/token; 200 = it works */
};

struct credential {
    char *access;
    char *secret;
    char *security_token;
    int64_t expires_ms;
    bool revoked;
};

struct metadata {
    struct metadata_settings settings;
    struct credential credential[METADATA_CREDENTIALS_MAX];
    uint64_t credential_count; /* ever */
    bool rotate;               /* the next request gets a new one */
    int64_t token_expires_ms[METADATA_TOKENS_MAX];
    uint64_t token_count; /* ever */
    int64_t token_requests;
    int64_t key_requests;
};

/* PUT /meta-data/latest/api/token */
void metadata_token(struct server *server, struct request *request);
/* GET /openstack/latest/securitykey */
void metadata_key(struct server *server, struct request *request);

/* The credential that the access key is of; NULL if none was given or it was revoked. */
const struct credential *metadata_find(const struct metadata *metadata, const char *access);
/* The next request gets a new credential; with `revoke` the old ones are good for nothing. */
void metadata_rotate(struct metadata *metadata, bool revoke);
/* No session token is good any more. */
void metadata_forget(struct metadata *metadata);
/* Settings as at the start, no credentials; their numbers go on. */
void metadata_reset(struct metadata *metadata);

#endif

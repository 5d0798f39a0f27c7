/*
 * Authentication of requests to the API, as its gateway does it: off, by signature or by token.
 * Owns its texts.
 */
#ifndef COC_SIM_AUTH_H
#define COC_SIM_AUTH_H

#include "request.h"

enum auth_mode { AUTH_NONE, AUTH_AKSK, AUTH_TOKEN, AUTH_MODES };

enum {
    AUTH_KEYS_MAX = 64,    /* access keys whose failures are remembered */
    AUTH_FAILURES_MAX = 5, /* in a row; one more locks the key */
    AUTH_LOCK_MS = 300000, /* of the server's time */
    AUTH_SKEW_MAX_MS = 900000
};

/* An access key that somebody used, known or not. */
struct auth_key {
    char *access;
    int64_t failures; /* in a row */
    int64_t locked_until_ms;
};

struct auth {
    enum auth_mode mode;
    char *access_key; /* NULL = only keys from the metadata service */
    char *secret_key;
    char *security_token; /* NULL = a permanent key */
    char *domain_id;      /* NULL = any */
    char *project_id;
    struct auth_key keys[AUTH_KEYS_MAX];
    size_t key_count; /* ever; the oldest make room */
    int64_t refused;
};

/* Lets the request through, or makes the gateway's refusal its answer and returns false. */
bool auth_check(struct server *server, struct request *request);

/* How many of auth->keys are in use. */
size_t auth_keys_used(const struct auth *auth);
bool auth_locked(const struct auth_key *key, int64_t now_ms);
const char *auth_mode_name(enum auth_mode mode);
/* AUTH_MODES if there is none of that name. */
enum auth_mode auth_mode_find(const char *name);
/* Off again, all failures forgotten. */
void auth_reset(struct auth *auth);

#endif

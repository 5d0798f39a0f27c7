/*
 * The identity service: users that tests make, and the tokens it gave them. Owns both.
 */
#ifndef COC_SIM_IAM_H
#define COC_SIM_IAM_H

#include "request.h"

enum { IAM_USERS_MAX = 256, IAM_TOKENS_MAX = 100000, IAM_TTL_MS = 86400000 };

struct iam_user {
    char *domain;
    char *user;
    char *password;
    char *project;
    char *domain_id;
    char *user_id;
    char *project_id;
    bool forbidden; /* the password is right, a token is refused */
};

struct iam_token {
    int64_t expires_ms;
    bool revoked;
};

struct iam {
    struct iam_user user[IAM_USERS_MAX];
    size_t user_count;
    struct iam_token *tokens;
    size_t token_count;
    uint64_t first_token; /* number of tokens[0] less one: no text is given twice */
    int64_t ttl_ms;       /* 0 = IAM_TTL_MS */
    int64_t requests;
    int64_t refused;
};

enum iam_token_state { IAM_TOKEN_VALID, IAM_TOKEN_UNKNOWN, IAM_TOKEN_EXPIRED, IAM_TOKEN_REVOKED };

/* POST /v3/auth/tokens */
void iam_tokens(struct server *server, struct request *request);

/* What a text sent as a token is worth. */
enum iam_token_state iam_token_state(const struct iam *iam, const char *text, int64_t now_ms);
size_t iam_valid_tokens(const struct iam *iam, int64_t now_ms);
/* Returns how many were valid. */
size_t iam_revoke(struct iam *iam, int64_t now_ms);

/* Makes a user, or changes the one of that name; NULL when there are too many. The project and the
 * ids are made up where NULL. */
const struct iam_user *iam_add_user(struct iam *iam, const char *domain, const char *name,
                                    const char *password, const char *project,
                                    const char *domain_id, const char *project_id);
void iam_forbid(struct iam *iam, const struct iam_user *user, bool forbidden);
/* No users and no tokens; the numbers of tokens go on. */
void iam_reset(struct iam *iam);

#endif

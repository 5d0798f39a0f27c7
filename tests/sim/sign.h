/*
 * The server's side of SDK-HMAC-SHA256: rebuilds from what came over the wire what a client should
 * have signed. Written from the signing guide of Huawei Cloud's API gateway, for no client.
 */
#ifndef COC_SIM_SIGN_H
#define COC_SIM_SIGN_H

#include "request.h"

enum { SIGNATURE_HEX = 64 };

/* What an Authorization header says; the texts are its own. */
struct authorization {
    char *access;
    char *signed_headers;
    char *signature;
};

/* Takes "SDK-HMAC-SHA256 Access=..., SignedHeaders=..., Signature=..." apart; false if it is
 * anything else. To be freed in either case. */
bool authorization_parse(const char *text, struct authorization *authorization);
void authorization_free(struct authorization *authorization);

/* Is the name (in lower case) in the list that semicolons part? */
bool sign_lists(const char *signed_headers, const char *name);

/* Appends the canonical request; false if the list of signed headers is not in order and lower
 * case, or names a header that was not sent exactly once. */
bool sign_canonical(const struct request *request, const char *signed_headers, struct buf *out);

/* The signature of a canonical request, in lower-case hexadecimal digits. */
void sign_make(const char *secret, const char *date, const struct buf *canonical,
               char signature[SIGNATURE_HEX + 1]);

#endif

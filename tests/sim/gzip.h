/*
 * gzip-encoded bodies: of an answer as it is, and one that unpacks to far more than was sent.
 */
#ifndef COC_SIM_GZIP_H
#define COC_SIM_GZIP_H

#include "request.h"

/* Encodes the answer's body if the server does so, the client says that it takes gzip, and it is
 * not encoded yet. */
void gzip_answer(struct request *request);

/* Puts `size` blanks after the first byte of the body and encodes the whole, without ever having
 * it in memory. */
void gzip_bomb(struct answer *answer, size_t size);

#endif

/*
 * Made-up keys and tokens: texts that mean nothing to a client, unique by their number.
 */
#ifndef COC_SIM_OPAQUE_H
#define COC_SIM_OPAQUE_H

#include "buf.h"

/* What a text is made for: the same number gives another text for each. */
enum opaque {
    OPAQUE_IAM_TOKEN,
    OPAQUE_METADATA_TOKEN,
    OPAQUE_ACCESS_KEY,
    OPAQUE_SECRET_KEY,
    OPAQUE_SECURITY_TOKEN,
    OPAQUES
};

/* The text for a number; the caller frees it. */
char *opaque_make(enum opaque kind, uint64_t number);
/* The number of a text that opaque_make() gave for that kind; 0 if it gave no such text. */
uint64_t opaque_number(enum opaque kind, const char *text);

#endif

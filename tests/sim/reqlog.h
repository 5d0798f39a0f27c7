/*
 * The last requests to the API, IAM and the metadata service, for tests that ask what a client did.
 * The log owns its texts.
 */
#ifndef COC_SIM_REQLOG_H
#define COC_SIM_REQLOG_H

#include "buf.h"

enum { REQLOG_KEPT = 1000 };

struct reqlog_entry {
    int64_t n; /* from 1, never reset */
    int64_t at_ms;
    const char *path; /* realm_name() */
    char *query;
    unsigned status;   /* 0 = nothing answered */
    const char *fault; /* static; NULL = none */
    const char *auth;  /* static; NULL = nobody asked */
    size_t bytes;
};

struct reqlog {
    struct reqlog_entry entry[REQLOG_KEPT];
    size_t count; /* entries in use */
    size_t next;  /* where the next one goes */
    int64_t last_n;
};

/* Takes the entry but for its number, its time and its query, of which it makes a copy. */
void reqlog_add(struct reqlog *log, struct reqlog_entry entry, const char *query);
/* Appends {"requests":[...]}, oldest first. */
void reqlog_write(const struct reqlog *log, struct buf *out);
/* Returns how many entries there were. */
size_t reqlog_clear(struct reqlog *log);

#endif

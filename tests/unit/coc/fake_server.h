/* An API without a network: a list of record identities, newest first, that answers offsets as one
 * or the other kind of server would, and a sweep that drives the paging machine against it with
 * several requests in flight whose answers come in random order. */
#ifndef PW_TEST_FAKE_SERVER_H
#define PW_TEST_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coc/paging.h"

struct server {
    uint64_t *rows; /* in the order of the API */
    size_t count;
    size_t capacity;
    uint64_t next_identity;
    bool counts_records; /* what offset means to it */
    size_t page_cap;     /* never more rows a page than this; 0 = as asked */
    bool ignores_offset;
    /* Optional, called with every answer before it goes out: lies. */
    void (*distort)(struct server *server, int64_t offset, struct pw_paging_answer *answer);
    /* Optional, called before every answer: rows move. */
    void (*move)(struct server *server);
    uint64_t random; /* state of its generator */
    int64_t answers;
    uint64_t *page;
    void *context; /* of the test */
};

void server_open(struct server *server, size_t count, bool counts_records, uint64_t seed);
void server_close(struct server *server);
uint64_t server_random(struct server *server, uint64_t below);
/* Row i is reported anew: it keeps its identity and moves to the front. */
void server_touch(struct server *server, size_t i);
void server_insert(struct server *server); /* at the front */
void server_delete(struct server *server, size_t i);

struct run {
    int64_t page_size;
    enum pw_paging_mode setting;
    enum pw_paging_mode remembered;
    size_t concurrency;   /* 0 = 4 */
    int64_t max_requests; /* the test fails beyond it */
    /* Optional: the page at this offset is given up. */
    bool (*loses)(void *context, int64_t offset);
    void *context;
    bool keeps_nothing; /* do not fill seen: for sweeps of millions */
    /* filled by run_sweep */
    int64_t requests;
    int64_t offset_two_requests;
    int64_t last_offset;
    bool is_complete;
    enum pw_paging_mode proved;
    int64_t records;
    struct pw_hashset seen; /* everything that any answer showed; run_close frees it */
    char reason[512];
};

/* Runs it to its end. Fails the test where an offset is out of the API's range, where the machine
 * hangs, or beyond max_requests. */
void run_sweep(struct run *run, struct server *server);
void run_close(struct run *run);

#endif

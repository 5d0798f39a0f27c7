/* The store thread: owns the one writing connection and does jobs in the order in which they were
 * submitted; their results come back to the loop. The loop never waits for the disk. */
#ifndef PW_STORE_THREAD_H
#define PW_STORE_THREAD_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "store/db.h"

struct pw_store;

/* Embed it in a struct of your own. It must live until done was called; done may free it. */
struct pw_store_job {
    /* On the store thread. Put results and errors into your struct. */
    void (*run)(struct pw_store_job *job, struct pw_db *db);
    /* On the loop thread, after run, in the order of submission. */
    void (*done)(struct pw_store_job *job);
    struct pw_store_job *next; /* the queue's */
};

/* Opens the database (on the calling thread, so that errors come at once) and starts the thread.
 * Errors as pw_db_open. */
PW_MUST_CHECK enum pw_status pw_store_open(uv_loop_t *loop, const char *path, struct pw_store **out,
                                           struct pw_error *err);
/* Whether the database was not closed by its last writer, as pw_db_is_unclean. */
bool pw_store_is_unclean(const struct pw_store *store);
/* Queues job. Only from the loop thread, not after pw_store_close. */
void pw_store_submit(struct pw_store *store, struct pw_store_job *job);
/* Jobs queued or running whose done has not been called yet. */
size_t pw_store_backlog(const struct pw_store *store);
/* Lets every queued job run and be done, closes the database and ends the thread; then frees the
 * store and calls closed on the loop. The loop must keep running until then. */
void pw_store_close(struct pw_store *store, void (*closed)(void *context), void *context);

#endif

/* The store thread and its two queues: jobs to run (loop to thread) and jobs that ran (thread to
 * loop). The mutex guards both lists and `closing` and `ended`; everything else belongs to one
 * thread. */
#include "store/thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct job_list {
    struct pw_store_job *first;
    struct pw_store_job *last;
};

struct pw_store {
    struct pw_db *db; /* the thread's, from its start to its end */
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t wake;
    struct job_list waiting;
    struct job_list ran;
    bool closing; /* no job will be submitted any more */
    bool ended;   /* the thread has closed the database and is about to return */

    uv_async_t async; /* wakes the loop; the store is freed in its close callback */
    size_t backlog;   /* the loop's */
    bool joined;      /* the loop's */
    bool is_unclean;  /* the loop's; as it was when the database was opened */
    void (*closed)(void *context);
    void *closed_context;
};

static void list_add(struct job_list *list, struct pw_store_job *job)
{
    job->next = NULL;
    if (list->last == NULL)
        list->first = job;
    else
        list->last->next = job;
    list->last = job;
}

static struct pw_store_job *list_take_first(struct job_list *list)
{
    struct pw_store_job *job = list->first;

    if (job == NULL)
        return NULL;
    list->first = job->next;
    if (list->first == NULL)
        list->last = NULL;
    job->next = NULL;
    return job;
}

/* On the store thread ----------------------------------------------------------------------- */

static void thread_main(void *context)
{
    struct pw_store *store = context;

    (void)pthread_setname_np(pthread_self(), "store");
    uv_mutex_lock(&store->mutex);
    for (;;) {
        struct pw_store_job *job = list_take_first(&store->waiting);

        if (job == NULL) {
            if (store->closing)
                break;
            uv_cond_wait(&store->wake, &store->mutex);
            continue;
        }
        uv_mutex_unlock(&store->mutex);
        job->run(job, store->db);
        uv_mutex_lock(&store->mutex);
        list_add(&store->ran, job);
        (void)uv_async_send(&store->async);
    }
    uv_mutex_unlock(&store->mutex);

    pw_db_close(store->db);
    store->db = NULL;

    uv_mutex_lock(&store->mutex);
    store->ended = true;
    (void)uv_async_send(&store->async);
    uv_mutex_unlock(&store->mutex);
}

/* On the loop thread ------------------------------------------------------------------------ */

static void free_store(struct pw_store *store)
{
    uv_cond_destroy(&store->wake);
    uv_mutex_destroy(&store->mutex);
    free(store);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_store *store = handle->data;
    void (*closed)(void *context) = store->closed;
    void *context = store->closed_context;

    free_store(store);
    if (closed != NULL)
        closed(context);
}

/* libuv makes one call of many sends, so each call takes all that is there. */
static void on_async(uv_async_t *async)
{
    struct pw_store *store = async->data;
    struct job_list ran;
    struct pw_store_job *job;
    bool ended;

    uv_mutex_lock(&store->mutex);
    ran = store->ran;
    store->ran = (struct job_list){NULL, NULL};
    ended = store->ended; /* set after the last job was put into ran */
    uv_mutex_unlock(&store->mutex);

    while ((job = list_take_first(&ran)) != NULL) {
        store->backlog--;
        job->done(job);
    }
    if (ended && !store->joined) {
        store->joined = true;
        (void)uv_thread_join(&store->thread);
        uv_close((uv_handle_t *)&store->async, on_closed);
    }
}

/* Signals are the loop thread's: none may interrupt a write to the database. */
static int start_thread(struct pw_store *store)
{
    sigset_t all;
    sigset_t before;
    int code;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    code = uv_thread_create(&store->thread, thread_main, store);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* Everything but the thread. Leaves nothing behind on failure. */
static int init_parts(struct pw_store *store, uv_loop_t *loop)
{
    int code = uv_mutex_init(&store->mutex);

    if (code != 0)
        return code;
    code = uv_cond_init(&store->wake);
    if (code != 0) {
        uv_mutex_destroy(&store->mutex);
        return code;
    }
    code = uv_async_init(loop, &store->async, on_async);
    if (code != 0) {
        uv_cond_destroy(&store->wake);
        uv_mutex_destroy(&store->mutex);
        return code;
    }
    store->async.data = store;
    return 0;
}

enum pw_status pw_store_open(uv_loop_t *loop, const char *path, struct pw_store **out,
                             struct pw_error *err)
{
    struct pw_store *store = calloc(1, sizeof *store);
    enum pw_status status;
    int code;

    *out = NULL;
    if (store == NULL)
        return pw_fail_nomem(err);
    status = pw_db_open(path, PW_DB_WRITE, &store->db, err);
    if (status != PW_OK) {
        free(store);
        return status;
    }
    store->is_unclean = pw_db_is_unclean(store->db);
    code = init_parts(store, loop);
    if (code != 0) {
        pw_db_close(store->db);
        free(store);
        return pw_fail(err, PW_EIO, "setting up the store thread: %s", uv_strerror(code));
    }
    code = start_thread(store);
    if (code != 0) {
        pw_db_close(store->db);
        /* libuv holds the handle until its close callback, which frees the store. */
        uv_close((uv_handle_t *)&store->async, on_closed);
        return pw_fail(err, PW_EIO, "starting the store thread: %s", uv_strerror(code));
    }
    *out = store;
    return PW_OK;
}

bool pw_store_is_unclean(const struct pw_store *store)
{
    return store->is_unclean;
}

void pw_store_submit(struct pw_store *store, struct pw_store_job *job)
{
    store->backlog++;
    uv_mutex_lock(&store->mutex);
    assert(!store->closing);
    list_add(&store->waiting, job);
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->mutex);
}

size_t pw_store_backlog(const struct pw_store *store)
{
    return store->backlog;
}

void pw_store_close(struct pw_store *store, void (*closed)(void *context), void *context)
{
    store->closed = closed;
    store->closed_context = context;
    uv_mutex_lock(&store->mutex);
    store->closing = true;
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->mutex);
}

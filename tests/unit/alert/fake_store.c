/* A store thread: one thread, a queue, and an async handle that brings the results back. */
#include <assert.h>
#include <stdlib.h>

#include "fakes.h"

struct pw_store {
    struct fake_db *db;
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t wake;
    uv_async_t async;
    struct pw_store_job *todo, *done;
    bool ending;
};

static void append(struct pw_store_job **list, struct pw_store_job *job)
{
    while (*list != NULL)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static void work(void *context)
{
    struct pw_store *store = context;

    uv_mutex_lock(&store->lock);
    for (;;) {
        struct pw_store_job *job = store->todo;

        if (job == NULL) {
            if (store->ending)
                break;
            uv_cond_wait(&store->wake, &store->lock);
            continue;
        }
        store->todo = job->next;
        uv_mutex_unlock(&store->lock);
        job->run(job, (struct pw_db *)store->db);
        uv_mutex_lock(&store->lock);
        append(&store->done, job);
        (void)uv_async_send(&store->async);
    }
    uv_mutex_unlock(&store->lock);
}

static void on_async(uv_async_t *async)
{
    struct pw_store *store = async->data;
    struct pw_store_job *job;

    uv_mutex_lock(&store->lock);
    job = store->done;
    store->done = NULL;
    uv_mutex_unlock(&store->lock);
    while (job != NULL) {
        struct pw_store_job *next = job->next;

        job->done(job); /* may free it */
        job = next;
    }
}

struct pw_store *fake_store_new(uv_loop_t *loop, struct fake_db *db)
{
    struct pw_store *store = calloc(1, sizeof *store);

    assert(store != NULL);
    store->db = db;
    (void)uv_mutex_init(&store->lock);
    (void)uv_cond_init(&store->wake);
    (void)uv_async_init(loop, &store->async, on_async);
    store->async.data = store;
    (void)uv_thread_create(&store->thread, work, store);
    return store;
}

void pw_store_submit(struct pw_store *store, struct pw_store_job *job)
{
    uv_mutex_lock(&store->lock);
    append(&store->todo, job);
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->lock);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_store *store = handle->data;

    uv_mutex_destroy(&store->lock);
    uv_cond_destroy(&store->wake);
    free(store);
}

void fake_store_close(struct pw_store *store)
{
    uv_mutex_lock(&store->lock);
    store->ending = true;
    uv_cond_signal(&store->wake);
    uv_mutex_unlock(&store->lock);
    (void)uv_thread_join(&store->thread);
    uv_close((uv_handle_t *)&store->async, on_closed);
}

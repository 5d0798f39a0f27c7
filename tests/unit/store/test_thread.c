/* The store thread: jobs run in order on another thread, come back in order on the loop, and a
 * close loses none of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"
#include "store/thread.h"

enum { MANY = 500 };

struct world {
    uv_loop_t loop;
    struct pw_store *store;
    struct scratch *scratch;
    int done[MANY];
    size_t done_count;
    size_t closed;
    pthread_t loop_thread;
};

struct job {
    struct pw_store_job job;
    struct world *world;
    int number;
    int follow_ups; /* jobs that done submits */
    bool close;     /* done closes the store */
    bool ran_elsewhere;
    bool signals_blocked;
    enum pw_status status;
};

static void run(struct pw_store_job *base, struct pw_db *db)
{
    struct job *job = (struct job *)base;
    char sql[96];
    sigset_t blocked;
    struct pw_error err;

    job->ran_elsewhere = !pthread_equal(pthread_self(), job->world->loop_thread);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    job->signals_blocked =
        sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGHUP) == 1;
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO source (source_id, name, endpoint)"
                   " VALUES (%d, '%d', 'x')",
                   job->number + 1, job->number);
    job->status = pw_db_exec(db, sql, &err);
}

static void on_closed(void *context)
{
    struct world *world = context;

    world->closed++;
    world->store = NULL;
}

static void submit(struct world *world, int number, int follow_ups, bool close);

static void done(struct pw_store_job *base)
{
    struct job *job = (struct job *)base;
    struct world *world = job->world;

    assert_true(pthread_equal(pthread_self(), world->loop_thread));
    assert_true(job->ran_elsewhere);
    assert_true(job->signals_blocked);
    assert_int_equal(job->status, PW_OK);
    assert_int_equal(world->closed, 0);
    world->done[world->done_count++] = job->number;
    if (job->follow_ups > 0)
        submit(world, job->number + 1, job->follow_ups - 1, job->close);
    else if (job->close)
        pw_store_close(world->store, on_closed, world);
    free(job);
}

static void submit(struct world *world, int number, int follow_ups, bool close)
{
    struct job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    job->job.run = run;
    job->job.done = done;
    job->world = world;
    job->number = number;
    job->follow_ups = follow_ups;
    job->close = close;
    pw_store_submit(world->store, &job->job);
}

static void start(struct world *world, void **state)
{
    struct pw_error err = {PW_OK, ""};

    memset(world, 0, sizeof *world);
    world->scratch = *state;
    world->loop_thread = pthread_self();
    assert_int_equal(uv_loop_init(&world->loop), 0);
    if (pw_store_open(&world->loop, world->scratch->path, &world->store, &err) != PW_OK)
        fail_msg("%s", err.message);
}

static void finish(struct world *world, size_t jobs)
{
    struct pw_db *db;

    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    assert_int_equal(world->done_count, jobs);
    for (size_t i = 0; i < jobs; i++)
        assert_int_equal(world->done[i], (int)i);
    /* The lock is free again, and all that was done is on the disk, in the order of submission. */
    db = open_writer(world->scratch);
    assert_int_equal(number(db, "SELECT count(*) FROM source"), (int64_t)jobs);
    pw_db_close(db);
}

static void test_close_drains(void **state)
{
    struct world world;

    start(&world, state);
    for (int i = 0; i < MANY; i++)
        submit(&world, i, 0, false);
    assert_int_equal(pw_store_backlog(world.store), MANY);
    pw_store_close(world.store, on_closed, &world);
    finish(&world, MANY);
}

/* One at a time, each from the done of the one before; the last closes. */
static void test_chain(void **state)
{
    struct world world;

    start(&world, state);
    submit(&world, 0, 50, true);
    finish(&world, 51);
}

static void test_backlog(void **state)
{
    struct world world;

    start(&world, state);
    submit(&world, 0, 0, false);
    submit(&world, 1, 0, false);
    assert_int_equal(pw_store_backlog(world.store), 2);
    while (world.done_count < 2)
        (void)uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(pw_store_backlog(world.store), 0);
    pw_store_close(world.store, NULL, NULL);
    assert_int_equal(uv_run(&world.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world.loop), 0);
}

static void test_close_idle(void **state)
{
    struct world world;

    start(&world, state);
    pw_store_close(world.store, on_closed, &world);
    finish(&world, 0);
}

static void test_open_fails(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    struct pw_store *store;
    struct pw_error err;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(pw_store_open(&loop, scratch->path, &store, &err), PW_EBUSY);
    assert_null(store);
    assert_int_equal(pw_store_open(&loop, "/nowhere/x.db", &store, &err), PW_ENOTFOUND);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_close_drains, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_chain, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_backlog, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_close_idle, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_open_fails, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

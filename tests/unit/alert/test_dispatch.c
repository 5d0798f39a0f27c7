/* Dispatch with real processes, a faked outbox and a faked store thread (fakes.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/dispatch.h"
#include "base/log.h"
#include "fakes.h"

enum { MAX_HOOKS = 20 };

/* An alerts.yaml made by hand. */
struct hooks {
    struct pw_alerts alerts;
    struct pw_hook_config configs[MAX_HOOKS];
    char names[MAX_HOOKS][16];
    char paths[MAX_HOOKS][128];
    char *argv[MAX_HOOKS][2];
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t guard;
    char dir[64];
    struct fake_db db;
    struct pw_store *store;
    struct pw_dispatch *dispatch;
    struct hooks hooks;
    bool idle, closed, too_long;
    int released;
};

static void on_guard(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->too_long = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    pw_log_set_level(0); /* what is logged here is meant to go wrong */
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(uv_timer_init(&f->loop, &f->guard), 0);
    f->guard.data = f;
    assert_int_equal(uv_timer_start(&f->guard, on_guard, 15000, 0), 0);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/pw-dispatch-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->store = fake_store_new(&f->loop, &f->db);
    *state = f;
    return 0;
}

/* Runs the loop until *flag. */
static void run_until(struct fixture *f, const bool *flag)
{
    while (!*flag && !f->too_long)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    assert_false(f->too_long);
}

static void on_pause(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_close((uv_handle_t *)timer, NULL);
}

static void run_for(struct fixture *f, uint64_t ms)
{
    uv_timer_t timer;
    bool over = false;

    assert_int_equal(uv_timer_init(&f->loop, &timer), 0);
    timer.data = &over;
    assert_int_equal(uv_timer_start(&timer, on_pause, ms, 0), 0);
    run_until(f, &over);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* its close */
}

static void set_flag(void *context)
{
    *(bool *)context = true;
}

static void count_up(void *context)
{
    (*(int *)context)++;
}

static void close_dispatch(struct fixture *f, int64_t grace_ms)
{
    pw_dispatch_close(f->dispatch, grace_ms, set_flag, &f->closed);
    assert_false(f->closed); /* not before it returned */
    run_until(f, &f->closed);
    f->dispatch = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    if (f->dispatch != NULL)
        close_dispatch(f, 0);
    fake_store_close(f->store);
    uv_close((uv_handle_t *)&f->guard, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void add_hook(struct fixture *f, struct hooks *hooks, const char *name, const char *body)
{
    size_t i = hooks->alerts.hook_count++;
    FILE *file;

    assert_true(i < MAX_HOOKS);
    (void)snprintf(hooks->names[i], sizeof hooks->names[i], "%s", name);
    (void)snprintf(hooks->paths[i], sizeof hooks->paths[i], "%s/%s-%p", f->dir, name,
                   (const void *)hooks);
    hooks->argv[i][0] = hooks->paths[i];
    hooks->configs[i] = (struct pw_hook_config){.name = hooks->names[i],
                                                .command = hooks->argv[i],
                                                .timeout_ms = 30000,
                                                .concurrency = PW_HOOK_CONCURRENCY,
                                                .retry_for_ms = PW_HOOK_RETRY_FOR_MS};
    hooks->alerts.hooks = hooks->configs;
    if (body == NULL)
        return;
    file = fopen(hooks->paths[i], "we");
    assert_non_null(file);
    assert_true(fprintf(file,
                        "#!/bin/sh\nD=%s\nsay() { echo \"$1 $PATCHWATCH_HOOK "
                        "$PATCHWATCH_EVENT_ID $PATCHWATCH_ATTEMPT\" >> $D/log; }\n%s\n",
                        f->dir, body) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(hooks->paths[i], 0755), 0);
}

static void new_dispatch(struct fixture *f)
{
    struct pw_hook_tools tools = {.loop = &f->loop, .clock = pw_clock_system()};
    struct pw_error err;

    pw_alerts_init_router(&f->hooks.alerts);
    assert_int_equal(pw_dispatch_new(&tools, f->store, &f->hooks.alerts, &f->dispatch, &err),
                     PW_OK);
}

static void run_until_idle(struct fixture *f)
{
    f->idle = false;
    pw_dispatch_when_idle(f->dispatch, set_flag, &f->idle);
    assert_false(f->idle);
    run_until(f, &f->idle);
}

static void start_and_run_until_idle(struct fixture *f)
{
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    run_until_idle(f);
}

/* What the hooks said, in order; static. */
static const char *hook_log(struct fixture *f)
{
    static char text[1 << 14];
    char path[96];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/log", f->dir);
    file = fopen(path, "re");
    text[0] = '\0';
    if (file != NULL) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        (void)fclose(file);
    }
    return text;
}

/* The greatest number that the hooks wrote into "peak". */
static long peak(struct fixture *f)
{
    char path[96];
    long most = 0, n;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/peak", f->dir);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fscanf(file, "%ld", &n) == 1)
        most = n > most ? n : most;
    (void)fclose(file);
    return most;
}

#define COUNT_RUNS                                                                                 \
    "echo > $D/run.$PATCHWATCH_HOOK.$$; ls $D | grep -c '^run' >> $D/peak; sleep 0.25; "           \
    "rm $D/run.$PATCHWATCH_HOOK.$$"

static void test_delivers_in_order(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", "say got");
    fake_add(&f->db, "a", "n1");
    fake_add(&f->db, "a", "n1");
    fake_add(&f->db, "a", "n1");
    /* In flight when the last process ended. */
    f->db.rows[0].claimed_at_ms = 1;
    f->db.rows[0].attempts = 1;
    start_and_run_until_idle(f);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 3);
    assert_string_equal(hook_log(f), "got a event-1 2\ngot a event-2 1\ngot a event-3 1\n");
    assert_int_equal(f->db.recovers, 1);
    assert_int_equal(f->db.orphans, 1);
    assert_string_equal(f->db.orphan_hooks, "a ");

    /* Later ones are seen when somebody says so. */
    fake_add(&f->db, "a", "");
    pw_dispatch_poke(f->dispatch);
    run_until_idle(f);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 4);
}

static void test_nothing_to_do(void **state)
{
    struct fixture *f = *state;
    int claims;

    start_and_run_until_idle(f); /* no hooks at all */
    close_dispatch(f, 1000);
    f->closed = false;
    add_hook(f, &f->hooks, "a", "say got");
    start_and_run_until_idle(f);
    claims = f->db.claims;
    run_for(f, 200);
    assert_int_equal(f->db.claims, claims); /* at rest it asks nothing */
}

static void test_at_most_four_of_a_hook(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", COUNT_RUNS);
    for (int i = 0; i < 7; i++) {
        char node[16];

        (void)snprintf(node, sizeof node, "n%d", i);
        fake_add(&f->db, "a", node);
    }
    start_and_run_until_idle(f);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 7);
    assert_int_equal(peak(f), 4);
    assert_int_equal(f->db.claim_max_seen, 4);
}

static void test_at_most_sixteen_in_all(void **state)
{
    struct fixture *f = *state;

    for (int h = 0; h < 6; h++) {
        char name[16], node[16];

        (void)snprintf(name, sizeof name, "h%d", h);
        add_hook(f, &f->hooks, name, COUNT_RUNS);
        for (int i = 0; i < 4; i++) {
            (void)snprintf(node, sizeof node, "n%d", i);
            fake_add(&f->db, name, node);
        }
    }
    start_and_run_until_idle(f);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 24);
    assert_in_range(peak(f), 8, 16);
}

/* More stuck hooks than there are common places, and still the one that works is not delayed. */
static void test_stuck_hooks_delay_no_other(void **state)
{
    struct fixture *f = *state;
    uint64_t began_ms = uv_hrtime() / 1000000;
    size_t stuck = 0;

    add_hook(f, &f->hooks, "well", "say got");
    for (int h = 0; h < 17; h++) {
        char name[16], node[16];

        (void)snprintf(name, sizeof name, "stuck%d", h);
        add_hook(f, &f->hooks, name, "exec sleep 60");
        for (int i = 0; i < 5; i++) {
            (void)snprintf(node, sizeof node, "n%d", i);
            fake_add(&f->db, name, node);
        }
    }
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    run_for(f, 400);
    for (int i = 0; i < 3; i++)
        fake_add(&f->db, "well", "n1");
    pw_dispatch_poke(f->dispatch);
    for (int i = 0; i < 100 && fake_count(&f->db, FAKE_DELIVERED) < 3; i++)
        run_for(f, 20);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 3);
    assert_true(uv_hrtime() / 1000000 - began_ms < 3000);

    close_dispatch(f, 0);
    for (size_t i = 0; i < f->db.count; i++)
        stuck += f->db.rows[i].state == FAKE_PENDING && f->db.rows[i].claimed_at_ms != 0;
    assert_int_equal(stuck, 17); /* one each; stopped, to be recovered at the next start */
    assert_int_equal(f->db.records, 3);
    assert_true(uv_hrtime() / 1000000 - began_ms < 6000);
}

static void test_retry(void **state)
{
    struct fixture *f = *state;
    const struct fake_row *row;
    int64_t wait_ms;

    add_hook(f, &f->hooks, "a", "say got; echo no luck; [ $PATCHWATCH_ATTEMPT -ge 2 ]");
    add_hook(f, &f->hooks, "gone", NULL); /* its file went away after the load */
    row = fake_add(&f->db, "a", "n1");
    f->db.rows[fake_add(&f->db, "a", "n1")->id - 1].attempts = 1; /* behind the first */
    f->db.rows[fake_add(&f->db, "a", "n2")->id - 1].attempts = 1;
    fake_add(&f->db, "gone", "n1");
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    while (f->db.records < 3)
        run_for(f, 20);
    assert_int_equal(row->state, FAKE_PENDING);
    assert_string_equal(row->last_error, "exit code 1: no luck");
    wait_ms = row->next_attempt_at_ms - row->failed_at_ms;
    assert_in_range(wait_ms + 100, 100, 1100);   /* the record itself took a moment */
    assert_null(strstr(hook_log(f), "event-2")); /* it waits behind event-1 */
    assert_non_null(strstr(f->db.rows[3].last_error, "cannot be started: no such file"));
    /* By its own timer, without a poke. */
    while (fake_count(&f->db, FAKE_DELIVERED) < 3 && !f->too_long)
        run_for(f, 50);
    assert_int_equal(fake_count(&f->db, FAKE_DELIVERED), 3);
    assert_int_equal(row->attempts, 2);
    assert_true(strstr(hook_log(f), "got a event-1 2") < strstr(hook_log(f), "got a event-2 2"));
}

static void test_dead_after_three_days(void **state)
{
    struct fixture *f = *state;
    struct fake_row *old, *younger;

    add_hook(f, &f->hooks, "a", "exit 9");
    old = fake_add(&f->db, "a", "n1");
    old->created_at_ms -= 3 * PW_DAY_MS + 1000;
    younger = fake_add(&f->db, "a", "n2");
    younger->created_at_ms -= 3 * PW_DAY_MS - 60000;
    start_and_run_until_idle(f);
    assert_int_equal(old->state, FAKE_DEAD);
    assert_string_equal(old->last_error, "exit code 9");
    assert_int_equal(younger->state, FAKE_PENDING);
}

static void test_store_errors(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", "say got");
    add_hook(f, &f->hooks, "b", "say got");
    fake_add(&f->db, "a", "n1");
    fake_add(&f->db, "b", "n1");
    f->db.fail_claim = 1;
    f->db.fail_record = 1;
    start_and_run_until_idle(f);
    while (fake_count(&f->db, FAKE_DELIVERED) < 2 && !f->too_long)
        run_for(f, 50);
    assert_int_equal(f->db.records, 3);
    /* The outcome that was not stored at once was kept: no hook ran twice. */
    assert_int_equal(f->db.rows[0].attempts, 1);
    assert_int_equal(f->db.rows[1].attempts, 1);
    assert_int_equal(strlen(hook_log(f)), 2 * strlen("got a event-1 1\n"));
}

/* --once must end although the store fails. */
static void test_idle_while_the_store_fails(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", "say got");
    fake_add(&f->db, "a", "n1");
    f->db.fail_recover = 1000;
    start_and_run_until_idle(f);
    assert_int_equal(f->db.claims, 0);
    assert_string_equal(hook_log(f), "");
}

static void test_reload(void **state)
{
    struct fixture *f = *state;
    static struct hooks next, last;

    next = last = (struct hooks){.alerts = {.hook_count = 0}};
    add_hook(f, &f->hooks, "a", "sleep 0.4; say old");
    add_hook(f, &f->hooks, "b", "say old");
    add_hook(f, &next, "c", "say new");
    add_hook(f, &next, "a", "say new");
    add_hook(f, &last, "b", "say back");
    fake_add(&f->db, "a", "n1");
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    run_for(f, 150);
    assert_int_equal(pw_dispatch_use(f->dispatch, &next.alerts, count_up, &f->released), PW_OK);
    fake_add(&f->db, "a", "n2");
    fake_add(&f->db, "b", "n1");
    fake_add(&f->db, "c", "n1");
    pw_dispatch_poke(f->dispatch);
    run_for(f, 50);
    assert_int_equal(f->released, 0); /* event-1 still runs by the old file */
    run_until_idle(f);
    assert_int_equal(f->released, 1);
    assert_non_null(strstr(hook_log(f), "old a event-1 1"));
    assert_non_null(strstr(hook_log(f), "new a event-2 1"));
    assert_non_null(strstr(hook_log(f), "new c event-4 1"));
    assert_null(strstr(hook_log(f), " b "));
    assert_int_equal(f->db.rows[2].state, FAKE_PENDING); /* kept until b comes back */
    assert_string_equal(f->db.orphan_hooks, "c a ");

    assert_int_equal(pw_dispatch_use(f->dispatch, &last.alerts, count_up, &f->released), PW_OK);
    assert_int_equal(f->released, 1); /* later, never inside the call */
    run_until_idle(f);
    assert_int_equal(f->released, 2);
    assert_non_null(strstr(hook_log(f), "back b event-3 1"));
}

static void test_close_lets_hooks_end(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", "sleep 0.3; say got");
    fake_add(&f->db, "a", "n1");
    fake_add(&f->db, "a", "n1");
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    run_for(f, 100);
    close_dispatch(f, 5000);
    assert_int_equal(f->db.rows[0].state, FAKE_DELIVERED);
    assert_int_equal(f->db.rows[1].state, FAKE_PENDING); /* nothing new was begun */
    assert_int_equal(f->db.rows[1].attempts, 0);
}

/* The grace is over while a hook runs and a reload is under way; the store fails besides. */
static void test_close_at_the_worst_moment(void **state)
{
    struct fixture *f = *state;
    static struct hooks next;

    next = (struct hooks){.alerts = {.hook_count = 0}};
    add_hook(f, &f->hooks, "a", "exec sleep 60");
    add_hook(f, &f->hooks, "b", "exit 0");
    fake_add(&f->db, "a", "n1");
    fake_add(&f->db, "b", "n1");
    f->db.fail_record = 1000;
    new_dispatch(f);
    pw_dispatch_start(f->dispatch);
    run_for(f, 150);
    assert_int_equal(pw_dispatch_use(f->dispatch, &next.alerts, count_up, &f->released), PW_OK);
    pw_dispatch_poke(f->dispatch);
    close_dispatch(f, 50);
    assert_int_equal(f->released, 1);
    assert_int_equal(fake_count(&f->db, FAKE_PENDING), 2);
}

static void test_close_before_start(void **state)
{
    struct fixture *f = *state;

    add_hook(f, &f->hooks, "a", "say got");
    fake_add(&f->db, "a", "n1");
    new_dispatch(f);
    close_dispatch(f, 5000);
    f->closed = false;
    new_dispatch(f);
    pw_dispatch_start(f->dispatch); /* its first job is with the store */
    close_dispatch(f, 5000);
    assert_string_equal(hook_log(f), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delivers_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_at_most_four_of_a_hook, setup, teardown),
        cmocka_unit_test_setup_teardown(test_at_most_sixteen_in_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stuck_hooks_delay_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_after_three_days, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_while_the_store_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_lets_hooks_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_at_the_worst_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_before_start, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

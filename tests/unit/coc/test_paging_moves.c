/* Rows that move while they are read, newest first as the requests ask for them: whatever happens,
 * a sweep that ends complete has seen every record that was there from its start to its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_server.h"

/* What may happen before an answer, in percent. */
struct weather {
    unsigned touch, insert, delete;
};

static void blow(struct server *server)
{
    const struct weather *weather = server->context;

    while (server->count > 0 && server_random(server, 100) < weather->touch)
        server_touch(server, server_random(server, server->count));
    while (server_random(server, 100) < weather->insert)
        server_insert(server);
    while (server->count > 0 && server_random(server, 100) < weather->delete)
        server_delete(server, server_random(server, server->count));
}

/* Many sweeps; returns how many ended complete. */
static int sweep_in(struct weather weather)
{
    static const int64_t page_sizes[] = {1, 2, 3, 5, 10};
    int complete = 0;

    for (uint64_t seed = 1; seed <= 500; seed++) {
        size_t before = 1 + (size_t)(seed * 7 % 61);
        struct server server;
        struct run run = {.page_size = page_sizes[seed % 5], .concurrency = 1 + seed % 7};

        server_open(&server, before, seed % 2 == 1, seed);
        server.context = &weather;
        server.move = blow;
        if (seed % 4 < 2)
            run.setting = seed % 2 == 1 ? PW_PAGING_RECORD : PW_PAGING_PAGE;
        /* A fleet that grows while it is read is read for longer, but not without end. */
        run.max_requests = 2 * (int64_t)server.capacity;
        run_sweep(&run, &server);
        if (run.is_complete) {
            complete++;
            for (size_t i = 0; i < server.count; i++) {
                if (server.rows[i] <= before && !pw_hashset_has(&run.seen, server.rows[i]))
                    fail_msg("seed %d: complete without record %d", (int)seed, (int)server.rows[i]);
            }
        }
        run_close(&run);
        server_close(&server);
    }
    return complete;
}

static void test_calm(void **state)
{
    (void)state;
    assert_int_equal(sweep_in((struct weather){0}), 500);
}

static void test_touched(void **state)
{
    (void)state;
    /* That is the everyday case: most sweeps must still get there. */
    assert_true(sweep_in((struct weather){.touch = 3}) > 400);
    (void)sweep_in((struct weather){.touch = 20});
    (void)sweep_in((struct weather){.touch = 60});
}

static void test_inserted(void **state)
{
    (void)state;
    assert_true(sweep_in((struct weather){.insert = 2}) > 400);
    (void)sweep_in((struct weather){.insert = 30});
}

static void test_deleted(void **state)
{
    (void)state;
    assert_true(sweep_in((struct weather){.delete = 2}) > 400);
    (void)sweep_in((struct weather){.delete = 30});
}

static void test_all_at_once(void **state)
{
    (void)state;
    (void)sweep_in((struct weather){5, 5, 5});
    (void)sweep_in((struct weather){30, 10, 10});
    (void)sweep_in((struct weather){10, 30, 30});
    (void)sweep_in((struct weather){60, 20, 20});
}

/* Times as newest first would show them: rows 1 to 100 from the start, ever newer ones later. */
static int64_t time_of(uint64_t identity)
{
    return identity <= 100 ? 1000 - (int64_t)identity : 1000 + (int64_t)identity;
}

/* A server that gives a renewed report a new id. The page at offset 2 is answered last, after 20 of
 * the reports behind it were renewed: its ten rows are new ids of nodes that were seen already, ten
 * others slipped back unseen, and yet the ids are as many as the count. */
static void renew_the_last(struct server *server, size_t reports)
{
    for (size_t i = 0; i < reports; i++) {
        server_touch(server, 99);
        server->rows[0] = server->next_identity++;
    }
}

static void give_page(struct pw_paging *paging, struct server *server, int64_t offset, bool sorts)
{
    const uint64_t *first = server->rows + (offset - 1) * 10;
    struct pw_paging_answer answer = {.count = 100, .newest_ms = -1};

    if (offset <= 10) {
        answer.rows = answer.identity_count = 10;
        answer.identities = first;
        answer.newest_ms = time_of(first[0]);
        answer.order = sorts ? PW_ORDER_NEWEST_FIRST : PW_ORDER_OTHER;
    }
    server->answers++;
    assert_int_equal(pw_paging_answer(paging, offset, &answer), PW_OK);
}

/* Reads a hundred rows of which page 2 comes last; returns the pass that the machine is in then. */
static int read_with_a_late_page(size_t renewed, bool sorts, bool *complete)
{
    struct pw_paging paging;
    struct server server;
    int64_t offset, late = 0;
    int pass;

    server_open(&server, 100, false, 1);
    pw_paging_init(&paging, 10, PW_PAGING_PAGE, PW_PAGING_AUTO);
    while (paging.pass == 1 && !pw_paging_is_over(&paging)) {
        if (!pw_paging_next(&paging, &offset)) {
            assert_int_equal(late, 2);
            renew_the_last(&server, renewed);
            offset = late;
            late = 0;
        } else if (offset == 2) {
            late = offset;
            continue;
        }
        give_page(&paging, &server, offset, sorts);
    }
    pass = paging.pass;
    *complete = pw_paging_is_complete(&paging);
    pw_paging_free(&paging);
    server_close(&server);
    return pass;
}

static void test_renewed_under_new_ids(void **state)
{
    bool complete;

    (void)state;
    assert_int_equal(read_with_a_late_page(0, true, &complete), 1);
    assert_true(complete);
    assert_int_equal(read_with_a_late_page(20, true, &complete), 2);
    assert_false(complete);
    /* A server that does not sort shows newer records anywhere: that is no reason to read on. */
    assert_int_equal(read_with_a_late_page(0, false, &complete), 1);
    assert_true(complete);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm),        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_inserted),    cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_renewed_under_new_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The fake server and its sweep. */
#include "fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_IN_FLIGHT = 32, MAX_PAGE = 2000 };

/* splitmix64 (Steele, Lea, Flood 2014): the same sweep for the same seed, on every machine. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t server_random(struct server *server, uint64_t below)
{
    return next_random(&server->random) % below;
}

void server_open(struct server *server, size_t count, bool counts_records, uint64_t seed)
{
    *server = (struct server){.count = count,
                              .capacity = count + 4096,
                              .counts_records = counts_records,
                              .next_identity = 1,
                              .random = seed};
    server->rows = malloc(server->capacity * sizeof *server->rows);
    server->page = malloc(MAX_PAGE * sizeof *server->page);
    assert_non_null(server->rows);
    assert_non_null(server->page);
    for (size_t i = 0; i < count; i++)
        server->rows[i] = server->next_identity++;
}

void server_close(struct server *server)
{
    free(server->rows);
    free(server->page);
}

void server_touch(struct server *server, size_t i)
{
    uint64_t row = server->rows[i];

    memmove(server->rows + 1, server->rows, i * sizeof row);
    server->rows[0] = row;
}

void server_insert(struct server *server)
{
    assert_true(server->count < server->capacity);
    server->count++;
    memmove(server->rows + 1, server->rows, (server->count - 1) * sizeof *server->rows);
    server->rows[0] = server->next_identity++;
}

void server_delete(struct server *server, size_t i)
{
    server->count--;
    memmove(server->rows + i, server->rows + i + 1, (server->count - i) * sizeof *server->rows);
}

static void serve(struct server *server, int64_t offset, int64_t page_size,
                  struct pw_paging_answer *answer)
{
    size_t size = (size_t)page_size, first;

    if (server->page_cap > 0 && server->page_cap < size)
        size = server->page_cap;
    if (server->ignores_offset)
        first = 0;
    else
        first = server->counts_records ? (size_t)offset - 1 : (size_t)(offset - 1) * size;
    if (first > server->count)
        first = server->count;
    if (size > server->count - first)
        size = server->count - first;
    memcpy(server->page, server->rows + first, size * sizeof *server->page);
    *answer = (struct pw_paging_answer){.count = (int64_t)server->count,
                                        .rows = size,
                                        .identities = server->page,
                                        .identity_count = size};
    if (server->distort != NULL)
        server->distort(server, offset, answer);
    server->answers++;
}

static void answer_one(struct run *run, struct server *server, struct pw_paging *paging,
                       int64_t offset)
{
    struct pw_paging_answer answer;
    bool added;

    if (run->loses != NULL && run->loses(run->context, offset)) {
        pw_paging_lost(paging, offset);
        return;
    }
    if (server->move != NULL)
        server->move(server);
    serve(server, offset, run->page_size, &answer);
    for (size_t i = 0; i < answer.identity_count && !run->keeps_nothing; i++)
        assert_int_equal(pw_hashset_add(&run->seen, answer.identities[i], &added), PW_OK);
    assert_int_equal(pw_paging_answer(paging, offset, &answer), PW_OK);
}

void run_sweep(struct run *run, struct server *server)
{
    int64_t in_flight[MAX_IN_FLIGHT], offset;
    size_t waiting = 0, concurrency = run->concurrency == 0 ? 4 : run->concurrency;
    struct pw_paging paging;

    pw_hashset_init(&run->seen);
    run->requests = run->offset_two_requests = 0;
    pw_paging_init(&paging, run->page_size, run->setting, run->remembered);
    while (!pw_paging_is_over(&paging)) {
        size_t pick;

        while (waiting < concurrency && pw_paging_next(&paging, &offset)) {
            assert_in_range((uintmax_t)offset, 1, PW_OFFSET_MAX);
            in_flight[waiting++] = offset;
            run->offset_two_requests += offset == 2;
            run->last_offset = offset;
            if (++run->requests > run->max_requests)
                fail_msg("more than %lld requests", (long long)run->max_requests);
        }
        if (waiting == 0)
            fail_msg("it asks nothing, waits for nothing and is not over");
        pick = server_random(server, waiting);
        offset = in_flight[pick];
        in_flight[pick] = in_flight[--waiting];
        answer_one(run, server, &paging, offset);
    }
    assert_int_equal(waiting, 0);
    assert_false(pw_paging_next(&paging, &offset));
    run->is_complete = pw_paging_is_complete(&paging);
    run->proved = pw_paging_proved_mode(&paging);
    run->records = pw_paging_records(&paging);
    run->reason[0] = '\0';
    if (!run->is_complete)
        pw_paging_reason(&paging, run->reason, sizeof run->reason);
    pw_paging_free(&paging);
}

void run_close(struct run *run)
{
    pw_hashset_free(&run->seen);
}

/* The paging machine against servers that stand still, lie, repeat themselves or lose pages: it
 * always ends, and says "complete" only where it saw every record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fake_server.h"

static const int64_t page_sizes[] = {1, 2, 10, 100};

static int64_t pages_of(size_t count, int64_t page_size)
{
    return ((int64_t)count + page_size - 1) / page_size;
}

/* Both passes, the probes, the look behind the last page and the empty pages that it puts up with.
 */
static int64_t request_bound(size_t count, int64_t page_size)
{
    return 2 * pages_of(count, page_size) + 40;
}

static bool saw_all(const struct run *run, const struct server *server)
{
    for (size_t i = 0; i < server->count; i++) {
        if (!pw_hashset_has(&run->seen, server->rows[i]))
            return false;
    }
    return true;
}

static enum pw_paging_mode mode_of(const struct server *server)
{
    return server->counts_records ? PW_PAGING_RECORD : PW_PAGING_PAGE;
}

static void assert_reason(const struct run *run, const char *part)
{
    assert_false(run->is_complete);
    if (strstr(run->reason, part) == NULL)
        fail_msg("'%s' does not say '%s'", run->reason, part);
}

/* One honest fleet, read with every setting. */
static void check_fleet(size_t count, int64_t page_size, bool counts_records)
{
    static const enum pw_paging_mode modes[] = {PW_PAGING_AUTO, PW_PAGING_PAGE, PW_PAGING_RECORD};
    bool one_page = (int64_t)count <= page_size || page_size == 1;

    for (size_t i = 0; i < 9; i++) {
        struct server server;
        struct run run = {
            .page_size = page_size, .setting = modes[i / 3], .remembered = modes[i % 3]};
        bool is_auto = run.setting == PW_PAGING_AUTO;
        bool is_right;

        server_open(&server, count, counts_records, count + i);
        is_right = run.setting == mode_of(&server);
        run.max_requests = request_bound(count, page_size);
        if (!is_auto && !is_right) /* the user insists: read through, a record a request at worst */
            run.max_requests += 2 * (int64_t)count;
        run_sweep(&run, &server);
        if (is_auto || is_right) {
            assert_true(run.is_complete);
            assert_int_equal(run.records, count);
        }
        if (run.is_complete)
            assert_true(saw_all(&run, &server));
        else
            assert_reason(&run, "distinct ones were read");
        if (one_page)
            assert_int_equal(run.proved, PW_PAGING_AUTO);
        else if (is_right || (is_auto && run.remembered == PW_PAGING_AUTO))
            assert_int_equal(run.proved, mode_of(&server));
        if (run.setting == PW_PAGING_AUTO && (int64_t)count < page_size) {
            assert_int_equal(run.requests, 1);
            assert_int_equal(run.offset_two_requests, 0);
        }
        run_close(&run);
        server_close(&server);
    }
}

static void test_fleets(void **state)
{
    static const size_t counts[] = {0, 1, 2, 9, 10, 11, 99, 100, 101, 1234};

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t k = 0; k < sizeof page_sizes / sizeof page_sizes[0]; k++) {
            if (page_sizes[k] == 1 && counts[i] > 101)
                continue;
            check_fleet(counts[i], page_sizes[k], false);
            check_fleet(counts[i], page_sizes[k], true);
        }
    }
}

static void test_large_fleet(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct server server;
        struct run run = {.page_size = i < 2 ? 10 : 100,
                          .concurrency = 16,
                          .remembered = i == 3 ? PW_PAGING_PAGE : PW_PAGING_AUTO};

        server_open(&server, 100000, i % 2 == 1, 7);
        run.max_requests = request_bound(server.count, run.page_size);
        run_sweep(&run, &server);
        assert_true(run.is_complete);
        assert_int_equal(run.records, 100000);
        assert_true(saw_all(&run, &server));
        assert_int_equal(run.proved, mode_of(&server));
        run_close(&run);
        server_close(&server);
    }
}

/* What a page costs: nothing is asked twice where nothing went wrong. */
static void test_requests_of_a_quiet_sweep(void **state)
{
    struct server server;
    struct run run = {.page_size = 10,
                      .setting = PW_PAGING_AUTO,
                      .max_requests = 50,
                      .remembered = PW_PAGING_PAGE};

    (void)state;
    server_open(&server, 95, false, 1);
    run_sweep(&run, &server);
    assert_true(run.is_complete);
    assert_int_equal(run.requests, 10);
    run_close(&run);
    run.remembered = PW_PAGING_AUTO; /* the probe is page 2, not one more */
    run_sweep(&run, &server);
    assert_int_equal(run.requests, 10);
    run_close(&run);
    server_close(&server);
}

/* Runs it with every kind of server and setting; none may end complete. part: of the reason. */
static void check_liar(size_t count, bool ignores_offset, const char *part,
                       void (*distort)(struct server *, int64_t, struct pw_paging_answer *))
{
    static const enum pw_paging_mode modes[] = {PW_PAGING_AUTO, PW_PAGING_PAGE, PW_PAGING_RECORD};

    for (size_t i = 0; i < 12; i++) {
        struct server server;
        struct run run = {.page_size = 10,
                          .setting = modes[i % 3],
                          .remembered = i < 6 ? PW_PAGING_AUTO : PW_PAGING_RECORD,
                          .concurrency = 1 + i % 5,
                          .max_requests = request_bound(count, 10)};

        server_open(&server, count, i / 3 % 2 == 1, i);
        server.distort = distort;
        server.ignores_offset = ignores_offset;
        if (run.setting == PW_PAGING_PAGE && server.counts_records)
            run.max_requests += 2 * (int64_t)count;
        run_sweep(&run, &server);
        assert_reason(&run, part);
        run_close(&run);
        server_close(&server);
    }
}

static void count_low(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->count /= 2;
}

static void count_high(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->count += 7;
}

static void count_huge(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->count = INT64_C(1000000000000000);
}

static void count_greatest(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->count = INT64_MAX;
}

static void count_zero(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->count = 0;
}

static void count_changing(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)offset;
    answer->count += 1 + server->answers % 3;
}

static void count_unknown(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)offset;
    if (server->answers == 0)
        answer->count = -1;
}

static void one_bad_record(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)offset;
    if (server->answers == 0) {
        answer->bad_records = 1;
        answer->identity_count--;
    }
}

static void test_lying_counts(void **state)
{
    (void)state;
    check_liar(123, false, "records", count_low);
    check_liar(123, false, "records", count_high);
    check_liar(123, false, "records", count_huge);
    check_liar(123, false, "records", count_greatest);
    check_liar(123, false, "records", count_zero);
    check_liar(123, false, "records", count_changing);
    check_liar(120, false, "records", count_low);
    check_liar(123, false, "usable count", count_unknown);
    check_liar(123, false, "1 record could not be decoded", one_bad_record);
}

static void test_offset_ignored(void **state)
{
    (void)state;
    check_liar(123, true, "distinct ones were read", NULL);
    check_liar(123, true, "records", count_huge);
    check_liar(123, true, "records", count_changing);
}

static void all_empty(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)server, (void)offset;
    answer->rows = answer->identity_count = 0;
}

static void all_empty_count_huge(struct server *server, int64_t offset,
                                 struct pw_paging_answer *answer)
{
    all_empty(server, offset, answer);
    count_huge(server, offset, answer);
}

static void empty_in_the_middle(struct server *server, int64_t offset,
                                struct pw_paging_answer *answer)
{
    if (offset == (server->counts_records ? 51 : 6))
        all_empty(server, offset, answer);
}

static void torn_in_the_middle(struct server *server, int64_t offset,
                               struct pw_paging_answer *answer)
{
    if (offset == (server->counts_records ? 51 : 6))
        answer->rows = answer->identity_count = 4;
}

static void repeats_a_row(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)offset;
    if (answer->identity_count > 1)
        server->page[answer->identity_count - 1] = server->page[0];
}

static void test_pages_with_holes(void **state)
{
    (void)state;
    check_liar(123, false, "0 distinct ones", all_empty);
    check_liar(123, false, "0 distinct ones", all_empty_count_huge);
    check_liar(123, false, "distinct ones were read", repeats_a_row);
    for (int i = 0; i < 4; i++) {
        struct server server;
        struct run run = {.page_size = 10, .max_requests = request_bound(123, 10)};

        server_open(&server, 123, i % 2 == 1, 3);
        run.setting = mode_of(&server);
        server.distort = i < 2 ? empty_in_the_middle : torn_in_the_middle;
        run_sweep(&run, &server);
        assert_reason(&run, i < 2 ? "113 distinct ones" : "117 distinct ones");
        run_close(&run);
        server_close(&server);
    }
}

static void empty_at_first(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    if (server->answers >= 3 && server->answers < 5)
        all_empty(server, offset, answer);
}

/* What was a passing fault is settled by the repair pass. */
static void test_repair(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct server server;
        struct run run = {.page_size = 10, .max_requests = request_bound(123, 10)};

        server_open(&server, 123, i % 2 == 1, (uint64_t)i);
        run.remembered = i < 2 ? PW_PAGING_AUTO : mode_of(&server);
        server.distort = empty_at_first;
        run_sweep(&run, &server);
        assert_true(run.is_complete);
        assert_true(saw_all(&run, &server));
        run_close(&run);
        server_close(&server);
    }
}

static void test_capped_pages(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server;
        struct run run = {.page_size = 100, .max_requests = request_bound(1234, 10)};

        server_open(&server, 1234, i == 1, 5);
        server.page_cap = 10;
        run_sweep(&run, &server);
        assert_true(run.is_complete);
        assert_int_equal(run.records, 1234);
        assert_true(run.requests <= 128);
        run_close(&run);
        server_close(&server);
    }
}

static void fresh_rows(struct server *server, int64_t offset, struct pw_paging_answer *answer)
{
    (void)offset;
    for (size_t i = 0; i < 100; i++)
        server->page[i] = server->next_identity++;
    answer->rows = answer->identity_count = 100;
    if (server->context != NULL)
        answer->count = *(const int64_t *)server->context;
}

/* Full pages of new records without end: a limit ends it, that of a sweep or that of the offset. */
static void test_endless(void **state)
{
    static const struct {
        int64_t count;
        enum pw_paging_mode setting;
        int64_t records;
    } cases[] = {{INT64_C(1000000000000000), PW_PAGING_PAGE, PW_SWEEP_MAX_RECORDS},
                 {150, PW_PAGING_RECORD, PW_OFFSET_MAX}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t count = cases[i].count;
        struct server server;
        struct run run = {.page_size = 100,
                          .setting = cases[i].setting,
                          .keeps_nothing = true,
                          .max_requests = cases[i].records / 100 + 40};

        server_open(&server, 1000, false, 5);
        server.distort = fresh_rows;
        server.context = &count;
        run_sweep(&run, &server);
        assert_reason(&run, "split this source");
        assert_in_range((uintmax_t)run.records, cases[i].records, cases[i].records + 2000);
        run_close(&run);
        server_close(&server);
    }
}

static void test_offset_ceiling(void **state)
{
    (void)state;
    for (size_t beyond = 0; beyond < 2; beyond++) {
        struct server server;
        struct run run = {.page_size = 100,
                          .setting = PW_PAGING_RECORD,
                          .keeps_nothing = true,
                          .max_requests = 10000};

        server_open(&server, (size_t)PW_OFFSET_MAX + beyond, true, 5);
        run_sweep(&run, &server);
        assert_int_equal(run.records, PW_OFFSET_MAX);
        if (beyond == 0) {
            assert_true(run.is_complete);
        } else {
            assert_reason(&run, "1000001 records, but its offset ends at 1000000");
            assert_reason(&run, "split this source into several with filter.region");
        }
        run_close(&run);
        server_close(&server);
    }
}

static bool loses_one(void *context, int64_t offset)
{
    return offset == *(const int64_t *)context;
}

static bool loses_in_repair(void *context, int64_t offset)
{
    const struct server *server = context;

    return server->answers > 14 && offset == 3;
}

static bool loses_all(void *context, int64_t offset)
{
    (void)context, (void)offset;
    return true;
}

static void check_lost(int64_t lost_offset, size_t count, enum pw_paging_mode remembered,
                       const char *part, int64_t records)
{
    struct server server;
    struct run run = {.page_size = 10,
                      .remembered = remembered,
                      .loses = loses_one,
                      .context = &lost_offset,
                      .max_requests = request_bound(count, 10)};

    server_open(&server, count, false, 9);
    run_sweep(&run, &server);
    assert_reason(&run, part);
    assert_int_equal(run.records, records);
    run_close(&run);
    server_close(&server);
}

static void test_lost_pages(void **state)
{
    struct server server;
    struct run run = {.page_size = 10, .loses = loses_all, .max_requests = 1};

    (void)state;
    check_lost(1, 123, PW_PAGING_AUTO, "1 page could not be read, the first at offset 1", 0);
    check_lost(2, 123, PW_PAGING_AUTO, "the first at offset 2", 10);
    check_lost(2, 123, PW_PAGING_PAGE, "the first at offset 2", 113);
    check_lost(13, 123, PW_PAGING_PAGE, "the first at offset 13", 120);
    check_lost(11, 100, PW_PAGING_PAGE, "the first at offset 11", 100); /* behind the last one */

    server_open(&server, 123, false, 9);
    run_sweep(&run, &server);
    assert_reason(&run, "the first at offset 1");
    run_close(&run);

    run = (struct run){.page_size = 10,
                       .setting = PW_PAGING_PAGE,
                       .loses = loses_in_repair,
                       .context = &server,
                       .max_requests = 60};
    server.distort = empty_at_first;
    run_sweep(&run, &server);
    assert_reason(&run, "the first at offset 3");
    assert_true(run.records >= 103);
    run_close(&run);
    server_close(&server);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(pw_paging_mode_of("page"), PW_PAGING_PAGE);
    assert_int_equal(pw_paging_mode_of("record"), PW_PAGING_RECORD);
    assert_int_equal(pw_paging_mode_of("rows"), PW_PAGING_AUTO);
    assert_int_equal(pw_paging_mode_of(NULL), PW_PAGING_AUTO);
    for (int mode = PW_PAGING_AUTO; mode <= PW_PAGING_RECORD; mode++)
        assert_int_equal(pw_paging_mode_of(pw_paging_mode_name((enum pw_paging_mode)mode)), mode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fleets),
        cmocka_unit_test(test_large_fleet),
        cmocka_unit_test(test_requests_of_a_quiet_sweep),
        cmocka_unit_test(test_lying_counts),
        cmocka_unit_test(test_offset_ignored),
        cmocka_unit_test(test_pages_with_holes),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_capped_pages),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_offset_ceiling),
        cmocka_unit_test(test_lost_pages),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

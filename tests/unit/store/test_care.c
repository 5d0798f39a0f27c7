/* Care: what retention takes and what it leaves, the check after an unclean stop, and room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "history.h"
#include "queue.h"
#include "scratch.h"
#include "store/care.h"
#include "store/horizon.h"
#include "store/outbox.h"

enum { MAX_STEPS = 1000 };

/* The whole walk; every step leaves a history that is sound. */
static struct pw_prune prune(struct pw_db *db, int64_t cutoff_ms)
{
    struct pw_prune walk = {.cutoff_ms = cutoff_ms};
    struct pw_error err = {PW_OK, ""};

    for (int step = 0; walk.stage != PW_PRUNE_DONE; step++) {
        assert_true(step < MAX_STEPS);
        if (pw_prune_step(db, &walk, 1000 * HOUR_MS, &err) != PW_OK)
            fail_msg("%s", err.message);
        assert_string_equal(verify(db), "");
    }
    return walk;
}

static void deliver_all(struct pw_db *db, int64_t now_ms)
{
    struct pw_delivery *claimed;

    while ((claimed = queue_claim(db, "pager", 100, now_ms, NULL)) != NULL) {
        for (struct pw_delivery *each = claimed; each != NULL; each = each->next_attempt)
            queue_delivered(db, each->delivery_id, now_ms);
        pw_claimed_free(claimed);
    }
}

static void test_old_history_goes_current_state_stays(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    struct pw_prune walk;

    (void)sweep_fleet_told(db, source_id, "cccc", HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nncc", 2 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "ccc-", 3 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "ccc-", 100 * HOUR_MS);
    deliver_all(db, 4 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nccc", 200 * HOUR_MS);

    walk = prune(db, HOUR_MS); /* nothing is as old as that */
    assert_int_equal(walk.reports + walk.events + walk.sweeps + walk.nodes, 0);

    walk = prune(db, 150 * HOUR_MS);
    /* The good and the bad versions of two nodes, and that of the one that was missing. */
    assert_int_equal(walk.reports, 5);
    assert_int_equal(walk.deliveries, 4);
    assert_int_equal(number(db, "SELECT count(*) FROM report WHERE valid_to IS NULL"), 4);
    assert_int_equal(number(db, "SELECT count(*) FROM node"), 4);
    assert_int_equal(number(db, "SELECT min(recorded_at) FROM event"), 200 * HOUR_MS);
    /* The sweeps went too: all but the last, which the events and the source refer to. */
    assert_int_equal(number(db, "SELECT count(*) FROM sweep"), 1);
    assert_int_equal(number(db, "SELECT event_id FROM chain_anchor") + 1,
                     number(db, "SELECT min(event_id) FROM event"));
    assert_int_equal(number(db, "SELECT pruned_at FROM chain_anchor"), 1000 * HOUR_MS);

    deliver_all(db, 201 * HOUR_MS);
    walk = prune(db, 500 * HOUR_MS); /* every event */
    assert_int_equal(number(db, "SELECT count(*) FROM event"), 0);
    assert_int_equal(number(db, "SELECT count(*) FROM report WHERE valid_to IS NULL"), 4);
    (void)sweep_fleet_told(db, source_id, "cccc", 600 * HOUR_MS);
    assert_int_equal(number(db, "SELECT event_id FROM chain_anchor") + 1,
                     number(db, "SELECT min(event_id) FROM event"));
    assert_string_equal(verify(db), "");
    assert_true(verified()->first.event_id > 0);
    pw_db_close(db);
}

static void test_undelivered_events_stay(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);

    (void)sweep_fleet_told(db, source_id, "cc", HOUR_MS);     /* event 1 */
    (void)sweep_fleet_told(db, source_id, "nc", 2 * HOUR_MS); /* 2, pending */
    (void)sweep_fleet(db, source_id, "nn", 3 * HOUR_MS);      /* 3, nobody is owed it */
    (void)prune(db, 100 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT event_id FROM event"), "2\n3");
    assert_string_equal(rows(db, "SELECT state FROM delivery"), "pending");
    queue_dead(db, 1, "given up");
    (void)prune(db, 100 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT event_id FROM event"), "2\n3");
    must_run(db, "UPDATE delivery SET state = 'dropped'");
    (void)prune(db, 100 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT event_id FROM event"), "");
    pw_db_close(db);
}

/* Whoever was told of a problem is told of its end, however long ago that was. */
static void test_recovery_after_the_event_is_gone(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);

    (void)sweep_fleet_told(db, source_id, "ccc", HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nnc", 2 * HOUR_MS);
    deliver_all(db, 2 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "cnc", 3 * HOUR_MS); /* the first one is told already */
    deliver_all(db, 3 * HOUR_MS);
    (void)prune(db, 100 * HOUR_MS);
    assert_int_equal(number(db, "SELECT count(*) FROM event"), 0);
    assert_string_equal(rows(db, "SELECT node_key, hook, rule FROM told JOIN node USING (node_id)"),
                        "ECS/i-1|pager|all");
    (void)sweep_fleet_told(db, source_id, "ccc", 200 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT d.hook, d.rule, d.state, e.type FROM delivery AS d"
                                 " JOIN event AS e USING (event_id)"),
                        "pager|all|pending|io.patchwatch.node.compliant");
    assert_int_equal(number(db, "SELECT count(*) FROM told"), 0);
    /* And not twice. */
    deliver_all(db, 200 * HOUR_MS);
    (void)prune(db, 300 * HOUR_MS);
    assert_int_equal(number(db, "SELECT count(*) FROM told"), 0);
    pw_db_close(db);
}

static void test_missing_nodes_go_when_nothing_is_left(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    struct pw_prune walk;

    (void)sweep_fleet_told(db, source_id, "ccc", HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "c--", 2 * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "c--", 300 * HOUR_MS);
    /* What people said of them, and of a time that is past, goes too. */
    must_run(db, "INSERT INTO ack (node_id, created_at) SELECT node_id, 1 FROM node;"
                 "INSERT INTO mute (match, until_at) VALUES ('{}', 3600000), ('{}', NULL)");
    (void)prune(db, 2 * HOUR_MS); /* not older than that */
    assert_int_equal(number(db, "SELECT count(*) FROM node"), 3);
    assert_int_equal(number(db, "SELECT count(*) FROM ack"), 3);
    walk = prune(db, 100 * HOUR_MS);
    assert_int_equal(walk.nodes, 2);
    assert_int_equal(number(db, "SELECT count(*) FROM ack"), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM mute"), 1);
    assert_string_equal(rows(db, "SELECT node_key FROM node"), "ECS/i-0");
    /* One that comes back is new. */
    (void)sweep_fleet_told(db, source_id, "cc-", 400 * HOUR_MS);
    assert_string_equal(rows(db, "SELECT type FROM event"), "io.patchwatch.node.discovered");
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

/* Steps are small, and space comes back to the file system. */
static void test_steps_are_small_and_pages_come_back(void **state)
{
    enum { NODES = 500, ROUNDS = 12, MAX_ROWS_A_STEP = 1000 };
    char letters[NODES + 1];
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db), pages_before;
    struct pw_prune walk = {.cutoff_ms = 1000 * HOUR_MS};
    struct pw_error err;

    letters[NODES] = '\0';
    for (int i = 0; i < ROUNDS; i++) {
        memset(letters, "cn"[i % 2], NODES);
        (void)sweep_fleet(db, source_id, letters, (i + 1) * HOUR_MS);
    }
    assert_int_equal(number(db, "PRAGMA auto_vacuum"), 2);
    pages_before = number(db, "PRAGMA page_count");
    while (walk.stage != PW_PRUNE_DONE) {
        int before = sqlite3_total_changes(pw_db_handle(db));
        assert_int_equal(pw_prune_step(db, &walk, 2000 * HOUR_MS, &err), PW_OK);
        assert_true(sqlite3_total_changes(pw_db_handle(db)) - before < MAX_ROWS_A_STEP);
    }
    assert_int_equal(walk.reports, NODES * (ROUNDS - 1));
    assert_int_equal(number(db, "SELECT count(*) FROM report"), NODES);
    assert_true(walk.pages > 0);
    assert_true(number(db, "PRAGMA page_count") < pages_before / 2);
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

static void test_a_step_that_fails_changes_nothing(void **state)
{
    struct pw_db *db = open_writer(*state);
    struct pw_prune walk = {.cutoff_ms = 1000 * HOUR_MS}, before = walk;
    struct pw_error err;

    make_history(db, 3);
    must_run(db, "CREATE TEMP TRIGGER refuse BEFORE DELETE ON main.report"
                 " BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_int_equal(pw_prune_step(db, &walk, 1, &err), PW_EINVAL);
    assert_memory_equal(&walk, &before, sizeof walk);
    assert_int_equal(sqlite3_get_autocommit(pw_db_handle(db)), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM report"), 9);
    pw_db_close(db);
}

/* The clock -------------------------------------------------------------------------------------
 */

enum { DAY = 24 };

/* What a walk that begins now would take, in hours; *doubted: it counts from another time. */
static int64_t cutoff_hours(struct pw_db *db, int64_t now_hours, bool *doubted)
{
    struct pw_prune walk;
    struct pw_error err;

    assert_int_equal(pw_prune_begin(db, &walk, 30 * DAY * HOUR_MS, now_hours * HOUR_MS, &err),
                     PW_OK);
    assert_int_equal(walk.stage, PW_PRUNE_REPORTS);
    *doubted = walk.doubted_since_ms != PW_TIME_NONE;
    return walk.cutoff_ms / HOUR_MS;
}

/* A clock that is 500 days ahead takes nothing before three further sweeps have agreed with it. */
static void test_a_clock_that_jumps_takes_nothing(void **state)
{
    enum { START = 100 * DAY, JUMP = 600 * DAY };
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    struct pw_error err;
    struct pw_prune walk;
    bool doubted;

    (void)cutoff_hours(db, START, &doubted); /* no sweep at all: nothing to take either */
    assert_false(doubted);
    for (int i = 0; i < 5; i++)
        (void)sweep_fleet(db, source_id, i % 2 == 0 ? "cccc" : "nncc", (START + i) * HOUR_MS);
    assert_int_equal(cutoff_hours(db, START + 5, &doubted), START + 5 - 30 * DAY);
    assert_false(doubted);
    /* As far as a week nobody is astonished. */
    assert_int_equal(cutoff_hours(db, START + 1 + 7 * DAY, &doubted), START + 1 - 23 * DAY);
    assert_false(doubted);

    for (int i = 0; i < 3; i++) {
        (void)sweep_fleet(db, source_id, "cccc", (JUMP + i) * HOUR_MS);
        assert_int_equal(cutoff_hours(db, JUMP + i, &doubted), START + 2 + i - 30 * DAY);
        assert_true(doubted);
    }
    assert_int_equal(pw_prune_begin(db, &walk, 30 * DAY * HOUR_MS, (JUMP + 3) * HOUR_MS, &err),
                     PW_OK);
    while (walk.stage != PW_PRUNE_DONE)
        assert_int_equal(pw_prune_step(db, &walk, (JUMP + 3) * HOUR_MS, &err), PW_OK);
    assert_int_equal(walk.reports + walk.events + walk.sweeps + walk.nodes, 0);

    /* The clock is right again: never more than by the right time. */
    assert_int_equal(cutoff_hours(db, START + 6, &doubted), START + 6 - 30 * DAY);
    assert_false(doubted);
    /* It was right after all: the fourth sweep says the same, and it goes on. */
    (void)sweep_fleet(db, source_id, "cccc", (JUMP + 3) * HOUR_MS);
    assert_int_equal(cutoff_hours(db, JUMP + 3, &doubted), JUMP + 3 - 30 * DAY);
    assert_false(doubted);
    pw_db_close(db);
}

/* Sweeps that saw no page, as under a wrong clock, which TLS and signatures do not bear, say
 * nothing of the time. */
static void test_failed_sweeps_do_not_vouch(void **state)
{
    struct pw_db *db = open_writer(*state);
    bool doubted;

    must_run(db, "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'a', 'x');"
                 "INSERT INTO sweep (source_id, started_at, ended_at, outcome)"
                 " SELECT 1, n.value * 3600000, n.value * 3600000,"
                 "        iif(n.value < 10000, 'complete', 'failed')"
                 "   FROM json_each('[2400, 2401, 2402, 2403, 14400, 14401, 14402, 14403, 14404]')"
                 "     AS n ORDER BY n.value");
    assert_int_equal(cutoff_hours(db, 14404, &doubted), 2400 - 30 * DAY);
    assert_true(doubted);
    pw_db_close(db);
}

/* An event of the future (the clock was wrong) does not hold up what stands behind it. */
static void test_an_event_of_the_future_holds_up_nothing(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db);
    struct pw_prune walk;
    struct pw_error err;

    (void)sweep_fleet(db, source_id, "cccc", 1 * HOUR_MS);
    (void)sweep_fleet(db, source_id, "nccc", 90000 * HOUR_MS);
    (void)sweep_fleet(db, source_id, "cncc", 2 * HOUR_MS);
    for (int i = 0; i < 5; i++)
        (void)sweep_fleet(db, source_id, i % 2 == 0 ? "cccc" : "cccn", (1000 + i) * HOUR_MS);
    assert_int_equal(pw_prune_begin(db, &walk, 30 * DAY * HOUR_MS, 1005 * HOUR_MS, &err), PW_OK);
    while (walk.stage != PW_PRUNE_DONE)
        assert_int_equal(pw_prune_step(db, &walk, 1005 * HOUR_MS, &err), PW_OK);
    assert_true(walk.events > 3);
    pw_db_close(db);
}

/* One sweep of each of five sources at a wrong time agree on nothing. */
static void test_sources_do_not_agree_at_once(void **state)
{
    struct pw_db *db = open_writer(*state);
    bool doubted;

    must_run(db,
             "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'a', 'x'), (2, 'b', 'x'),"
             " (3, 'c', 'x'), (4, 'd', 'x'), (5, 'e', 'x');"
             "INSERT INTO sweep (source_id, started_at, ended_at, outcome)"
             " SELECT source_id, n.value * 3600000, n.value * 3600000, 'complete'"
             "   FROM json_each('[2400, 2401, 2402, 2403, 14400]') AS n, source"
             "  ORDER BY n.value");
    assert_int_equal(cutoff_hours(db, 14400, &doubted), 2401 - 30 * DAY);
    assert_true(doubted);
    pw_db_close(db);
}

/* A sweep of a wrong clock among older ones does not end the walk. */
static void test_a_sweep_ahead_does_not_stop_retention(void **state)
{
    struct pw_db *db = open_writer(*state);

    must_run(db, "INSERT INTO source (source_id, name, endpoint) VALUES (1, 'a', 'x');"
                 "INSERT INTO sweep (source_id, started_at, ended_at, outcome)"
                 " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                 " SELECT 1, iif(i = 3, 9e9, i), iif(i = 3, 9e9, i), 'complete' FROM n");
    assert_int_equal(prune(db, HOUR_MS).sweeps, 499);
    pw_db_close(db);
}

/* The horizon ----------------------------------------------------------------------------------
 */

/* What is told of the past begins where retention ended. */
static void test_the_past_begins_at_the_horizon(void **state)
{
    struct pw_db *db = open_writer(*state);
    int64_t source_id = open_prod(db), kept_from_ms;
    struct pw_error err;

    (void)sweep_fleet_told(db, source_id, "ccc", 1 * DAY * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nnc", 3 * DAY * HOUR_MS);
    deliver_all(db, 3 * DAY * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "nnn", 12 * DAY * HOUR_MS);
    (void)sweep_fleet_told(db, source_id, "cnn", 13 * DAY * HOUR_MS);
    deliver_all(db, 13 * DAY * HOUR_MS);
    assert_int_equal(pw_store_horizon(db, &kept_from_ms, &err), PW_OK);
    assert_true(kept_from_ms == PW_TIME_NONE);
    assert_string_equal(rows(db, "SELECT * FROM fleet_daily LIMIT 3"),
                        "1970-01-02|3|0|0|0\n1970-01-03|3|0|0|0\n1970-01-04|1|2|0|0");
    assert_string_equal(
        rows(db, "SELECT node_key, start / 86400000, end / 86400000, started_by FROM remediation"
                 " ORDER BY node_key"),
        "ECS/i-0|3|13|event\nECS/i-1|3|-|event\nECS/i-2|12|-|event");

    (void)prune(db, 10 * DAY * HOUR_MS + 1);
    assert_int_equal(pw_store_horizon(db, &kept_from_ms, &err), PW_OK);
    assert_int_equal(kept_from_ms, 10 * DAY * HOUR_MS + 1);
    assert_int_equal(number(db, "SELECT pruned_at FROM horizon"), 1000 * HOUR_MS);
    /* Day 10 is not whole any more; day 11 is as it was, nobody missing. */
    assert_string_equal(rows(db, "SELECT * FROM fleet_daily LIMIT 3"),
                        "1970-01-12|1|2|0|0\n1970-01-13|0|3|0|0\n1970-01-14|1|2|0|0");
    /* Nobody knows when what is over began. */
    assert_string_equal(rows(db, "SELECT node_key, start / 86400000, end / 86400000, hours > 0,"
                                 " started_by FROM remediation ORDER BY node_key"),
                        "ECS/i-0|-|13|-|pruned\nECS/i-1|3|-|1|pruned\nECS/i-2|12|-|1|event");
    /* It never moves back. */
    (void)prune(db, 5 * DAY * HOUR_MS);
    assert_int_equal(pw_horizon_move(db, 5, 6, &err), PW_OK);
    assert_int_equal(pw_store_horizon(db, &kept_from_ms, &err), PW_OK);
    assert_int_equal(kept_from_ms, 10 * DAY * HOUR_MS + 1);
    pw_db_close(db);
}

/* The mark of a clean end -----------------------------------------------------------------------
 */

static void test_unclean_stop_is_noticed(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    char lock[128];
    struct pw_error err;
    pid_t child;
    int wait_status;

    assert_false(pw_db_is_unclean(db)); /* a new file */
    pw_db_close(db);
    db = open_writer(scratch);
    assert_false(pw_db_is_unclean(db));
    pw_db_close(db);

    child = fork();
    if (child == 0) {
        db = open_writer(scratch);
        must_run(db, "INSERT INTO source (name, endpoint) VALUES ('prod', 'x')");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &wait_status, 0), child);
    assert_int_equal(wait_status, 0);
    /* An attempt that is refused does not count as a clean end. */
    {
        struct pw_db *held;
        db = open_writer(scratch);
        assert_true(pw_db_is_unclean(db));
        assert_int_equal(pw_db_open(scratch->path, PW_DB_WRITE, &held, &err), PW_EBUSY);
    }
    assert_int_equal(pw_care_check(db, 10000, NULL, &err), PW_CARE_SOUND);
    pw_db_close(db);
    db = open_writer(scratch);
    assert_false(pw_db_is_unclean(db));
    pw_db_distrust(db);
    pw_db_close(db);
    db = open_writer(scratch);
    assert_true(pw_db_is_unclean(db));
    pw_db_close(db);
    (void)snprintf(lock, sizeof lock, "%s.lock", scratch->path);
    assert_int_equal(unlink(lock), 0); /* copied here without it, say */
    db = open_writer(scratch);
    assert_true(pw_db_is_unclean(db));
    pw_db_close(db);
}

static void test_check_has_a_limit(void **state)
{
    struct pw_db *db = open_writer(*state);
    atomic_bool cancel;
    struct pw_error err;

    make_history(db, 300);
    atomic_init(&cancel, true);
    assert_int_equal(pw_care_check(db, 10000, &cancel, &err), PW_CARE_UNFINISHED);
    assert_int_equal(pw_care_check(db, -1, NULL, &err), PW_CARE_UNFINISHED);
    atomic_store(&cancel, false);
    assert_int_equal(pw_care_check(db, 10000, &cancel, &err), PW_CARE_SOUND);
    pw_db_close(db);
}

static void test_damage_is_told_and_left(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    char garbage[4096], wal[128];
    struct pw_error err = {PW_OK, ""};
    int64_t page, bytes;
    int fd;

    make_history(db, 300);
    page = number(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'report'");
    pw_db_close(db);
    (void)snprintf(wal, sizeof wal, "%s-wal", scratch->path);
    assert_int_equal(truncate(wal, 0), 0);
    memset(garbage, 0x77, sizeof garbage);
    fd = open(scratch->path, O_RDWR);
    bytes = pwrite(fd, garbage, sizeof garbage, (page - 1) * 4096);
    assert_int_equal(bytes, 4096);
    (void)close(fd);

    db = open_writer(scratch);
    assert_int_equal(pw_care_check(db, 10000, NULL, &err), PW_CARE_DAMAGED);
    assert_int_equal(err.status, PW_ECORRUPT);
    assert_non_null(strstr(err.message, scratch->path));
    assert_non_null(strstr(err.message, "restore a backup"));
    assert_non_null(strstr(err.message, ".dump"));
    pw_db_close(db);
    db = open_writer(scratch); /* it is there still, and not trusted */
    assert_true(pw_db_is_unclean(db));
    pw_db_close(db);
}

/* Room ------------------------------------------------------------------------------------------
 */

static void test_log_is_cut_unless_a_reader_holds_it(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch), *reader;
    int64_t left_bytes, start_ms;
    struct pw_error err;

    assert_int_equal(pw_db_open(scratch->path, PW_DB_READ, &reader, &err), PW_OK);
    must_run(reader, "BEGIN; SELECT * FROM source");
    make_history(db, 300);
    assert_true(pw_care_wal_bytes(db) > 100000);
    assert_int_equal(pw_care_wal_bytes(reader), pw_care_wal_bytes(db));
    start_ms = pw_clock_monotonic_ms(pw_clock_system());
    assert_int_equal(pw_care_shrink_wal(db, &left_bytes, &err), PW_OK);
    assert_true(left_bytes > 100000);
    assert_true(pw_clock_monotonic_ms(pw_clock_system()) - start_ms < 1000); /* waits for nobody */
    must_run(reader, "COMMIT");
    assert_int_equal(pw_care_shrink_wal(db, &left_bytes, &err), PW_OK);
    assert_int_equal(left_bytes, 0);
    assert_int_equal(number(db, "PRAGMA busy_timeout"), 5000);
    pw_db_close(reader);
    pw_db_close(db);
}

static void test_room_is_looked_for(void **state)
{
    struct scratch *scratch = *state;
    struct pw_db *db = open_writer(scratch);
    struct rlimit before, small = {.rlim_cur = 512 * 1024};
    char room[128];
    struct pw_error err;

    (void)snprintf(room, sizeof room, "%s.room", scratch->path);
    assert_int_equal(pw_care_try_write(db, 1024 * 1024, &err), PW_OK);
    assert_int_equal(access(room, F_OK), -1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(pw_care_try_write(db, 1024 * 1024, &err), PW_EFULL);
    assert_int_equal(access(room, F_OK), -1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(number(db, "SELECT count(*) FROM source"), 0);
    assert_int_equal(pw_care_try_write(db, 1024 * 1024, &err), PW_OK);
    assert_int_equal(pw_care_optimize(db, &err), PW_OK);
    assert_string_equal(verify(db), "");
    pw_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_old_history_goes_current_state_stays, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_undelivered_events_stay, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_recovery_after_the_event_is_gone, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_missing_nodes_go_when_nothing_is_left, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_steps_are_small_and_pages_come_back, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_step_that_fails_changes_nothing, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_jumps_takes_nothing, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_failed_sweeps_do_not_vouch, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_an_event_of_the_future_holds_up_nothing, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sources_do_not_agree_at_once, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_sweep_ahead_does_not_stop_retention, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_the_past_begins_at_the_horizon, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_unclean_stop_is_noticed, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_check_has_a_limit, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_told_and_left, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_log_is_cut_unless_a_reader_holds_it, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_room_is_looked_for, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

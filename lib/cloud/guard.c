/* The guard: a list of what was shown and what became of it, the latest first. It owns its entries;
 * turns belong to the credentials that ask. */
#include "cloud/guard_state.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* An access key that was locked is free again after five minutes. */
#define FIRST_WAIT_MS (300 * PW_SECOND_MS)
#define LONGEST_WAIT_MS (3600 * PW_SECOND_MS)

enum { SALT_BYTES = 32 };

enum state { UNKNOWN, PROVEN, REFUSED };

struct pw_guard_entry {
    struct pw_guard_entry *previous, *next;
    struct pw_guard_print print;
    enum state state;
    unsigned failures;
    int64_t proven_at_ms, next_try_at_ms;            /* monotonic */
    int64_t refused_at_wall_ms, next_try_at_wall_ms; /* for messages */
    size_t holders;
    struct pw_guard_turn *prover;
    struct pw_guard_turn *waiting; /* in order of arrival */
};

struct pw_guard {
    const struct pw_clock *clock;
    unsigned char salt[SALT_BYTES];
    struct pw_guard_entry *latest, *oldest;
    size_t count, idle;
};

enum pw_status pw_guard_new(const struct pw_clock *clock, struct pw_guard **out,
                            struct pw_error *err)
{
    struct pw_guard *guard = calloc(1, sizeof *guard);

    *out = NULL;
    if (guard == NULL)
        return pw_fail_nomem(err);
    guard->clock = clock;
    if (getrandom(guard->salt, sizeof guard->salt, 0) != (ssize_t)sizeof guard->salt) {
        free(guard);
        return pw_fail(err, PW_EIO, "the system gives no random bytes");
    }
    *out = guard;
    return PW_OK;
}

void pw_guard_free(struct pw_guard *guard)
{
    if (guard == NULL)
        return;
    for (struct pw_guard_entry *entry = guard->latest, *next; entry != NULL; entry = next) {
        next = entry->next;
        free(entry);
    }
    explicit_bzero(guard, sizeof *guard);
    free(guard);
}

size_t pw_guard_count(const struct pw_guard *guard)
{
    return guard->count;
}

enum pw_status pw_guard_fingerprint(const struct pw_guard *guard, const struct pw_str *parts,
                                    size_t count, struct pw_guard_print *out, struct pw_error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char hash[EVP_MAX_MD_SIZE];
    bool is_good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(context, guard->salt, sizeof guard->salt) == 1;

    for (size_t i = 0; is_good && i < count; i++) {
        uint64_t len = parts[i].len; /* so that "ab", "c" is not "a", "bc" */

        is_good = EVP_DigestUpdate(context, &len, sizeof len) == 1 &&
                  (len == 0 || EVP_DigestUpdate(context, parts[i].data, parts[i].len) == 1);
    }
    is_good = is_good && EVP_DigestFinal_ex(context, hash, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!is_good)
        return pw_fail_nomem(err);
    memcpy(out->bytes, hash, sizeof out->bytes);
    return PW_OK;
}

/* ---- the list --------------------------------------------------------------------------------*/

static void unlink_entry(struct pw_guard *guard, struct pw_guard_entry *entry)
{
    *(entry->previous != NULL ? &entry->previous->next : &guard->latest) = entry->next;
    *(entry->next != NULL ? &entry->next->previous : &guard->oldest) = entry->previous;
}

static void link_first(struct pw_guard *guard, struct pw_guard_entry *entry)
{
    entry->previous = NULL;
    entry->next = guard->latest;
    *(guard->latest != NULL ? &guard->latest->previous : &guard->oldest) = entry;
    guard->latest = entry;
}

static void forget(struct pw_guard *guard, struct pw_guard_entry *entry)
{
    unlink_entry(guard, entry);
    guard->count--;
    guard->idle--;
    free(entry);
}

/* Forgets one that nobody holds: the oldest that was not refused, else the oldest. */
static void forget_oldest(struct pw_guard *guard)
{
    struct pw_guard_entry *victim = NULL;

    for (struct pw_guard_entry *entry = guard->oldest; entry != NULL; entry = entry->previous) {
        if (entry->holders > 0)
            continue;
        if (entry->state != REFUSED) {
            victim = entry;
            break;
        }
        if (victim == NULL)
            victim = entry;
    }
    if (victim != NULL)
        forget(guard, victim);
}

static void let_go(struct pw_guard_turn *turn)
{
    struct pw_guard_entry *entry = turn->entry;

    turn->entry = NULL;
    if (entry == NULL || --entry->holders > 0)
        return;
    turn->guard->idle++;
    if (entry->state == UNKNOWN)
        forget(turn->guard, entry);
    else if (turn->guard->idle > PW_GUARD_MAX_IDLE)
        forget_oldest(turn->guard);
}

/* The entry of print, held for turn; NULL where memory is short. */
static struct pw_guard_entry *hold(struct pw_guard_turn *turn, const struct pw_guard_print *print)
{
    struct pw_guard *guard = turn->guard;
    struct pw_guard_entry *entry = guard->latest;

    while (entry != NULL && memcmp(&entry->print, print, sizeof *print) != 0)
        entry = entry->next;
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL)
            return NULL;
        entry->print = *print;
        guard->count++;
    } else {
        unlink_entry(guard, entry);
        if (entry->holders == 0)
            guard->idle--;
    }
    link_first(guard, entry);
    entry->holders++;
    turn->entry = entry;
    return entry;
}

/* ---- turns -----------------------------------------------------------------------------------*/

static int64_t now_ms(const struct pw_guard_turn *turn)
{
    return pw_clock_monotonic_ms(turn->guard->clock);
}

static void wake_all(struct pw_guard_entry *entry)
{
    struct pw_guard_turn *turn = entry->waiting;

    entry->waiting = NULL;
    while (turn != NULL) {
        struct pw_guard_turn *next = turn->next;

        turn->next = NULL;
        turn->is_waiting = false;
        turn->go(turn->context);
        turn = next;
    }
}

enum pw_status pw_guard_ask(struct pw_guard_turn *turn, const struct pw_guard_print *print,
                            enum pw_guard_answer *answer, struct pw_error *err)
{
    struct pw_guard_entry *entry;
    struct pw_guard_turn **end;

    *answer = PW_GUARD_WAIT;
    if (turn->entry != NULL && memcmp(&turn->entry->print, print, sizeof *print) != 0)
        pw_guard_leave(turn);
    if (turn->is_waiting)
        return PW_OK;
    entry = turn->entry != NULL ? turn->entry : hold(turn, print);
    if (entry == NULL)
        return pw_fail_nomem(err);
    if (pw_guard_is_barred(turn)) {
        *answer = PW_GUARD_REFUSED;
        return PW_OK;
    }
    if (entry->prover == turn ||
        (entry->state == PROVEN && now_ms(turn) - entry->proven_at_ms < turn->proof_ms)) {
        *answer = PW_GUARD_GO;
        return PW_OK;
    }
    if (entry->prover == NULL) {
        entry->prover = turn;
        *answer = PW_GUARD_GO;
        return PW_OK;
    }
    end = &entry->waiting;
    while (*end != NULL)
        end = &(*end)->next;
    *end = turn;
    turn->next = NULL;
    turn->is_waiting = true;
    return PW_OK;
}

void pw_guard_accepted(struct pw_guard_turn *turn)
{
    struct pw_guard_entry *entry = turn->entry;

    /* A late answer to what was asked before the refusal proves nothing. */
    if (entry == NULL || (entry->state == REFUSED && entry->prover != turn))
        return;
    entry->state = PROVEN;
    entry->proven_at_ms = now_ms(turn);
    entry->failures = 0;
    entry->prover = NULL;
    wake_all(entry);
}

void pw_guard_refused(struct pw_guard_turn *turn)
{
    struct pw_guard_entry *entry = turn->entry;
    int64_t wait_ms = FIRST_WAIT_MS;

    /* Several answers to one showing are one refusal. */
    if (entry == NULL || pw_guard_is_barred(turn))
        return;
    entry->state = REFUSED;
    for (unsigned i = 0; i < entry->failures && wait_ms < LONGEST_WAIT_MS; i++)
        wait_ms *= 2;
    if (wait_ms > LONGEST_WAIT_MS)
        wait_ms = LONGEST_WAIT_MS;
    entry->failures++;
    entry->next_try_at_ms = now_ms(turn) + wait_ms;
    entry->refused_at_wall_ms = pw_clock_wall_ms(turn->guard->clock);
    entry->next_try_at_wall_ms = entry->refused_at_wall_ms + wait_ms;
    entry->prover = NULL;
    wake_all(entry);
}

void pw_guard_rest(struct pw_guard_turn *turn)
{
    struct pw_guard_entry *entry = turn->entry;

    if (entry == NULL)
        return;
    if (turn->is_waiting) {
        struct pw_guard_turn **place = &entry->waiting;

        while (*place != turn)
            place = &(*place)->next;
        *place = turn->next;
        turn->next = NULL;
        turn->is_waiting = false;
    }
    if (entry->prover != turn)
        return;
    /* Handed on here and now: whoever is woken may be gone before it asks. */
    entry->prover = entry->waiting;
    if (entry->prover != NULL) {
        struct pw_guard_turn *next = entry->waiting;

        entry->waiting = next->next;
        next->next = NULL;
        next->is_waiting = false;
        next->go(next->context);
    }
}

void pw_guard_leave(struct pw_guard_turn *turn)
{
    pw_guard_rest(turn);
    let_go(turn);
}

bool pw_guard_is_barred(const struct pw_guard_turn *turn)
{
    return turn->entry != NULL && turn->entry->state == REFUSED &&
           now_ms(turn) < turn->entry->next_try_at_ms;
}

enum pw_status pw_guard_explain(const struct pw_guard_turn *turn, const char *what,
                                struct pw_error *err)
{
    char refused_at[PW_ISO8601_SIZE], next_try_at[PW_ISO8601_SIZE];

    return pw_fail(err, PW_EPERM,
                   "%s was refused at %s and is not shown again before %s, so that it does not get "
                   "locked; another one is used at once",
                   what, pw_iso8601(refused_at, turn->entry->refused_at_wall_ms),
                   pw_iso8601(next_try_at, turn->entry->next_try_at_wall_ms));
}

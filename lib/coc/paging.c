/* The paging machine: FIRST → (PROBE) → BULK → TAIL → OVER, and once again as a repair pass where
 * the rows moved while they were read. */
#include "coc/paging.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* So many empty pages in a row behind the last one with rows end a pass, whatever `count` says. */
enum { MAX_EMPTY_PAGES = 8 };
/* So many pages in a row without one new record end the tail: the server repeats itself. */
enum { MAX_STALE_PAGES = 2 };
/* So many times the very same page end the planned ones too, whatever `count` promises: the server
 * ignores the offset. Pages of rows that moved repeat records, but not each other. */
enum { MAX_SAME_PAGES = 16 };
/* Between the first page and the probe rows may move by so many records. */
enum { MAX_PROBE_SHIFT = 4 };

const char *pw_paging_mode_name(enum pw_paging_mode mode)
{
    switch (mode) {
    case PW_PAGING_PAGE:
        return "page";
    case PW_PAGING_RECORD:
        return "record";
    case PW_PAGING_AUTO:
        break;
    }
    return "auto";
}

enum pw_paging_mode pw_paging_mode_of(const char *name)
{
    if (name != NULL && strcmp(name, "page") == 0)
        return PW_PAGING_PAGE;
    if (name != NULL && strcmp(name, "record") == 0)
        return PW_PAGING_RECORD;
    return PW_PAGING_AUTO;
}

static const char *state_name(enum pw_paging_state state)
{
    static const char *const names[] = {"first", "probe", "bulk", "tail", "over"};
    return names[state];
}

static void set_state(struct pw_paging *paging, enum pw_paging_state state)
{
    pw_log_debug("paging: %s -> %s (pass %d, mode %s)", state_name(paging->state),
                 state_name(state), paging->pass, pw_paging_mode_name(paging->mode));
    paging->state = state;
    paging->asked = false;
}

static void start_pass(struct pw_paging *paging, int pass)
{
    paging->pass = pass;
    paging->step = paging->page_size;
    paging->count = -1;
    paging->count_changed = false;
    paging->next_page = 2;
    paging->last_page = 1;
    paging->last_rows = 0;
    paging->highest_page = 0;
    paging->empty_pages = 0;
    paging->stale_pages = 0;
    paging->same_pages = 0;
    paging->page_hash = 0;
    paging->front_time_ms = -1;
    paging->is_unsorted = false;
    paging->was_overtaken = false;
    set_state(paging, PW_PAGING_FIRST);
}

void pw_paging_init(struct pw_paging *paging, int64_t page_size, enum pw_paging_mode setting,
                    enum pw_paging_mode remembered)
{
    *paging = (struct pw_paging){.setting = setting, .page_size = page_size, .first_count = -1};
    paging->mode = setting != PW_PAGING_AUTO ? setting : remembered;
    pw_hashset_init(&paging->seen);
    pw_hashset_init(&paging->seen_before);
    start_pass(paging, 1);
}

void pw_paging_free(struct pw_paging *paging)
{
    pw_hashset_free(&paging->seen);
    pw_hashset_free(&paging->seen_before);
    free(paging->first_page);
    paging->first_page = NULL;
}

static int64_t offset_of(const struct pw_paging *paging, int64_t page)
{
    return paging->mode == PW_PAGING_RECORD ? 1 + (page - 1) * paging->step : page;
}

static int64_t page_at(const struct pw_paging *paging, int64_t offset)
{
    return paging->mode == PW_PAGING_RECORD ? 1 + (offset - 1) / paging->step : offset;
}

/* How many pages the reported count promises. */
static int64_t promised_pages(const struct pw_paging *paging)
{
    if (paging->count <= paging->step)
        return 1;
    return (paging->count - 1) / paging->step + 1;
}

static bool may_ask(struct pw_paging *paging, int64_t page)
{
    if (offset_of(paging, page) <= PW_OFFSET_MAX)
        return true;
    paging->beyond_reach = true;
    return false;
}

bool pw_paging_next(struct pw_paging *paging, int64_t *offset)
{
    switch (paging->state) {
    case PW_PAGING_FIRST:
        *offset = 1;
        break;
    case PW_PAGING_PROBE:
        *offset = 2;
        break;
    case PW_PAGING_BULK:
        if (paging->next_page > paging->last_page || !may_ask(paging, paging->next_page))
            return false;
        *offset = offset_of(paging, paging->next_page++);
        paging->in_flight++;
        return true;
    case PW_PAGING_TAIL:
        *offset = offset_of(paging, paging->next_page);
        break;
    case PW_PAGING_OVER:
        return false;
    }
    if (paging->asked)
        return false;
    paging->asked = true;
    if (paging->state == PW_PAGING_TAIL)
        paging->next_page++;
    paging->in_flight++;
    return true;
}

static int64_t distinct_in_pass(const struct pw_paging *paging)
{
    return (int64_t)paging->seen.count;
}

int64_t pw_paging_records(const struct pw_paging *paging)
{
    return (int64_t)(paging->pass > 1 ? paging->seen_before.count : paging->seen.count);
}

static enum pw_status note_identities(struct pw_paging *paging,
                                      const struct pw_paging_answer *answer)
{
    for (size_t i = 0; i < answer->identity_count; i++) {
        bool added;

        if (pw_hashset_add(&paging->seen, answer->identities[i], &added) != PW_OK)
            return PW_ENOMEM;
        if (paging->pass > 1 &&
            pw_hashset_add(&paging->seen_before, answer->identities[i], &added) != PW_OK)
            return PW_ENOMEM;
    }
    if (pw_paging_records(paging) > PW_SWEEP_MAX_RECORDS)
        paging->too_many = true;
    return PW_OK;
}

static void note_count(struct pw_paging *paging, int64_t count)
{
    if (count < 0) {
        paging->count_unknown = true;
        return;
    }
    if (paging->first_count < 0)
        paging->first_count = count;
    if (paging->count >= 0 && count != paging->count)
        paging->count_changed = true;
    if (count != paging->first_count)
        paging->count_ever_changed = true;
    paging->count = count;
}

/* A report that is renewed may get a new id; read under both, it would stand in for a record that
 * slipped by, and the numbers would agree. It gives itself away by being newer than the front. */
static void note_times(struct pw_paging *paging, const struct pw_paging_answer *answer)
{
    if (answer->order == PW_ORDER_OTHER)
        paging->is_unsorted = true;
    if (paging->state == PW_PAGING_FIRST)
        paging->front_time_ms = answer->order == PW_ORDER_NEWEST_FIRST ? answer->newest_ms : -1;
    else if (paging->front_time_ms >= 0 && answer->newest_ms > paging->front_time_ms)
        paging->was_overtaken = paging->was_ever_overtaken = true;
}

/* One pass saw everything: its distinct records are as many as a count that held, and none of them
 * came from behind. */
static bool pass_is_proof(const struct pw_paging *paging)
{
    return !paging->count_changed && distinct_in_pass(paging) == paging->count &&
           (!paging->was_overtaken || paging->is_unsorted);
}

static bool both_passes_are_proof(const struct pw_paging *paging)
{
    return paging->pass > 1 && !paging->count_ever_changed &&
           (!paging->was_ever_overtaken || paging->is_unsorted) &&
           (int64_t)paging->seen_before.count == paging->count;
}

static bool is_hopeless(const struct pw_paging *paging)
{
    return paging->lost_pages > 0 || paging->bad_records > 0 || paging->count_unknown ||
           paging->too_many || (paging->beyond_reach && distinct_in_pass(paging) != paging->count);
}

static void end_pass(struct pw_paging *paging)
{
    if (!is_hopeless(paging)) {
        if (pass_is_proof(paging) || both_passes_are_proof(paging)) {
            paging->is_complete = true;
        } else if (paging->pass == 1) {
            pw_log_debug("paging: %" PRId64 " distinct records of %" PRId64 ", repair pass",
                         distinct_in_pass(paging), paging->count);
            /* A mode that was wrong shows itself as records that never came. */
            if (paging->setting == PW_PAGING_AUTO && distinct_in_pass(paging) != paging->count)
                paging->mode = PW_PAGING_AUTO;
            paging->seen_before = paging->seen;
            pw_hashset_init(&paging->seen);
            start_pass(paging, 2);
            return;
        }
    }
    set_state(paging, PW_PAGING_OVER);
}

/* All planned pages are answered: is there proof that nothing is left behind them? */
static void look_behind(struct pw_paging *paging)
{
    bool is_full = paging->last_rows >= paging->step;
    bool misses_some = paging->last_rows > 0 && distinct_in_pass(paging) < paging->count;

    /* All that was promised came, and yet some are missing: the rows moved, or the mode is a wrong
     * one. The repair pass asks for the mode anew; reading on page by page would only hide that. */
    bool asks_anew = paging->setting == PW_PAGING_AUTO && paging->pass == 1 &&
                     distinct_in_pass(paging) < paging->count;

    if (!asks_anew && (is_full || misses_some) && paging->lost_pages == 0 && !paging->too_many &&
        paging->stale_pages < MAX_STALE_PAGES && may_ask(paging, paging->next_page))
        set_state(paging, PW_PAGING_TAIL);
    else
        end_pass(paging);
}

static void enter_bulk(struct pw_paging *paging)
{
    paging->last_page = promised_pages(paging);
    set_state(paging, PW_PAGING_BULK);
    if (paging->last_page < paging->next_page)
        look_behind(paging);
}

static enum pw_status answer_first(struct pw_paging *paging, const struct pw_paging_answer *answer)
{
    int64_t rows = (int64_t)answer->rows;

    /* A server that caps the page below what we asked for: its step is the true one. A tenth is the
     * least we believe, so that one torn page does not make a thousand of a hundred requests. */
    if (rows > 0 && rows < paging->page_size && paging->count > rows) {
        int64_t least = (paging->page_size + 9) / 10;
        paging->step = rows < least ? least : rows;
    }
    if (paging->mode != PW_PAGING_AUTO || paging->page_size == 1 || answer->identity_count < 2 ||
        (paging->count <= rows && rows < paging->page_size)) {
        if (paging->mode == PW_PAGING_AUTO)
            paging->mode = PW_PAGING_PAGE; /* one page, or one record a page: both are the same */
        enter_bulk(paging);
        return PW_OK;
    }
    free(paging->first_page);
    paging->first_page = malloc(answer->identity_count * sizeof *paging->first_page);
    if (paging->first_page == NULL)
        return PW_ENOMEM;
    memcpy(paging->first_page, answer->identities,
           answer->identity_count * sizeof *paging->first_page);
    paging->first_page_count = answer->identity_count;
    set_state(paging, PW_PAGING_PROBE);
    return PW_OK;
}

static void note_page(struct pw_paging *paging, int64_t page, int64_t rows)
{
    if (rows == 0) {
        if (page > paging->highest_page)
            paging->empty_pages++;
        if (page >= paging->last_page)
            paging->last_rows = 0;
        return;
    }
    if (page >= paging->highest_page) {
        paging->highest_page = page;
        paging->empty_pages = 0;
        paging->last_rows = rows;
    }
}

/* How many records of the page at offset 2 are those of the first page moved by `shift`. */
static size_t records_moved_by(const struct pw_paging *paging,
                               const struct pw_paging_answer *answer, ptrdiff_t shift)
{
    size_t same = 0;

    for (size_t i = 0; i < answer->identity_count; i++) {
        ptrdiff_t at = (ptrdiff_t)i + shift;

        if (at >= 0 && (size_t)at < paging->first_page_count &&
            paging->first_page[at] == answer->identities[i])
            same++;
    }
    return same;
}

/* offset=2 showed the first page moved by one record, or the page behind it. Rows may have moved in
 * between (by some records, all alike), so the majority decides; the proof of completeness catches
 * a wrong guess. */
static void answer_probe(struct pw_paging *paging, const struct pw_paging_answer *answer)
{
    size_t known = 0, comparable = paging->first_page_count - 1;

    for (ptrdiff_t shift = -MAX_PROBE_SHIFT; shift <= MAX_PROBE_SHIFT; shift++) {
        size_t same = records_moved_by(paging, answer, shift);

        if (same > known)
            known = same;
    }
    if (comparable > answer->identity_count)
        comparable = answer->identity_count;
    if (comparable > 0 && known * 2 > comparable) {
        paging->mode = PW_PAGING_RECORD;
    } else {
        paging->mode = PW_PAGING_PAGE;
        paging->next_page = 3; /* the probe was page 2 */
        note_page(paging, 2, (int64_t)answer->rows);
    }
    pw_log_debug("paging: offset 2 repeats %zu of %zu records: offset counts %ss", known,
                 comparable, pw_paging_mode_name(paging->mode));
    free(paging->first_page);
    paging->first_page = NULL;
    enter_bulk(paging);
}

/* Counts pages in a row that are one and the same. */
static void note_repeat(struct pw_paging *paging, const struct pw_paging_answer *answer)
{
    uint64_t hash = answer->identity_count;

    for (size_t i = 0; i < answer->identity_count; i++)
        hash = hash * UINT64_C(0x100000001B3) + answer->identities[i];
    paging->same_pages =
        hash == paging->page_hash && answer->identity_count > 0 ? paging->same_pages + 1 : 0;
    paging->page_hash = hash;
}

static void after_bulk_page(struct pw_paging *paging)
{
    int64_t promised = promised_pages(paging);

    if (promised > paging->last_page)
        paging->last_page = promised; /* the fleet grew while we read */
    if (paging->empty_pages >= MAX_EMPTY_PAGES || paging->same_pages >= MAX_SAME_PAGES ||
        paging->too_many)
        paging->last_page = paging->next_page - 1;
    if (paging->in_flight == 0 &&
        (paging->next_page > paging->last_page || !may_ask(paging, paging->next_page))) {
        if (paging->same_pages >= MAX_SAME_PAGES)
            end_pass(paging);
        else
            look_behind(paging);
    }
}

enum pw_status pw_paging_answer(struct pw_paging *paging, int64_t offset,
                                const struct pw_paging_answer *answer)
{
    size_t known = paging->seen.count;
    enum pw_status status;

    paging->in_flight--;
    note_count(paging, answer->count);
    note_times(paging, answer);
    paging->bad_records += (int64_t)answer->bad_records;
    status = note_identities(paging, answer);
    if (status != PW_OK)
        goto out_of_memory;
    switch (paging->state) {
    case PW_PAGING_FIRST:
        note_page(paging, 1, (int64_t)answer->rows);
        status = answer_first(paging, answer);
        if (status != PW_OK)
            goto out_of_memory;
        break;
    case PW_PAGING_PROBE:
        answer_probe(paging, answer);
        break;
    case PW_PAGING_BULK:
        note_repeat(paging, answer);
        note_page(paging, page_at(paging, offset), (int64_t)answer->rows);
        after_bulk_page(paging);
        break;
    case PW_PAGING_TAIL:
        paging->last_rows = (int64_t)answer->rows;
        paging->stale_pages = paging->seen.count > known ? 0 : paging->stale_pages + 1;
        paging->asked = false;
        look_behind(paging);
        break;
    case PW_PAGING_OVER:
        break;
    }
    return PW_OK;
out_of_memory:
    paging->too_many = true;
    set_state(paging, PW_PAGING_OVER);
    return status;
}

void pw_paging_lost(struct pw_paging *paging, int64_t offset)
{
    paging->in_flight--;
    paging->lost_pages++;
    if (paging->lost_offset == 0)
        paging->lost_offset = offset;
    if (paging->state == PW_PAGING_BULK)
        after_bulk_page(paging);
    else if (paging->state != PW_PAGING_OVER)
        end_pass(paging);
}

bool pw_paging_is_over(const struct pw_paging *paging)
{
    return paging->state == PW_PAGING_OVER && paging->in_flight == 0;
}

bool pw_paging_is_complete(const struct pw_paging *paging)
{
    return paging->is_complete;
}

enum pw_paging_mode pw_paging_proved_mode(const struct pw_paging *paging)
{
    /* With one page, or one record a page, both readings ask the same. */
    if (!paging->is_complete || paging->page_size == 1 || paging->count <= paging->step)
        return PW_PAGING_AUTO;
    return paging->mode;
}

void pw_paging_reason(const struct pw_paging *paging, char *out, size_t size_bytes)
{
    int64_t records = pw_paging_records(paging);

    if (paging->lost_pages > 0)
        (void)snprintf(out, size_bytes,
                       "%" PRId64 " page%s could not be read, the first at offset %" PRId64,
                       paging->lost_pages, paging->lost_pages == 1 ? "" : "s", paging->lost_offset);
    else if (paging->beyond_reach)
        (void)snprintf(out, size_bytes,
                       "the API reports %" PRId64 " records, but its offset ends at %" PRId64
                       ": split this source into several with filter.region, "
                       "filter.enterprise_project_id or filter.group",
                       paging->count, PW_OFFSET_MAX);
    else if (paging->too_many)
        (void)snprintf(out, size_bytes,
                       "more than %" PRId64 " records, or no memory for more: split this source "
                       "into several with filter.region or filter.group",
                       records);
    else if (paging->bad_records > 0)
        (void)snprintf(out, size_bytes, "%" PRId64 " record%s could not be decoded",
                       paging->bad_records, paging->bad_records == 1 ? "" : "s");
    else if (paging->count_unknown)
        (void)snprintf(out, size_bytes, "a page came without a usable count");
    else if (paging->count_changed)
        (void)snprintf(out, size_bytes,
                       "the number of records kept changing while they were read (now %" PRId64
                       ", %" PRId64 " seen), in the repair pass too",
                       paging->count, records);
    else
        (void)snprintf(out, size_bytes,
                       "the API reports %" PRId64 " records, but %" PRId64
                       " distinct ones were read, in the repair pass too",
                       paging->count, records);
}

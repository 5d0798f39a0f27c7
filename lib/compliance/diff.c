/* Deciding what a sweep means for one node: report versions first, then presence, then status. */
#include "compliance/diff.h"

/* Beyond this RFC 3339 has no way to write a time. */
#define LAST_TIME_MS INT64_C(253402300799999)

/* A walk over one version of the node's reports: as it was, or as it will be. */
enum when { BEFORE, AFTER };

static bool is_missing(const struct pw_node_state *state)
{
    return state->missing_since_ms != PW_TIME_NONE;
}

/* The report of slot i that is current at that time, or NULL. Before: for a missing node its last.
 */
static const struct pw_report *current_report(const struct pw_diff_input *input,
                                              const enum pw_report_action *actions, size_t i,
                                              enum when when)
{
    const struct pw_report_slot *slot = &input->slots[i];

    if (when == BEFORE)
        return slot->old;
    switch (actions[i]) {
    case PW_REPORT_KEEP:
    case PW_REPORT_REOPEN:
        return slot->old;
    case PW_REPORT_INSERT:
    case PW_REPORT_REPLACE:
        return slot->found;
    case PW_REPORT_RETIRE:
    case PW_REPORT_DROP:
        break;
    }
    return NULL;
}

static bool was_shown(const struct pw_diff_input *input)
{
    for (size_t i = 0; i < input->slot_count; i++) {
        if (input->slots[i].found != NULL || input->slots[i].seen)
            return true;
    }
    return false;
}

/* Whether found says nothing against old. Of several records in one sweep the one with the greatest
 * time counts, however far in the future that is, of equal ones the one that was read last;
 * PW_TIME_NONE is the least of all. */
static bool is_outdone(const struct pw_diff_input *input, const struct pw_report_slot *slot)
{
    if (slot->old == NULL)
        return false;
    return pw_report_is_stale(slot->found, slot->old, input->now_ms) ||
           (slot->found->rival != PW_RIVAL_NONE &&
            slot->found->report_time_ms < slot->old->report_time_ms) ||
           (slot->found->rival == PW_RIVAL_LATER &&
            slot->found->report_time_ms == slot->old->report_time_ms);
}

static enum pw_report_action decide_report(const struct pw_diff_input *input,
                                           const struct pw_report_slot *slot, bool node_shown,
                                           bool goes_missing)
{
    bool missing = is_missing(input->before);

    if (slot->found == NULL) {
        /* What an incomplete sweep does not show of a node that is back means nothing. */
        if (missing)
            return node_shown && !input->sweep_complete ? PW_REPORT_REOPEN : PW_REPORT_DROP;
        if (slot->seen)
            return PW_REPORT_KEEP;
        return goes_missing || (node_shown && input->sweep_complete) ? PW_REPORT_RETIRE
                                                                     : PW_REPORT_KEEP;
    }
    if (slot->old == NULL)
        return PW_REPORT_INSERT;
    if (is_outdone(input, slot) || pw_report_same_version(slot->found, slot->old))
        return missing ? PW_REPORT_REOPEN : PW_REPORT_KEEP;
    return missing ? PW_REPORT_INSERT : PW_REPORT_REPLACE;
}

static enum pw_compliance status_of(const struct pw_diff_input *input,
                                    const enum pw_report_action *actions, enum when when)
{
    enum pw_compliance status = PW_UNKNOWN;

    for (size_t i = 0; i < input->slot_count; i++) {
        const struct pw_report *report = current_report(input, actions, i, when);
        if (report == NULL)
            continue;
        if (report->status == PW_NON_COMPLIANT)
            return PW_NON_COMPLIANT;
        if (report->status == PW_COMPLIANT)
            status = PW_COMPLIANT;
    }
    return status;
}

static bool is_new_version(enum pw_report_action action)
{
    return action == PW_REPORT_INSERT || action == PW_REPORT_REPLACE;
}

/* How much slot i is to blame for what the node is now: its report came to that status just now,
 * has other patches, is a new version, or is as it was. */
static int blame_of(const struct pw_diff_input *input, const enum pw_report_action *actions,
                    size_t i, enum when when)
{
    const struct pw_report_slot *slot = &input->slots[i];

    if (when == BEFORE || !is_new_version(actions[i]))
        return 0;
    if (slot->old == NULL || slot->old->status != slot->found->status)
        return 3;
    return pw_patch_counts_same(&slot->old->non_compliant, &slot->found->non_compliant) ? 1 : 2;
}

/* The slot whose report decides the status: of those with that status the one most to blame, then
 * the newest. slot_count where there is none. */
static size_t deciding_slot(const struct pw_diff_input *input, const enum pw_report_action *actions,
                            enum when when, enum pw_compliance status)
{
    size_t best = input->slot_count;

    for (size_t i = 0; i < input->slot_count; i++) {
        const struct pw_report *report = current_report(input, actions, i, when);
        const struct pw_report *champion;
        int blame, champion_blame;

        if (report == NULL || report->status != status)
            continue;
        if (best == input->slot_count) {
            best = i;
            continue;
        }
        champion = current_report(input, actions, best, when);
        blame = blame_of(input, actions, i, when);
        champion_blame = blame_of(input, actions, best, when);
        if (blame != champion_blame ? blame > champion_blame
                                    : report->report_time_ms > champion->report_time_ms)
            best = i;
    }
    return best;
}

static int64_t time_of(const struct pw_report *report, int64_t now_ms)
{
    if (report == NULL || report->report_time_ms < 0 || report->report_time_ms > LAST_TIME_MS)
        return now_ms;
    return report->report_time_ms;
}

static struct pw_diff_event *add_event(struct pw_diff_result *result, enum pw_event_type type,
                                       enum pw_event_cause cause)
{
    struct pw_diff_event *event = &result->events[result->event_count++];

    *event = (struct pw_diff_event){.type = type, .cause = cause};
    return event;
}

static bool any_action(const struct pw_diff_input *input, const enum pw_report_action *actions,
                       enum pw_report_action wanted)
{
    for (size_t i = 0; i < input->slot_count; i++) {
        if (actions[i] == wanted)
            return true;
    }
    return false;
}

/* What this one sweep says about why the status is another one. */
static enum pw_event_cause cause_of(const struct pw_diff_input *input,
                                    const enum pw_report_action *actions, size_t deciding,
                                    const struct pw_report *previous, enum pw_compliance status,
                                    bool returned)
{
    const struct pw_report *now;

    if (returned)
        return PW_CAUSE_RETURNED;
    /* A report that had this status before does not explain why the node's is another one. */
    if (deciding == input->slot_count || actions[deciding] != PW_REPORT_REPLACE ||
        (status != input->before->status && input->slots[deciding].old->status == status))
        return any_action(input, actions, PW_REPORT_INSERT) ||
                       any_action(input, actions, PW_REPORT_RETIRE)
                   ? PW_CAUSE_BASELINE
                   : PW_CAUSE_STATUS;
    now = input->slots[deciding].found;
    if (previous != NULL && pw_patch_counts_same(&now->non_compliant, &previous->non_compliant) &&
        pw_patch_counts_same(&now->compliant, &previous->compliant))
        return PW_CAUSE_STATUS;
    return PW_CAUSE_PATCHES;
}

/* Counts are as large as the API likes to say. */
static void add_count(int64_t *sum, int64_t count)
{
    if (count > 0 && __builtin_add_overflow(*sum, count, sum))
        *sum = INT64_MAX;
}

static void add_patches(struct pw_patch_counts *sum, const struct pw_report *report)
{
    if (report == NULL)
        return;
    for (int s = 0; s < PW_SEVERITY_COUNT; s++)
        add_count(&sum->by_severity[s], report->non_compliant.by_severity[s]);
    add_count(&sum->total, report->non_compliant.total);
}

static bool says_nothing(const struct pw_report *report)
{
    return report != NULL && !pw_is_definite(report->status);
}

/* Greater than 0: the node's reports together are worse than before; less: better. A baseline whose
 * status was or became unknown says nothing either way. */
static int compare_patches(const struct pw_diff_input *input, const enum pw_report_action *actions)
{
    struct pw_patch_counts before = {0}, after = {0};

    for (size_t i = 0; i < input->slot_count; i++) {
        const struct pw_report *old = current_report(input, actions, i, BEFORE);
        const struct pw_report *now = current_report(input, actions, i, AFTER);

        if (old == now || says_nothing(old) || says_nothing(now))
            continue;
        add_patches(&before, old);
        add_patches(&after, now);
    }
    return pw_patch_counts_compare(&after, &before);
}

static void forget_pending(struct pw_node_state *state)
{
    state->pending_status = PW_UNKNOWN;
    state->pending_cause = PW_CAUSE_NONE;
    state->pending_sweeps = 0;
}

/* The node did not show up in a complete sweep. */
static void decide_absent(const struct pw_diff_input *input, struct pw_diff_result *result,
                          bool goes_missing, const struct pw_report *last)
{
    struct pw_diff_event *event;

    if (is_missing(input->before))
        return;
    result->after.missed_sweeps += input->misses;
    result->restless = true;
    /* What waits for `confirm` waits for sweeps in a row. */
    forget_pending(&result->after);
    if (!goes_missing)
        return;
    result->after.missing_since_ms = input->now_ms;
    event = add_event(result, PW_EVENT_NODE_MISSING, PW_CAUSE_NOT_SHOWN);
    event->has_from = true;
    event->from = input->before->status;
    event->report = last;
    /* No report tells of it, so the time is that of the sweep. */
    event->occurred_at_ms = input->now_ms;
}

/* Whether the sweep showed a report of that status; what it merely left alone proves nothing. */
static bool shows_status(const struct pw_diff_input *input, const enum pw_report_action *actions,
                         enum pw_compliance status)
{
    for (size_t i = 0; i < input->slot_count; i++) {
        const struct pw_report *report = current_report(input, actions, i, AFTER);

        if (report != NULL && report->status == status &&
            (input->slots[i].found != NULL || input->slots[i].seen))
            return true;
    }
    return false;
}

/* Takes the new status in: true where it is a transition. The sweep that brings the status counts;
 * a later one counts where it shows a report of that status (a node that waits is looked at on
 * every sighting). */
static bool settle_status(const struct pw_diff_input *input, const enum pw_report_action *actions,
                          struct pw_node_state *after, enum pw_event_cause cause)
{
    enum pw_compliance status = after->status;

    if (!pw_is_definite(status) || status == after->last_definite ||
        !pw_is_definite(after->last_definite)) {
        /* Unknown says nothing; and a first definite status differs from none before it. */
        if (pw_is_definite(status))
            after->last_definite = status;
        forget_pending(after);
        return false;
    }
    if (after->pending_status != status) {
        after->pending_status = status;
        after->pending_cause = cause;
        after->pending_sweeps = 1;
    } else if (shows_status(input, actions, status)) {
        after->pending_sweeps++;
    }
    if (after->pending_sweeps < input->confirm)
        return false;
    after->last_definite = status;
    after->pending_status = PW_UNKNOWN;
    after->pending_sweeps = 0;
    return true;
}

static void decide_shown(const struct pw_diff_input *input, const enum pw_report_action *actions,
                         struct pw_diff_result *result)
{
    const struct pw_node_state *before = input->before;
    struct pw_node_state *after = &result->after;
    bool returned = before->exists && is_missing(before);
    size_t deciding, deciding_before;
    const struct pw_report *report, *previous;
    enum pw_event_cause cause;
    struct pw_diff_event *event = NULL;
    int64_t occurred_at_ms;

    after->exists = true;
    after->missed_sweeps = 0;
    after->missing_since_ms = PW_TIME_NONE;
    after->status = status_of(input, actions, AFTER);
    deciding = deciding_slot(input, actions, AFTER, after->status);
    report = deciding < input->slot_count ? current_report(input, actions, deciding, AFTER) : NULL;
    deciding_before = deciding_slot(input, actions, BEFORE, before->status);
    if (deciding < input->slot_count && input->slots[deciding].old != NULL &&
        is_new_version(actions[deciding]) &&
        (after->status == before->status || input->slots[deciding].old->status != after->status))
        previous = input->slots[deciding].old;
    else
        previous = deciding_before < input->slot_count ? input->slots[deciding_before].old : NULL;
    if (previous == report)
        previous = NULL;
    /* Where no new report brought the status about (another one ended), no report_time tells when.
     */
    if (before->exists && after->status != before->status && !returned &&
        (report == NULL || !is_new_version(actions[deciding])))
        occurred_at_ms = input->now_ms;
    else
        occurred_at_ms = time_of(report, input->now_ms);
    if (!before->exists || after->status != before->status)
        after->status_since_ms = occurred_at_ms;
    cause = cause_of(input, actions, deciding, previous, after->status, returned);

    if (!before->exists) {
        after->last_definite = after->status;
        if (input->baseline_done)
            event = add_event(result, PW_EVENT_NODE_DISCOVERED, PW_CAUSE_FIRST_SEEN);
        previous = NULL;
    } else if (returned) {
        event = add_event(result, PW_EVENT_NODE_RETURNED, PW_CAUSE_RETURNED);
    }
    if (event != NULL) {
        event->has_to = true;
        event->to = after->status;
        event->report = report;
        event->previous = previous;
        event->occurred_at_ms = occurred_at_ms;
    }
    if (!before->exists)
        return;

    if (settle_status(input, actions, after, cause)) {
        event = add_event(result,
                          after->status == PW_COMPLIANT ? PW_EVENT_NODE_COMPLIANT
                                                        : PW_EVENT_NODE_NON_COMPLIANT,
                          after->pending_cause);
        after->pending_cause = PW_CAUSE_NONE;
        event->from = before->last_definite;
    } else if (pw_is_definite(after->status) && after->status == before->status &&
               after->status == after->last_definite) {
        int order = compare_patches(input, actions);

        if (order == 0)
            return;
        event = add_event(result, order > 0 ? PW_EVENT_NODE_WORSENED : PW_EVENT_NODE_IMPROVED,
                          cause == PW_CAUSE_STATUS ? PW_CAUSE_PATCHES : cause);
        event->from = after->status;
    } else {
        return;
    }
    event->has_from = event->has_to = true;
    event->to = after->status;
    event->report = report;
    event->previous = previous;
    event->occurred_at_ms = occurred_at_ms;
}

/* The record of this sweep that speaks for the node itself: the newest, unless the snapshot holds a
 * report that is newer still (two baselines may tell of one node under two names). */
static const struct pw_report *newest_facts(const struct pw_diff_input *input,
                                            const enum pw_report_action *actions)
{
    const struct pw_report *newest = NULL;

    for (size_t i = 0; i < input->slot_count; i++) {
        const struct pw_report_slot *slot = &input->slots[i];

        if (slot->found == NULL || is_outdone(input, slot))
            continue;
        if (newest == NULL || slot->found->report_time_ms > newest->report_time_ms)
            newest = slot->found;
    }
    for (size_t i = 0; i < input->slot_count && newest != NULL && input->before->exists; i++) {
        const struct pw_report *current = current_report(input, actions, i, AFTER);

        if (current != NULL && current->report_time_ms > newest->report_time_ms)
            newest = NULL;
    }
    return newest;
}

void pw_diff_node(const struct pw_diff_input *input, enum pw_report_action *actions,
                  struct pw_diff_result *result)
{
    bool shown = was_shown(input);
    bool goes_missing = !shown && input->sweep_complete && !is_missing(input->before) &&
                        input->before->missed_sweeps + input->misses >= input->missing_after;

    *result = (struct pw_diff_result){.after = *input->before, .shown = shown};
    for (size_t i = 0; i < input->slot_count; i++)
        actions[i] = decide_report(input, &input->slots[i], shown, goes_missing);
    if (shown) {
        result->node_facts = newest_facts(input, actions);
        decide_shown(input, actions, result);
        result->restless = pw_is_definite(result->after.pending_status);
    } else if (input->sweep_complete) {
        size_t last = deciding_slot(input, actions, BEFORE, input->before->status);

        decide_absent(input, result, goes_missing,
                      last < input->slot_count ? input->slots[last].old : NULL);
    }
}

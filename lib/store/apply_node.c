/* One node of a sweep that is applied: its reports side by side, the verdict of the pure diff, and
 * the rows, events and index changes that follow from it. */
#include <stdlib.h>

#include "store/applying.h"
#include "store/columns.h"
#include "store/owed.h"

static enum pw_status reserve_slots(struct pw_applying *apply, size_t count)
{
    struct pw_report_slot *slots;
    struct pw_report_key *keys;
    enum pw_report_action *actions;

    if (count <= apply->slot_capacity)
        return PW_OK;
    slots = realloc(apply->slots, count * sizeof *slots);
    if (slots != NULL)
        apply->slots = slots;
    keys = realloc(apply->keys, count * sizeof *keys);
    if (keys != NULL)
        apply->keys = keys;
    actions = realloc(apply->actions, count * sizeof *actions);
    if (actions != NULL)
        apply->actions = actions;
    if (slots == NULL || keys == NULL || actions == NULL)
        return pw_fail_nomem(apply->err);
    apply->slot_capacity = count;
    return PW_OK;
}

static bool same_key(struct pw_report_key a, struct pw_report_key b)
{
    return a.node == b.node && a.report == b.report;
}

/* Puts old and found reports of the node side by side. */
static enum pw_status pair_slots(struct pw_applying *apply)
{
    struct pw_str node_key = pw_buffer_str(&apply->node_key);
    enum pw_status status = reserve_slots(apply, apply->old.count + apply->found.count);

    if (status != PW_OK)
        return status;
    apply->slot_count = 0;
    for (size_t i = 0; i < apply->old.count; i++) {
        apply->keys[apply->slot_count] =
            pw_report_key_of(node_key, apply->old.reports[i].baseline_id);
        apply->slots[apply->slot_count++] = (struct pw_report_slot){.old = &apply->old.reports[i]};
    }
    for (size_t i = 0; i < apply->found.count; i++) {
        struct pw_report_key key = pw_report_key_of(node_key, apply->found.reports[i].baseline_id);
        size_t at = 0;

        while (at < apply->slot_count && !same_key(apply->keys[at], key))
            at++;
        if (at == apply->slot_count) {
            apply->keys[at] = key;
            apply->slots[at] = (struct pw_report_slot){0};
            apply->slot_count++;
        }
        apply->slots[at].found = &apply->found.reports[i];
        apply->slots[at].seen = true;
    }
    return PW_OK;
}

/* The first of the unseen entries of a node; unseen_count where there is none. */
static size_t first_unseen(const struct pw_applying *apply, int64_t node_id)
{
    size_t low = 0, high = apply->params->unseen_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (apply->params->unseen[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A complete sweep showed every report of the node but those that are listed as unseen. */
static void mark_seen_slots(struct pw_applying *apply, int64_t node_id)
{
    const struct pw_apply_params *params = apply->params;

    if (params->facts.outcome != PW_SWEEP_COMPLETE)
        return;
    for (size_t i = 0; i < apply->slot_count; i++)
        apply->slots[i].seen = true;
    for (size_t u = first_unseen(apply, node_id);
         u < params->unseen_count && params->unseen[u].node_id == node_id; u++) {
        apply->handled[u] = 1;
        for (size_t i = 0; i < apply->slot_count; i++) {
            if (apply->slots[i].found == NULL && same_key(apply->keys[i], params->unseen[u].key))
                apply->slots[i].seen = false;
        }
    }
}

static enum pw_status add_change(struct pw_applying *apply, const struct pw_index_change *change)
{
    struct pw_apply_result *result = apply->result;

    if (result->change_count == apply->change_capacity) {
        size_t capacity = apply->change_capacity == 0 ? 256 : apply->change_capacity * 2;
        struct pw_index_change *changes = realloc(result->changes, capacity * sizeof *changes);

        if (changes == NULL)
            return pw_fail_nomem(apply->err);
        result->changes = changes;
        apply->change_capacity = capacity;
    }
    result->changes[result->change_count++] = *change;
    return PW_OK;
}

/* Writes what was decided for one report key and notes what the index must learn. */
static enum pw_status write_report(struct pw_applying *apply, const struct pw_node_row *node,
                                   size_t i, bool restless)
{
    const struct pw_report_slot *slot = &apply->slots[i];
    int64_t now_ms = apply->params->now_ms;
    struct pw_index_change change = {
        .key = apply->keys[i], .node_id = (uint32_t)node->node_id, .restless = restless};
    enum pw_status status = PW_OK;

    switch (apply->actions[i]) {
    case PW_REPORT_DROP:
        return PW_OK;
    case PW_REPORT_KEEP:
        /* A record that says the same, though of a node with another name, say, is what the index
         * must know from now on; an older one is not. */
        if (slot->found != NULL && pw_report_same_version(slot->found, slot->old))
            change.digest = pw_report_digest(slot->found);
        else
            change.keep_digest = true;
        return add_change(apply, &change);
    case PW_REPORT_RETIRE:
        change.removed = true;
        status =
            pw_report_end(apply->db, node->node_id, slot->old->baseline_id, now_ms, apply->err);
        break;
    case PW_REPORT_REOPEN:
        change.digest = pw_report_digest(
            slot->found != NULL && pw_report_same_version(slot->found, slot->old) ? slot->found
                                                                                  : slot->old);
        status = pw_report_open(apply->db, node->node_id, slot->old, now_ms, apply->err);
        break;
    case PW_REPORT_REPLACE:
        status =
            pw_report_end(apply->db, node->node_id, slot->old->baseline_id, now_ms, apply->err);
        if (status != PW_OK)
            return status;
        /* fall through */
    case PW_REPORT_INSERT:
        change.digest = pw_report_digest(slot->found);
        status = pw_report_open(apply->db, node->node_id, slot->found, now_ms, apply->err);
        break;
    }
    if (status != PW_OK)
        return status;
    apply->result->changed++;
    return add_change(apply, &change);
}

static bool is_mass_kind(enum pw_event_type type)
{
    return type == PW_EVENT_NODE_COMPLIANT || type == PW_EVENT_NODE_NON_COMPLIANT ||
           type == PW_EVENT_NODE_MISSING || type == PW_EVENT_NODE_RETURNED;
}

static enum pw_status write_event(struct pw_applying *apply, const struct pw_diff_event *decided,
                                  struct pw_node_row *node)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_event event = {
        .type = decided->type,
        .cause = decided->cause,
        .source_name = params->source_name,
        .node_key = pw_buffer_str(&apply->node_key),
        .from = decided->from,
        .to = decided->to,
        .has_from = decided->has_from,
        .has_to = decided->has_to,
        .report = decided->report,
        .previous = decided->previous,
        .patches = decided->type == PW_EVENT_NODE_NON_COMPLIANT && params->patches != NULL
                       ? pw_patch_book_find(params->patches, decided->report->id)
                       : NULL,
        .sweep_id = params->sweep_id,
        .occurred_at_ms = decided->occurred_at_ms,
        .recorded_at_ms = params->now_ms,
    };
    bool is_transition =
        event.type == PW_EVENT_NODE_COMPLIANT || event.type == PW_EVENT_NODE_NON_COMPLIANT;
    struct pw_owing owing = {.held_by = pw_applying_holder(apply)};
    struct pw_flap_verdict flap = {.is_flapping = false};
    enum pw_status status = PW_OK;

    /* With `confirm`, what it was before ended some sweeps ago. */
    if (is_transition && event.previous == NULL) {
        pw_batch_clear(&apply->earlier);
        status =
            pw_node_last_ended(apply->db, node->node_id, event.from, &apply->earlier, apply->err);
        if (status == PW_OK && apply->earlier.count > 0)
            event.previous = &apply->earlier.reports[0];
    }
    if (status == PW_OK && is_transition)
        status = pw_applying_flap(apply, node, &flap);
    if (flap.is_flapping)
        owing.muted_reason = PW_FLAPPING_REASON;
    if (status == PW_OK)
        status = pw_event_record(apply->db, &event, params->source_id, node->node_id,
                                 params->router, &owing, &apply->result->deliveries, apply->err);
    if (status == PW_OK && flap.begins)
        status = pw_applying_flapping(apply, &event, node->node_id, &flap.facts);
    if (status != PW_OK)
        return status;
    apply->shifting.is_touched = true;
    /* That a node which is known to flap has changed once more is nobody's page. */
    if (is_mass_kind(event.type) && (!flap.is_flapping || flap.begins))
        apply->shifting.node_counts = true;
    apply->result->events++;
    apply->result->transitions += is_transition;
    return PW_OK;
}

static bool same_facts(const struct pw_report *a, const struct pw_report *b)
{
    struct pw_report left = *a, right = *b;

    for (int i = 0; i < PW_NODE_STRING_COUNT; i++) {
        if (!pw_str_eq(*pw_report_string(&left, i), *pw_report_string(&right, i)))
            return false;
    }
    return true;
}

static bool same_state(const struct pw_node_state *a, const struct pw_node_state *b)
{
    return a->status == b->status && a->last_definite == b->last_definite &&
           a->status_since_ms == b->status_since_ms && a->pending_status == b->pending_status &&
           a->pending_cause == b->pending_cause && a->pending_sweeps == b->pending_sweeps &&
           a->missed_sweeps == b->missed_sweeps && a->missing_since_ms == b->missing_since_ms;
}

static bool has_report_change(const struct pw_applying *apply)
{
    for (size_t i = 0; i < apply->slot_count; i++) {
        if (apply->actions[i] != PW_REPORT_KEEP && apply->actions[i] != PW_REPORT_DROP)
            return true;
    }
    return false;
}

static enum pw_status write_node(struct pw_applying *apply, struct pw_node_row *node,
                                 const struct pw_diff_result *decided)
{
    const struct pw_apply_params *params = apply->params;
    const struct pw_report *facts = decided->node_facts;
    bool is_new = !node->state.exists;
    bool state_differs = !same_state(&node->state, &decided->after);
    int64_t last_seen_ms = params->now_ms;

    node->state = decided->after;
    if (is_new)
        return pw_node_add(apply->db, params->source_id, pw_buffer_str(&apply->node_key), facts,
                           node, params->now_ms, apply->err);
    if (facts != NULL && apply->old.count > 0 && same_facts(facts, &apply->old.reports[0]))
        facts = NULL;
    if (!decided->shown)
        last_seen_ms = apply->last_complete_ms; /* the last sweep that can have shown it */
    if (!state_differs && facts == NULL && !has_report_change(apply))
        return PW_OK;
    return pw_node_update(apply->db, node, facts, last_seen_ms, apply->err);
}

static enum pw_status settle_node(struct pw_applying *apply, struct pw_node_row *node)
{
    const struct pw_apply_params *params = apply->params;
    struct pw_node_state before = node->state;
    struct pw_diff_input input = {
        .before = &before,
        .slots = apply->slots,
        .slot_count = apply->slot_count,
        .sweep_complete = params->facts.outcome == PW_SWEEP_COMPLETE,
        .baseline_done = apply->baseline_done,
        .confirm = params->confirm,
        .missing_after = params->missing_after,
        .misses = apply->empty_before == 1 && apply->empty_now == 2 ? 2 : 1,
        .now_ms = params->now_ms,
    };
    struct pw_diff_result decided;
    enum pw_status status;

    pw_diff_node(&input, apply->actions, &decided);
    status = write_node(apply, node, &decided);
    for (size_t i = 0; i < apply->slot_count && status == PW_OK; i++)
        status = write_report(apply, node, i, decided.restless);
    apply->shifting.node_counts = false;
    for (size_t i = 0; i < decided.event_count && status == PW_OK; i++)
        status = write_event(apply, &decided.events[i], node);
    apply->shifting.nodes += apply->shifting.node_counts;
    apply->batch_reports += apply->slot_count;
    return status;
}

enum pw_status pw_applying_node(struct pw_applying *apply, struct pw_node_row *node)
{
    enum pw_status status = pair_slots(apply);

    if (status != PW_OK)
        return status;
    if (node->state.exists)
        mark_seen_slots(apply, node->node_id);
    return settle_node(apply, node);
}

void pw_applying_free_slots(struct pw_applying *apply)
{
    free(apply->slots);
    free(apply->keys);
    free(apply->actions);
}

/* One loaded alerts.yaml as dispatch uses it. It lives as long as it is the current one, or
 * something in flight began under it; whoever lent us its alerts is told of its end. */
#include <inttypes.h>
#include <stdlib.h>

#include "alert/dispatch_lanes.h"
#include "base/log.h"

void pw_generation_use(struct pw_generation *generation)
{
    generation->users++;
}

void pw_generation_release(struct pw_generation *generation)
{
    if (--generation->users > 0)
        return;
    if (generation->released != NULL)
        generation->released(generation->context);
    free(generation);
}

struct pw_generation *pw_generation_new(struct pw_dispatch *dispatch,
                                        const struct pw_alerts *alerts)
{
    struct pw_generation *generation = calloc(1, sizeof *generation);

    if (generation == NULL)
        return NULL;
    generation->dispatch = dispatch;
    generation->alerts = alerts;
    generation->users = 1;
    for (size_t i = 0; i < alerts->hook_count && i < PW_ALERTS_MAX_HOOKS; i++)
        generation->hook_names[i] = alerts->hooks[i].name;
    return generation;
}

static void barrier_run(struct pw_store_job *job, struct pw_db *db)
{
    (void)job;
    (void)db;
}

static void barrier_done(struct pw_store_job *job)
{
    struct pw_generation *generation =
        (struct pw_generation *)(void *)((char *)job - offsetof(struct pw_generation, barrier));
    struct pw_dispatch *dispatch = generation->dispatch;

    dispatch->jobs--;
    pw_generation_release(generation);
    pw_dispatch_settle(dispatch);
}

/* Run on the store thread. Once even where the alerts have no hooks any more: what is muted or to
 * be reminded of is theirs. */
static void orphans_run(struct pw_store_job *job, struct pw_db *db)
{
    struct pw_generation *generation =
        (struct pw_generation *)(void *)((char *)job - offsetof(struct pw_generation, orphans_job));

    generation->follow_status =
        pw_outbox_follow(db, &generation->alerts->router,
                         pw_clock_wall_ms(generation->dispatch->clock), &generation->follow_error);
    if (generation->follow_status == PW_OK && generation->is_reload)
        generation->follow_status = pw_outbox_turn_on(db, &generation->follow_error);
    generation->orphans_status = pw_outbox_orphans(
        db, generation->hook_names, generation->alerts->hook_count, &generation->orphans,
        generation->orphans_text, sizeof generation->orphans_text, &generation->orphans_error);
}

static void orphans_done(struct pw_store_job *job)
{
    struct pw_generation *generation =
        (struct pw_generation *)(void *)((char *)job - offsetof(struct pw_generation, orphans_job));
    struct pw_dispatch *dispatch = generation->dispatch;

    dispatch->jobs--;
    if (generation->follow_status != PW_OK)
        pw_log_warning("what waits for mutes and reminders does not follow the new rules yet: %s",
                       generation->follow_error.message);
    if (generation->orphans_status != PW_OK) {
        pw_log_warning("cannot look for deliveries to hooks that are not configured: %s",
                       generation->orphans_error.message);
    } else if (generation->orphans > 0) {
        for (char *c = generation->orphans_text; *c != '\0'; c++)
            *c = *c == '\n' ? ' ' : *c;
        pw_log_warning("%" PRId64 " deliveries are kept for hooks that are not configured: %s",
                       generation->orphans, generation->orphans_text);
    }
    pw_generation_release(generation);
    pw_dispatch_poke(dispatch);
}

void pw_generation_take_over(struct pw_generation *generation, bool is_reload)
{
    generation->is_reload = is_reload;
    pw_generation_use(generation);
    generation->orphans_job = (struct pw_store_job){.run = orphans_run, .done = orphans_done};
    pw_dispatch_submit(generation->dispatch, &generation->orphans_job);
}

void pw_generation_retire(struct pw_generation *generation, void (*released)(void *context),
                          void *context)
{
    generation->released = released;
    generation->context = context;
    generation->barrier = (struct pw_store_job){.run = barrier_run, .done = barrier_done};
    pw_dispatch_submit(generation->dispatch, &generation->barrier);
}

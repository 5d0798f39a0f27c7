/* Who is owed an event: what the store asks of the rules, which live on a floor above it. The
 * functions run on the store thread, inside a transaction, and must not change anything. */
#ifndef PW_STORE_ROUTER_H
#define PW_STORE_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "compliance/event.h"

/* What a hook is owed of an event, and how. All pointers are borrowed for the time of the call. */
struct pw_owed {
    const char *hook;
    const char *rule;      /* on whose behalf */
    int64_t after_ms;      /* an escalation: only if the problem still stands then; 0 = at once */
    const char *group_key; /* what it goes together with; NULL = it goes alone */
    int64_t group_wait_ms;
    int64_t group_max; /* so many do not wait any longer */
};

struct pw_route_sink {
    enum pw_status (*add)(struct pw_route_sink *sink, const struct pw_owed *owed);
};

/* Whether an event is held back, and until when nobody need look again. */
struct pw_mute_verdict {
    bool is_muted;
    int64_t until_ms;
    char reason[256];
};

struct pw_router {
    /* Names each hook that is owed the event once. */
    enum pw_status (*route)(const struct pw_router *router, const struct pw_event *event,
                            struct pw_route_sink *sink);
    /* The end of a problem that `rule` sent to `hook`: adds what is owed, nothing where the rule
     * turns recoveries off. */
    enum pw_status (*recovery)(const struct pw_router *router, const struct pw_event *event,
                               const char *hook, const char *rule, struct pw_route_sink *sink);
    /* How often `hook` is reminded of a problem that `rule` sent to it; 0 = never. */
    int64_t (*repeat_ms)(const struct pw_router *router, const char *hook, const char *rule);
    /* How many events of `rule` go together at most; 1 = it does not group. */
    int64_t (*group_max)(const struct pw_router *router, const char *rule);
    /* Whether the configuration mutes anything at all. */
    bool (*has_mutes)(const struct pw_router *router);
    /* Whether it mutes the event now. */
    void (*mute)(const struct pw_router *router, const struct pw_event *event, int64_t now_ms,
                 struct pw_mute_verdict *verdict);
    /* Whether a match, JSON as in alerts.yaml, fits the event. One that cannot be read fits none.
     */
    bool (*match_json)(const struct pw_router *router, struct pw_str match,
                       const struct pw_event *event);
};

#endif

/* alerts.yaml, loaded: hooks and rules, and the router that says which hooks an event is owed to.
 * Immutable once loaded, so that the store thread may read it while the loop works. */
#ifndef PW_ALERT_ALERTS_H
#define PW_ALERT_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/problems.h"
#include "store/apply.h"

enum { PW_HOOK_MAX_CONCURRENCY = 16, PW_HOOK_CONCURRENCY = 4 };
#define PW_HOOK_RETRY_FOR_MS (INT64_C(3) * PW_DAY_MS)
enum { PW_ALERTS_MAX_HOOKS = 64, PW_ALERTS_MAX_RULES = 1000, PW_ALERTS_MAX_MUTES = 1000 };

enum pw_hook_type {
    PW_HOOK_EXEC,
    PW_HOOK_WEBHOOK,
    PW_HOOK_ALERTMANAGER,
    PW_HOOK_EMAIL,
    PW_HOOK_JOURNAL
};

struct pw_webhook_config;      /* alert/hook_webhook.h */
struct pw_alertmanager_config; /* alert/hook_alertmanager.h */
struct pw_email_config;        /* alert/hook_email.h */

struct pw_hook_config {
    char *name;
    enum pw_hook_type type;
    char **command;                    /* exec: argv, NULL-terminated, command[0] absolute */
    struct pw_webhook_config *webhook; /* each NULL where the hook is of another kind */
    struct pw_alertmanager_config *alertmanager;
    struct pw_email_config *email;
    char *journal_socket;
    int64_t timeout_ms;
    int64_t concurrency;                /* attempts at once, 1 to PW_HOOK_MAX_CONCURRENCY */
    int64_t rate_count, rate_period_ms; /* attempts per period; count 0 = no limit */
    int64_t retry_for_ms;               /* a delivery that is tried for longer dies */
    char target[65]; /* a hash of where it goes, for the table hook; "" where that is of no use */
    int line;
};

struct pw_rule; /* alert/rules.h */
struct pw_mute_config;

struct pw_alerts {
    struct pw_router router; /* routes by these rules */
    struct pw_hook_config *hooks;
    size_t hook_count;
    struct pw_rule *rules;
    size_t rule_count;
    struct pw_mute_config *mutes;
    size_t mute_count;
};

/* Loads path; NULL and a file that does not exist give no hooks and no rules. Every problem goes to
 * problems with its line; PW_EINVAL where one is an error, PW_ENOMEM (then *out is NULL). Checks
 * that commands exist and can be executed, starts nothing. *out is freed with pw_alerts_free. */
PW_MUST_CHECK enum pw_status pw_alerts_load(const char *path, struct pw_alerts **out,
                                            struct pw_problems *problems);
void pw_alerts_free(struct pw_alerts *alerts); /* NULL is fine */

/* Sets the functions of alerts->router. For whoever puts a pw_alerts together by hand. */
void pw_alerts_init_router(struct pw_alerts *alerts);

/* The hook of that name, or NULL. */
const struct pw_hook_config *pw_alerts_hook(const struct pw_alerts *alerts, const char *name);

#endif

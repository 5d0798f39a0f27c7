/* What an alertmanager hook is configured with. */
#ifndef PW_ALERT_HOOK_ALERTMANAGER_H
#define PW_ALERT_HOOK_ALERTMANAGER_H

#include <stddef.h>
#include <stdint.h>

#include "alert/http_link.h"

struct pw_alertmanager_config {
    struct pw_http_link link; /* its URLs end with /api/v2/alerts */
    char **labels;            /* name, value, name, value …, NULL-terminated, or NULL */
    uint32_t node_labels;     /* bits of pw_alertmanager_node_labels */
    int64_t resend_ms;
};

/* What of a machine may become a label beside its key: names as in alerts.yaml, NULL-terminated. */
extern const char *const pw_alertmanager_node_labels[];

#endif

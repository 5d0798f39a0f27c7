/* What a webhook hook is configured with. */
#ifndef PW_ALERT_HOOK_WEBHOOK_H
#define PW_ALERT_HOOK_WEBHOOK_H

#include "alert/http_link.h"
#include "alert/signature.h"
#include "alert/template.h"

enum pw_webhook_format { PW_WEBHOOK_CLOUDEVENTS, PW_WEBHOOK_SLACK, PW_WEBHOOK_TEMPLATE };

struct pw_webhook_config {
    struct pw_http_link link;
    enum pw_webhook_format format;
    struct pw_template *template;  /* of PW_WEBHOOK_TEMPLATE */
    struct pw_signature_keys keys; /* none: unsigned */
};

#endif

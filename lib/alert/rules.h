/* A rule of alerts.yaml: which events it matches, and the hooks that it names. Read-only once
 * loaded. */
#ifndef PW_ALERT_RULES_H
#define PW_ALERT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compliance/event.h"

/* The match keys whose values are texts. */
enum pw_match_field {
    PW_MATCH_SOURCE,
    PW_MATCH_SCENE,
    PW_MATCH_REGION,
    PW_MATCH_GROUP,
    PW_MATCH_NAME, /* glob */
    PW_MATCH_OPERATING_SYSTEM,
    PW_MATCH_ENTERPRISE_PROJECT_ID,
    PW_MATCH_BASELINE, /* baseline_id or baseline_name */
    PW_MATCH_FIELD_COUNT
};

struct pw_match_texts {
    char **texts; /* any of */
    size_t count; /* 0 = the key was not given */
};

struct pw_match {
    uint32_t types;  /* bit 1 << enum pw_event_type */
    uint32_t causes; /* bit 1 << enum pw_event_cause; 0 = any */
    bool has_severity;
    enum pw_severity severity; /* this or worse */
    struct pw_match_texts fields[PW_MATCH_FIELD_COUNT];
};

struct pw_rule {
    char *name;
    struct pw_match match;
    const char **hooks; /* names, owned by the hooks of the same pw_alerts */
    size_t hook_count;
    int line;
};

/* Whether all keys that were given match. A null field of the event is as an empty one: only ""
 * (for name: a pattern that "" matches) matches it. */
bool pw_match_event(const struct pw_match *match, const struct pw_event *event);
void pw_match_free(struct pw_match *match);

#endif

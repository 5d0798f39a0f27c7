/* A rule of alerts.yaml: which events it matches, and the hooks that it names; and a mute, which
 * matches in the same way. Read-only once loaded. */
#ifndef PW_ALERT_RULES_H
#define PW_ALERT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/problems.h"
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
    PW_MATCH_NODE,     /* the key */
    PW_MATCH_FIELD_COUNT
};
/* "source" …, NULL behind the last one. */
extern const char *const pw_match_field_names[PW_MATCH_FIELD_COUNT + 1];

struct pw_match_texts {
    char **texts; /* any of */
    size_t count; /* 0 = the key was not given */
};

struct pw_match {
    bool has_types;
    uint32_t types;  /* bit 1 << enum pw_event_type; without the key any */
    uint32_t causes; /* bit 1 << enum pw_event_cause; 0 = any */
    bool has_severity;
    enum pw_severity severity; /* this or worse */
    struct pw_match_texts fields[PW_MATCH_FIELD_COUNT];
};

/* How the events of a rule go together. */
struct pw_grouping {
    bool is_on;
    uint32_t by; /* bit 1 << enum pw_match_field: events whose values are equal */
    int64_t wait_ms;
    int64_t max;
};

struct pw_rule {
    char *name;
    struct pw_match match;
    const char **hooks; /* names, owned by the hooks of the same pw_alerts */
    size_t hook_count;
    bool sends_recovery;
    int64_t repeat_ms; /* 0 = no reminders */
    int64_t after_ms;  /* an escalation; 0 = at once */
    struct pw_grouping group;
    int line;
};

enum { PW_WEEK_DAYS = 7, PW_DAY_MINUTES = 24 * 60 };

struct pw_mute_config {
    char *name;
    struct pw_match match;
    int64_t from_ms, until_ms; /* once; PW_TIME_NONE: open on that side */
    bool is_weekly;
    uint32_t days;                /* bit 0 = Monday: those on which it begins */
    int start_minute, end_minute; /* of the day, UTC; an end that is not later is of the next day */
    int line;
};

/* Whether all keys that were given match. A null field of the event is as an empty one: only ""
 * (for name: a pattern that "" matches) matches it. */
bool pw_match_event(const struct pw_match *match, const struct pw_event *event);
/* The event's value of a field; null where it has none. */
struct pw_str pw_match_value(enum pw_match_field field, const struct pw_event *event);
void pw_match_free(struct pw_match *match);

/* A match from JSON, with the keys of alerts.yaml. PW_EINVAL: problems says why; PW_ENOMEM. Freed
 * with pw_match_free. */
PW_MUST_CHECK enum pw_status pw_match_parse_json(struct pw_str json, struct pw_match *match,
                                                 struct pw_problems *problems);

/* Whether the mute holds at now_ms, and when it ends (INT64_MAX: never). */
bool pw_mute_holds(const struct pw_mute_config *mute, int64_t now_ms, int64_t *until_ms);

#endif

/* Whether a rule matches an event. Pure; runs on the store thread. */
#include "alert/rules.h"

#include <stdlib.h>

static bool field_matches(enum pw_match_field field, const struct pw_match_texts *wanted,
                          struct pw_str value)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const char *text = wanted->texts[i];

        if (field == PW_MATCH_NAME
                ? pw_glob_match(text, value)
                : pw_str_is(value, text) || (text[0] == '\0' && pw_str_empty(value)))
            return true;
    }
    return false;
}

struct pw_str pw_match_value(enum pw_match_field field, const struct pw_event *event)
{
    static const struct pw_report none;
    const struct pw_report *report = event->report != NULL ? event->report : &none;

    switch (field) {
    case PW_MATCH_SOURCE:
        return pw_str_of(event->source_name);
    case PW_MATCH_SCENE:
        return report->report_scene;
    case PW_MATCH_REGION:
        return report->region;
    case PW_MATCH_GROUP:
        return report->group;
    case PW_MATCH_NAME:
        return report->name;
    case PW_MATCH_OPERATING_SYSTEM:
        return report->operating_system;
    case PW_MATCH_ENTERPRISE_PROJECT_ID:
        return report->enterprise_project_id;
    case PW_MATCH_BASELINE:
        return report->baseline_id;
    case PW_MATCH_NODE:
        return event->node_key;
    case PW_MATCH_FIELD_COUNT:
        break;
    }
    return PW_STR_NULL;
}

/* At least one non-compliant patch of that severity or worse; a null count is none. */
static bool severity_matches(enum pw_severity severity, const struct pw_report *report)
{
    if (report == NULL)
        return false;
    for (int s = PW_CRITICAL; s <= (int)severity; s++) {
        if (report->non_compliant.by_severity[s] > 0)
            return true;
    }
    return false;
}

bool pw_match_event(const struct pw_match *match, const struct pw_event *event)
{
    if (match->has_types && (match->types & (UINT32_C(1) << event->type)) == 0)
        return false;
    if (match->causes != 0 && (match->causes & (UINT32_C(1) << event->cause)) == 0)
        return false;
    if (match->has_severity && !severity_matches(match->severity, event->report))
        return false;
    for (int i = 0; i < PW_MATCH_FIELD_COUNT; i++) {
        enum pw_match_field field = (enum pw_match_field)i;
        const struct pw_match_texts *wanted = &match->fields[i];

        if (wanted->count == 0 || field_matches(field, wanted, pw_match_value(field, event)))
            continue;
        if (field != PW_MATCH_BASELINE || event->report == NULL ||
            !field_matches(field, wanted, event->report->baseline_name))
            return false;
    }
    return true;
}

void pw_match_free(struct pw_match *match)
{
    for (size_t i = 0; i < PW_MATCH_FIELD_COUNT; i++) {
        for (size_t j = 0; j < match->fields[i].count; j++)
            free(match->fields[i].texts[j]);
        free(match->fields[i].texts);
    }
    *match = (struct pw_match){0};
}

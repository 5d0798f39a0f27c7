/* The section `mutes`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "base/text.h"
#include "base/when.h"

enum { MAX_NAME_BYTES = 128 };

static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL};

static enum pw_status parse_name(struct pw_yaml *yaml, const yaml_node_t *mapping,
                                 struct pw_mute_config *mute)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, "name");
    const char *text = node != NULL ? pw_yaml_text(yaml, node, "the name of a mute") : NULL;
    char printable[MAX_NAME_BYTES * 4 + 8];

    if (node == NULL)
        pw_problem_error(yaml->problems, yaml->path, mute->line, "a mute has no name");
    if (text != NULL &&
        (text[0] == '\0' || strlen(text) > MAX_NAME_BYTES ||
         strcmp(pw_text_printable(printable, sizeof printable, pw_str_of(text)), text) != 0)) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "'%.160s' is no name of a mute: 1 to 128 bytes of printable text", text);
        text = NULL;
    }
    mute->name = pw_str_dup(pw_str_of(text));
    return mute->name != NULL ? PW_OK : PW_ENOMEM;
}

/* A point in time; without a zone it is UTC, as everything in this file. */
static void parse_time(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                       int64_t *out_ms)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);
    const char *text = node != NULL ? pw_yaml_text(yaml, node, key) : NULL;
    char with_zone[80];
    const char *clock;
    struct pw_error err;

    if (text == NULL)
        return;
    if (strlen(text) < 10 || strlen(text) > 64 || text[4] != '-' || text[7] != '-') {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s '%.64s' is no time such as 2026-11-28T01:00:00Z", key, text);
        return;
    }
    clock = text + 10;
    (void)snprintf(with_zone, sizeof with_zone, "%s%s%s", text, clock[0] == '\0' ? " 00:00" : "",
                   strpbrk(clock, "Zz+-") != NULL ? "" : "Z");
    if (pw_when_parse(with_zone, 0, out_ms, &err) != PW_OK)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "%s: %s", key,
                         err.message);
}

/* "01:00" as minutes of the day; 24:00 is the end of it. */
static void parse_minute(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                         int *out)
{
    const yaml_node_t *node = pw_yaml_get(yaml, mapping, key);
    const char *text = node != NULL ? pw_yaml_text(yaml, node, key) : NULL;
    int hour = -1, minute = -1, end = 0;

    if (node == NULL)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(mapping),
                         "weekly needs %s: \"HH:MM\" (UTC)", key);
    if (text == NULL)
        return;
    if (sscanf(text, "%2d:%2d%n", &hour, &minute, &end) == 2 && text[end] == '\0' && end == 5 &&
        hour >= 0 && minute >= 0 && minute < 60 && hour * 60 + minute <= PW_DAY_MINUTES)
        *out = hour * 60 + minute;
    else
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "%s '%.32s' is no time of the day such as \"01:00\"", key, text);
}

static void parse_days(struct pw_yaml *yaml, const yaml_node_t *mapping,
                       struct pw_mute_config *mute)
{
    yaml_node_t *node = pw_yaml_get(yaml, mapping, "days");

    mute->days = (UINT32_C(1) << PW_WEEK_DAYS) - 1;
    if (node == NULL)
        return;
    mute->days = 0;
    if (pw_yaml_item_count(node) == 0)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "days is empty: the mute would never hold");
    for (size_t i = 0; i < pw_yaml_item_count(node); i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *text = pw_yaml_text(yaml, item, "a day");
        size_t d = 0;

        if (text == NULL)
            continue;
        while (day_names[d] != NULL && strcmp(day_names[d], text) != 0)
            d++;
        if (day_names[d] != NULL)
            mute->days |= UINT32_C(1) << d;
        else
            pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(item),
                             "'%.32s' is no day: mon tue wed thu fri sat sun", text);
    }
}

static void parse_weekly(struct pw_yaml *yaml, const yaml_node_t *node, struct pw_mute_config *mute)
{
    static const char *const keys[] = {"days", "start", "end", NULL};

    mute->is_weekly = true;
    if (!pw_yaml_check_mapping(yaml, node, "weekly"))
        return;
    pw_yaml_check_keys(yaml, node, "weekly", keys, NULL);
    parse_days(yaml, node, mute);
    parse_minute(yaml, node, "start", &mute->start_minute);
    parse_minute(yaml, node, "end", &mute->end_minute);
}

static void check_when(struct pw_yaml *yaml, const struct pw_mute_config *mute)
{
    bool is_once = mute->from_ms != PW_TIME_NONE || mute->until_ms != PW_TIME_NONE;

    if (mute->is_weekly && is_once)
        pw_problem_error(yaml->problems, yaml->path, mute->line,
                         "mute '%s' has both weekly and from/until: make two of it", mute->name);
    else if (mute->from_ms != PW_TIME_NONE && mute->until_ms != PW_TIME_NONE &&
             mute->until_ms <= mute->from_ms)
        pw_problem_error(yaml->problems, yaml->path, mute->line, "mute '%s' ends before it begins",
                         mute->name);
    else if (!mute->is_weekly && mute->until_ms == PW_TIME_NONE)
        pw_problem_warning(yaml->problems, yaml->path, mute->line,
                           "mute '%s' never ends: it has neither weekly nor until", mute->name);
}

static enum pw_status parse_mute(struct pw_yaml *yaml, yaml_node_t *node,
                                 struct pw_mute_config *mute)
{
    static const char *const keys[] = {"name", "match", "weekly", "from", "until", "comment", NULL};
    char what[MAX_NAME_BYTES + 16];
    yaml_node_t *match;
    const yaml_node_t *weekly;
    enum pw_status status;

    mute->line = pw_yaml_line(node);
    mute->from_ms = mute->until_ms = PW_TIME_NONE;
    if (!pw_yaml_check_mapping(yaml, node, "a mute"))
        return PW_OK;
    status = parse_name(yaml, node, mute);
    if (status != PW_OK)
        return status;
    (void)snprintf(what, sizeof what, "mute '%s'", mute->name);
    pw_yaml_check_keys(yaml, node, what, keys, NULL);
    match = pw_yaml_get(yaml, node, "match");
    if (match == NULL || pw_yaml_is_null(match))
        pw_problem_warning(yaml->problems, yaml->path, mute->line,
                           "mute '%s' has no match: it mutes everything", mute->name);
    status = pw_parse_match(yaml, match, &mute->match);
    parse_time(yaml, node, "from", &mute->from_ms);
    parse_time(yaml, node, "until", &mute->until_ms);
    weekly = pw_yaml_get(yaml, node, "weekly");
    if (weekly != NULL)
        parse_weekly(yaml, weekly, mute);
    check_when(yaml, mute);
    return status;
}

enum pw_status pw_parse_mutes(struct pw_yaml *yaml, yaml_node_t *node, struct pw_alerts *alerts)
{
    enum pw_status status = PW_OK;
    size_t count;

    if (node == NULL || pw_yaml_is_null(node))
        return PW_OK;
    if (node->type != YAML_SEQUENCE_NODE) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "mutes must be a list (- name: ...)");
        return PW_OK;
    }
    count = pw_yaml_item_count(node);
    if (count > PW_ALERTS_MAX_MUTES) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node), "more than %d mutes",
                         (int)PW_ALERTS_MAX_MUTES);
        return PW_OK;
    }
    alerts->mutes = calloc(count + 1, sizeof *alerts->mutes);
    if (alerts->mutes == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count && status == PW_OK; i++) {
        alerts->mute_count++;
        status = parse_mute(yaml, pw_yaml_item(yaml, node, i), &alerts->mutes[i]);
    }
    return status;
}

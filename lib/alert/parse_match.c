/* The section `match` of a rule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/parse.h"
#include "base/nearest.h"
#include "base/text.h"

const char *const pw_match_field_names[PW_MATCH_FIELD_COUNT + 1] = {
    "source",   "scene", "region", "group", "name", "operating_system", "enterprise_project_id",
    "baseline", "node",  NULL};

enum { WORD_COUNT_MAX = 32 };

/* A key whose values are words of a fixed list: a bit for each. */
struct word_list {
    const char *what;                      /* "type" */
    const char *names[WORD_COUNT_MAX + 1]; /* bit i = names[i]; NULL-terminated */
};

static void note_unknown_word(struct pw_yaml *yaml, const yaml_node_t *node,
                              const struct word_list *list, const char *word)
{
    const char *near = pw_nearest(word, list->names);
    char all[512];
    size_t used = 0;

    if (near != NULL) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "unknown %s '%s'; did you mean '%s'?", list->what, word, near);
        return;
    }
    all[0] = '\0';
    for (size_t i = 0; list->names[i] != NULL && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, " %s", list->names[i]);
    pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                     "unknown %s '%.200s'; one of:%s", list->what, word, all);
}

/* An empty list would match nothing for ever, and `key:` is a line that somebody did not finish. */
static bool check_values(struct pw_yaml *yaml, const yaml_node_t *node, const char *key)
{
    if (node->type == YAML_MAPPING_NODE)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "match key '%s' must be a text or a list of texts", key);
    else if (pw_yaml_item_count(node) == 0)
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "match key '%s' is an empty list, which matches nothing", key);
    else
        return true;
    return false;
}

static const char *value_text(struct pw_yaml *yaml, const yaml_node_t *node, const char *key)
{
    char what[64];

    (void)snprintf(what, sizeof what, "a value of match key '%s'", key);
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 && pw_yaml_is_null(node)) {
        pw_problem_error(yaml->problems, yaml->path, pw_yaml_line(node),
                         "match key '%s' has no value; write \"\" for machines without one", key);
        return NULL;
    }
    return pw_yaml_text(yaml, node, what);
}

static void parse_words(struct pw_yaml *yaml, yaml_node_t *node, const struct word_list *list,
                        uint32_t *bits)
{
    *bits = 0;
    if (!check_values(yaml, node, list->what))
        return;
    for (size_t i = 0; i < pw_yaml_item_count(node); i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *word = value_text(yaml, item, list->what);
        size_t w = 0;

        if (word == NULL)
            continue;
        while (list->names[w] != NULL && strcmp(list->names[w], word) != 0)
            w++;
        if (list->names[w] != NULL)
            *bits |= UINT32_C(1) << w;
        else
            note_unknown_word(yaml, item, list, word);
    }
}

static void parse_types(struct pw_yaml *yaml, yaml_node_t *node, uint32_t *types)
{
    struct word_list list = {.what = "type"};

    for (int t = 0; t < PW_EVENT_TYPE_COUNT; t++)
        list.names[t] = pw_event_type_name((enum pw_event_type)t);
    *types = 0;
    if (!check_values(yaml, node, list.what))
        return;
    for (size_t i = 0; i < pw_yaml_item_count(node); i++) {
        const yaml_node_t *item = pw_yaml_item(yaml, node, i);
        const char *word = value_text(yaml, item, list.what);
        enum pw_event_type type;

        if (word == NULL)
            continue;
        if (pw_event_type_parse(pw_str_of(word), &type))
            *types |= UINT32_C(1) << type;
        else
            note_unknown_word(yaml, item, &list, word);
    }
}

static void parse_severity(struct pw_yaml *yaml, yaml_node_t *node, struct pw_match *match)
{
    struct word_list list = {.what = "severity"};
    uint32_t bits;

    for (int s = 0; s < PW_SEVERITY_COUNT; s++)
        list.names[s] = pw_severity_name((enum pw_severity)s);
    parse_words(yaml, node, &list, &bits);
    match->has_severity = bits != 0;
    /* "This or worse", any of: the mildest that is named includes the others. */
    for (int s = 0; s < PW_SEVERITY_COUNT; s++) {
        if ((bits & (UINT32_C(1) << s)) != 0)
            match->severity = (enum pw_severity)s;
    }
}

static void parse_causes(struct pw_yaml *yaml, yaml_node_t *node, uint32_t *causes)
{
    struct word_list list = {.what = "cause"};

    for (int c = PW_CAUSE_NONE + 1; c < PW_CAUSE_COUNT; c++)
        list.names[c - 1] = pw_event_cause_name((enum pw_event_cause)c);
    parse_words(yaml, node, &list, causes);
    *causes <<= 1; /* bit 0 is PW_CAUSE_NONE, which has no name */
}

static enum pw_status parse_texts(struct pw_yaml *yaml, yaml_node_t *node, const char *key,
                                  struct pw_match_texts *out)
{
    size_t count = pw_yaml_item_count(node);

    if (!check_values(yaml, node, key))
        return PW_OK;
    out->texts = calloc(count, sizeof *out->texts);
    if (out->texts == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *text = value_text(yaml, pw_yaml_item(yaml, node, i), key);

        if (text == NULL)
            continue;
        out->texts[out->count] = pw_str_dup(pw_str_of(text));
        if (out->texts[out->count] == NULL)
            return PW_ENOMEM;
        out->count++;
    }
    return PW_OK;
}

enum pw_status pw_parse_match(struct pw_yaml *yaml, yaml_node_t *node, struct pw_match *match)
{
    const char *keys[PW_MATCH_FIELD_COUNT + 4] = {"type", "cause", "severity"};
    enum pw_status status = PW_OK;
    yaml_node_t *value;

    *match = (struct pw_match){0};
    if (node == NULL || pw_yaml_is_null(node) || !pw_yaml_check_mapping(yaml, node, "match"))
        return PW_OK;
    for (size_t i = 0; i <= PW_MATCH_FIELD_COUNT; i++)
        keys[3 + i] = pw_match_field_names[i];
    pw_yaml_check_keys(yaml, node, "match", keys, NULL);
    value = pw_yaml_get(yaml, node, "type");
    if (value != NULL) {
        parse_types(yaml, value, &match->types);
        match->has_types = true;
    }
    value = pw_yaml_get(yaml, node, "cause");
    if (value != NULL)
        parse_causes(yaml, value, &match->causes);
    value = pw_yaml_get(yaml, node, "severity");
    if (value != NULL)
        parse_severity(yaml, value, match);
    for (size_t i = 0; i < PW_MATCH_FIELD_COUNT && status == PW_OK; i++) {
        value = pw_yaml_get(yaml, node, pw_match_field_names[i]);
        if (value != NULL)
            status = parse_texts(yaml, value, pw_match_field_names[i], &match->fields[i]);
    }
    return status;
}

enum pw_status pw_match_parse_json(struct pw_str json, struct pw_match *match,
                                   struct pw_problems *problems)
{
    size_t errors_before = problems->errors;
    struct pw_yaml yaml;
    enum pw_status status = pw_yaml_open_text(&yaml, "match", json, problems);

    *match = (struct pw_match){0};
    if (status == PW_OK && pw_yaml_root(&yaml) == NULL)
        pw_problem_error(problems, "match", 0, "is empty");
    else if (status == PW_OK)
        status = pw_parse_match(&yaml, pw_yaml_root(&yaml), match);
    pw_yaml_close(&yaml);
    if (status == PW_OK && problems->errors > errors_before)
        status = PW_EINVAL;
    if (status != PW_OK)
        pw_match_free(match);
    return status;
}

/*
 * Parsing of the API's query parameters (see query.h).
 */
#include "query.h"

#include <string.h>

struct choice {
    const char *param;
    const char *values[4];
    const char *message;
};

enum { CHOICE_KEY, CHOICE_DIR, CHOICE_STATUS, CHOICE_SCENE, CHOICES };

static const struct choice choices[CHOICES] = {
    [CHOICE_KEY] = {"sort_key", {"report_time"}, "sort_key must be report_time"},
    [CHOICE_DIR] = {"sort_dir", {"asc", "desc"}, "sort_dir must be asc or desc"},
    [CHOICE_STATUS] = {"compliant_status",
                       {"compliant", "non_compliant"},
                       "compliant_status must be compliant or non_compliant"},
    [CHOICE_SCENE] = {"report_scene",
                      {"ECS", "BMS", "CCE"},
                      "report_scene must be ECS, BMS or CCE"},
};

/* Parameters that filter by a field; those named as the field carry no name here. */
static const struct {
    enum field field;
    const char *param;
} filters[FILTERS] = {
    {FIELD_ENTERPRISE_PROJECT_ID, NULL},
    {FIELD_NAME, NULL},
    {FIELD_INSTANCE_ID, NULL},
    {FIELD_IP, NULL},
    {FIELD_EIP, NULL},
    {FIELD_OPERATING_SYSTEM, NULL},
    {FIELD_REGION, NULL},
    {FIELD_GROUP, NULL},
    {FIELD_STATUS, "compliant_status"},
    {FIELD_ORDER_ID, NULL},
    {FIELD_REPORT_SCENE, NULL},
    {FIELD_CCE_INFO_ID, NULL},
};

static bool allowed(const struct choice *choice, const char *value)
{
    for (size_t i = 0; i < 4 && choice->values[i] != NULL; i++) {
        if (strcmp(choice->values[i], value) == 0) {
            return true;
        }
    }
    return false;
}

static bool in_range(const struct request *request, const char *name, int64_t max, int64_t *value)
{
    const char *text = request_param(request, name);
    return text == NULL || parse_int(text, 1, max, value);
}

bool query_parse(const struct request *request, struct query *query, const char **message)
{
    *query = (struct query){.offset = 1, .limit = 10};
    if (!in_range(request, "offset", OFFSET_MAX, &query->offset)) {
        *message = "offset must be an integer from 1 to 1000000";
        return false;
    }
    if (!in_range(request, "limit", LIMIT_MAX, &query->limit)) {
        *message = "limit must be an integer from 1 to 100";
        return false;
    }
    for (size_t i = 0; i < CHOICES; i++) {
        const char *value = request_param(request, choices[i].param);
        if (value != NULL && !allowed(&choices[i], value)) {
            *message = choices[i].message;
            return false;
        }
    }
    const char *dir = request_param(request, choices[CHOICE_DIR].param);
    query->by_time = request_param(request, choices[CHOICE_KEY].param) != NULL;
    query->descending = dir != NULL && strcmp(dir, "desc") == 0;

    for (size_t i = 0; i < FILTERS; i++) {
        const char *param = filters[i].param;
        const char *value =
            request_param(request, param != NULL ? param : field_name(filters[i].field));
        if (value != NULL && *value != '\0') {
            query->filter[query->filters++] = (struct filter){filters[i].field, value};
        }
    }
    return true;
}

bool query_matches(const struct query *query, const struct row *row)
{
    for (size_t i = 0; i < query->filters; i++) {
        const struct text *text = &row->field[query->filter[i].field];
        const char *value = query->filter[i].value;
        if (text->bytes == NULL || text->len != strlen(value) ||
            memcmp(text->bytes, value, text->len) != 0) {
            return false;
        }
    }
    return true;
}

size_t query_skip(const struct query *query, bool page_mode)
{
    int64_t skip = query->offset - 1;
    return (size_t)(page_mode ? skip * query->limit : skip);
}

/*
 * The query parameters of the API, checked against the ranges of its documentation.
 */
#ifndef COC_SIM_QUERY_H
#define COC_SIM_QUERY_H

#include "request.h"
#include "row.h"

enum { LIMIT_MAX = 100, OFFSET_MAX = 1000000, FILTERS = 12 };

struct filter {
    enum field field;
    const char *value; /* the request's */
};

struct query {
    int64_t offset;
    int64_t limit;
    bool by_time; /* sort_key=report_time */
    bool descending;
    struct filter filter[FILTERS];
    size_t filters;
};

/* False, with a static message, where a parameter breaks its rule. */
bool query_parse(const struct request *request, struct query *query, const char **message);
/* Does the row pass every filter? */
bool query_matches(const struct query *query, const struct row *row);
/* The number of rows before the page. */
size_t query_skip(const struct query *query, bool page_mode);

#endif

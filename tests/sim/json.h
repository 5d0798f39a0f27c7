/*
 * A strict reader of small JSON documents: every value in a flat list under its path. For the
 * bodies that clients post to IAM.
 */
#ifndef COC_SIM_JSON_H
#define COC_SIM_JSON_H

#include "buf.h"

enum { JSON_BYTES_MAX = 65536, JSON_VALUES_MAX = 128, JSON_DEPTH_MAX = 16 };

enum json_kind { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_OTHER };

/* One value; its path is the names and array indexes on the way, joined by dots ("" is the
 * whole). */
struct json_value {
    char *path;
    enum json_kind kind;
    char *text; /* of a string, decoded; NULL otherwise */
};

struct json {
    struct json_value value[JSON_VALUES_MAX];
    size_t count;
};

/* Reads a document (RFC 8259; names twice in an object, names with dots or strings with NUL are
 * refused too); false if it is none or is too large. To be freed in either case. */
bool json_read(struct json *json, const char *bytes, size_t len);
/* The value at a path; NULL if there is none. */
const struct json_value *json_at(const struct json *json, const char *path);
/* The string at a path; NULL if there is none. */
const char *json_string(const struct json *json, const char *path);
void json_free(struct json *json);

#endif

/* Reads a small JSON document (at most 1 MiB): simdjson behind a C face, for answers that are one
 * object, such as tokens and errors. Pages of reports have a decoder of their own (coc/page.h). */
#ifndef PW_BASE_JSON_READER_H
#define PW_BASE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* Readable bytes behind a body that is not to be copied. */
enum { PW_JSON_READER_PADDING = 64, PW_JSON_READER_MAX_BYTES = 1024 * 1024 };

struct pw_json_reader; /* one document at a time */

struct pw_json_reader *pw_json_reader_new(void); /* NULL where memory is short */
/* Wipes, then frees. NULL is fine. */
void pw_json_reader_free(struct pw_json_reader *reader);
/* Overwrites and frees all that is left of the document, for one that holds secrets; views into it
 * end. The body itself is the caller's to wipe. */
void pw_json_reader_wipe(struct pw_json_reader *reader);

/* Reads a document, whose root may be any value. is_padded: PW_JSON_READER_PADDING readable bytes
 * follow the body; else it is copied. The body may go afterwards. PW_EFORMAT (messages quote
 * nothing of the body), PW_ELIMIT (longer than PW_JSON_READER_MAX_BYTES), PW_ENOMEM; after an
 * error there is no document. */
PW_MUST_CHECK enum pw_status pw_json_reader_parse(struct pw_json_reader *reader, struct pw_str body,
                                                  bool is_padded, struct pw_error *err);

/* The string at a path of object keys such as "token.expires_at", or the null view where there is
 * none. Lives until the next parse, wipe or free; may hold NUL bytes. */
struct pw_str pw_json_reader_text(const struct pw_json_reader *reader, const char *path);
/* The whole number at path; false where there is none that fits. */
bool pw_json_reader_number(const struct pw_json_reader *reader, const char *path, int64_t *out);

/* A member of an object that is a string or a number. */
struct pw_json_member {
    size_t object;  /* which object of the walk it belongs to: 0 is the first */
    unsigned depth; /* of that object: 0 = the root */
    struct pw_str key;
    struct pw_str text; /* a number as decimal text, valid during the call only */
    bool is_number;
};
/* Calls visit for the members of every object at most max_depth objects or lists below the root, an
 * object's own members before those of objects in it, until visit returns false. */
void pw_json_reader_walk(const struct pw_json_reader *reader, unsigned max_depth,
                         bool (*visit)(void *context, const struct pw_json_member *member),
                         void *context);

/* Whether the root is an object whose members are all strings or whole numbers that fit in int64_t:
 * then a walk shows everything that was written. */
bool pw_json_reader_is_flat(const struct pw_json_reader *reader);

#endif

/* Writes JSON (RFC 8259) into a pw_buffer. Commas are set by the writer; failure is the buffer's
 * and sticky. Strings must be UTF-8; bytes that are not become U+FFFD. */
#ifndef PW_BASE_JSON_WRITER_H
#define PW_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct pw_json {
    struct pw_buffer *out; /* not owned */
    bool need_comma;
};

void pw_json_init(struct pw_json *json, struct pw_buffer *out);
void pw_json_object_begin(struct pw_json *json);
void pw_json_object_end(struct pw_json *json);
void pw_json_array_begin(struct pw_json *json);
void pw_json_array_end(struct pw_json *json);
void pw_json_key(struct pw_json *json, const char *key);
/* A string, or null for the null view. */
void pw_json_str(struct pw_json *json, struct pw_str value);
void pw_json_text(struct pw_json *json, const char *value);
void pw_json_int(struct pw_json *json, int64_t value);
void pw_json_bool(struct pw_json *json, bool value);
void pw_json_null(struct pw_json *json);
/* JSON text that is already valid, as it stands. */
void pw_json_raw(struct pw_json *json, struct pw_str value);

#endif

/* A growable byte buffer that is born with a maximum. Failure is sticky: once an append failed
 * (memory, or the maximum), later ones do nothing, so that a writer checks once at the end. */
#ifndef PW_BASE_BUFFER_H
#define PW_BASE_BUFFER_H

#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

struct pw_buffer {
    char *data; /* NUL-terminated whenever not NULL */
    size_t len;
    size_t capacity;
    size_t max_bytes;
    enum pw_status failed; /* PW_OK, PW_ENOMEM or PW_ELIMIT */
};

/* An empty buffer that never holds more than max_bytes. Allocates nothing. */
void pw_buffer_init(struct pw_buffer *buffer, size_t max_bytes);
/* Frees the bytes; the buffer is as after init. */
void pw_buffer_free(struct pw_buffer *buffer);
/* Forgets content and failure, keeps the memory. */
void pw_buffer_clear(struct pw_buffer *buffer);
/* Room for at least extra_bytes more. Returns the sticky state. */
enum pw_status pw_buffer_reserve(struct pw_buffer *buffer, size_t extra_bytes);
enum pw_status pw_buffer_append(struct pw_buffer *buffer, const void *data, size_t len);
enum pw_status pw_buffer_append_str(struct pw_buffer *buffer, struct pw_str text);
enum pw_status pw_buffer_append_text(struct pw_buffer *buffer, const char *text);
enum pw_status pw_buffer_printf(struct pw_buffer *buffer, const char *format, ...) PW_PRINTF(2, 3);
/* Hands the bytes to the caller, who frees them; "" where nothing was appended; NULL where the
 * buffer failed. The buffer is as after init. */
char *pw_buffer_take(struct pw_buffer *buffer);
struct pw_str pw_buffer_str(const struct pw_buffer *buffer);

#endif

/* Content-Encoding (RFC 9110, 8.4): what a body is packed with, and unpacking it with zlib, in
 * pieces, so that the loop can begin with it and another thread go on. libcurl could do this, but
 * only on the loop and in one go. Internal to this room. */
#ifndef PW_HTTP_UNPACK_H
#define PW_HTTP_UNPACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"

enum pw_encoding_kind {
    PW_ENCODING_NONE = 0,
    PW_ENCODING_GZIP,    /* RFC 1952 */
    PW_ENCODING_DEFLATE, /* RFC 1950, or RFC 1951 by itself, as some servers send it */
    PW_ENCODING_OTHER,   /* one that was not asked for */
    PW_ENCODING_SEVERAL  /* one on top of another, which only bombs are */
};

/* Zero it before the headers. */
struct pw_encoding {
    enum pw_encoding_kind kind;
    char name[48]; /* the first one, for people */
};

/* Takes in the value of a Content-Encoding header. */
void pw_encoding_note(struct pw_encoding *encoding, struct pw_str value);
/* Takes in the value of a Transfer-Encoding header: chunked is libcurl's; we ask for no other, and
 * libcurl hands the body over as it came. */
void pw_encoding_note_transfer(struct pw_encoding *encoding, struct pw_str value);

enum pw_unpack_state {
    PW_UNPACK_MORE, /* not at the end */
    PW_UNPACK_DONE,
    PW_UNPACK_OVER,   /* more than the limit comes out */
    PW_UNPACK_FAILED, /* torn, damaged, no memory: see error */
};

/* One body being unpacked. */
struct pw_unpack {
    enum pw_unpack_state state;
    struct pw_error error;
    atomic_bool stop; /* any thread: let the next step end at once, with MORE */
    /* The rest is its own. */
    const struct pw_encoding *encoding;
    z_stream stream;
    bool is_open, is_raw;
    size_t unread; /* of the packed body, not yet in stream */
    struct pw_buffer *out;
    size_t max_bytes;
};

/* Readies unpack (zeroed before the first time) for a body that is packed as encoding says. packed,
 * encoding and out must stay as they are until pw_unpack_end; out gets at most max_bytes. The state
 * may be FAILED already. */
void pw_unpack_begin(struct pw_unpack *unpack, const struct pw_encoding *encoding,
                     struct pw_str packed, struct pw_buffer *out, size_t max_bytes);
/* Unpacks about so many bytes more, or until stop. On any thread, on one at a time. */
void pw_unpack_step(struct pw_unpack *unpack, size_t more_bytes);
/* Frees (and wipes) zlib's memory; state and error stay. Harmless where nothing was begun. */
void pw_unpack_end(struct pw_unpack *unpack);

#endif

/* Unpacking. The window of zlib holds what was unpacked, so its memory is wiped like libcurl's. */
#include "http/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/wiping.h"

enum {
    PIECE_BYTES = 64 * 1024, /* between two looks at stop */
    WINDOW_BITS = 15,
    GZIP_ONLY = 16, /* added to the window bits */
    /* Some servers send the checksum of a zlib stream without its header. */
    RAW_TRAILER_MAX_BYTES = 4,
};
#define FEED_MAX_BYTES ((size_t)1 << 30) /* what zlib counts in 32 bits */

/* ---- what the headers say --------------------------------------------------------------------*/

static bool is_word(struct pw_str word, const char *name)
{
    return word.len == strlen(name) && strncasecmp(word.data, name, word.len) == 0;
}

/* The next of a comma-separated list, without blanks; false at its end. */
static bool next_word(struct pw_str *list, struct pw_str *word)
{
    size_t len = 0;

    if (list->len == 0)
        return false;
    while (len < list->len && list->data[len] != ',')
        len++;
    *word = (struct pw_str){list->data, len};
    if (len < list->len)
        len++;
    list->data += len;
    list->len -= len;
    while (word->len > 0 && strchr(" \t", word->data[0]) != NULL) {
        word->data++;
        word->len--;
    }
    while (word->len > 0 && strchr(" \t", word->data[word->len - 1]) != NULL)
        word->len--;
    return true;
}

static void note(struct pw_encoding *encoding, enum pw_encoding_kind kind, struct pw_str name)
{
    if (encoding->kind != PW_ENCODING_NONE) {
        encoding->kind = PW_ENCODING_SEVERAL;
        return;
    }
    encoding->kind = kind;
    (void)pw_text_printable(encoding->name, sizeof encoding->name, name);
}

void pw_encoding_note(struct pw_encoding *encoding, struct pw_str value)
{
    struct pw_str word;

    while (next_word(&value, &word)) {
        if (word.len == 0 || is_word(word, "identity") || is_word(word, "none"))
            continue;
        note(encoding,
             is_word(word, "gzip") || is_word(word, "x-gzip") ? PW_ENCODING_GZIP
             : is_word(word, "deflate")                       ? PW_ENCODING_DEFLATE
                                                              : PW_ENCODING_OTHER,
             word);
    }
}

void pw_encoding_note_transfer(struct pw_encoding *encoding, struct pw_str value)
{
    struct pw_str word;

    while (next_word(&value, &word)) {
        if (word.len > 0 && !is_word(word, "chunked") && !is_word(word, "identity"))
            note(encoding, PW_ENCODING_OTHER, word);
    }
}

/* ---- zlib ------------------------------------------------------------------------------------*/

static voidpf take_memory(voidpf context, uInt count, uInt size_bytes)
{
    (void)context;
    return calloc(count, size_bytes);
}

static void give_memory(voidpf context, voidpf memory)
{
    (void)context;
    pw_wiping_free(memory);
}

static void fail(struct pw_unpack *unpack, const char *what)
{
    (void)pw_fail(&unpack->error, PW_EFORMAT, "the body, packed as %s, %s", unpack->encoding->name,
                  what);
    unpack->state = PW_UNPACK_FAILED;
}

static void fail_nomem(struct pw_unpack *unpack)
{
    (void)pw_fail_nomem(&unpack->error);
    unpack->state = PW_UNPACK_FAILED;
}

/* A zlib stream begins with a number that 31 divides (RFC 1950, 2.2); deflate by itself could begin
 * so with a block of a kind that no compressor writes. */
static bool has_zlib_header(struct pw_str packed)
{
    unsigned first, second;

    if (packed.len < 2)
        return true;
    first = (unsigned char)packed.data[0];
    second = (unsigned char)packed.data[1];
    return (first & 0x0f) == Z_DEFLATED && first >> 4 <= WINDOW_BITS - 8 &&
           (first * 256 + second) % 31 == 0;
}

void pw_unpack_begin(struct pw_unpack *unpack, const struct pw_encoding *encoding,
                     struct pw_str packed, struct pw_buffer *out, size_t max_bytes)
{
    int window_bits = WINDOW_BITS + GZIP_ONLY;

    unpack->state = PW_UNPACK_MORE;
    unpack->error = (struct pw_error){.status = PW_OK};
    unpack->encoding = encoding;
    unpack->out = out;
    unpack->max_bytes = max_bytes;
    unpack->is_open = unpack->is_raw = false;
    atomic_store(&unpack->stop, false);
    if (encoding->kind == PW_ENCODING_SEVERAL) {
        (void)pw_fail(&unpack->error, PW_EFORMAT, "the body is packed more than once");
        unpack->state = PW_UNPACK_FAILED;
        return;
    }
    if (encoding->kind == PW_ENCODING_OTHER) {
        (void)pw_fail(&unpack->error, PW_EFORMAT,
                      "the body is packed as \"%s\", which was not asked for", encoding->name);
        unpack->state = PW_UNPACK_FAILED;
        return;
    }
    if (encoding->kind == PW_ENCODING_DEFLATE) {
        unpack->is_raw = !has_zlib_header(packed);
        window_bits = unpack->is_raw ? -WINDOW_BITS : WINDOW_BITS;
    }
    memset(&unpack->stream, 0, sizeof unpack->stream);
    unpack->stream.zalloc = take_memory;
    unpack->stream.zfree = give_memory;
    unpack->stream.next_in = (Bytef *)(uintptr_t)packed.data; /* zlib only reads it */
    unpack->unread = packed.len;
    if (inflateInit2(&unpack->stream, window_bits) != Z_OK)
        fail_nomem(unpack);
    else
        unpack->is_open = true;
}

/* The end of the stream has to be that of the body. */
static void check_end(struct pw_unpack *unpack)
{
    size_t left = unpack->stream.avail_in + unpack->unread;

    if (left > (unpack->is_raw ? RAW_TRAILER_MAX_BYTES : 0))
        fail(unpack, "goes on behind its end");
    else
        unpack->state = PW_UNPACK_DONE;
}

/* Room for the next piece, directly behind what is there. At the limit one byte is tried still: a
 * stream that ends exactly there gives none. */
static bool make_room(struct pw_unpack *unpack, Bytef *beyond, size_t *room)
{
    struct pw_buffer *out = unpack->out;

    *room = unpack->max_bytes - out->len;
    if (*room == 0) {
        unpack->stream.next_out = beyond;
        unpack->stream.avail_out = 1;
        return true;
    }
    if (*room > PIECE_BYTES)
        *room = PIECE_BYTES;
    if (pw_buffer_reserve(out, *room) != PW_OK)
        return false;
    unpack->stream.next_out = (Bytef *)out->data + out->len;
    unpack->stream.avail_out = (uInt)*room;
    return true;
}

static void one_piece(struct pw_unpack *unpack)
{
    z_stream *stream = &unpack->stream;
    Bytef beyond;
    size_t room;
    int code;

    if (!make_room(unpack, &beyond, &room)) {
        fail_nomem(unpack);
        return;
    }
    if (stream->avail_in == 0 && unpack->unread > 0) {
        size_t some = unpack->unread < FEED_MAX_BYTES ? unpack->unread : FEED_MAX_BYTES;

        stream->avail_in = (uInt)some;
        unpack->unread -= some;
    }
    code = inflate(stream, Z_NO_FLUSH);
    if (room > 0) {
        unpack->out->len += room - stream->avail_out;
        unpack->out->data[unpack->out->len] = '\0';
    } else if (stream->avail_out == 0) {
        unpack->state = PW_UNPACK_OVER;
        return;
    }
    if (code == Z_STREAM_END)
        check_end(unpack);
    else if (code == Z_MEM_ERROR)
        fail_nomem(unpack);
    else if (code == Z_NEED_DICT || code == Z_DATA_ERROR || code == Z_STREAM_ERROR)
        fail(unpack, "is damaged");
    else if (stream->avail_in == 0 && unpack->unread == 0 && stream->avail_out > 0)
        fail(unpack, "ends too early");
}

void pw_unpack_step(struct pw_unpack *unpack, size_t more_bytes)
{
    size_t end = unpack->out->len + more_bytes;

    while (unpack->state == PW_UNPACK_MORE && unpack->out->len < end && !atomic_load(&unpack->stop))
        one_piece(unpack);
}

void pw_unpack_end(struct pw_unpack *unpack)
{
    if (unpack->is_open)
        (void)inflateEnd(&unpack->stream);
    unpack->is_open = false;
}

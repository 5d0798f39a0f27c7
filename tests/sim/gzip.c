/*
 * Encoding with zlib (see gzip.h). A bomb is one piece of deflate repeated: after a full flush the
 * same blanks pack into the same bytes again.
 */
#include "gzip.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { RAW_DEFLATE = -15, GZIP_FORM = 15 + 16, MEMORY_LEVEL = 8, CHUNK_BYTES = 1 << 20 };

/* Appends the deflated bytes, ended as `flush` says. */
static void deflate_into(struct buf *out, int form, const char *bytes, size_t len, int flush)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, form, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        fputs("coc-sim: zlib does not work\n", stderr);
        exit(70);
    }
    size_t room = (size_t)deflateBound(&stream, (uLong)len) + 64;
    /* zlib only reads its input, but takes it as what may be written. */
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)len;
    stream.next_out = (Bytef *)buf_reserve(out, room);
    stream.avail_out = (uInt)room;
    (void)deflate(&stream, flush);
    out->len += room - stream.avail_out;
    (void)deflateEnd(&stream);
}

/* Does an Accept-Encoding header name gzip, and not with q=0? */
static bool takes_gzip(const struct request *request)
{
    const char *header = request_header(request, "Accept-Encoding");
    const char *at = header != NULL ? strcasestr(header, "gzip") : NULL;
    if (at == NULL) {
        return false;
    }
    at += strlen("gzip");
    at += strspn(at, " ");
    if (*at != ';') {
        return true;
    }
    at += 1 + strspn(at + 1, " ");
    return strncasecmp(at, "q=0", 3) != 0 || at[3 + strspn(at + 3, ".0")] > '0';
}

static void take_encoded(struct answer *answer, struct buf encoded)
{
    buf_free(&answer->body);
    answer->body = encoded;
    answer->gzip = true;
}

void gzip_answer(struct request *request)
{
    struct answer *answer = &request->answer;
    if (request->server->gzip && request->realm != REALM_CONTROL && !answer->gzip &&
        answer->body.len > 0 && takes_gzip(request)) {
        struct buf encoded = {0};
        deflate_into(&encoded, GZIP_FORM, answer->body.data, answer->body.len, Z_FINISH);
        take_encoded(answer, encoded);
    }
}

static void put_le32(struct buf *out, uint64_t value)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        char byte = (char)(unsigned char)(value >> shift);
        buf_add(out, &byte, 1);
    }
}

static uLong crc_of(const char *bytes, size_t len)
{
    return crc32(crc32(0, Z_NULL, 0), (const Bytef *)bytes, (uInt)len);
}

void gzip_bomb(struct answer *answer, size_t size)
{
    static const char header[10] = {0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    size_t first = answer->body.len > 0 ? 1 : 0;
    struct buf blanks = {0};
    struct buf chunk = {0};
    struct buf out = {0};
    struct buf rest = {0};
    buf_fill(&blanks, ' ', CHUNK_BYTES);
    deflate_into(&chunk, RAW_DEFLATE, blanks.data, blanks.len, Z_FULL_FLUSH);
    buf_add(&rest, blanks.data, size % CHUNK_BYTES);
    buf_add(&rest, answer->body.data + first, answer->body.len - first);

    uLong crc = crc_of(answer->body.data, first);
    uLong chunk_crc = crc_of(blanks.data, blanks.len);
    buf_add(&out, header, sizeof header);
    deflate_into(&out, RAW_DEFLATE, answer->body.data, first, Z_FULL_FLUSH);
    for (size_t i = 0; i < size / CHUNK_BYTES; i++) {
        buf_add(&out, chunk.data, chunk.len);
        crc = crc32_combine(crc, chunk_crc, CHUNK_BYTES);
    }
    deflate_into(&out, RAW_DEFLATE, rest.data, rest.len, Z_FINISH);
    crc = crc32_combine(crc, crc_of(rest.data, rest.len), (z_off_t)rest.len);
    put_le32(&out, crc);
    put_le32(&out, (uint64_t)size + answer->body.len);
    buf_free(&blanks);
    buf_free(&chunk);
    buf_free(&rest);
    take_encoded(answer, out);
}

/* Packing for the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "packing.h"

char *packed(enum packing how, const char *data, size_t len, size_t *out_len)
{
    z_stream stream = {0};
    size_t room = len + len / 100 + 1024;
    char *in = malloc(len + 1), *out = malloc(room);

    assert_non_null(in);
    assert_non_null(out);
    if (data != NULL)
        memcpy(in, data, len);
    else
        memset(in, ' ', len);
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, (int)how, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)in;
    stream.avail_in = (uInt)len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *out_len = room - stream.avail_out;
    (void)deflateEnd(&stream);
    free(in);
    return out;
}

char *packed_answer(const char *encoding, const char *body, size_t len, size_t *out_len)
{
    char *answer = malloc(len + 512);
    int head;

    assert_non_null(answer);
    head = snprintf(answer, 512, "HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %zu\r\n\r\n", encoding,
                    len);
    memcpy(answer + head, body, len);
    *out_len = (size_t)head + len;
    return answer;
}

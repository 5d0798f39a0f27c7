/* Packs bytes for the tests as a server would. Include cmocka.h before it. */
#ifndef PW_TESTS_HTTP_PACKING_H
#define PW_TESTS_HTTP_PACKING_H

#include <stddef.h>

/* As window bits of zlib. */
enum packing { PACK_ZLIB = 15, PACK_GZIP = 15 + 16, PACK_RAW = -15 };

/* The packed bytes, to be freed; NULL data packs so many blanks. */
char *packed(enum packing how, const char *data, size_t len, size_t *out_len);
/* A whole answer with status 200, the header `encoding` and the body, to be freed. */
char *packed_answer(const char *encoding, const char *body, size_t len, size_t *out_len);

#endif

/* Response bodies for decoders: each ends exactly where its block of memory does, less the promised
 * padding, so that AddressSanitizer sees a decoder that reads further. */
#ifndef PW_TEST_BODIES_H
#define PW_TEST_BODIES_H

#include <stddef.h>

#include "coc/page.h"

struct body {
    char *block; /* len bytes and the padding */
    size_t len;
};

struct body body_of(const void *data, size_t len);
struct body body_text(const char *text);
struct body body_file(const char *name); /* of tests/data/pages */
void body_free(struct body *body);

/* A decoder with what its last call said. */
struct decoded {
    struct pw_page_decoder *decoder;
    struct pw_page page;
    struct pw_api_error api_error;
    struct pw_error error;
};

void decoded_open(struct decoded *decoded);
void decoded_close(struct decoded *decoded);
/* Decodes and frees body; what page points to stays. */
enum pw_status decode(struct decoded *decoded, struct body body);
enum pw_status decode_text(struct decoded *decoded, const char *text);
enum pw_status decode_file(struct decoded *decoded, const char *name);

/* Fails with both texts where they differ; NULL is null, not "". */
#define assert_str(str, text) assert_str_at(__FILE__, __LINE__, str, text)
void assert_str_at(const char *file, int line, struct pw_str str, const char *text);

#endif

/* Bodies and the decoder around them. */
#include "bodies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct body body_of(const void *data, size_t len)
{
    struct body body = {malloc(len + PW_PAGE_PADDING), len};

    assert_non_null(body.block);
    if (len > 0)
        memcpy(body.block, data, len);
    /* What stands behind a body is rubbish of an earlier one. */
    memset(body.block + len, '"', PW_PAGE_PADDING);
    return body;
}

struct body body_text(const char *text)
{
    return body_of(text, strlen(text));
}

struct body body_file(const char *name)
{
    static char content[64 * 1024];
    char path[1024];
    size_t len;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/pages/%s", PW_TEST_DATA, name);
    file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    len = fread(content, 1, sizeof content, file);
    (void)fclose(file);
    return body_of(content, len);
}

void body_free(struct body *body)
{
    free(body->block);
}

void decoded_open(struct decoded *decoded)
{
    *decoded = (struct decoded){.decoder = pw_page_decoder_new()};
    assert_non_null(decoded->decoder);
}

void decoded_close(struct decoded *decoded)
{
    pw_page_decoder_free(decoded->decoder);
}

enum pw_status decode(struct decoded *decoded, struct body body)
{
    enum pw_status status;

    decoded->error = (struct pw_error){PW_OK, ""};
    status = pw_page_decode(decoded->decoder, body.block, body.len, &decoded->page,
                            &decoded->api_error, &decoded->error);
    assert_int_equal(decoded->error.status, status);
    if (status != PW_OK)
        assert_string_not_equal(decoded->error.message, "");
    if (status != PW_OK)
        assert_int_equal(decoded->page.count, 0);
    assert_true(decoded->page.count + decoded->page.bad_records == decoded->page.rows);
    body_free(&body);
    return status;
}

enum pw_status decode_text(struct decoded *decoded, const char *text)
{
    return decode(decoded, body_text(text));
}

enum pw_status decode_file(struct decoded *decoded, const char *name)
{
    return decode(decoded, body_file(name));
}

void assert_str_at(const char *file, int line, struct pw_str str, const char *text)
{
    if (text == NULL ? str.data == NULL : pw_str_is(str, text))
        return;
    print_error("'%.*s'%s is not '%s'\n", (int)str.len, str.data != NULL ? str.data : "",
                str.data == NULL ? " (null)" : "", text != NULL ? text : "(null)");
    _fail(file, line);
}

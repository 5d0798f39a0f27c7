/* Unpacking by itself: every encoding, every way to end too early, limits, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "http/unpack.h"
#include "packing.h"

#define TEXT "Who was told, and when? Who was told, and when? Who was told?"

struct trial {
    struct pw_encoding encoding;
    struct pw_unpack unpack;
    struct pw_buffer out;
};

/* Unpacks in steps of step_bytes to the end. The body is copied to memory of its own size, so that
 * AddressSanitizer sees who reads further. */
static void unpack(struct trial *trial, const char *encoding, const char *body, size_t len,
                   size_t max_bytes, size_t step_bytes)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, body, len);
    memset(trial, 0, sizeof *trial);
    pw_buffer_init(&trial->out, max_bytes);
    pw_encoding_note(&trial->encoding, pw_str_of(encoding));
    pw_unpack_begin(&trial->unpack, &trial->encoding, (struct pw_str){copy, len}, &trial->out,
                    max_bytes);
    for (int steps = 0; trial->unpack.state == PW_UNPACK_MORE; steps++) {
        assert_in_range(steps, 0, 10000);
        pw_unpack_step(&trial->unpack, step_bytes);
    }
    pw_unpack_end(&trial->unpack);
    free(copy);
}

static void over(struct trial *trial)
{
    pw_unpack_end(&trial->unpack);
    pw_buffer_free(&trial->out);
}

static void test_each_encoding(void **state)
{
    static const struct {
        const char *encoding;
        enum packing how;
    } rows[] = {{"gzip", PACK_GZIP},    {"x-gzip", PACK_GZIP},       {"GZIP", PACK_GZIP},
                {"deflate", PACK_ZLIB}, {"deflate", PACK_RAW},       {" deflate ", PACK_ZLIB},
                {"gzip, ", PACK_GZIP},  {"identity,gzip", PACK_GZIP}};
    struct trial trial;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len;
        char *body = packed(rows[i].how, TEXT, sizeof TEXT - 1, &len);

        unpack(&trial, rows[i].encoding, body, len, 1000, 1000);
        assert_int_equal(trial.unpack.state, PW_UNPACK_DONE);
        assert_string_equal(trial.out.data, TEXT);
        over(&trial);
        free(body);
    }
}

static void test_nothing_is_torn_unseen(void **state)
{
    static const struct {
        const char *encoding;
        enum packing how;
    } rows[] = {{"gzip", PACK_GZIP}, {"deflate", PACK_ZLIB}, {"deflate", PACK_RAW}};
    struct trial trial;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len;
        char *body = packed(rows[i].how, TEXT, sizeof TEXT - 1, &len);

        for (size_t cut = 0; cut < len; cut++) {
            unpack(&trial, rows[i].encoding, body, cut, 1000, 1000);
            assert_int_equal(trial.unpack.state, PW_UNPACK_FAILED);
            assert_int_equal(trial.unpack.error.status, PW_EFORMAT);
            over(&trial);
        }
        /* Half of it is named for what it is. */
        unpack(&trial, rows[i].encoding, body, len / 2, 1000, 1000);
        assert_non_null(strstr(trial.unpack.error.message, "ends too early"));
        over(&trial);
        free(body);
    }
}

static void test_damage(void **state)
{
    struct trial trial;
    size_t len;
    char *body = packed(PACK_GZIP, TEXT, sizeof TEXT - 1, &len);

    (void)state;
    body[len - 6] ^= 1; /* of the checksum */
    unpack(&trial, "gzip", body, len, 1000, 1000);
    assert_int_equal(trial.unpack.state, PW_UNPACK_FAILED);
    assert_non_null(strstr(trial.unpack.error.message, "is damaged"));
    over(&trial);
    unpack(&trial, "gzip", "hello", 5, 1000, 1000);
    assert_int_equal(trial.unpack.state, PW_UNPACK_FAILED);
    over(&trial);
    free(body);
}

static void test_what_follows_the_end(void **state)
{
    static const struct {
        const char *encoding;
        enum packing how;
        size_t allowed; /* bytes that may follow */
    } rows[] = {{"gzip", PACK_GZIP, 0}, {"deflate", PACK_ZLIB, 0}, {"deflate", PACK_RAW, 4}};
    struct trial trial;
    char longer[512];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len;
        char *body = packed(rows[i].how, TEXT, sizeof TEXT - 1, &len);

        memset(longer, 0, sizeof longer);
        memcpy(longer, body, len);
        unpack(&trial, rows[i].encoding, longer, len + rows[i].allowed, 1000, 1000);
        assert_int_equal(trial.unpack.state, PW_UNPACK_DONE);
        over(&trial);
        unpack(&trial, rows[i].encoding, longer, len + rows[i].allowed + 1, 1000, 1000);
        assert_int_equal(trial.unpack.state, PW_UNPACK_FAILED);
        assert_non_null(strstr(trial.unpack.error.message, "goes on behind its end"));
        over(&trial);
        /* A second member is no part of the body either. */
        memcpy(longer + len, body, len);
        unpack(&trial, rows[i].encoding, longer, 2 * len, 1000, 1000);
        assert_int_equal(trial.unpack.state, PW_UNPACK_FAILED);
        over(&trial);
        free(body);
    }
}

/* To the byte, whatever the size of the steps. */
static void test_limit(void **state)
{
    static const size_t sizes[] = {1, 1000, 65535, 65536, 65537, 1000000};
    static const size_t steps[] = {1, 70000, SIZE_MAX / 2};
    struct trial trial;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t len;
        char *body = packed(PACK_GZIP, NULL, sizes[i], &len);

        for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
            unpack(&trial, "gzip", body, len, sizes[i], steps[j]);
            assert_int_equal(trial.unpack.state, PW_UNPACK_DONE);
            assert_int_equal(trial.out.len, sizes[i]);
            over(&trial);
            unpack(&trial, "gzip", body, len, sizes[i] - 1, steps[j]);
            assert_int_equal(trial.unpack.state, PW_UNPACK_OVER);
            assert_int_equal(trial.out.len, sizes[i] - 1);
            over(&trial);
        }
        free(body);
    }
}

static void test_stop(void **state)
{
    struct trial trial = {.encoding = {.kind = PW_ENCODING_GZIP}};
    size_t len;
    char *body = packed(PACK_GZIP, NULL, 1000000, &len);

    (void)state;
    pw_buffer_init(&trial.out, 1000000);
    pw_unpack_begin(&trial.unpack, &trial.encoding, (struct pw_str){body, len}, &trial.out,
                    1000000);
    pw_unpack_step(&trial.unpack, 100000);
    assert_int_equal(trial.unpack.state, PW_UNPACK_MORE);
    assert_in_range(trial.out.len, 100000, 200000);
    atomic_store(&trial.unpack.stop, true);
    len = trial.out.len;
    pw_unpack_step(&trial.unpack, 1000000);
    assert_int_equal(trial.unpack.state, PW_UNPACK_MORE);
    assert_int_equal(trial.out.len, len);
    over(&trial);
    free(body);
}

static void test_what_was_not_asked_for(void **state)
{
    static const struct {
        const char *first, *second, *transfer;
        enum pw_encoding_kind kind;
    } rows[] = {
        {NULL, NULL, NULL, PW_ENCODING_NONE},
        {"", NULL, NULL, PW_ENCODING_NONE},
        {"identity", "none", "chunked", PW_ENCODING_NONE},
        {"br", NULL, NULL, PW_ENCODING_OTHER},
        {"gzip2", NULL, NULL, PW_ENCODING_OTHER},
        {"gzip, gzip", NULL, NULL, PW_ENCODING_SEVERAL},
        {"gzip", "deflate", NULL, PW_ENCODING_SEVERAL},
        {"gzip", "identity", "chunked", PW_ENCODING_GZIP},
        {NULL, NULL, "gzip, chunked", PW_ENCODING_OTHER},
        {"gzip", NULL, "gzip", PW_ENCODING_SEVERAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pw_encoding encoding = {0};

        if (rows[i].first != NULL)
            pw_encoding_note(&encoding, pw_str_of(rows[i].first));
        if (rows[i].second != NULL)
            pw_encoding_note(&encoding, pw_str_of(rows[i].second));
        if (rows[i].transfer != NULL)
            pw_encoding_note_transfer(&encoding, pw_str_of(rows[i].transfer));
        assert_int_equal(encoding.kind, rows[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_encoding),
        cmocka_unit_test(test_nothing_is_torn_unseen),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_what_follows_the_end),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_what_was_not_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Texts of keys and tokens: a prefix, the number, and letters derived from it (see opaque.h).
 */
#include "opaque.h"
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prefix;
    size_t len; /* of the whole */
    size_t number_digits;
} forms[OPAQUES] = {
    [OPAQUE_IAM_TOKEN] = {"MIISim", 3172, 16},    [OPAQUE_METADATA_TOKEN] = {"Meta", 56, 16},
    [OPAQUE_ACCESS_KEY] = {"HST", 20, 6},         [OPAQUE_SECRET_KEY] = {"", 40, 0},
    [OPAQUE_SECURITY_TOKEN] = {"ggpj", 1100, 16},
};

char *opaque_make(enum opaque kind, uint64_t number)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    struct buf text = {0};
    buf_str(&text, forms[kind].prefix);
    if (forms[kind].number_digits > 0) {
        buf_printf(&text, "%0*llX", (int)forms[kind].number_digits, (unsigned long long)number);
    }
    for (uint64_t i = 0; text.len < forms[kind].len; i++) {
        uint64_t hash = derive_hash(number, 0x6f706171U + (uint64_t)kind, i);
        buf_add(&text, &letters[hash % 32], 1);
    }
    buf_add(&text, "", 1);
    return text.data;
}

uint64_t opaque_number(enum opaque kind, const char *text)
{
    size_t skip = strlen(forms[kind].prefix);
    char digits[17] = {0};
    if (strlen(text) != forms[kind].len) {
        return 0;
    }
    memcpy(digits, text + skip, forms[kind].number_digits);
    uint64_t number = strtoull(digits, NULL, 16);
    char *expected = opaque_make(kind, number);
    bool same = strcmp(expected, text) == 0;
    free(expected);
    return same ? number : 0;
}

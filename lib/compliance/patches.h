/* The patches that a machine lacks, as an event lists them: the worst of them, their texts cut and
 * printable; and the book of such lists that a sweep fills for the machines that just turned. Pure.
 */
#ifndef PW_COMPLIANCE_PATCHES_H
#define PW_COMPLIANCE_PATCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
    PW_PATCHES_LISTED_MAX = 50, /* of one machine */
    PW_PATCH_LISTS_MAX = 100,   /* of one sweep */
    PW_REPORT_ID_MAX_BYTES = 64,
    PW_PATCH_ERROR_SIZE = 200,
};

/* One patch as the API names it (ShowInstancePatchItems, ComplianceItem and PatchDetail). Views. */
struct pw_patch_view {
    struct pw_str title;
    struct pw_str classification;
    struct pw_str severity_level;
    struct pw_str compliance_level;
    struct pw_str status; /* patch_detail.patch_status */
};

/* One patch as it is told; "" where the API gave none. */
struct pw_patch {
    char title[256];
    char classification[64];
    char severity_level[32];
    char compliance_level[32];
    char status[24];
};

/* What is known of one report's patches. Neither read nor an error: it is yet to be asked for. */
struct pw_patch_list {
    char report_id[PW_REPORT_ID_MAX_BYTES + 1];
    int64_t expected; /* non-compliant patches by the report itself; PW_COUNT_NONE */
    bool was_read;    /* total and listed mean something */
    int64_t total;
    struct pw_patch *listed; /* the worst first, each once; owned */
    size_t count, capacity;
    char error[PW_PATCH_ERROR_SIZE]; /* why not, or not all of it; "" */
};

struct pw_patch_book {
    struct pw_patch_list lists[PW_PATCH_LISTS_MAX];
    size_t count;
    bool left_out; /* there were more machines than lists */
};

struct pw_patch_book *pw_patch_book_new(void); /* empty; NULL where memory is short */
void pw_patch_book_free(struct pw_patch_book *book);

/* Whether a report's id is one that can be asked for: 1 to 64 letters, digits, - and _ (the API
 * document: 32 lower-case letters and digits). */
bool pw_report_id_is_askable(struct pw_str report_id);

/* Adds a report to ask for; one that is there already, or cannot be asked for, changes nothing.
 * False where the book is full, which it remembers. */
bool pw_patch_book_add(struct pw_patch_book *book, struct pw_str report_id, int64_t expected);

/* What is to be told of a report's patches: its list, or one that says why there is none. Never
 * NULL; lives as long as the book. */
const struct pw_patch_list *pw_patch_book_find(const struct pw_patch_book *book,
                                               struct pw_str report_id);

/* Takes a patch into the list, where it is among the worst and not there yet. Does not touch total.
 * PW_ENOMEM leaves the list as it was. */
PW_MUST_CHECK enum pw_status pw_patch_list_take(struct pw_patch_list *list,
                                                const struct pw_patch_view *patch);

#endif

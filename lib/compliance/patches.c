/* Lists of missing patches: which are kept, in which order, and what is said where there are none.
 */
#include "compliance/patches.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pw_patch_book *pw_patch_book_new(void)
{
    return calloc(1, sizeof(struct pw_patch_book));
}

void pw_patch_book_free(struct pw_patch_book *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; i < book->count; i++)
        free(book->lists[i].listed);
    free(book);
}

bool pw_report_id_is_askable(struct pw_str report_id)
{
    if (report_id.len == 0 || report_id.len > PW_REPORT_ID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < report_id.len; i++) {
        char c = report_id.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static const struct pw_patch_list *look(const struct pw_patch_book *book, struct pw_str report_id)
{
    for (size_t i = 0; i < book->count; i++) {
        if (pw_str_is(report_id, book->lists[i].report_id))
            return &book->lists[i];
    }
    return NULL;
}

bool pw_patch_book_add(struct pw_patch_book *book, struct pw_str report_id, int64_t expected)
{
    struct pw_patch_list *list;

    if (!pw_report_id_is_askable(report_id) || look(book, report_id) != NULL)
        return true;
    if (book->count == PW_PATCH_LISTS_MAX) {
        book->left_out = true;
        return false;
    }
    list = &book->lists[book->count++];
    memcpy(list->report_id, report_id.data, report_id.len);
    list->expected = expected;
    return true;
}

const struct pw_patch_list *pw_patch_book_find(const struct pw_patch_book *book,
                                               struct pw_str report_id)
{
    static const struct pw_patch_list
        unaskable = {.error = "the report has no id that can be asked for"},
        too_many = {.error = "left out: more than 100 machines turned in one sweep"},
        unasked = {.error = "not asked for"};
    const struct pw_patch_list *list;

    if (!pw_report_id_is_askable(report_id))
        return &unaskable;
    list = look(book, report_id);
    if (list == NULL)
        return book->left_out ? &too_many : &unasked;
    return !list->was_read && list->error[0] == '\0' ? &unasked : list;
}

/* Lists ----------------------------------------------------------------------------------------*/

/* 0 is the worst. The API's sample has an empty severity_level beside a compliance_level, so that
 * one speaks where the other is silent. */
static int rank_of(const struct pw_patch *patch)
{
    static const struct {
        const char *name;
        int rank;
    } known[] = {{"critical", 0}, {"high", 1}, {"important", 1},     {"medium", 2},
                 {"moderate", 2}, {"low", 3},  {"informational", 4}, {"info", 4}};
    const char *level =
        patch->severity_level[0] != '\0' ? patch->severity_level : patch->compliance_level;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(level, known[i].name) == 0)
            return known[i].rank;
    }
    return 5;
}

static bool same_patch(const struct pw_patch *a, const struct pw_patch *b)
{
    return strcmp(a->title, b->title) == 0 && strcmp(a->status, b->status) == 0 &&
           strcmp(a->classification, b->classification) == 0 &&
           strcmp(a->severity_level, b->severity_level) == 0 &&
           strcmp(a->compliance_level, b->compliance_level) == 0;
}

static enum pw_status make_room(struct pw_patch_list *list)
{
    size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
    struct pw_patch *listed;

    if (list->count < list->capacity || list->count == PW_PATCHES_LISTED_MAX)
        return PW_OK;
    if (capacity > PW_PATCHES_LISTED_MAX)
        capacity = PW_PATCHES_LISTED_MAX;
    listed = realloc(list->listed, capacity * sizeof *listed);
    if (listed == NULL)
        return PW_ENOMEM;
    list->listed = listed;
    list->capacity = capacity;
    return PW_OK;
}

enum pw_status pw_patch_list_take(struct pw_patch_list *list, const struct pw_patch_view *patch)
{
    struct pw_patch taken = {.title = ""};
    size_t at = list->count, last;
    int rank;

    (void)pw_text_printable(taken.title, sizeof taken.title, patch->title);
    (void)pw_text_printable(taken.classification, sizeof taken.classification,
                            patch->classification);
    (void)pw_text_printable(taken.severity_level, sizeof taken.severity_level,
                            patch->severity_level);
    (void)pw_text_printable(taken.compliance_level, sizeof taken.compliance_level,
                            patch->compliance_level);
    (void)pw_text_printable(taken.status, sizeof taken.status, patch->status);
    rank = rank_of(&taken);
    for (size_t i = 0; i < list->count; i++) {
        if (same_patch(&list->listed[i], &taken))
            return PW_OK;
    }
    while (at > 0 && rank_of(&list->listed[at - 1]) > rank)
        at--;
    if (at == PW_PATCHES_LISTED_MAX)
        return PW_OK;
    if (make_room(list) != PW_OK)
        return PW_ENOMEM;
    if (list->count < PW_PATCHES_LISTED_MAX)
        list->count++;
    last = list->count - 1; /* of a full list the mildest falls off */
    memmove(&list->listed[at + 1], &list->listed[at], (last - at) * sizeof list->listed[0]);
    list->listed[at] = taken;
    return PW_OK;
}

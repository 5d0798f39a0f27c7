/*
 * Faults: what a test armed, and which of them the next request meets. The list owns its faults.
 */
#ifndef COC_SIM_FAULT_H
#define COC_SIM_FAULT_H

#include "page.h"
#include "request.h"

enum fault_kind {
    FAULT_STATUS,
    FAULT_THROTTLE,
    FAULT_RESET,
    FAULT_RESET_MID,
    FAULT_TIMEOUT,
    FAULT_DELAY,
    FAULT_DRIP,
    FAULT_TRUNCATE,
    FAULT_CUT_JSON,
    FAULT_LENGTH_LONG,
    FAULT_LENGTH_SHORT,
    FAULT_HTML,
    FAULT_HTML_302,
    FAULT_EMPTY,
    FAULT_EMPTY_PAGE,
    FAULT_NULL_LIST,
    FAULT_MISSING_LIST,
    FAULT_NULL_RECORDS,
    FAULT_DUP_RECORDS,
    FAULT_WRONG_TYPES,
    FAULT_HUGE_NUMBERS,
    FAULT_DEEP,
    FAULT_GARBAGE,
    FAULT_INVALID_UTF8,
    FAULT_NUL_NAME,
    FAULT_BIG,
    FAULT_LYING_COUNT,
    FAULT_ERROR_200,
    FAULT_SUCCESS_CODE_200,
    FAULT_MOVE,
    FAULT_MOVE_NEW_ID,
    FAULT_INSERT,
    FAULT_DELETE,
    FAULT_SWAP_PAGE,
    FAULT_NO_TOKEN,
    FAULT_GZIP_BOMB,
    FAULT_KINDS
};

/* Text parameters of faults. */
enum fault_text {
    TEXT_QUERY,
    TEXT_CONTENT_TYPE,
    TEXT_RETRY_AFTER,
    TEXT_LOCATION,
    TEXT_VARIANT,
    TEXT_WINDOW,
    TEXT_CODE,
    TEXT_MSG,
    TEXT_METHOD,
    FAULT_TEXTS
};

/* Whole-number parameters of faults. */
enum fault_number {
    NUMBER_PAGE,
    NUMBER_OFFSET,
    NUMBER_AFTER,
    NUMBER_TIMES,
    NUMBER_DELAY_MS,
    NUMBER_STATUS,
    NUMBER_RATE,
    NUMBER_BYTES_PER_SECOND,
    NUMBER_BY,
    NUMBER_N,
    NUMBER_DEPTH,
    NUMBER_SIZE,
    NUMBER_ADD,
    NUMBER_SET,
    NUMBER_POSITION,
    NUMBER_MOVES,
    NUMBER_WITH,
    FAULT_NUMBERS
};

struct fault {
    int64_t id;
    enum fault_kind kind;
    enum realm realm; /* whose requests meet it */
    double probability;
    uint64_t seed;
    int64_t number[FAULT_NUMBERS];
    char *text[FAULT_TEXTS]; /* NULL where not given */
    uint32_t given;          /* bit per number */
    struct buf body;
    bool has_body;
    int64_t matched;
    int64_t fired;
};

struct faults {
    struct fault *list; /* in the order in which they were armed */
    size_t count;
    int64_t last_id;
};

const char *fault_kind_name(enum fault_kind kind);
/* FAULT_KINDS if there is none of that name. */
enum fault_kind fault_kind_find(const char *name);
const char *fault_text_name(enum fault_text text);
const char *fault_number_name(enum fault_number number);

/* A fault with every parameter at its default. */
struct fault fault_default(enum fault_kind kind, uint64_t seed);
/* Parses and sets a number; false if the value is out of its range. */
bool fault_set_number(struct fault *fault, enum fault_number number, const char *value);
/* Can answers of the realm be spoilt so? */
bool fault_fits(enum fault_kind kind, enum realm realm);
bool fault_given(const struct fault *fault, enum fault_number number);
bool fault_armed(const struct fault *fault);

/* Takes over the fault; returns its id. */
int64_t faults_arm(struct faults *faults, struct fault fault);
/* The first armed fault that fires for this request; NULL if none. Good until the list changes.
 * `query` is NULL for all but the API
 * and its patches. */
const struct fault *faults_pick(struct faults *faults, const struct request *request,
                                const struct query *query, bool page_mode);
/* Disarms the fault with that id (0 = all); returns how many that were. */
size_t faults_clear(struct faults *faults, int64_t id);
void fault_free(struct fault *fault);

/* spoil.c: turns the page into what the fault makes of it. */
void spoil_page(const struct fault *fault, struct page *page);
/* The same for a body that is no page, for the kinds that fit such. */
void spoil_body(const struct fault *fault, struct buf *body);
/* misbehave.c: makes the request's right answer into what the fault does. */
void fault_answer(const struct fault *fault, struct request *request);
/* Is there such a variant of this kind? */
bool spoil_has_variant(enum fault_kind kind, const char *variant);

#endif

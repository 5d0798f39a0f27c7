/*
 * Arming faults and choosing the one that a request meets (see fault.h).
 */
#include "fault.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_STATUS] = "status",
    [FAULT_THROTTLE] = "throttle",
    [FAULT_RESET] = "reset",
    [FAULT_RESET_MID] = "reset_mid",
    [FAULT_TIMEOUT] = "timeout",
    [FAULT_DELAY] = "delay",
    [FAULT_DRIP] = "drip",
    [FAULT_TRUNCATE] = "truncate",
    [FAULT_CUT_JSON] = "cut_json",
    [FAULT_LENGTH_LONG] = "length_long",
    [FAULT_LENGTH_SHORT] = "length_short",
    [FAULT_HTML] = "html",
    [FAULT_HTML_302] = "html_302",
    [FAULT_EMPTY] = "empty",
    [FAULT_EMPTY_PAGE] = "empty_page",
    [FAULT_NULL_LIST] = "null_list",
    [FAULT_MISSING_LIST] = "missing_list",
    [FAULT_NULL_RECORDS] = "null_records",
    [FAULT_DUP_RECORDS] = "dup_records",
    [FAULT_WRONG_TYPES] = "wrong_types",
    [FAULT_HUGE_NUMBERS] = "huge_numbers",
    [FAULT_DEEP] = "deep",
    [FAULT_GARBAGE] = "garbage",
    [FAULT_INVALID_UTF8] = "invalid_utf8",
    [FAULT_NUL_NAME] = "nul_name",
    [FAULT_BIG] = "big",
    [FAULT_LYING_COUNT] = "lying_count",
    [FAULT_ERROR_200] = "error_200",
    [FAULT_SUCCESS_CODE_200] = "success_code_200",
    [FAULT_MOVE] = "move",
    [FAULT_MOVE_NEW_ID] = "move_new_id",
    [FAULT_INSERT] = "insert",
    [FAULT_DELETE] = "delete",
    [FAULT_SWAP_PAGE] = "swap_page",
    [FAULT_NO_TOKEN] = "no_token",
    [FAULT_GZIP_BOMB] = "gzip_bomb",
};

static const char *const text_names[FAULT_TEXTS] = {
    [TEXT_QUERY] = "query",
    [TEXT_CONTENT_TYPE] = "content_type",
    [TEXT_RETRY_AFTER] = "retry_after",
    [TEXT_LOCATION] = "location",
    [TEXT_VARIANT] = "variant",
    [TEXT_WINDOW] = "window",
    [TEXT_CODE] = "code",
    [TEXT_MSG] = "msg",
    [TEXT_METHOD] = "method",
};

static const struct {
    const char *name;
    int64_t min;
    int64_t max;
    int64_t initial;
} numbers[FAULT_NUMBERS] = {
    [NUMBER_PAGE] = {"page", 1, OFFSET_MAX, 0},
    [NUMBER_OFFSET] = {"offset", 1, OFFSET_MAX, 0},
    [NUMBER_AFTER] = {"after", 0, INT32_MAX, 0},
    [NUMBER_TIMES] = {"times", 0, INT32_MAX, 1},
    [NUMBER_DELAY_MS] = {"delay_ms", 0, INT32_MAX, 0},
    [NUMBER_STATUS] = {"status", 200, 599, 500},
    [NUMBER_RATE] = {"rate", 1, INT32_MAX, 10},
    [NUMBER_BYTES_PER_SECOND] = {"bytes_per_second", 1, INT32_MAX, 100},
    [NUMBER_BY] = {"by", 1, INT32_MAX, 100},
    [NUMBER_N] = {"n", 1, LIMIT_MAX, 1},
    [NUMBER_DEPTH] = {"depth", 1, 10000000, 20000},
    [NUMBER_SIZE] = {"size", 0, (int64_t)1 << 30, 4096},
    [NUMBER_ADD] = {"add", -INT64_MAX, INT64_MAX, 1},
    [NUMBER_SET] = {"set", -INT64_MAX, INT64_MAX, 0},
    [NUMBER_POSITION] = {"position", 1, NODES_MAX, 1},
    [NUMBER_MOVES] = {"moves", 1, NODES_MAX, 1},
    [NUMBER_WITH] = {"with", 1, OFFSET_MAX, 1},
};

const char *fault_kind_name(enum fault_kind kind)
{
    return kind_names[kind];
}

enum fault_kind fault_kind_find(const char *name)
{
    unsigned i = 0;
    while (i < FAULT_KINDS && strcmp(kind_names[i], name) != 0) {
        i++;
    }
    return (enum fault_kind)i;
}

const char *fault_text_name(enum fault_text text)
{
    return text_names[text];
}

const char *fault_number_name(enum fault_number number)
{
    return numbers[number].name;
}

struct fault fault_default(enum fault_kind kind, uint64_t seed)
{
    struct fault fault = {
        .kind = kind,
        .realm = kind == FAULT_NO_TOKEN ? REALM_IAM : REALM_API,
        .probability = 1.0,
        .seed = seed,
    };
    for (unsigned i = 0; i < FAULT_NUMBERS; i++) {
        fault.number[i] = numbers[i].initial;
    }
    if (kind == FAULT_TIMEOUT) {
        fault.number[NUMBER_DELAY_MS] = 60000;
    } else if (kind == FAULT_DELAY) {
        fault.number[NUMBER_DELAY_MS] = 1000;
    } else if (kind == FAULT_BIG) {
        fault.number[NUMBER_SIZE] = 64 << 20;
    } else if (kind == FAULT_GZIP_BOMB) {
        fault.number[NUMBER_SIZE] = 1 << 30;
    }
    return fault;
}

bool fault_set_number(struct fault *fault, enum fault_number number, const char *value)
{
    fault->given |= 1U << number;
    return parse_int(value, numbers[number].min, numbers[number].max, &fault->number[number]);
}

bool fault_fits(enum fault_kind kind, enum realm realm)
{
    switch (kind) {
    case FAULT_STATUS:
    case FAULT_THROTTLE:
    case FAULT_RESET:
    case FAULT_RESET_MID:
    case FAULT_TIMEOUT:
    case FAULT_DELAY:
    case FAULT_DRIP:
    case FAULT_TRUNCATE:
    case FAULT_CUT_JSON:
    case FAULT_LENGTH_LONG:
    case FAULT_LENGTH_SHORT:
    case FAULT_HTML:
    case FAULT_HTML_302:
    case FAULT_EMPTY:
    case FAULT_GARBAGE:
    case FAULT_ERROR_200:
    case FAULT_GZIP_BOMB:
        return true;
    case FAULT_DEEP:
    case FAULT_BIG:
        return realm != REALM_METADATA; /* whose token is no object to put a member into */
    case FAULT_NO_TOKEN:
        return realm == REALM_IAM;
    case FAULT_MOVE:
    case FAULT_MOVE_NEW_ID:
    case FAULT_INSERT:
    case FAULT_DELETE:
    case FAULT_SWAP_PAGE:
        return realm == REALM_API;
    default:
        return realm == REALM_API || realm == REALM_PATCHES;
    }
}

bool fault_given(const struct fault *fault, enum fault_number number)
{
    return (fault->given & (1U << number)) != 0;
}

bool fault_armed(const struct fault *fault)
{
    return fault->number[NUMBER_TIMES] == 0 || fault->fired < fault->number[NUMBER_TIMES];
}

void fault_free(struct fault *fault)
{
    for (unsigned i = 0; i < FAULT_TEXTS; i++) {
        free(fault->text[i]);
    }
    buf_free(&fault->body);
    *fault = (struct fault){0};
}

int64_t faults_arm(struct faults *faults, struct fault fault)
{
    faults->list = sim_realloc(faults->list, (faults->count + 1) * sizeof *faults->list);
    fault.id = ++faults->last_id;
    faults->list[faults->count++] = fault;
    return fault.id;
}

static int64_t page_of(const struct query *query, bool page_mode)
{
    return page_mode ? query->offset : (query->offset - 1) / query->limit + 1;
}

static bool selects(const struct fault *fault, const struct request *request,
                    const struct query *query, bool page_mode)
{
    const char *method = fault->text[TEXT_METHOD];
    if (fault->realm != request->realm ||
        (method != NULL && strcmp(method, request->method) != 0)) {
        return false;
    }
    if (fault_given(fault, NUMBER_PAGE) &&
        fault->number[NUMBER_PAGE] != page_of(query, page_mode)) {
        return false;
    }
    if (fault_given(fault, NUMBER_OFFSET) && fault->number[NUMBER_OFFSET] != query->offset) {
        return false;
    }
    return fault->text[TEXT_QUERY] == NULL ||
           strstr(request_query(request), fault->text[TEXT_QUERY]) != NULL;
}

static bool fires(struct fault *fault)
{
    fault->matched++;
    if (fault->matched <= fault->number[NUMBER_AFTER]) {
        return false;
    }
    uint64_t hash = derive_hash(fault->seed, 0x6661756cU, (uint64_t)fault->matched);
    if ((double)(hash >> 11) * 0x1p-53 >= fault->probability) {
        return false;
    }
    fault->fired++;
    return true;
}

const struct fault *faults_pick(struct faults *faults, const struct request *request,
                                const struct query *query, bool page_mode)
{
    for (size_t i = 0; i < faults->count; i++) {
        struct fault *fault = &faults->list[i];
        if (fault_armed(fault) && selects(fault, request, query, page_mode) && fires(fault)) {
            return fault;
        }
    }
    return NULL;
}

size_t faults_clear(struct faults *faults, int64_t id)
{
    size_t kept = 0;
    size_t before = faults->count;
    for (size_t i = 0; i < before; i++) {
        if (id == 0 || faults->list[i].id == id) {
            fault_free(&faults->list[i]);
        } else {
            faults->list[kept++] = faults->list[i];
        }
    }
    faults->count = kept;
    if (kept == 0) {
        free(faults->list);
        faults->list = NULL;
    }
    return before - kept;
}

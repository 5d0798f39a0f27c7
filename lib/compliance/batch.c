/* Batches of reports. */
#include "compliance/batch.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

struct pw_batch_block {
    struct pw_batch_block *next;
    size_t used, size;
    char bytes[];
};

void pw_batch_init(struct pw_batch *batch)
{
    *batch = (struct pw_batch){0};
}

static void free_blocks(struct pw_batch_block *block)
{
    while (block != NULL) {
        struct pw_batch_block *next = block->next;

        free(block);
        block = next;
    }
}

void pw_batch_clear(struct pw_batch *batch)
{
    batch->count = 0;
    batch->text_bytes = 0;
    if (batch->blocks != NULL) {
        free_blocks(batch->blocks->next);
        batch->blocks->next = NULL;
        batch->blocks->used = 0;
    }
}

void pw_batch_free(struct pw_batch *batch)
{
    free_blocks(batch->blocks);
    free(batch->reports);
    pw_batch_init(batch);
}

void pw_batch_move(struct pw_batch *to, struct pw_batch *from)
{
    *to = *from;
    pw_batch_init(from);
}

struct pw_str *pw_report_string(struct pw_report *report, int i)
{
    struct pw_str *const fields[PW_REPORT_STRING_COUNT] = {&report->name,
                                                           &report->instance_id,
                                                           &report->node_id,
                                                           &report->ip,
                                                           &report->eip,
                                                           &report->region,
                                                           &report->group,
                                                           &report->enterprise_project_id,
                                                           &report->operating_system,
                                                           &report->report_scene,
                                                           &report->cce_info_id,
                                                           &report->id,
                                                           &report->baseline_id,
                                                           &report->baseline_name,
                                                           &report->rule_type,
                                                           &report->status_text,
                                                           &report->job_id,
                                                           &report->order_id};

    return fields[i];
}

/* size bytes that stay where they are until the batch is freed; NULL where memory is short. */
static char *reserve_text(struct pw_batch *batch, size_t size)
{
    struct pw_batch_block *block = batch->blocks;
    char *at;

    if (block == NULL || size > block->size - block->used) {
        size_t wanted = size > BLOCK_BYTES ? size : BLOCK_BYTES;

        block = malloc(sizeof *block + wanted);
        if (block == NULL)
            return NULL;
        block->size = wanted;
        block->used = 0;
        block->next = batch->blocks;
        batch->blocks = block;
    }
    at = block->bytes + block->used;
    block->used += size;
    batch->text_bytes += size;
    return at;
}

enum pw_status pw_batch_add(struct pw_batch *batch, const struct pw_report *report)
{
    struct pw_report copy = *report;
    size_t size = 0;
    char *at;

    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity == 0 ? 64 : batch->capacity * 2;
        struct pw_report *reports = realloc(batch->reports, capacity * sizeof *reports);

        if (reports == NULL)
            return PW_ENOMEM;
        batch->reports = reports;
        batch->capacity = capacity;
    }
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++)
        size += pw_report_string(&copy, i)->len;
    at = reserve_text(batch, size + 1); /* one more, so that "" has an address of its own */
    if (at == NULL)
        return PW_ENOMEM;
    for (int i = 0; i < PW_REPORT_STRING_COUNT; i++) {
        struct pw_str *field = pw_report_string(&copy, i);

        if (field->data == NULL)
            continue;
        if (field->len > 0)
            memcpy(at, field->data, field->len);
        field->data = at;
        at += field->len;
    }
    batch->reports[batch->count++] = copy;
    return PW_OK;
}

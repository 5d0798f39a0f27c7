/* Deliveries from rows. */
#include "store/outbox_row.h"

#include <stdlib.h>
#include <string.h>

enum {
    COLUMN_DELIVERY_ID,
    COLUMN_EVENT_ID,
    COLUMN_ATTEMPTS,
    COLUMN_CREATED_AT,
    COLUMN_REMINDERS,
    COLUMN_GROUP,
    COLUMN_FIRST_TEXT,
    TEXT_COUNT = 10
};
_Static_assert((int)COLUMN_GROUP == (int)PW_DELIVERY_COLUMN_GROUP &&
                   (int)COLUMN_FIRST_TEXT + (int)TEXT_COUNT == (int)PW_DELIVERY_COLUMN_COUNT,
               "as PW_DELIVERY_COLUMNS");

void pw_delivery_free(struct pw_delivery *list)
{
    while (list != NULL) {
        struct pw_delivery *next = list->next;

        free(list);
        list = next;
    }
}

void pw_claimed_free(struct pw_delivery *attempts)
{
    while (attempts != NULL) {
        struct pw_delivery *next = attempts->next_attempt;

        pw_delivery_free(attempts);
        attempts = next;
    }
}

struct pw_delivery *pw_delivery_read(sqlite3_stmt *statement)
{
    struct pw_str texts[TEXT_COUNT];
    size_t size_bytes = sizeof(struct pw_delivery);
    struct pw_delivery *delivery;
    char *to;

    for (int i = 0; i < TEXT_COUNT; i++) {
        texts[i] = pw_db_column_str(statement, COLUMN_FIRST_TEXT + i);
        size_bytes += texts[i].len + 1;
    }
    delivery = malloc(size_bytes);
    if (delivery == NULL)
        return NULL;
    to = (char *)(delivery + 1);
    for (int i = 0; i < TEXT_COUNT; i++) {
        if (texts[i].data == NULL)
            continue;
        memcpy(to, texts[i].data, texts[i].len);
        to[texts[i].len] = '\0';
        texts[i].data = to;
        to += texts[i].len + 1;
    }
    *delivery = (struct pw_delivery){
        .delivery_id = sqlite3_column_int64(statement, COLUMN_DELIVERY_ID),
        .event_id = sqlite3_column_int64(statement, COLUMN_EVENT_ID),
        .attempts = sqlite3_column_int64(statement, COLUMN_ATTEMPTS),
        .created_at_ms = sqlite3_column_int64(statement, COLUMN_CREATED_AT),
        .reminder = sqlite3_column_int64(statement, COLUMN_REMINDERS),
        .uid = texts[0].data,
        .hook = texts[1].data,
        .rule = texts[2].data,
        .type = texts[3].data,
        .source_name = texts[4].data,
        .node_key = texts[5],
        .node_name = texts[6],
        .from = texts[7],
        .to = texts[8],
        .event_json = texts[9],
    };
    return delivery;
}

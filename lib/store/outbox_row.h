/* How the files of the outbox read deliveries. Private to lib/store. */
#ifndef PW_STORE_OUTBOX_ROW_H
#define PW_STORE_OUTBOX_ROW_H

#include "store/outbox.h"

/* What a query selects for pw_delivery_read, in this order, from delivery d, event e, source s and
 * node n (which may be NULL). */
#define PW_DELIVERY_COLUMNS                                                                        \
    "d.delivery_id, d.event_id, d.attempts, d.created_at, d.reminders, d.group_key, e.uid, "       \
    "d.hook,"                                                                                      \
    " d.rule, e.type, s.name, n.node_key,"                                                         \
    " CASE WHEN json_valid(e.data) THEN json_extract(e.data, '$.data.node.name') END,"             \
    " e.from_status, e.to_status, e.data"
enum { PW_DELIVERY_COLUMN_GROUP = 5, PW_DELIVERY_COLUMN_COUNT = 16 };

/* The delivery of the row at hand, in one block; NULL where memory is short. attempts is as stored.
 */
struct pw_delivery *pw_delivery_read(sqlite3_stmt *statement);

#endif

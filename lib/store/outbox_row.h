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

/* Event e tells of a problem of node n that is still the present one. */
#define PW_IS_OPEN                                                                                 \
    "n.last_definite_status = 'non_compliant' AND e.to_status = 'non_compliant'"                   \
    " AND e.type IN ('io.patchwatch.node.non_compliant', 'io.patchwatch.node.discovered',"         \
    "                'io.patchwatch.node.settled')"                                                \
    " AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id = e.node_id"                        \
    "                  AND l.event_id > e.event_id"                                                \
    "                  AND +l.type IN ('io.patchwatch.node.compliant',"                            \
    "                      'io.patchwatch.node.non_compliant', 'io.patchwatch.node.settled'))"
/* Event e tells that node n is missing, and it is. */
#define PW_IS_STILL_MISSING                                                                        \
    "n.missing_since IS NOT NULL AND e.type = 'io.patchwatch.node.missing'"                        \
    " AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id = e.node_id"                        \
    "                  AND l.event_id > e.event_id AND +l.type = 'io.patchwatch.node.missing')"
/* Event e tells that node n flaps, and it does. */
#define PW_IS_STILL_FLAPPING                                                                       \
    "n.flapping_since IS NOT NULL AND e.type = 'io.patchwatch.node.flapping'"                      \
    " AND NOT EXISTS (SELECT 1 FROM event AS l WHERE l.node_id = e.node_id"                        \
    "                  AND l.event_id > e.event_id AND +l.type = 'io.patchwatch.node.flapping')"

/* The delivery of the row at hand, in one block; NULL where memory is short. attempts is as stored.
 */
struct pw_delivery *pw_delivery_read(sqlite3_stmt *statement);

#endif

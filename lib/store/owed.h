/* Lists of who was owed something, for events that are owed to the same hooks whatever the rules
 * say of their type; and the reasons by which a delivery says that it was told in another way. */
#ifndef PW_STORE_OWED_H
#define PW_STORE_OWED_H

#include "store/record.h"

#define PW_FLAPPING_REASON "flapping"
#define PW_WENT_BACK_REASON "went back before it was confirmed"
#define PW_SHIFT_REASON "fleet.shift " /* the event_id follows */

/* {0} to begin with. */
struct pw_owed_list {
    struct pw_hook_of_rule *items; /* their texts are owned by the list */
    size_t count, capacity;
};

/* Appends the rows of a statement of three columns: hook, rule, after so many milliseconds (0 where
 * it is no escalation). It is bound and ends reset. */
PW_MUST_CHECK enum pw_status pw_owed_read(struct pw_owed_list *owed, struct pw_db *db,
                                          sqlite3_stmt *statement, struct pw_error *err);
void pw_owed_free(struct pw_owed_list *owed);

#endif

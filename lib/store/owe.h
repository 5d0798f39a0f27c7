/* Who is owed an event: the hooks that the rules name, and whoever was told of what it ends.
 * Inside the transaction that records the event. */
#ifndef PW_STORE_OWE_H
#define PW_STORE_OWE_H

#include "base/error.h"
#include "compliance/event.h"
#include "store/record.h"

/* Writes the deliveries that the recorded event (with its sequence) owes, and ends what waited for
 * its matter: groups and escalations that it makes pointless, reminders, what is muted, acks.
 * *deliveries counts up. */
PW_MUST_CHECK enum pw_status pw_owe(struct pw_db *db, const struct pw_event *event,
                                    int64_t source_id, int64_t node_id,
                                    const struct pw_router *router, const struct pw_owing *owing,
                                    size_t *deliveries, struct pw_error *err);

#endif

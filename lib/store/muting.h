/* Mutes: whether an event is held back now, by alerts.yaml or by the table mute. */
#ifndef PW_STORE_MUTING_H
#define PW_STORE_MUTING_H

#include "base/error.h"
#include "compliance/event_read.h"
#include "store/db.h"
#include "store/router.h"

/* Whether anything is muted by anybody at this moment: if not, no event need be looked at. */
PW_MUST_CHECK enum pw_status pw_muting_is_on(struct pw_db *db, const struct pw_router *router,
                                             int64_t now_ms, bool *on, struct pw_error *err);
/* The verdict on an event. Of several mutes the one that ends last gives the time, which is never
 * further off than a few minutes, since rows of the table may come and go by hand. */
PW_MUST_CHECK enum pw_status pw_muting_judge(struct pw_db *db, const struct pw_router *router,
                                             const struct pw_event *event, int64_t now_ms,
                                             struct pw_mute_verdict *verdict, struct pw_error *err);

#endif

/* A small fleet whose sweeps go through the real pw_apply_*, for tests that need a history as the
 * daemon writes it. Everything here fails the test by itself where it cannot do what it says. */
#ifndef PW_TEST_STORE_HISTORY_H
#define PW_TEST_STORE_HISTORY_H

#include <stdint.h>

#include "store/apply.h"
#include "store/verify.h"

#define HOUR_MS INT64_C(3600000)

/* Opens source "prod"; gives its source_id. */
int64_t open_prod(struct pw_db *db);
/* A complete sweep at that time. One letter a node, "ECS/i-0" the first: c compliant, n
 * non_compliant, u unknown, - not shown. A node that is not shown in one sweep is missing. Its
 * reports are those of now_ms, so that an earlier time says that a clock was set back; a node whose
 * letter is the same as in the sweep before has the same report. Gives the events that it raised.
 */
int64_t sweep_fleet(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms);
/* The same with somebody to be told: hook "pager" is owed every transition. */
int64_t sweep_fleet_told(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms);
/* The same with these rules. */
int64_t sweep_fleet_for(struct pw_db *db, int64_t source_id, const char *letters, int64_t now_ms,
                        const struct pw_router *router);
/* Rules that tell of events as route says, send every recovery and mute nothing. */
struct pw_router router_of(enum pw_status (*route)(const struct pw_router *router,
                                                   const struct pw_event *event,
                                                   struct pw_route_sink *sink));
/* What these two go by, for sweeps that differ in something: nothing flaps, nothing is held, nobody
 * is told. */
struct pw_apply_params plain_params(int64_t source_id, int64_t now_ms);
/* Such a sweep, complete or not; sweep_id and what was shown are filled in. */
struct pw_apply_result sweep_with(struct pw_db *db, const char *letters,
                                  const struct pw_apply_params *given);
/* Three sweeps of so many nodes: all turn bad, then good. 2 × nodes + 1 events. */
void make_history(struct pw_db *db, int nodes);
/* One more event of the source's, in the caller's transaction or on its own. */
void record_event(struct pw_db *db, int64_t source_id, int64_t now_ms);
/* All findings, "check: message\n" each; static buffer of the last call. */
const char *verify(struct pw_db *db);
/* The same, with a link that was noted elsewhere. */
const char *verify_expecting(struct pw_db *db, const struct pw_chain_link *expected);
/* What the last verify counted. */
const struct pw_verify_result *verified(void);

#endif

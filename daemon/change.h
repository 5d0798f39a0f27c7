/* What a request changes in the history: mutes, acknowledgements, deliveries by hand. The daemon
 * runs it on the store thread; where no daemon runs, the command runs it on a connection of its
 * own. */
#ifndef PW_DAEMON_CHANGE_H
#define PW_DAEMON_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/answer.h"
#include "daemon/request.h"
#include "store/db.h"

/* Whether a command is one of those. */
bool pw_change_is(enum pw_request_command command);
/* Makes the change and writes the whole answer. Gives the status of the store, for whoever looks
 * after the database; a change that is refused has changed nothing. */
enum pw_status pw_change_run(struct pw_db *db, const struct pw_request *request, int64_t now_ms,
                             struct pw_answer *answer);

#endif

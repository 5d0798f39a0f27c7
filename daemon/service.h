/* The service: composes configuration, store, collectors and dispatch on one loop, and owns them.
 */
#ifndef PW_DAEMON_SERVICE_H
#define PW_DAEMON_SERVICE_H

#include <stdbool.h>

#include "alert/alerts.h"
#include "config/config.h"

/* Runs until a signal ends it, or with once until every source was swept and what is due was
 * delivered. Takes config and alerts over. Returns the exit code of the program (sysexits). */
int pw_service_run(struct pw_config *config, struct pw_alerts *alerts, bool once);

/* Loads both files, printing every problem to stderr; false where one is an error. */
bool pw_service_load(const char *path, struct pw_config **config, struct pw_alerts **alerts);

#endif

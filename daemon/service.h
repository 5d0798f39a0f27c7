/* The service: composes configuration, store, collectors and dispatch on one loop, and owns them.
 */
#ifndef PW_DAEMON_SERVICE_H
#define PW_DAEMON_SERVICE_H

#include <signal.h>
#include <stdbool.h>

#include "alert/alerts.h"
#include "config/config.h"

/* Runs until a signal ends it, or with once until every source was swept and what is due was
 * delivered. Takes config and alerts over. Returns the exit code of the program (sysexits). */
int pw_service_run(struct pw_config *config, struct pw_alerts *alerts, bool once);

/* The signals that the service answers. main blocks them before it does anything else, so that one
 * that comes during the start is not lost; the service lets them through. */
void pw_service_signals(sigset_t *out);

/* Loads both files; every problem goes to problems. false where one is an error; then both are
 * NULL. */
bool pw_service_load(const char *path, struct pw_config **config, struct pw_alerts **alerts,
                     struct pw_problems *problems);

#endif

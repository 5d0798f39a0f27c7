/* What the daemon does when it is asked by the control socket: a sweep, a reload, a test of a hook,
 * a change of the history. Everything that waits for something is in the list of what it waits for,
 * until it is answered. */
#ifndef PW_DAEMON_OPERATE_H
#define PW_DAEMON_OPERATE_H

#include "base/text.h"
#include "daemon/control.h"

struct pw_service;
struct pw_collector;
struct pw_sweep_wait;
struct pw_hook_wait;

/* The service's share of it: what waits. */
struct pw_operator {
    struct pw_sweep_wait *sweeps;
    struct pw_hook_wait *hooks;
};

/* For pw_control_params.handle; context is the service. */
void pw_operator_handle(void *context, struct pw_exchange *exchange, struct pw_str line);
/* A sweep of collector has ended. */
void pw_operator_swept(struct pw_service *service, const struct pw_collector *collector);
/* A reload took the collector's source away, before it is closed. */
void pw_operator_source_gone(struct pw_service *service, const struct pw_collector *collector);
/* The daemon ends: answers whoever waits for a sweep, ends tests of hooks. */
void pw_operator_stop(struct pw_service *service);

#endif

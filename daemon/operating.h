/* The inner side of operate: what operate.c and operate_sweep.c ask of each other. */
#ifndef PW_DAEMON_OPERATING_H
#define PW_DAEMON_OPERATING_H

#include "daemon/answer.h"
#include "daemon/request.h"
#include "daemon/serving.h"

/* Ends the exchange with an answer, and frees that. */
void pw_operator_reply(struct pw_exchange *exchange, struct pw_answer *answer);
void pw_operator_fail(struct pw_exchange *exchange, int exit_code, const char *message);
void pw_operator_fail_nomem(struct pw_exchange *exchange);
void pw_operator_put_count(struct pw_json *json, const char *key, int64_t value);

/* A sweep of the source, or of all of them (NULL). */
void pw_operator_start_sweep(struct pw_service *service, struct pw_exchange *exchange,
                             const char *name);
/* Answers whoever waits for one: the daemon ends. */
void pw_operator_stop_sweeps(struct pw_service *service);

#endif

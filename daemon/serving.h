/* The inner side of the service: its state, and what service.c (start, collectors, end), reload.c
 * (configurations that come and go) and operate.c (requests from the control socket) ask of each
 * other. */
#ifndef PW_DAEMON_SERVING_H
#define PW_DAEMON_SERVING_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "alert/dispatch.h"
#include "daemon/caretaker.h"
#include "daemon/collector.h"
#include "daemon/control.h"
#include "daemon/operate.h"
#include "daemon/service.h"
#include "daemon/stall.h"
#include "http/http.h"
#include "store/thread.h"

/* A configuration that a reload replaced, or the one in use. */
struct pw_generation_of_config {
    struct pw_config *config;
    struct pw_generation_of_config *older;
};

/* One loaded alerts.yaml: freed once a reload has replaced it, dispatch has let go of it and no
 * test of a hook goes by it. */
struct pw_alerts_in_use {
    struct pw_alerts *alerts;
    size_t users;
};

struct pw_service {
    uv_loop_t loop;
    uv_signal_t on_term, on_int, on_hup;
    struct pw_stall stall;
    struct pw_generation_of_config *configs; /* the newest is in use; running sweeps may go by
                                                older ones */
    struct pw_alerts_in_use *alerts;
    struct pw_store *store;
    struct pw_http *http;
    struct pw_guard *guard;
    struct pw_caretaker *caretaker;
    struct pw_dispatch *dispatch;
    struct pw_control *control; /* NULL: none */
    struct pw_operator operator;
    struct pw_collector **collectors;
    size_t collector_count, open_collectors;
    bool once, is_started, is_stopping, is_control_open, wants_reload;
    size_t unswept; /* once: collectors that have not swept yet */
    int exit_code;
};

static inline const struct pw_config *pw_serving_config(const struct pw_service *service)
{
    return service->configs->config;
}

/* service.c */
void pw_serving_collector_closed(void *context);
/* Starts what the configuration has and no collector does yet. Not while one closes: it may be of
 * the same source, and what its last sweep commits must be in the index of the next. */
void pw_serving_add_new_sources(struct pw_service *service);
void pw_serving_troubled(void *context, enum pw_status status, const char *message);
struct pw_hook_tools pw_serving_hook_tools(struct pw_service *service);

/* reload.c */
/* Takes it over, even where false says that memory is short. */
bool pw_serving_adopt_config(struct pw_service *service, struct pw_config *config);
void pw_serving_free_configs(struct pw_service *service);
/* Frees the configurations that reloads replaced, once no collector goes by one of them. */
void pw_serving_free_old_configs(struct pw_service *service);
/* NULL where memory is short; then alerts stay the caller's. It has one user. */
struct pw_alerts_in_use *pw_alerts_use_new(struct pw_alerts *alerts);
void pw_alerts_use_release(struct pw_alerts_in_use *use); /* NULL is fine */
/* Loads both files anew and swaps them in; false where a problem keeps the old ones in use. */
bool pw_serving_reload(struct pw_service *service, struct pw_problems *problems);

#endif

/* The service, from start to end: open the store, start delivering, start one collector a source;
 * on SIGHUP swap a new configuration in whole; on SIGTERM stop in the order in which work flows. */
#include "daemon/service.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/serving.h"

enum {
    MAX_CONNECTIONS = 256,
    HOOK_GRACE_MS = 1000,
};

void pw_service_signals(sigset_t *out)
{
    (void)sigemptyset(out);
    (void)sigaddset(out, SIGTERM);
    (void)sigaddset(out, SIGINT);
    (void)sigaddset(out, SIGHUP);
}

/* Stopping: collectors and requests, then hooks, then the caretaker and the store, then the
 * connections
 * ----------------------- */

static void close_signals(struct pw_service *service)
{
    uv_close((uv_handle_t *)&service->on_term, NULL);
    uv_close((uv_handle_t *)&service->on_int, NULL);
    uv_close((uv_handle_t *)&service->on_hup, NULL);
    pw_stall_stop(&service->stall);
}

static void on_http_closed(void *context)
{
    struct pw_service *service = context;

    close_signals(service);
}

static void on_store_closed(void *context)
{
    struct pw_service *service = context;

    pw_http_close(service->http, on_http_closed, service);
}

static void on_caretaker_closed(void *context)
{
    struct pw_service *service = context;

    pw_store_close(service->store, on_store_closed, service);
}

static void on_dispatch_closed(void *context)
{
    struct pw_service *service = context;

    pw_caretaker_close(service->caretaker, on_caretaker_closed, service);
}

static void close_dispatch_if_still(struct pw_service *service)
{
    if (service->open_collectors == 0 && !service->is_control_open)
        pw_dispatch_close(service->dispatch, HOOK_GRACE_MS, on_dispatch_closed, service);
}

static void on_control_closed(void *context)
{
    struct pw_service *service = context;

    service->is_control_open = false;
    close_dispatch_if_still(service);
}

void pw_serving_collector_closed(void *context)
{
    struct pw_service *service = context;

    service->open_collectors--;
    if (service->is_stopping) {
        close_dispatch_if_still(service);
        return;
    }
    pw_serving_free_old_configs(service);
    pw_serving_add_new_sources(service);
}

static void stop(struct pw_service *service)
{
    size_t count = service->collector_count;

    if (service->is_stopping)
        return;
    service->is_stopping = true;
    if (service->once && service->unswept > 0)
        service->exit_code = EX_TEMPFAIL; /* a signal came before every source was swept */
    service->collector_count = 0;
    pw_stall_stop(&service->stall); /* from here on waiting for what is under way is our work */
    pw_operator_stop(service);
    if (service->control != NULL)
        pw_control_close(service->control, on_control_closed, service);
    close_dispatch_if_still(service);
    for (size_t i = 0; i < count; i++)
        pw_collector_close(service->collectors[i], pw_serving_collector_closed, service);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct pw_service *service = handle->data;

    pw_log_notice("%s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    stop(service);
}

/* Collectors --------------------------------------------------------------------------------- */

static const struct pw_router *current_router(void *context)
{
    const struct pw_service *service = context;

    return &service->alerts->alerts->router;
}

/* So that sources whose servers hang leave connections to the others. */
static int64_t connection_share(void *context)
{
    const struct pw_service *service = context;
    int64_t share = MAX_CONNECTIONS / (int64_t)(service->collector_count + 1);

    return share > 1 ? share : 1;
}

static bool is_paused(void *context)
{
    const struct pw_service *service = context;

    return pw_caretaker_is_full(service->caretaker);
}

void pw_serving_troubled(void *context, enum pw_status status, const char *message)
{
    struct pw_service *service = context;

    pw_caretaker_trouble(service->caretaker, status, message);
}

static void on_damaged(void *context)
{
    struct pw_service *service = context;

    stop(service);
    service->exit_code = EX_IOERR;
}

static void on_cared(void *context)
{
    stop(context);
}

static void on_delivered(void *context)
{
    struct pw_service *service = context;

    if (!service->is_stopping)
        pw_caretaker_once(service->caretaker, on_cared);
}

static void on_swept(void *context, struct pw_collector *collector, enum pw_sweep_outcome outcome,
                     size_t deliveries)
{
    struct pw_service *service = context;

    if (deliveries > 0)
        pw_dispatch_poke(service->dispatch);
    pw_operator_swept(service, collector);
    pw_serving_free_old_configs(service);
    if (!service->once)
        return;
    if (outcome != PW_SWEEP_COMPLETE)
        service->exit_code = EX_TEMPFAIL;
    if (--service->unswept == 0)
        pw_dispatch_when_idle(service->dispatch, on_delivered, service);
}

static enum pw_status add_collector(struct pw_service *service,
                                    const struct pw_source_config *source, struct pw_error *err)
{
    struct pw_collector_params params = {
        .loop = &service->loop,
        .store = service->store,
        .http = service->http,
        .guard = service->guard,
        .clock = pw_clock_system(),
        .source = source,
        .context = service,
        .connection_share = connection_share,
        .router = current_router,
        .is_paused = is_paused,
        .troubled = pw_serving_troubled,
        .swept = on_swept,
    };
    struct pw_collector **collectors =
        realloc(service->collectors, (service->collector_count + 1) * sizeof(*collectors));
    enum pw_status status;

    if (collectors == NULL)
        return pw_fail_nomem(err);
    service->collectors = collectors;
    status = pw_collector_new(&params, &collectors[service->collector_count], err);
    if (status != PW_OK)
        return status;
    service->open_collectors++;
    pw_collector_start(collectors[service->collector_count++], service->once);
    return PW_OK;
}

static bool has_collector(const struct pw_service *service, const char *name)
{
    for (size_t i = 0; i < service->collector_count; i++) {
        if (strcmp(pw_collector_name(service->collectors[i]), name) == 0)
            return true;
    }
    return false;
}

void pw_serving_add_new_sources(struct pw_service *service)
{
    const struct pw_config *config = pw_serving_config(service);
    struct pw_error error;

    if (service->open_collectors != service->collector_count)
        return;
    for (size_t i = 0; i < config->source_count; i++) {
        if (!has_collector(service, config->sources[i].name) &&
            add_collector(service, &config->sources[i], &error) != PW_OK)
            pw_log_err("source %s: %s", config->sources[i].name, error.message);
    }
}

/* A problem of a reload that nobody asked for by name is in the log alone. */
static void reload(struct pw_service *service)
{
    struct pw_problems problems;

    pw_problems_init(&problems);
    (void)pw_serving_reload(service, &problems);
    pw_problems_free(&problems);
}

static void on_hup_signal(uv_signal_t *handle, int number)
{
    struct pw_service *service = handle->data;

    (void)number;
    if (service->is_stopping || service->once)
        return;
    if (service->is_started)
        reload(service);
    else
        service->wants_reload = true; /* the database is still being checked */
}

/* Start ---------------------------------------------------------------------------------------- */

static int exit_code_of(enum pw_status status)
{
    switch (status) {
    case PW_EPERM:
        return EX_NOPERM;
    case PW_ECORRUPT:
    case PW_ENOTFOUND:
    case PW_EINVAL:
        return EX_CONFIG;
    case PW_EBUSY:
    case PW_EFULL:
    case PW_ENOMEM:
        return EX_TEMPFAIL;
    default:
        return EX_IOERR;
    }
}

static void watch_signal(struct pw_service *service, uv_signal_t *handle, uv_signal_cb callback,
                         int number)
{
    (void)uv_signal_init(&service->loop, handle); /* cannot fail on a fresh loop */
    handle->data = service;
    if (uv_signal_start(handle, callback, number) != 0)
        pw_log_warning("signal %d cannot be watched", number);
}

/* A signal that came earlier was held back by the mask of main; now it is let through. */
static void watch_signals(struct pw_service *service)
{
    sigset_t held;

    watch_signal(service, &service->on_term, on_stop_signal, SIGTERM);
    watch_signal(service, &service->on_int, on_stop_signal, SIGINT);
    watch_signal(service, &service->on_hup, on_hup_signal, SIGHUP);
    pw_service_signals(&held);
    (void)pthread_sigmask(SIG_UNBLOCK, &held, NULL);
}

static enum pw_status open_caretaker(struct pw_service *service, struct pw_error *err)
{
    struct pw_caretaker_params params = {
        .loop = &service->loop,
        .store = service->store,
        .clock = pw_clock_system(),
        .retention_ms = pw_serving_config(service)->daemon.retention_ms,
        .context = service,
        .damaged = on_damaged,
    };

    return pw_caretaker_new(&params, &service->caretaker, err);
}

struct pw_hook_tools pw_serving_hook_tools(struct pw_service *service)
{
    return (struct pw_hook_tools){
        .loop = &service->loop,
        .http = service->http,
        .clock = pw_clock_system(),
    };
}

static enum pw_status open_dispatch(struct pw_service *service, struct pw_error *err)
{
    struct pw_hook_tools tools = pw_serving_hook_tools(service);

    return pw_dispatch_new(&tools, service->store, service->alerts->alerts, &service->dispatch,
                           err);
}

/* Watching goes on without the socket where it cannot be made; but where another daemon listens
 * there, somebody made a mistake. */
static enum pw_status open_control(struct pw_service *service, struct pw_error *err)
{
    const char *path = pw_serving_config(service)->daemon.control;
    struct pw_control_params params = {
        .loop = &service->loop,
        .context = service,
        .handle = pw_operator_handle,
    };
    struct pw_control_socket socket;
    enum pw_status status;

    if (path == NULL || service->once)
        return PW_OK;
    status = pw_control_socket_open(path, &socket, err);
    if (status == PW_OK)
        status = pw_control_new(&params, &socket, &service->control, err);
    service->is_control_open = status == PW_OK;
    if (status == PW_OK || status == PW_EBUSY || status == PW_ENOMEM)
        return status;
    pw_log_err("%s; the command patchwatch cannot reach this daemon", err->message);
    return PW_OK;
}

/* Everything that can be refused is opened here, before the first request is made. */
static enum pw_status open_parts(struct pw_service *service, struct pw_error *err)
{
    enum pw_status status = pw_store_open(
        &service->loop, pw_serving_config(service)->daemon.database, &service->store, err);

    if (status == PW_OK)
        status = pw_guard_new(pw_clock_system(), &service->guard, err);
    if (status == PW_OK)
        status = pw_http_new(&service->loop, MAX_CONNECTIONS, &service->http, err);
    if (status == PW_OK)
        status = open_caretaker(service, err);
    if (status == PW_OK)
        status = open_control(service, err);
    if (status == PW_OK)
        status = open_dispatch(service, err);
    return status;
}

static void ignore(void *context)
{
    (void)context;
}

static void close_parts(struct pw_service *service)
{
    if (service->control != NULL)
        pw_control_close(service->control, ignore, NULL);
    if (service->caretaker != NULL)
        pw_caretaker_close(service->caretaker, ignore, NULL);
    if (service->store != NULL)
        pw_store_close(service->store, ignore, NULL);
    if (service->http != NULL)
        pw_http_close(service->http, ignore, NULL);
}

static enum pw_status start(struct pw_service *service, struct pw_error *err)
{
    const struct pw_config *config = pw_serving_config(service);
    enum pw_status status = PW_OK;

    pw_dispatch_start(service->dispatch);
    if (!service->once)
        pw_caretaker_start(service->caretaker);
    for (size_t i = 0; i < config->source_count && status == PW_OK; i++)
        status = add_collector(service, &config->sources[i], err);
    return status;
}

/* The database can be trusted: work begins. */
static void on_checked(void *context)
{
    struct pw_service *service = context;
    struct pw_error error;
    enum pw_status status;

    service->is_started = true;
    status = start(service, &error);
    if (status != PW_OK) {
        pw_log_err("%s", error.message);
        service->exit_code = exit_code_of(status);
        stop(service);
    } else if (service->wants_reload) {
        reload(service);
    }
}

int pw_service_run(struct pw_config *config, struct pw_alerts *alerts, bool once)
{
    struct pw_service service = {.once = once, .exit_code = EX_OK};
    struct pw_error error;
    enum pw_status status;

    (void)signal(SIGPIPE, SIG_IGN); /* a peer that closes early is an error of its request */
    (void)signal(SIGCHLD,
                 SIG_DFL); /* whoever started us may ignore it: hooks' ends would be lost */
    (void)signal(SIGXFSZ, SIG_IGN); /* and a file that may not grow is one of its write */
    service.alerts = pw_alerts_use_new(alerts);
    if (service.alerts == NULL || !pw_serving_adopt_config(&service, config) ||
        uv_loop_init(&service.loop) != 0) {
        pw_log_err("out of memory");
        return EX_TEMPFAIL;
    }
    pw_stall_start(&service.stall, &service.loop);
    watch_signals(&service);
    status = open_parts(&service, &error);
    if (status != PW_OK) {
        pw_log_err("%s", error.message);
        service.exit_code = exit_code_of(status);
        close_parts(&service);
        close_signals(&service);
    } else {
        pw_log_info("patchwatchd " PW_VERSION ": %zu sources, %zu hooks, database %s",
                    config->source_count, alerts->hook_count, config->daemon.database);
        service.unswept = config->source_count;
        pw_caretaker_check(service.caretaker, on_checked);
    }
    (void)uv_run(&service.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&service.loop) != 0) {
        pw_log_err("bug: something was left on the loop");
        service.exit_code = EX_SOFTWARE;
    }
    pw_guard_free(service.guard);
    free(service.collectors);
    pw_alerts_use_release(service.alerts);
    pw_serving_free_configs(&service);
    return service.exit_code;
}

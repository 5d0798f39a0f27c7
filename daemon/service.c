/* The service, from start to end: open the store, start delivering, start one collector a source;
 * on SIGHUP swap a new configuration in whole; on SIGTERM stop in the order in which work flows. */
#include "daemon/service.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "alert/dispatch.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/caretaker.h"
#include "daemon/collector.h"
#include "daemon/stall.h"
#include "http/http.h"
#include "store/thread.h"

enum {
    MAX_CONNECTIONS = 256,
    HOOK_GRACE_MS = 1000,
};

/* A configuration that a reload replaced, or the one in use. */
struct generation {
    struct pw_config *config;
    struct generation *older;
};

struct pw_service {
    uv_loop_t loop;
    uv_signal_t on_term, on_int, on_hup;
    struct pw_stall stall;
    struct generation *configs; /* the newest is in use; running sweeps may go by older ones */
    struct pw_alerts *alerts;
    struct pw_store *store;
    struct pw_http *http;
    struct pw_guard *guard;
    struct pw_caretaker *caretaker;
    struct pw_dispatch *dispatch;
    struct pw_collector **collectors;
    size_t collector_count, open_collectors;
    bool once, is_started, is_stopping, wants_reload;
    size_t unswept; /* once: collectors that have not swept yet */
    int exit_code;
};

static struct pw_config *config_of(const struct pw_service *service)
{
    return service->configs->config;
}

static bool adopt_config(struct pw_service *service, struct pw_config *config)
{
    struct generation *generation = malloc(sizeof *generation);

    if (generation == NULL)
        return false;
    *generation = (struct generation){config, service->configs};
    service->configs = generation;
    return true;
}

static void free_configs(struct pw_service *service)
{
    while (service->configs != NULL) {
        struct generation *older = service->configs->older;

        pw_config_free(service->configs->config);
        free(service->configs);
        service->configs = older;
    }
}

void pw_service_signals(sigset_t *out)
{
    (void)sigemptyset(out);
    (void)sigaddset(out, SIGTERM);
    (void)sigaddset(out, SIGINT);
    (void)sigaddset(out, SIGHUP);
}

bool pw_service_load(const char *path, struct pw_config **config, struct pw_alerts **alerts)
{
    struct pw_problems problems;
    char *found_path = NULL;
    bool loaded;

    *config = NULL;
    *alerts = NULL;
    pw_problems_init(&problems);
    loaded = pw_config_load(path, config, &problems) == PW_OK;
    if (!loaded)
        found_path = pw_config_alerts_path(path);
    if (loaded || found_path != NULL)
        loaded = pw_alerts_load(loaded ? (*config)->daemon.alerts : found_path, alerts,
                                &problems) == PW_OK &&
                 loaded;
    free(found_path);
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    if (!loaded) {
        pw_config_free(*config);
        pw_alerts_free(*alerts);
        *config = NULL;
        *alerts = NULL;
    }
    return loaded;
}

static bool is_in(const struct pw_config *config, const struct pw_source_config *source)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (&config->sources[i] == source)
            return true;
    }
    return false;
}

/* Frees the configurations that reloads replaced, once no collector goes by one of them. */
static void free_old_configs(struct pw_service *service)
{
    struct generation *older;

    if (service->open_collectors != service->collector_count)
        return; /* one that closes may still read its own */
    for (size_t i = 0; i < service->collector_count; i++) {
        if (!pw_collector_is_settled(service->collectors[i]) ||
            !is_in(config_of(service), pw_collector_source(service->collectors[i])))
            return;
    }
    while ((older = service->configs->older) != NULL) {
        service->configs->older = older->older;
        pw_config_free(older->config);
        free(older);
    }
}

/* Stopping: collectors, then hooks, then the caretaker and the store, then the connections
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

static void close_dispatch_if_swept(struct pw_service *service)
{
    if (service->open_collectors == 0)
        pw_dispatch_close(service->dispatch, HOOK_GRACE_MS, on_dispatch_closed, service);
}

static void add_new_sources(struct pw_service *service);

static void on_collector_closed(void *context)
{
    struct pw_service *service = context;

    service->open_collectors--;
    if (service->is_stopping) {
        close_dispatch_if_swept(service);
        return;
    }
    free_old_configs(service);
    add_new_sources(service);
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
    close_dispatch_if_swept(service);
    for (size_t i = 0; i < count; i++)
        pw_collector_close(service->collectors[i], on_collector_closed, service);
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

    return &service->alerts->router;
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

static void on_troubled(void *context, enum pw_status status, const char *message)
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

    (void)collector;
    if (deliveries > 0)
        pw_dispatch_poke(service->dispatch);
    free_old_configs(service);
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
        .troubled = on_troubled,
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

/* Starts what the configuration has and no collector does yet. Not while one closes: it may be of
 * the same source, and what its last sweep commits must be in the index of the next. */
static void add_new_sources(struct pw_service *service)
{
    const struct pw_config *config = config_of(service);
    struct pw_error error;

    if (service->open_collectors != service->collector_count)
        return;
    for (size_t i = 0; i < config->source_count; i++) {
        if (!has_collector(service, config->sources[i].name) &&
            add_collector(service, &config->sources[i], &error) != PW_OK)
            pw_log_err("source %s: %s", config->sources[i].name, error.message);
    }
}

/* Reload ------------------------------------------------------------------------------------- */

static void on_alerts_released(void *context)
{
    pw_alerts_free(context);
}

static const struct pw_source_config *find_source(const struct pw_config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    }
    return NULL;
}

static void tell_what_needs_a_restart(const struct pw_config *old, const struct pw_config *new)
{
    if (strcmp(old->daemon.database, new->daemon.database) != 0)
        pw_log_warning("reload: database stays %s until a restart", old->daemon.database);
}

/* Sources come, change and go; a sweep that runs ends by its old configuration. */
static void swap_sources(struct pw_service *service)
{
    const struct pw_config *config = config_of(service);

    for (size_t i = 0; i < service->collector_count;) {
        struct pw_collector *collector = service->collectors[i];
        const struct pw_source_config *source = find_source(config, pw_collector_name(collector));

        if (source != NULL) {
            pw_collector_use(collector, source);
            i++;
            continue;
        }
        pw_log_notice("reload: source %s is gone; its history stays", pw_collector_name(collector));
        service->collectors[i] = service->collectors[--service->collector_count];
        pw_collector_close(collector, on_collector_closed, service);
    }
    add_new_sources(service);
}

static void reload(struct pw_service *service)
{
    struct pw_config *config;
    struct pw_alerts *alerts, *old = service->alerts;

    if (!pw_service_load(config_of(service)->path, &config, &alerts)) {
        pw_log_err("reload refused: the configuration in use stays");
        return;
    }
    tell_what_needs_a_restart(config_of(service), config);
    if (!adopt_config(service, config)) {
        pw_log_err("reload refused: out of memory");
        pw_config_free(config);
        pw_alerts_free(alerts);
        return;
    }
    if (pw_dispatch_use(service->dispatch, alerts, on_alerts_released, old) != PW_OK) {
        pw_log_err("reload: out of memory, the rules in use stay");
        pw_alerts_free(alerts);
    } else {
        service->alerts = alerts;
    }
    pw_log_set_level(config->daemon.log_level);
    pw_caretaker_set_retention(service->caretaker, config->daemon.retention_ms);
    swap_sources(service);
    free_old_configs(service);
    pw_log_notice("reloaded: %zu sources, %zu hooks, %zu rules", config->source_count,
                  service->alerts->hook_count, service->alerts->rule_count);
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
        .retention_ms = config_of(service)->daemon.retention_ms,
        .context = service,
        .damaged = on_damaged,
    };

    return pw_caretaker_new(&params, &service->caretaker, err);
}

static enum pw_status open_dispatch(struct pw_service *service, struct pw_error *err)
{
    struct pw_hook_tools tools = {
        .loop = &service->loop,
        .http = service->http,
        .clock = pw_clock_system(),
    };

    return pw_dispatch_new(&tools, service->store, service->alerts, &service->dispatch, err);
}

/* Everything that can be refused is opened here, before the first request is made. */
static enum pw_status open_parts(struct pw_service *service, struct pw_error *err)
{
    enum pw_status status =
        pw_store_open(&service->loop, config_of(service)->daemon.database, &service->store, err);

    if (status == PW_OK)
        status = pw_guard_new(pw_clock_system(), &service->guard, err);
    if (status == PW_OK)
        status = pw_http_new(&service->loop, MAX_CONNECTIONS, &service->http, err);
    if (status == PW_OK)
        status = open_caretaker(service, err);
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
    if (service->caretaker != NULL)
        pw_caretaker_close(service->caretaker, ignore, NULL);
    if (service->store != NULL)
        pw_store_close(service->store, ignore, NULL);
    if (service->http != NULL)
        pw_http_close(service->http, ignore, NULL);
}

static enum pw_status start(struct pw_service *service, struct pw_error *err)
{
    const struct pw_config *config = config_of(service);
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
    struct pw_service service = {.alerts = alerts, .once = once, .exit_code = EX_OK};
    struct pw_error error;
    enum pw_status status;

    (void)signal(SIGPIPE, SIG_IGN); /* a peer that closes early is an error of its request */
    (void)signal(SIGCHLD,
                 SIG_DFL); /* whoever started us may ignore it: hooks' ends would be lost */
    (void)signal(SIGXFSZ, SIG_IGN); /* and a file that may not grow is one of its write */
    if (!adopt_config(&service, config) || uv_loop_init(&service.loop) != 0) {
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
    pw_alerts_free(service.alerts);
    free_configs(&service);
    return service.exit_code;
}

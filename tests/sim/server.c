/*
 * The event loop around libmicrohttpd, the life of a request, and the table of routes (see
 * server.h).
 */
#include "server.h"

#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static const struct route api_routes[] = {
    {MHD_HTTP_METHOD_GET, "/v1/patch/instance/compliant", api_list, REALM_API},
    {MHD_HTTP_METHOD_GET, "/v1/patch/instance/compliant/", api_patches, REALM_PATCHES},
    {MHD_HTTP_METHOD_POST, "/v3/auth/tokens", iam_tokens, REALM_IAM},
    {MHD_HTTP_METHOD_PUT, "/meta-data/latest/api/token", metadata_token, REALM_METADATA},
    {MHD_HTTP_METHOD_GET, "/openstack/latest/securitykey", metadata_key, REALM_METADATA},
};

static const char control_prefix[] = "/sim/";

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void server_wait(struct request *request, int64_t delay_ms)
{
    struct server *server = request->server;
    request->wake_ms = now_ms() + delay_ms;
    request->suspended = true;
    request->next = server->waiting;
    server->waiting = request;
    MHD_suspend_connection(request->connection);
}

/* Wakes the requests whose time has come (with `all`: all of them); returns the milliseconds until
 * the next, -1 if none. */
static int64_t wake_waiting(struct server *server, bool all)
{
    int64_t now = now_ms();
    int64_t next_ms = -1;
    struct request **link = &server->waiting;
    while (*link != NULL) {
        struct request *request = *link;
        int64_t left_ms = request->wake_ms - now;
        if (all || left_ms <= 0) {
            *link = request->next;
            request->next = NULL;
            request->suspended = false;
            request->piece_due = true;
            MHD_resume_connection(request->connection);
            next_ms = 0;
        } else {
            next_ms = next_ms < 0 || left_ms < next_ms ? left_ms : next_ms;
            link = &request->next;
        }
    }
    return next_ms;
}

static void stop_waiting(struct request *request)
{
    struct request **link = &request->server->waiting;
    while (*link != NULL && *link != request) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = request->next;
    }
}

/* The path without the prefix; one that lacks it, or has it before the control's, is no path. */
static const char *bare_path(const struct server *server, const char *path)
{
    size_t len = strlen(server->path_prefix);
    if (len == 0 || strncmp(path, control_prefix, sizeof control_prefix - 1) == 0) {
        return path;
    }
    bool has_it = strncmp(path, server->path_prefix, len) == 0 && path[len] == '/' &&
                  strncmp(path + len, control_prefix, sizeof control_prefix - 1) != 0;
    return has_it ? path + len : "";
}

static bool is_of(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    if (route->path[len - 1] != '/') {
        return strcmp(route->path, path) == 0;
    }
    return strncmp(route->path, path, len) == 0 && path[len] != '\0' &&
           strchr(path + len, '/') == NULL;
}

/* The route for a path; `method_known` tells whether it may be asked for so. NULL if there is no
 * such path. */
static const struct route *find_route(const char *method, const char *path, bool *method_known)
{
    size_t control_count = 0;
    const struct route *control = control_routes(&control_count);
    const struct route *on_path = NULL;
    *method_known = false;
    for (size_t i = 0; i < control_count + sizeof api_routes / sizeof *api_routes; i++) {
        const struct route *route =
            i < control_count ? &control[i] : &api_routes[i - control_count];
        if (is_of(route, path)) {
            on_path = route;
            if (strcmp(route->method, method) == 0) {
                *method_known = true;
                return route;
            }
        }
    }
    return on_path;
}

static void count_api_request(struct request *request)
{
    struct stats *stats = &request->server->stats;
    stats->api_requests++;
    stats->api_active++;
    request->active = true;
    if (stats->api_max_concurrent < stats->api_active) {
        stats->api_max_concurrent = stats->api_active;
    }
}

static void refuse(struct request *request, unsigned status)
{
    if (request->realm == REALM_CONTROL) {
        const char *message = status == 404   ? "no such path"
                              : status == 405 ? "wrong method"
                                              : "body too large";
        answer_error(&request->answer, status, message);
    } else {
        const char *code = NULL;
        const char *message = NULL;
        api_error_for(status, &code, &message);
        answer_realm_error(&request->answer, request->realm, status, code,
                           request->realm == REALM_API || request->realm == REALM_PATCHES
                               ? message
                               : status_title(status));
    }
}

static void log_request(struct request *request)
{
    const struct answer *given = &request->answer;
    bool silent = given->wire == WIRE_RESET || given->wire == WIRE_SILENT;
    struct reqlog_entry entry = {
        .path = realm_name(request->realm),
        .status = silent ? 0 : given->status,
        .fault = given->fault,
        .auth = request->auth,
        .bytes = silent ? 0 : given->body.len,
    };
    reqlog_add(&request->server->log, entry, request_query(request));
}

static void answer(struct request *request, const char *method, const char *path)
{
    struct server *server = request->server;
    bool method_known = false;
    const struct route *route = find_route(method, bare_path(server, path), &method_known);
    bool is_control =
        route == NULL && strncmp(path, control_prefix, sizeof control_prefix - 1) == 0;
    request->method = method;
    request->rest = route != NULL ? bare_path(server, path) + strlen(route->path) : "";
    request->realm = route != NULL ? route->realm : is_control ? REALM_CONTROL : REALM_API;
    if (route != NULL && (route->realm == REALM_API || route->realm == REALM_PATCHES)) {
        count_api_request(request);
    }
    if (route == NULL) {
        refuse(request, 404);
    } else if (!method_known) {
        refuse(request, 405);
    } else if (request->too_large) {
        refuse(request, 413);
    } else {
        route->handle(server, request);
    }
    gzip_answer(request);
    if (route != NULL && route->realm != REALM_CONTROL) {
        log_request(request);
    }
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **con_cls)
{
    (void)cls;
    (void)version;
    struct request *request = *con_cls;
    request->connection = connection;
    if (!request->started) {
        request->started = true;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        request->too_large |= request->upload.len + *upload_size > UPLOAD_MAX_BYTES;
        if (!request->too_large) {
            buf_add(&request->upload, upload, *upload_size);
        }
        *upload_size = 0;
        return MHD_YES;
    }
    if (!request->answered) {
        request->answered = true;
        answer(request, method, url);
        if (request->answer.delay_ms > 0) {
            server_wait(request, request->answer.delay_ms);
            return MHD_YES;
        }
    }
    if (request->suspended) {
        return MHD_YES;
    }
    return (enum MHD_Result)wire_send(request);
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct server *server = cls;
    struct request *request = sim_calloc(1, sizeof *request);
    request->server = server;
    request->connection = connection;
    request->target = sim_strdup(target);
    server->stats.requests++;
    return request;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode reason)
{
    struct request *request = *con_cls;
    (void)cls;
    (void)connection;
    (void)reason;
    if (request != NULL) {
        stop_waiting(request);
        request->server->stats.api_active -= request->active;
        answer_free(&request->answer);
        buf_free(&request->upload);
        free(request->target);
        free(request);
        *con_cls = NULL;
    }
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *server = cls;
    (void)connection;
    (void)context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        server->stats.connections++;
        server->stats.connections_open++;
    } else {
        server->stats.connections_open--;
    }
}

static sigset_t ending_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

bool server_block_signals(void)
{
    sigset_t signals = ending_signals();
    return signal(SIGPIPE, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &signals, NULL) == 0;
}

static int poll_timeout(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms = 0;
    int64_t timeout_ms = wake_waiting(server, false);
    if (MHD_get_timeout(server->daemon, &mhd_ms) == MHD_YES &&
        (timeout_ms < 0 || mhd_ms < (MHD_UNSIGNED_LONG_LONG)timeout_ms)) {
        timeout_ms = (int64_t)mhd_ms;
    }
    return timeout_ms > 60000 ? 60000 : (int)timeout_ms;
}

static struct MHD_Daemon *start_daemon(struct server *server, int listen_fd, const struct tls *tls)
{
    /* The date is the server's own, which may be wrong on purpose. */
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {tls != NULL ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0,
         tls != NULL ? tls->cert.data : NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, tls != NULL ? tls->key.data : NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(tls != NULL ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_access,
                            server, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY,
                            items, MHD_OPTION_END);
}

bool server_run(struct server *server, int listen_fd, const struct tls *tls)
{
    sigset_t signals = ending_signals();
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0) {
        close(listen_fd);
        return false;
    }
    server->daemon = start_daemon(server, listen_fd, tls);
    const union MHD_DaemonInfo *info =
        server->daemon != NULL ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)
                               : NULL;
    if (info == NULL) {
        close(signal_fd);
        close(listen_fd);
        return false;
    }
    struct pollfd fds[2] = {
        {.fd = info->epoll_fd, .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
    };
    while ((fds[1].revents & POLLIN) == 0) {
        (void)MHD_run(server->daemon);
        (void)poll(fds, 2, poll_timeout(server));
    }
    (void)wake_waiting(server, true);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    close(signal_fd);
    return true;
}

void server_reset(struct server *server)
{
    (void)faults_clear(&server->faults, 0);
    auth_reset(&server->auth);
    iam_reset(&server->iam);
    metadata_reset(&server->metadata);
    server->clock_offset_ms = 0;
    server->gzip = false;
}

void server_free(struct server *server)
{
    server_reset(server);
    (void)reqlog_clear(&server->log);
    match_free(&server->matches);
    fleet_free(&server->fleet);
}

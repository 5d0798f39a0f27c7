/*
 * The server: one thread, one libmicrohttpd daemon, everything the handlers work on, and the
 * waiting requests.
 */
#ifndef COC_SIM_SERVER_H
#define COC_SIM_SERVER_H

#include "fault.h"
#include "reqlog.h"
#include "request.h"

struct MHD_Daemon;

struct stats {
    int64_t requests;
    int64_t api_requests;
    int64_t api_active;
    int64_t api_max_concurrent;
    int64_t connections;
    int64_t connections_open;
};

struct server {
    struct fleet fleet;
    struct match_cache matches;
    struct faults faults;
    struct reqlog log;
    struct stats stats;
    uint64_t request_ids;
    struct MHD_Daemon *daemon;
    struct request *waiting; /* suspended until their time */
};

/* Fills request->answer. */
typedef void handler(struct server *server, struct request *request);

struct route {
    const char *method;
    const char *path;
    handler *handle;
    bool is_api; /* answers errors as the API's gateway does, is counted and logged */
};

/* Blocks SIGTERM and SIGINT, which end server_run(), and ignores SIGPIPE. */
bool server_block_signals(void);
/* Serves on a listening socket, which it takes over, until SIGTERM or SIGINT.
 * False if it cannot
 * start. */
bool server_run(struct server *server, int listen_fd);
void server_free(struct server *server);

/* Suspends the request for some time; then it is handled or sent on. */
void server_wait(struct request *request, int64_t delay_ms);

/* wire.c: queues the answer or breaks the connection; the result is the access handler's (MHD_YES
 * or MHD_NO). */
int wire_send(struct request *request);

/* api.c */
void api_list(struct server *server, struct request *request);

/* control.c: the routes under /sim/. */
const struct route *control_routes(size_t *count);

#endif

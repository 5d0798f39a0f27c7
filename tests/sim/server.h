/*
 * The server: one thread, one libmicrohttpd daemon, everything the handlers work on, and the
 * waiting requests.
 */
#ifndef COC_SIM_SERVER_H
#define COC_SIM_SERVER_H

#include "auth.h"
#include "fault.h"
#include "gzip.h"
#include "iam.h"
#include "metadata.h"
#include "reqlog.h"
#include "request.h"
#include "servertime.h"

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
    struct auth auth;
    struct iam iam;
    struct metadata metadata;
    struct reqlog log;
    struct stats stats;
    int64_t clock_offset_ms; /* what the server's time is ahead of the real one */
    bool gzip;               /* bodies are encoded for clients that take it */
    const char *path_prefix; /* before every path but the control's; "" = none */
    uint64_t request_ids;
    struct MHD_Daemon *daemon;
    struct request *waiting; /* suspended until their time */
};

/* Fills request->answer. */
typedef void handler(struct server *server, struct request *request);

struct route {
    const char *method;
    const char *path; /* with a slash at its end: of everything that is one level below it */
    handler *handle;
    enum realm realm; /* how errors are answered; all but control is logged */
};

/* Blocks SIGTERM and SIGINT, which end server_run(), and ignores SIGPIPE. */
bool server_block_signals(void);
/* A certificate and its key as PEM texts, for TLS. */
struct tls {
    struct buf cert;
    struct buf key;
};

/* Serves on a listening socket, which it takes over, until SIGTERM or SIGINT; without TLS where
 * `tls` is NULL. False if it cannot start. */
bool server_run(struct server *server, int listen_fd, const struct tls *tls);
/* As at the start but for the fleet: nothing armed, nobody known, the right time. */
void server_reset(struct server *server);
void server_free(struct server *server);

/* Suspends the request for some time; then it is handled or sent on. */
void server_wait(struct request *request, int64_t delay_ms);

/* wire.c: queues the answer or breaks the connection; the result is the access handler's (MHD_YES
 * or MHD_NO). */
int wire_send(struct request *request);

/* api.c */
void api_list(struct server *server, struct request *request);
/* patches.c: request->rest names the report. */
void api_patches(struct server *server, struct request *request);

/* control.c: the routes under /sim/. */
const struct route *control_routes(size_t *count);

#endif

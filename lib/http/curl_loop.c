/* The glue between libcurl and libuv.
 *
 * libcurl says which sockets it watches (on_curl_socket) and when it wants to be called next
 * (on_curl_timer); libuv tells when that is so (on_poll, on_timer), and each time drive() lets
 * libcurl work and then collects what finished. A timeout of 0 is served by an idle handle: once
 * per turn of the loop, without the millisecond that a timer would cost each request and without
 * starving sockets. The same handle moves jobs from the queue into libcurl.
 *
 * Each watched socket has a heap context that only its close callback frees: libcurl may name the
 * same descriptor again before that, and gets a new one. */
#include "http/curl_loop.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

/* So often may a broken socket still be read: enough for what the kernel holds. */
enum { ERRORS_IN_A_ROW_MAX = 64 };
/* So long may a turn of the loop be busy with receiving, and with answers that are complete, each
 * of which may be a page to decode; the rest waits for the next turn, behind signals, timers and
 * hooks. A socket that is not read now is reported again then. */
#define BUSY_MAX_NS UINT64_C(8000000)

TAILQ_HEAD(job_list, pw_curl_job);

struct watch {
    uv_poll_t poll;
    curl_socket_t fd;
    int events;      /* what libcurl waits for */
    unsigned errors; /* in a row */
    struct pw_curl_loop *curl;
    TAILQ_ENTRY(watch) link;
};
TAILQ_HEAD(watch_list, watch);

struct pw_curl_loop {
    uv_loop_t *loop;
    CURLM *multi; /* NULL after it broke, until the next job needs one */
    uv_timer_t timer;
    uv_idle_t idle;
    uv_prepare_t turn; /* begins one; keeps no loop alive */
    bool is_due;       /* libcurl asked to be called at once */
    bool is_rest;      /* answers are left from the last turn */
    uint64_t busy_ns;  /* in this turn */
    bool is_closing;
    size_t open_handles; /* timer, idle, turn, every watch whose close callback has not run */
    size_t max_connections, active_count;
    struct job_list queue, active;
    struct watch_list watches;
    void (*closed)(void *context);
    void *closed_context;
};

static void on_idle(uv_idle_t *idle);
static void on_timer(uv_timer_t *timer);
static void drive(struct pw_curl_loop *curl, curl_socket_t fd, int events);
static bool is_over_budget(const struct pw_curl_loop *curl);

/* ---- handles ---------------------------------------------------------------------------------*/

static void handle_closed(struct pw_curl_loop *curl)
{
    void (*closed)(void *context) = curl->closed;
    void *context = curl->closed_context;

    if (--curl->open_handles > 0)
        return;
    free(curl);
    closed(context);
}

static void on_own_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct pw_curl_loop *curl = watch->curl;

    free(watch);
    handle_closed(curl);
}

static void watch_close(struct watch *watch)
{
    TAILQ_REMOVE(&watch->curl->watches, watch, link);
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *watch_new(struct pw_curl_loop *curl, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof *watch);
    int result;

    if (watch == NULL)
        return NULL;
    result = uv_poll_init(curl->loop, &watch->poll, fd);
    if (result != 0) {
        pw_log_warning("http: cannot watch socket %d: %s", fd, uv_strerror(result));
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->fd = fd;
    watch->curl = curl;
    curl->open_handles++;
    TAILQ_INSERT_TAIL(&curl->watches, watch, link);
    return watch;
}

/* ---- from libuv ------------------------------------------------------------------------------*/

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    int flags;

    if (status >= 0 && is_over_budget(watch->curl))
        return;
    /* On POLLERR libuv stops the watcher and reports UV_EBADF without events. libcurl has to hear
     * of it, or the transfer would hang until its timeout. At first it hears "readable" as well and
     * so reads what came in before the error, an answer perhaps; with the error alone it gives up
     * at once. */
    if (status >= 0) {
        watch->errors = 0;
        flags = ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    } else {
        flags = CURL_CSELECT_ERR;
        if (++watch->errors <= ERRORS_IN_A_ROW_MAX)
            flags |= CURL_CSELECT_IN;
    }
    drive(watch->curl, watch->fd, flags);
    /* The watch is still there, if closing: its close callback comes later. */
    if (status < 0 && watch->errors <= ERRORS_IN_A_ROW_MAX &&
        !uv_is_closing((uv_handle_t *)&watch->poll))
        (void)uv_poll_start(&watch->poll, watch->events, on_poll);
}

static void on_timer(uv_timer_t *timer)
{
    drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* Asks for one call of on_idle, later in this turn of the loop or in the next one. */
static void kick(struct pw_curl_loop *curl)
{
    if (!curl->is_closing)
        (void)uv_idle_start(&curl->idle, on_idle);
}

/* ---- from libcurl: no curl_multi_* function may be called here but curl_multi_assign ----------*/

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_data)
{
    struct pw_curl_loop *curl = user;
    struct watch *watch = socket_data;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            (void)curl_multi_assign(curl->multi, fd, NULL);
            watch_close(watch);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = watch_new(curl, fd);
        if (watch == NULL)
            return -1; /* ends all transfers; drive() then starts afresh */
        (void)curl_multi_assign(curl->multi, fd, watch);
    }
    watch->events =
        (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, watch->events, on_poll) == 0 ? 0 : -1;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct pw_curl_loop *curl = user;

    (void)multi;
    if (curl->is_closing)
        return 0;
    curl->is_due = timeout_ms == 0;
    if (timeout_ms > 0)
        (void)uv_timer_start(&curl->timer, on_timer, (uint64_t)timeout_ms, 0);
    else
        (void)uv_timer_stop(&curl->timer);
    if (curl->is_due)
        kick(curl);
    return 0;
}

/* ---- the multi handle ------------------------------------------------------------------------*/

static bool multi_open(struct pw_curl_loop *curl)
{
    CURLM *multi = curl_multi_init();
    long limit = (long)curl->max_connections;

    if (multi == NULL)
        return false;
    if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, curl) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, curl) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, limit) != CURLM_OK ||
        /* How many idle ones are kept; without it the number follows the running transfers. */
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, limit) != CURLM_OK) {
        (void)curl_multi_cleanup(multi);
        return false;
    }
    curl->multi = multi;
    return true;
}

/* Takes the job out of libcurl. */
static void detach(struct pw_curl_loop *curl, struct pw_curl_job *job)
{
    if (curl->multi != NULL)
        (void)curl_multi_remove_handle(curl->multi, job->easy);
    TAILQ_REMOVE(&curl->active, job, link);
    job->state = PW_CURL_IDLE;
    curl->active_count--;
    if (!TAILQ_EMPTY(&curl->queue))
        kick(curl);
}

static void multi_close(struct pw_curl_loop *curl)
{
    struct watch *watch;

    if (curl->multi != NULL)
        (void)curl_multi_cleanup(curl->multi); /* still calls on_curl_socket */
    curl->multi = NULL;
    curl->is_due = false;
    while ((watch = TAILQ_FIRST(&curl->watches)) != NULL)
        watch_close(watch);
}

/* An error of the multi interface leaves it in no known state: all transfers end, and the next one
 * gets a new multi handle. */
static void multi_broke(struct pw_curl_loop *curl, CURLMcode code)
{
    struct pw_curl_job *job;

    pw_log_warning("http: %s; %zu transfers end", curl_multi_strerror(code), curl->active_count);
    for (job = TAILQ_FIRST(&curl->active); job != NULL; job = TAILQ_NEXT(job, link))
        (void)curl_multi_remove_handle(curl->multi, job->easy);
    multi_close(curl);
    (void)uv_timer_stop(&curl->timer);
    while (curl->multi == NULL && (job = TAILQ_FIRST(&curl->active)) != NULL) {
        detach(curl, job);
        job->finished(job, CURLE_ABORTED_BY_CALLBACK);
    }
}

static void on_turn(uv_prepare_t *turn)
{
    struct pw_curl_loop *curl = turn->data;

    curl->busy_ns = 0;
}

/* Whether this turn of the loop has done enough. */
static bool is_over_budget(const struct pw_curl_loop *curl)
{
    return curl->busy_ns >= BUSY_MAX_NS;
}

/* Whatever callbacks do here (start, cancel, close), each round looks at the multi afresh. */
static void collect(struct pw_curl_loop *curl)
{
    CURLMsg *message;
    int left;

    curl->is_rest = false;
    while (curl->multi != NULL) {
        struct pw_curl_job *job = NULL;
        uint64_t started_ns = uv_hrtime();
        CURLcode code;

        if (is_over_budget(curl)) {
            curl->is_rest = true;
            kick(curl);
            return;
        }
        message = curl_multi_info_read(curl->multi, &left);
        if (message == NULL)
            return;
        code = message->data.result;
        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job) != CURLE_OK ||
            job == NULL)
            continue;
        if (!job->stays || code != CURLE_OK)
            detach(curl, job); /* message is gone after this */
        job->finished(job, code);
        curl->busy_ns += uv_hrtime() - started_ns;
    }
}

static void drive(struct pw_curl_loop *curl, curl_socket_t fd, int events)
{
    uint64_t started_ns = uv_hrtime();
    CURLMcode code;
    int running;

    if (curl->multi == NULL)
        return;
    code = curl_multi_socket_action(curl->multi, fd, events, &running);
    curl->busy_ns += uv_hrtime() - started_ns;
    collect(curl);
    if (code != CURLM_OK && curl->multi != NULL)
        multi_broke(curl, code);
}

/* ---- jobs ------------------------------------------------------------------------------------*/

static bool launch(struct pw_curl_loop *curl, struct pw_curl_job *job)
{
    if (curl->multi == NULL && !multi_open(curl))
        return false;
    if (curl_easy_setopt(job->easy, CURLOPT_PRIVATE, job) != CURLE_OK)
        return false;
    return curl_multi_add_handle(curl->multi, job->easy) == CURLM_OK;
}

static void fill(struct pw_curl_loop *curl)
{
    struct pw_curl_job *job;

    while (!curl->is_closing && curl->active_count < curl->max_connections &&
           (job = TAILQ_FIRST(&curl->queue)) != NULL) {
        CURL *easy;

        TAILQ_REMOVE(&curl->queue, job, link);
        job->state = PW_CURL_IDLE;
        easy = job->ready(job);
        if (easy == NULL)
            continue; /* the job may be gone */
        job->easy = easy;
        if (launch(curl, job)) {
            TAILQ_INSERT_TAIL(&curl->active, job, link);
            job->state = PW_CURL_ACTIVE;
            curl->active_count++;
        } else {
            job->finished(job, CURLE_OUT_OF_MEMORY);
        }
    }
}

static void on_idle(uv_idle_t *idle)
{
    struct pw_curl_loop *curl = idle->data;

    (void)uv_idle_stop(idle);
    fill(curl);
    if (curl->is_rest && curl->multi != NULL)
        collect(curl);
    if (curl->is_due) {
        curl->is_due = false;
        drive(curl, CURL_SOCKET_TIMEOUT, 0);
    }
}

void pw_curl_loop_add(struct pw_curl_loop *curl, struct pw_curl_job *job)
{
    assert(job->state == PW_CURL_IDLE && !curl->is_closing);
    job->state = PW_CURL_QUEUED;
    TAILQ_INSERT_TAIL(&curl->queue, job, link);
    if (curl->active_count < curl->max_connections)
        kick(curl);
}

void pw_curl_loop_remove(struct pw_curl_loop *curl, struct pw_curl_job *job)
{
    switch (job->state) {
    case PW_CURL_IDLE:
        break;
    case PW_CURL_QUEUED:
        TAILQ_REMOVE(&curl->queue, job, link);
        job->state = PW_CURL_IDLE;
        break;
    case PW_CURL_ACTIVE:
        detach(curl, job);
        break;
    }
}

enum pw_status pw_curl_loop_new(uv_loop_t *loop, size_t max_connections, struct pw_curl_loop **out,
                                struct pw_error *err)
{
    struct pw_curl_loop *curl = calloc(1, sizeof *curl);

    *out = NULL;
    if (curl == NULL)
        return pw_fail_nomem(err);
    curl->loop = loop;
    curl->max_connections = max_connections;
    TAILQ_INIT(&curl->queue);
    TAILQ_INIT(&curl->active);
    TAILQ_INIT(&curl->watches);
    if (!multi_open(curl)) {
        free(curl);
        return pw_fail_nomem(err);
    }
    (void)uv_timer_init(loop, &curl->timer);
    (void)uv_idle_init(loop, &curl->idle);
    (void)uv_prepare_init(loop, &curl->turn);
    (void)uv_prepare_start(&curl->turn, on_turn);
    uv_unref((uv_handle_t *)&curl->turn);
    curl->timer.data = curl->idle.data = curl->turn.data = curl;
    curl->open_handles = 3;
    *out = curl;
    return PW_OK;
}

void pw_curl_loop_close(struct pw_curl_loop *curl, void (*closed)(void *context), void *context)
{
    assert(TAILQ_EMPTY(&curl->queue) && TAILQ_EMPTY(&curl->active));
    curl->is_closing = true;
    curl->closed = closed;
    curl->closed_context = context;
    multi_close(curl);
    uv_close((uv_handle_t *)&curl->timer, on_own_closed);
    uv_close((uv_handle_t *)&curl->idle, on_own_closed);
    uv_close((uv_handle_t *)&curl->turn, on_own_closed);
}

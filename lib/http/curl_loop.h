/* libcurl's multi interface on a libuv loop: a queue of jobs, of which at most so many are in
 * libcurl at once. Internal to this room. No callback of a job ever runs inside libcurl, so jobs
 * may be added and removed, and the loop closed, from any of them. */
#ifndef PW_HTTP_CURL_LOOP_H
#define PW_HTTP_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

#include "base/error.h"

struct pw_curl_loop;

enum pw_curl_job_state { PW_CURL_IDLE = 0, PW_CURL_QUEUED, PW_CURL_ACTIVE };

/* Embed it in what transfers; zero it, then set the two callbacks. */
struct pw_curl_job {
    /* A connection is free: hand out an easy handle that is ready to go (its CURLOPT_PRIVATE is
     * ours), or NULL if the job does not want to run any more. Called on the loop, never from
     * within pw_curl_loop_add. */
    CURL *(*ready)(struct pw_curl_job *job);
    /* The transfer ended; the handle is the job's again. CURLE_ABORTED_BY_CALLBACK means that the
     * machinery broke, not the transfer. */
    void (*finished)(struct pw_curl_job *job, CURLcode code);
    /* For CURLOPT_CONNECT_ONLY: after CURLE_OK the handle stays in libcurl, and its connection
     * open, until pw_curl_loop_remove, or until finished is called again because the machinery
     * broke. */
    bool stays;
    /* The rest is the loop's. */
    enum pw_curl_job_state state;
    CURL *easy;
    TAILQ_ENTRY(pw_curl_job) link;
};

PW_MUST_CHECK enum pw_status pw_curl_loop_new(uv_loop_t *loop, size_t max_connections,
                                              struct pw_curl_loop **out, struct pw_error *err);
/* No job may be left. Closes all connections; calls closed from a close callback, after which
 * nothing of it is left on the loop. */
void pw_curl_loop_close(struct pw_curl_loop *curl, void (*closed)(void *context), void *context);

/* Puts the job at the end of the line. */
void pw_curl_loop_add(struct pw_curl_loop *curl, struct pw_curl_job *job);
/* Takes the job out wherever it is, without calling it; harmless if it is not in. */
void pw_curl_loop_remove(struct pw_curl_loop *curl, struct pw_curl_job *job);

#endif

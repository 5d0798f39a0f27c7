/* From what came in to what it is worth: the body is unpacked where it is packed, and judged.
 *
 * Unpacking begins on the loop, which is done with most bodies sooner than another thread would
 * wake up; one that turns out large goes on in the crew. Meanwhile the reply that came in is the
 * crew's, and the call may end: then its memory waits for the crew. */
#include <stddef.h>

#include "http/call.h"
#include "http/retry.h"

enum { UNPACKED_HERE_BYTES = 256 * 1024, NS_PER_MS = 1000000 };

/* ---- judging ---------------------------------------------------------------------------------*/

static void conclude_verdict(struct pw_http_call *call, enum pw_http_verdict verdict,
                             struct pw_error *err)
{
    const struct pw_http_response *response = &call->whole->response;
    enum pw_status status = PW_OK;

    if (verdict != PW_HTTP_ACCEPT) {
        if (err->status == PW_OK || err->message[0] == '\0')
            (void)pw_fail(err, PW_EREMOTE, "HTTP %ld with an answer that is no use",
                          response->status);
        status = err->status;
    }
    pw_call_conclude(call, status, verdict == PW_HTTP_RETRY, response, err);
}

/* What a whole answer is worth. */
static void weigh(struct pw_http_call *call)
{
    const struct pw_http_request *request = &call->request;
    const struct pw_http_response *response = &call->whole->response;
    struct pw_error err = {.status = PW_OK};
    enum pw_http_verdict verdict = PW_HTTP_ACCEPT;

    if (response->status < 200 || response->status > 299) {
        enum pw_status status = pw_reply_refusal(call->whole, call->url, &err);

        pw_call_conclude(call, status, pw_retry_status(response->status), response, &err);
        return;
    }
    if (request->judge != NULL)
        verdict =
            request->judge(request->context, response, call->attempts > request->retries, &err);
    if (verdict == PW_HTTP_LATER) {
        call->users++;
        if (call->state != PW_CALL_ENDED)
            pw_call_set_state(call, PW_CALL_JUDGING);
    } else if (call->state != PW_CALL_ENDED) {
        conclude_verdict(call, verdict, &err);
    }
}

void pw_http_judged(struct pw_http_call *call, enum pw_http_verdict verdict,
                    const struct pw_error *err)
{
    struct pw_error own = err != NULL ? *err : (struct pw_error){.status = PW_OK};

    if (call->state == PW_CALL_JUDGING)
        conclude_verdict(call, verdict, &own);
}

void pw_http_release(struct pw_http_call *call)
{
    pw_call_leave(call);
}

/* ---- unpacking -------------------------------------------------------------------------------*/

static void go_on(struct pw_http_call *call, enum pw_status status, bool retry,
                  const struct pw_error *err)
{
    if (status == PW_OK) {
        call->whole = call->transfer.reply;
        weigh(call);
    } else {
        pw_call_conclude(call, status, retry, NULL, err);
    }
}

static void unpacked(struct pw_http_call *call)
{
    struct pw_error err = {.status = PW_OK};
    bool retry = false;
    enum pw_status status;

    if (call->unpack.state == PW_UNPACK_MORE) { /* only its time can have stopped it */
        status = pw_transfer_late(&call->transfer, &err);
        retry = true;
    } else {
        status = pw_transfer_unpacked(&call->transfer, &call->unpack, &retry, &err);
    }
    pw_unpack_end(&call->unpack);
    go_on(call, status, retry, &err);
}

static struct pw_http_call *call_of_unpacking(struct pw_task *task)
{
    return (struct pw_http_call *)(void *)((char *)task - offsetof(struct pw_http_call, unpacking));
}

static void run_unpacking(struct pw_task *task)
{
    pw_unpack_step(&call_of_unpacking(task)->unpack, SIZE_MAX / 2);
}

static void unpacking_done(struct pw_task *task)
{
    struct pw_http_call *call = call_of_unpacking(task);

    if (call->state == PW_CALL_UNPACKING) {
        (void)uv_timer_stop(&call->timer);
        unpacked(call);
    }
    pw_call_leave(call);
}

void pw_call_stop_unpacking(struct pw_http_call *call)
{
    if (call->unpacking.state == PW_TASK_IDLE)
        return; /* it has come back, and this is its end */
    atomic_store(&call->unpack.stop, true);
    if (pw_crew_drop(&call->unpacking))
        pw_call_leave(call); /* the timer is a user still */
}

void pw_call_unpacks_too_long(struct pw_http_call *call)
{
    atomic_store(&call->unpack.stop, true);
    if (pw_crew_drop(&call->unpacking))
        unpacking_done(&call->unpacking);
}

static void unpack(struct pw_http_call *call)
{
    int64_t left_ms;

    pw_transfer_unpack_begin(&call->transfer, &call->unpack);
    pw_unpack_step(&call->unpack, UNPACKED_HERE_BYTES);
    if (call->unpack.state != PW_UNPACK_MORE) {
        unpacked(call);
        return;
    }
    pw_call_set_state(call, PW_CALL_UNPACKING);
    left_ms = pw_transfer_time_left_ms(&call->transfer) +
              (int64_t)(uv_hrtime() / NS_PER_MS - uv_now(call->http->loop)); /* of this turn */
    (void)uv_timer_start(&call->timer, pw_call_on_timer, left_ms > 1 ? (uint64_t)left_ms : 1, 0);
    call->unpacking.run = run_unpacking;
    call->unpacking.done = unpacking_done;
    call->users++;
    pw_crew_add(&call->http->crew, &call->unpacking);
}

void pw_call_on_finished(struct pw_curl_job *job, CURLcode code)
{
    struct pw_http_call *call =
        (struct pw_http_call *)(void *)((char *)job - offsetof(struct pw_http_call, job));
    struct pw_error err = {.status = PW_OK};
    bool retry = false;
    enum pw_status status = pw_transfer_finish(&call->transfer, code, &retry, &err);

    call->received_bytes += call->transfer.reply->response.received_bytes;
    if (status == PW_OK && pw_transfer_is_packed(&call->transfer))
        unpack(call);
    else
        go_on(call, status, retry, &err);
}

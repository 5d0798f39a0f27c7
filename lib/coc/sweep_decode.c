/* Large bodies: decoded by the crew of http, held against the index on the loop some records a
 * turn, and then what they needed is given back by the crew again. A page of 8 MiB would hold the
 * loop up for 40 ms, and its memory for some more.
 *
 * A decoding owns its decoder; the body is the HTTP call's, which stays until it is released. The
 * page's call may end at any moment: then the decoding is on its own and comes to its end. */
#include <stdlib.h>

#include "coc/sweeping.h"
#include "http/crew.h"

enum { RECORDS_A_TURN = 500 };

struct page_decoding {
    struct pw_task task;
    struct page_call *call; /* NULL once it has ended */
    struct pw_http_call *http_call;
    struct pw_crew *crew;
    struct pw_str body;
    bool last;
    struct pw_page_decoder *decoder; /* NULL before and after */
    struct pw_decoded decoded;
    size_t taken; /* records */
};

static struct page_decoding *decoding_of(struct pw_task *task)
{
    return (struct page_decoding *)(void *)((char *)task - offsetof(struct page_decoding, task));
}

static void end_decoding(struct page_decoding *decoding)
{
    pw_http_release(decoding->http_call);
    free(decoding);
}

/* ---- giving back -----------------------------------------------------------------------------*/

static void run_giving_back(struct pw_task *task)
{
    struct page_decoding *decoding = decoding_of(task);

    pw_page_decoder_free(decoding->decoder);
    decoding->decoder = NULL;
}

static void gave_back(struct pw_task *task)
{
    end_decoding(decoding_of(task));
}

static void give_back(struct page_decoding *decoding)
{
    decoding->task.run = run_giving_back;
    decoding->task.done = gave_back;
    pw_crew_add(decoding->crew, &decoding->task);
}

/* ---- on the loop -----------------------------------------------------------------------------*/

static void take_turn(struct pw_task *task);

static void run_nothing(struct pw_task *task)
{
    (void)task;
}

static void judge(struct page_decoding *decoding, enum pw_http_verdict verdict,
                  const struct pw_error *err)
{
    decoding->call->decoding = NULL;
    decoding->call = NULL;
    pw_http_judged(decoding->http_call, verdict, err); /* the page's call is gone after this */
    give_back(decoding);
}

static void take_some(struct page_decoding *decoding)
{
    const struct pw_page *page = &decoding->decoded.page;
    struct pw_error err = {.status = PW_OK};
    size_t from = decoding->taken;
    size_t to = page->count - from > RECORDS_A_TURN ? from + RECORDS_A_TURN : page->count;
    enum pw_http_verdict verdict = pw_sweeping_take(decoding->call, page, from, to, &err);

    if (verdict != PW_HTTP_LATER) {
        judge(decoding, verdict, &err);
        return;
    }
    decoding->taken = to;
    /* Comes back on another turn of the loop, by way of the crew's line. */
    decoding->task.run = run_nothing;
    decoding->task.done = take_turn;
    pw_crew_add(decoding->crew, &decoding->task);
}

static void take_turn(struct pw_task *task)
{
    struct page_decoding *decoding = decoding_of(task);

    if (decoding->call != NULL)
        take_some(decoding);
    else
        give_back(decoding);
}

static void was_decoded(struct pw_task *task)
{
    struct page_decoding *decoding = decoding_of(task);
    struct pw_error err = {.status = PW_OK};
    enum pw_http_verdict verdict;

    if (decoding->call == NULL)
        give_back(decoding);
    else if (pw_sweeping_accepts(decoding->call, &decoding->decoded, decoding->last, &verdict,
                                 &err))
        take_some(decoding);
    else
        judge(decoding, verdict, &err);
}

/* ---- decoding --------------------------------------------------------------------------------*/

static void run_decoding(struct pw_task *task)
{
    struct page_decoding *decoding = decoding_of(task);
    struct pw_decoded *decoded = &decoding->decoded;

    decoding->decoder = pw_page_decoder_new();
    if (decoding->decoder == NULL)
        decoded->status = pw_fail_nomem(&decoded->error);
    else
        decoded->status = pw_page_decode(decoding->decoder, decoding->body.data, decoding->body.len,
                                         &decoded->page, &decoded->api_error, &decoded->error);
}

enum pw_http_verdict pw_sweeping_decode_later(struct page_call *call,
                                              const struct pw_http_response *response, bool last,
                                              struct pw_error *err)
{
    struct page_decoding *decoding = calloc(1, sizeof *decoding);

    if (decoding == NULL) {
        (void)pw_fail_nomem(err);
        return PW_HTTP_RETRY;
    }
    decoding->call = call;
    decoding->http_call = call->http_call;
    decoding->crew = pw_http_crew(call->sweep->params.http);
    decoding->body = response->body;
    decoding->last = last;
    decoding->task.run = run_decoding;
    decoding->task.done = was_decoded;
    call->decoding = decoding;
    pw_crew_add(decoding->crew, &decoding->task);
    return PW_HTTP_LATER;
}

void pw_sweeping_forget_decoding(struct page_call *call)
{
    struct page_decoding *decoding = call->decoding;

    if (decoding == NULL)
        return;
    call->decoding = NULL;
    decoding->call = NULL;
    if (!pw_crew_drop(&decoding->task))
        return; /* at work: that comes to its end first */
    if (decoding->decoder == NULL)
        end_decoding(decoding); /* nobody had begun with it */
    else
        give_back(decoding);
}

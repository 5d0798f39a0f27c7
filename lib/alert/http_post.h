/* One attempt of a hook that speaks HTTP: one POST to each of its URLs, and what the answers mean.
 */
#ifndef PW_ALERT_HTTP_POST_H
#define PW_ALERT_HTTP_POST_H

#include "alert/hook.h"
#include "alert/http_link.h"
#include "alert/signature.h"
#include "base/buffer.h"

struct pw_http_post {
    const struct pw_hook_config *hook;    /* borrowed until done */
    const struct pw_http_link *link;      /* likewise */
    const char *content_type;             /* a constant */
    const struct pw_signature_keys *keys; /* NULL = unsigned; borrowed until done */
    char id[PW_SIGNATURE_ID_SIZE];        /* webhook-id, where it is signed */
    struct pw_buffer body;                /* taken over, whatever the status; may have failed */
    bool is_empty;                        /* nothing of this is for the receiver: delivered */
    bool is_list;                         /* several events go together */
};

/* Starts it; the outcome is
 *   2xx from any URL      PW_HOOK_DELIVERED (the others are told with the next resend)
 *   410 from all          PW_HOOK_GONE
 *   4xx but 408, 425, 429 PW_HOOK_REFUSED, as is a list whose body is too long
 *   everything else       PW_HOOK_RETRY, redirects included
 * and `why` holds for each URL its status and the beginning of its answer, without any secret.
 * Otherwise as `start` of struct pw_hook_kind. */
PW_MUST_CHECK enum pw_status pw_http_post_start(const struct pw_hook_tools *tools,
                                                struct pw_http_post *post, pw_hook_done done,
                                                void *context, struct pw_hook_run **out,
                                                struct pw_error *err);
/* As `stop` of struct pw_hook_kind. */
void pw_http_post_stop(struct pw_hook_run *run);

/* No body is longer. */
enum { PW_HTTP_POST_MAX_BYTES = 16 * 1024 * 1024 };

#endif

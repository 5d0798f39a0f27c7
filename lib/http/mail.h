/* Mail: one message handed to one SMTP server (RFC 5321), on the loop and the connections of a
 * pw_http. One attempt, no retries. TLS 1.2 or newer, always verified; AUTH PLAIN and LOGIN
 * (RFC 4954), no other. The environment (smtp_proxy, ~/.netrc …) has no say. The program must
 * ignore SIGPIPE. */
#ifndef PW_HTTP_MAIL_H
#define PW_HTTP_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/text.h"
#include "http/http.h"

enum { PW_MAIL_MAX_RECIPIENTS = 64, PW_MAIL_REPLY_BYTES = 200 };

/* What the server was last asked, or told. */
enum pw_mail_stage {
    PW_MAIL_CONNECT, /* nothing: it has not greeted us yet */
    PW_MAIL_HELLO,
    PW_MAIL_STARTTLS,
    PW_MAIL_LOGIN,
    PW_MAIL_SENDER,
    PW_MAIL_RECIPIENT,
    PW_MAIL_CONTENT
};

/* An answer of the server: code 0 = there was none. */
struct pw_mail_reply {
    int code;                       /* 250, 550 … */
    char text[PW_MAIL_REPLY_BYTES]; /* with its code, on one line, printable, no secret in it */
};

struct pw_mail_result {
    /* PW_OK: the server took the message for one recipient at least. PW_EREMOTE: it said no, see
     * reply. PW_ENETWORK, PW_EFORMAT, PW_EINVAL (ca_file), PW_ECANCELED, PW_ENOMEM. */
    enum pw_status status;
    struct pw_error error; /* for people: "550 5.7.1 …", "no connection within 10s" */
    enum pw_mail_stage stage;
    struct pw_mail_reply reply;             /* the last one */
    const struct pw_mail_reply *recipients; /* the answer to each, in their order */
};

/* All pointers must live until done was called. */
struct pw_mail_request {
    /* smtp://HOST[:PORT] or smtps://…; "/NAME" after it is the name that we give (EHLO), without it
     * that of this machine. Never with a user or password. */
    const char *url;
    bool starttls;       /* smtp only: goes on only once the connection is encrypted */
    const char *ca_file; /* pins: only what it holds is trusted; NULL = the system's CAs */
    const char *user;    /* NULL = no login. A server that offers none is tried without */
    const struct pw_secret *password;
    const char *from; /* bare address */
    const char *const *recipients;
    size_t recipient_count; /* 1 to PW_MAIL_MAX_RECIPIENTS */
    struct pw_str message;  /* RFC 5322, lines that end in CRLF; dots are doubled on the way */
    int64_t timeout_ms;     /* of all of it */
    int64_t
        connect_timeout_ms; /* name, TCP and the first TLS; 0 = 10 s, never more than timeout_ms */
    void *context;
    /* Called once, on the loop, never from within pw_mail_start. The result is borrowed. */
    void (*done)(void *context, const struct pw_mail_result *result);
};

struct pw_mail; /* one that is under way */

/* Starts it. PW_ENOMEM, PW_EINVAL (a line break in an address, no recipient, too many) or
 * PW_ECANCELED (after pw_http_close): done is not called. *out is valid until done returns. */
PW_MUST_CHECK enum pw_status pw_mail_start(struct pw_http *http,
                                           const struct pw_mail_request *request,
                                           struct pw_mail **out, struct pw_error *err);
/* Ends it early; done is called with PW_ECANCELED before this returns. */
void pw_mail_cancel(struct pw_mail *mail);

#endif

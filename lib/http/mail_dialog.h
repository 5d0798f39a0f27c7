/* What client and server said to each other: which command was answered by what, and what is to be
 * said next. Internal to this room; pure. */
#ifndef PW_HTTP_MAIL_DIALOG_H
#define PW_HTTP_MAIL_DIALOG_H

#include <stdbool.h>

#include "http/mail.h"

struct pw_mail_dialog {
    enum pw_mail_stage stage;
    bool is_whole;              /* the last answer to the stage is there */
    bool is_odd;                /* the server speaks no SMTP */
    bool has_content;           /* the message was given */
    bool is_accepted;           /* and the server took it */
    size_t asked;               /* recipients */
    struct pw_mail_reply reply; /* the last whole one */
    struct pw_mail_reply recipients[PW_MAIL_MAX_RECIPIENTS];
    char line[PW_MAIL_REPLY_BYTES]; /* the reply that comes in, its lines joined */
    size_t line_len, line_count;
    /* What the server must not get into our messages by repeating it. */
    struct pw_secret secrets[3];
};

/* user and password NULL: there is no login. PW_ENOMEM; *dialog is freed in any case. */
PW_MUST_CHECK enum pw_status pw_mail_dialog_init(struct pw_mail_dialog *dialog, const char *user,
                                                 const struct pw_secret *password,
                                                 struct pw_error *err);
void pw_mail_dialog_free(struct pw_mail_dialog *dialog);

void pw_mail_dialog_sent(struct pw_mail_dialog *dialog, struct pw_str command);
/* One line of an answer. */
void pw_mail_dialog_heard(struct pw_mail_dialog *dialog, struct pw_str line);
enum pw_mail_next { PW_MAIL_SAY, PW_MAIL_HEAR, PW_MAIL_OVER };
/* After the login: PW_MAIL_SAY appends to out what is to be sent now, the first command where
 * nothing was said yet; PW_MAIL_HEAR: an answer is to be waited for; PW_MAIL_OVER: is_accepted, or
 * reply says what is wrong. */
enum pw_mail_next pw_mail_dialog_next(struct pw_mail_dialog *dialog,
                                      const struct pw_mail_request *request, struct pw_buffer *out);
/* "the answer to RCPT": what was waited for. */
const char *pw_mail_dialog_waiting(const struct pw_mail_dialog *dialog);

#endif

/* One mail, by libcurl and by ourselves.
 *
 *   queued ──turn──▶ connecting ──CURLE_OK──▶ talking ──▶ ended
 *
 * libcurl's SMTP is no use on a loop to the end: after the message, and after QUIT, it waits for
 * the answer without returning. But with CURLOPT_CONNECT_ONLY it connects, greets, encrypts and
 * logs in as the multi interface should, and then leaves the connection to us (curl_easy_send,
 * curl_easy_recv): MAIL, RCPT, DATA and the message are ours, on a poll handle of our own.
 *
 * Every mail has a connection of its own, which ends with it. A mail is freed when its handles are
 * closed. */
#include "http/mail.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/guest.h"
#include "http/mail_dialog.h"
#include "http/retry.h"

enum {
    CONNECT_TIMEOUT_DEFAULT_MS = 10000,
    TIMEOUT_MAX_MS = 86400000,
    LINE_MAX_BYTES = 2048, /* what is longer is cut; RFC 5321 allows 512 */
    READS_A_TURN = 64      /* then the rest of the loop has its turn */
};

enum mail_state { MAIL_QUEUED, MAIL_CONNECTING, MAIL_TALKING, MAIL_ENDED };

struct pw_mail {
    struct pw_http_guest guest;
    struct pw_curl_job job;
    struct pw_mail_request request;
    struct pw_mail_dialog dialog;
    enum mail_state state;
    CURL *easy;
    uv_timer_t timer; /* the time limit while talking */
    uv_poll_t poll;   /* on a copy of the descriptor, which libcurl closes when it likes */
    int poll_fd;      /* -1 = there is no poll handle */
    int open_handles;
    struct pw_buffer out; /* being sent */
    size_t out_done;
    char line[LINE_MAX_BYTES]; /* being received */
    size_t line_len;
    int64_t connect_timeout_ms;
    uint64_t begun_ms; /* on the loop's clock */
    char error_text[CURL_ERROR_SIZE];
};

static void set_state(struct pw_mail *mail, enum mail_state state)
{
    static const char *const names[] = {"queued", "connecting", "talking", "ended"};

    assert(state == MAIL_ENDED ? mail->state != MAIL_ENDED : state == mail->state + 1);
    pw_log_debug("mail by %s: %s -> %s", mail->request.url, names[mail->state], names[state]);
    mail->state = state;
}

static void mail_free(struct pw_mail *mail)
{
    curl_easy_cleanup(mail->easy);
    pw_buffer_free(&mail->out);
    pw_mail_dialog_free(&mail->dialog);
    free(mail);
}

/* ---- from within libcurl ---------------------------------------------------------------------*/

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_line(char *data, size_t size, size_t count, void *user)
{
    struct pw_mail *mail = user;

    pw_mail_dialog_heard(&mail->dialog, (struct pw_str){data, size * count});
    return size * count;
}

/* libcurl shows the commands that it sends to nobody else. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t len, void *user)
{
    struct pw_mail *mail = user;

    (void)easy;
    if (type == CURLINFO_HEADER_OUT && mail->state == MAIL_CONNECTING)
        pw_mail_dialog_sent(&mail->dialog, (struct pw_str){data, len});
    return 0;
}

/* ---- the connection --------------------------------------------------------------------------*/

#define SET(option, value)                                                                         \
    code = code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_##option, value)

static CURLcode set_options(struct pw_mail *mail, CURL *easy)
{
    const struct pw_mail_request *request = &mail->request;
    CURLcode code = CURLE_OK;

    SET(URL, request->url);
    SET(PROTOCOLS_STR, "smtp,smtps");
    SET(PROXY, "");
    SET(NOPROXY, "");
    SET(NETRC, (long)CURL_NETRC_IGNORED);
    SET(USE_SSL, (long)(request->starttls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (request->ca_file != NULL) {
        SET(CAINFO, request->ca_file);
        SET(CAPATH, NULL); /* Debian's libcurl would go on trusting /etc/ssl/certs */
        SET(CA_CACHE_TIMEOUT, 0L);
    }
    if (request->user != NULL) {
        SET(USERNAME, request->user);
        SET(PASSWORD, request->password != NULL ? request->password->data : "");
        SET(LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
    }
    SET(CONNECT_ONLY, 1L);
    SET(FRESH_CONNECT, 1L);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L);
    SET(TIMEOUT_MS, (long)request->timeout_ms);
    SET(CONNECTTIMEOUT_MS, (long)mail->connect_timeout_ms);
    SET(OPENSOCKETFUNCTION, on_open_socket);
    SET(HEADERFUNCTION, on_line);
    SET(HEADERDATA, mail);
    SET(VERBOSE, 1L);
    SET(DEBUGFUNCTION, on_debug);
    SET(DEBUGDATA, mail);
    SET(ERRORBUFFER, mail->error_text);
    return code;
}

/* ---- how it ended ----------------------------------------------------------------------------*/

static enum pw_status timed_out(const struct pw_mail *mail, struct pw_error *err)
{
    curl_off_t connect_us = 0;
    char text[32];

    (void)curl_easy_getinfo(mail->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    if (connect_us == 0)
        return pw_fail(err, PW_ENETWORK, "no connection within %s",
                       pw_duration_text(text, sizeof text, mail->connect_timeout_ms));
    return pw_fail(err, PW_ENETWORK, "timed out after %s, waiting for %s",
                   pw_duration_text(text, sizeof text,
                                    mail->connect_timeout_ms < mail->request.timeout_ms &&
                                            mail->state == MAIL_CONNECTING
                                        ? mail->connect_timeout_ms
                                        : mail->request.timeout_ms),
                   pw_mail_dialog_waiting(&mail->dialog));
}

/* Why there is no connection to talk on. */
static enum pw_status judge(const struct pw_mail *mail, CURLcode code, struct pw_error *err)
{
    const struct pw_mail_dialog *dialog = &mail->dialog;
    char text[CURL_ERROR_SIZE];
    enum pw_status status;
    bool retry;

    if (code == CURLE_OUT_OF_MEMORY)
        return pw_fail_nomem(err);
    if (dialog->is_whole && dialog->reply.code >= 400)
        return pw_fail(err, PW_EREMOTE, "%s", dialog->reply.text);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return timed_out(mail, err);
    if (code == CURLE_USE_SSL_FAILED)
        return pw_fail(err, PW_ENETWORK, "the server offers no STARTTLS");
    if (code == CURLE_LOGIN_DENIED && dialog->stage != PW_MAIL_LOGIN)
        return pw_fail(err, PW_EREMOTE, "the server offers neither AUTH PLAIN nor AUTH LOGIN");
    status = pw_retry_code(code, &retry);
    if (status == PW_OK || code == CURLE_ABORTED_BY_CALLBACK)
        return pw_fail(err, PW_ENETWORK, "the connection was lost to an error of our own");
    if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING)
        return pw_fail(err, PW_ENETWORK, "the connection broke, waiting for %s",
                       pw_mail_dialog_waiting(dialog));
    return pw_fail(err, status, "%s",
                   mail->error_text[0] != '\0'
                       ? pw_text_printable(text, sizeof text, pw_str_of(mail->error_text))
                       : curl_easy_strerror(code));
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_mail *mail = handle->data;
    struct pw_http_guest guest;

    if (--mail->open_handles > 0)
        return;
    if (mail->poll_fd >= 0)
        (void)close(mail->poll_fd);
    guest = mail->guest;
    mail_free(mail);
    pw_http_forget(&guest);
}

/* The one way out. */
static void end(struct pw_mail *mail, enum pw_status status, const struct pw_error *err)
{
    struct pw_mail_result result = {
        .status = status,
        .error = *err,
        .stage = mail->dialog.stage,
        .reply = mail->dialog.reply,
        .recipients = mail->dialog.recipients,
    };

    set_state(mail, MAIL_ENDED);
    (void)uv_timer_stop(&mail->timer);
    if (mail->poll_fd >= 0)
        (void)uv_poll_stop(&mail->poll);
    pw_curl_loop_remove(mail->guest.curl, &mail->job);
    pw_http_leave(&mail->guest);
    mail->request.done(mail->request.context, &result);
    mail->open_handles = mail->poll_fd >= 0 ? 2 : 1;
    uv_close((uv_handle_t *)&mail->timer, on_closed);
    if (mail->poll_fd >= 0)
        uv_close((uv_handle_t *)&mail->poll, on_closed);
}

static void broke(struct pw_mail *mail)
{
    struct pw_error err;
    enum pw_status status = pw_fail(&err, PW_ENETWORK, "the connection broke, waiting for %s",
                                    pw_mail_dialog_waiting(&mail->dialog));

    end(mail, status, &err);
}

/* ---- the talk --------------------------------------------------------------------------------*/

static void conclude(struct pw_mail *mail)
{
    struct pw_error err = {.status = PW_OK};
    enum pw_status status = PW_OK;
    size_t sent;

    if (!mail->dialog.is_accepted && mail->dialog.reply.code >= 400)
        status = pw_fail(&err, PW_EREMOTE, "%s", mail->dialog.reply.text);
    else if (!mail->dialog.is_accepted)
        status = pw_fail(&err, PW_EFORMAT, "it answers \"%s\", in place of %s",
                         mail->dialog.reply.text, pw_mail_dialog_waiting(&mail->dialog));
    /* What it answers is of no use to anyone. */
    (void)curl_easy_send(mail->easy, "QUIT\r\n", 6, &sent);
    end(mail, status, &err);
}

/* Takes in what is there. False where that was the end of it. */
static bool hear(struct pw_mail *mail)
{
    char data[LINE_MAX_BYTES];
    size_t len = 0;

    for (int i = 0; i < READS_A_TURN; i++) {
        CURLcode code = curl_easy_recv(mail->easy, data, sizeof data, &len);

        if (code == CURLE_AGAIN)
            return true;
        if (code != CURLE_OK || len == 0) {
            broke(mail);
            return false;
        }
        for (size_t j = 0; j < len; j++) {
            if (mail->line_len < sizeof mail->line)
                mail->line[mail->line_len++] = data[j];
            if (data[j] != '\n')
                continue;
            if (!mail->dialog.is_whole) /* nobody asked for more */
                pw_mail_dialog_heard(&mail->dialog, (struct pw_str){mail->line, mail->line_len});
            mail->line_len = 0;
        }
    }
    return true;
}

/* Sends what is left. False where that was the end of it. */
static bool tell(struct pw_mail *mail)
{
    while (mail->out_done < mail->out.len) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(mail->easy, mail->out.data + mail->out_done,
                                       mail->out.len - mail->out_done, &sent);

        if (code == CURLE_AGAIN)
            return true;
        if (code != CURLE_OK) {
            broke(mail);
            return false;
        }
        mail->out_done += sent;
    }
    return true;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* As far as it goes without waiting. */
static void talk(struct pw_mail *mail)
{
    struct pw_error err;

    for (;;) {
        enum pw_mail_next next;

        if (!tell(mail))
            return;
        if (mail->out_done < mail->out.len)
            break;
        if (!hear(mail))
            return;
        if (mail->dialog.is_odd) {
            end(mail, pw_fail(&err, PW_EFORMAT, "what the server says is no SMTP"), &err);
            return;
        }
        pw_buffer_clear(&mail->out);
        mail->out_done = 0;
        next = pw_mail_dialog_next(&mail->dialog, &mail->request, &mail->out);
        if (mail->out.failed != PW_OK) {
            end(mail, pw_fail_nomem(&err), &err);
            return;
        }
        if (next == PW_MAIL_OVER) {
            conclude(mail);
            return;
        }
        if (next == PW_MAIL_HEAR)
            break;
    }
    if (uv_poll_start(&mail->poll, mail->out.len > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                      on_poll) != 0)
        broke(mail);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status; /* sending and receiving say what is wrong */
    (void)events;
    (void)uv_poll_stop(poll);
    talk(poll->data);
}

static void on_timeout(uv_timer_t *timer)
{
    struct pw_mail *mail = timer->data;
    struct pw_error err;
    enum pw_status status = timed_out(mail, &err);

    end(mail, status, &err);
}

/* The connection is ours now. */
static void begin_talk(struct pw_mail *mail)
{
    uint64_t passed_ms = uv_now(mail->guest.loop) - mail->begun_ms;
    uint64_t limit_ms = (uint64_t)mail->request.timeout_ms;
    curl_socket_t fd = CURL_SOCKET_BAD;

    set_state(mail, MAIL_TALKING);
    mail->dialog.is_odd = false; /* libcurl took it */
    (void)curl_easy_getinfo(mail->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd != CURL_SOCKET_BAD)
        mail->poll_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (mail->poll_fd >= 0 && uv_poll_init(mail->guest.loop, &mail->poll, mail->poll_fd) != 0) {
        (void)close(mail->poll_fd);
        mail->poll_fd = -1;
    }
    if (mail->poll_fd < 0) {
        broke(mail);
        return;
    }
    mail->poll.data = mail;
    (void)uv_timer_start(&mail->timer, on_timeout, passed_ms < limit_ms ? limit_ms - passed_ms : 0,
                         0);
    talk(mail);
}

/* ---- the job ---------------------------------------------------------------------------------*/

static struct pw_mail *mail_of_job(struct pw_curl_job *job)
{
    return (struct pw_mail *)(void *)((char *)job - offsetof(struct pw_mail, job));
}

static CURL *on_ready(struct pw_curl_job *job)
{
    struct pw_mail *mail = mail_of_job(job);
    struct pw_error err = {.status = PW_OK};
    CURLcode code;

    set_state(mail, MAIL_CONNECTING);
    mail->begun_ms = uv_now(mail->guest.loop);
    code = set_options(mail, mail->easy);
    if (code == CURLE_OK)
        return mail->easy;
    if (code == CURLE_OUT_OF_MEMORY)
        (void)pw_fail_nomem(&err);
    else
        (void)pw_fail(&err, PW_EINVAL, "libcurl refuses an option: %s", curl_easy_strerror(code));
    end(mail, err.status, &err);
    return NULL;
}

static void on_finished(struct pw_curl_job *job, CURLcode code)
{
    struct pw_mail *mail = mail_of_job(job);
    struct pw_error err = {.status = PW_OK};

    if (code == CURLE_OK)
        begin_talk(mail);
    else
        end(mail, judge(mail, code, &err), &err);
}

void pw_mail_cancel(struct pw_mail *mail)
{
    struct pw_error err = {.status = PW_OK};

    if (mail == NULL || mail->state == MAIL_ENDED)
        return;
    (void)pw_fail(&err, PW_ECANCELED, "canceled");
    end(mail, PW_ECANCELED, &err);
}

static void on_cancel(struct pw_http_guest *guest)
{
    pw_mail_cancel((struct pw_mail *)(void *)((char *)guest - offsetof(struct pw_mail, guest)));
}

/* ---- the start -------------------------------------------------------------------------------*/

static bool is_bad_word(const char *word)
{
    return word == NULL || word[0] == '\0' || strpbrk(word, "\r\n<> ") != NULL;
}

static enum pw_status check_request(const struct pw_mail_request *request, struct pw_error *err)
{
    if (request->recipient_count < 1 || request->recipient_count > PW_MAIL_MAX_RECIPIENTS)
        return pw_fail(err, PW_EINVAL, "recipients must be 1 to %d", PW_MAIL_MAX_RECIPIENTS);
    if (is_bad_word(request->from))
        return pw_fail(err, PW_EINVAL, "the sender is no bare address");
    for (size_t i = 0; i < request->recipient_count; i++) {
        if (is_bad_word(request->recipients[i]))
            return pw_fail(err, PW_EINVAL, "a recipient is no bare address");
    }
    return PW_OK;
}

static void set_limits(struct pw_mail *mail)
{
    struct pw_mail_request *request = &mail->request;

    if (request->timeout_ms < 1 || request->timeout_ms > TIMEOUT_MAX_MS)
        request->timeout_ms = TIMEOUT_MAX_MS;
    mail->connect_timeout_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS;
    if (mail->connect_timeout_ms > request->timeout_ms)
        mail->connect_timeout_ms = request->timeout_ms;
    /* Every byte of the message may be a dot. */
    pw_buffer_init(&mail->out, 2 * request->message.len + 4096);
}

enum pw_status pw_mail_start(struct pw_http *http, const struct pw_mail_request *request,
                             struct pw_mail **out, struct pw_error *err)
{
    enum pw_status status = check_request(request, err);
    struct pw_mail *mail;

    *out = NULL;
    if (status != PW_OK)
        return status;
    mail = calloc(1, sizeof *mail);
    if (mail == NULL)
        return pw_fail_nomem(err);
    mail->request = *request;
    mail->poll_fd = -1;
    set_limits(mail);
    status = pw_mail_dialog_init(&mail->dialog, request->user, request->password, err);
    if (status != PW_OK)
        goto fail;
    mail->easy = curl_easy_init();
    if (mail->easy == NULL) {
        status = pw_fail_nomem(err);
        goto fail;
    }
    mail->guest.cancel = on_cancel;
    if (!pw_http_admit(http, &mail->guest)) {
        status = pw_fail(err, PW_ECANCELED, "no mail is sent while shutting down");
        goto fail;
    }
    (void)uv_timer_init(mail->guest.loop, &mail->timer);
    mail->timer.data = mail;
    mail->job.ready = on_ready;
    mail->job.finished = on_finished;
    mail->job.stays = true;
    pw_curl_loop_add(mail->guest.curl, &mail->job);
    *out = mail;
    return PW_OK;
fail:
    mail_free(mail);
    return status;
}

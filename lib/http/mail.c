/* One mail on libcurl's SMTP.
 *
 * Every mail has a connection of its own, which ends with it. At the end libcurl says QUIT and
 * waits for the answer without returning to the loop, for two minutes where the server is silent.
 * So once QUIT is on its way we tell the kernel that nothing more is to be read: the wait ends at
 * once. libcurl shows the commands that it sends to its debug function only.
 *
 * A mail owns its easy handle and its dialog; it is freed when `done` has returned, for it has no
 * handle of the loop's. */
#include "http/mail.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "http/guest.h"
#include "http/mail_dialog.h"
#include "http/retry.h"

enum { CONNECT_TIMEOUT_DEFAULT_MS = 10000, TIMEOUT_MAX_MS = 86400000 };

struct pw_mail {
    struct pw_http *http;
    struct pw_http_guest guest;
    struct pw_curl_loop *curl;
    struct pw_curl_job job;
    struct pw_mail_request request;
    struct pw_mail_dialog dialog;
    CURL *easy;
    struct curl_slist *recipients;
    size_t sent_bytes; /* of the message */
    int64_t connect_timeout_ms;
    curl_socket_t socket;
    bool has_ended;
    char error_text[CURL_ERROR_SIZE];
};

static void mail_free(struct pw_mail *mail)
{
    curl_easy_cleanup(mail->easy);
    curl_slist_free_all(mail->recipients);
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

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
    struct pw_mail *mail = user;
    struct pw_str message = mail->request.message;
    size_t len = message.len - mail->sent_bytes, room = size * count;

    if (len > room)
        len = room;
    memcpy(out, message.data + mail->sent_bytes, len);
    mail->sent_bytes += len;
    if (mail->sent_bytes == message.len)
        mail->dialog.has_content = true;
    return len;
}

static size_t on_line(char *data, size_t size, size_t count, void *user)
{
    struct pw_mail *mail = user;

    if (mail->socket == CURL_SOCKET_BAD)
        (void)curl_easy_getinfo(mail->easy, CURLINFO_ACTIVESOCKET, &mail->socket);
    pw_mail_dialog_heard(&mail->dialog, (struct pw_str){data, size * count});
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    (void)user;
    return size * count; /* there is none */
}

static int on_debug(CURL *easy, curl_infotype type, char *data, size_t len, void *user)
{
    struct pw_mail *mail = user;
    bool was_quitting = mail->dialog.is_quitting;

    (void)easy;
    if (type != CURLINFO_HEADER_OUT)
        return 0;
    pw_mail_dialog_sent(&mail->dialog, (struct pw_str){data, len});
    if (mail->dialog.is_quitting && !was_quitting && mail->socket != CURL_SOCKET_BAD)
        (void)shutdown(mail->socket, SHUT_RD);
    return 0;
}

/* ---- one transfer ----------------------------------------------------------------------------*/

#define SET(option, value)                                                                         \
    code = code != CURLE_OK ? code : curl_easy_setopt(easy, CURLOPT_##option, value)

static CURLcode set_session(struct pw_mail *mail, CURL *easy)
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
    SET(FRESH_CONNECT, 1L);
    SET(FORBID_REUSE, 1L);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L);
    SET(TIMEOUT_MS, (long)request->timeout_ms);
    SET(CONNECTTIMEOUT_MS, (long)mail->connect_timeout_ms);
    SET(OPENSOCKETFUNCTION, on_open_socket);
    return code;
}

static CURLcode set_message(struct pw_mail *mail, CURL *easy)
{
    const struct pw_mail_request *request = &mail->request;
    CURLcode code = CURLE_OK;

    SET(MAIL_FROM, request->from);
    SET(MAIL_RCPT, mail->recipients);
    SET(MAIL_RCPT_ALLLOWFAILS, 1L); /* spelled so until 8.2 */
    SET(UPLOAD, 1L);
    SET(READFUNCTION, on_read);
    SET(READDATA, mail);
    SET(INFILESIZE_LARGE, (curl_off_t)request->message.len);
    SET(HEADERFUNCTION, on_line);
    SET(HEADERDATA, mail);
    SET(WRITEFUNCTION, on_body);
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
                   pw_duration_text(text, sizeof text, mail->request.timeout_ms),
                   pw_mail_dialog_waiting(&mail->dialog));
}

static enum pw_status judge(const struct pw_mail *mail, CURLcode code, struct pw_error *err)
{
    const struct pw_mail_dialog *dialog = &mail->dialog;
    char text[CURL_ERROR_SIZE];
    enum pw_status status;
    bool retry;

    if (dialog->is_accepted) /* whatever befell the goodbye */
        return PW_OK;
    if (code == CURLE_OUT_OF_MEMORY)
        return pw_fail_nomem(err);
    if (dialog->is_whole && dialog->reply.code >= 400)
        return pw_fail(err, PW_EREMOTE, "%s", dialog->reply.text);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return timed_out(mail, err);
    if (code == CURLE_USE_SSL_FAILED)
        return pw_fail(err, PW_ENETWORK, "the server offers no STARTTLS");
    if (code == CURLE_LOGIN_DENIED && dialog->stage != PW_MAIL_LOGIN)
        return pw_fail(err, PW_EREMOTE, "the server offers neither AUTH PLAIN nor LOGIN");
    status = pw_retry_code(code, &retry);
    if (status == PW_OK || code == CURLE_ABORTED_BY_CALLBACK)
        return pw_fail(err, PW_ENETWORK, "the transfer was lost to an error of our own");
    if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING)
        return pw_fail(err, PW_ENETWORK, "the connection broke, waiting for %s",
                       pw_mail_dialog_waiting(dialog));
    return pw_fail(err, status, "%s",
                   mail->error_text[0] != '\0'
                       ? pw_text_printable(text, sizeof text, pw_str_of(mail->error_text))
                       : curl_easy_strerror(code));
}

/* The one way out; frees it. */
static void end(struct pw_mail *mail, enum pw_status status, const struct pw_error *err)
{
    struct pw_mail_result result = {
        .status = status,
        .error = *err,
        .stage = mail->dialog.stage,
        .reply = mail->dialog.reply,
        .recipients = mail->dialog.recipients,
    };

    assert(!mail->has_ended);
    mail->has_ended = true;
    pw_curl_loop_remove(mail->curl, &mail->job);
    pw_http_leave(mail->http, &mail->guest);
    mail->request.done(mail->request.context, &result);
    mail_free(mail);
}

static struct pw_mail *mail_of_job(struct pw_curl_job *job)
{
    return (struct pw_mail *)(void *)((char *)job - offsetof(struct pw_mail, job));
}

static CURL *on_ready(struct pw_curl_job *job)
{
    struct pw_mail *mail = mail_of_job(job);
    struct pw_error err = {.status = PW_OK};
    CURLcode code = set_session(mail, mail->easy);

    if (code == CURLE_OK)
        code = set_message(mail, mail->easy);
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
    enum pw_status status = judge(mail, code, &err);

    end(mail, status, &err);
}

void pw_mail_cancel(struct pw_mail *mail)
{
    struct pw_error err = {.status = PW_OK};

    if (mail == NULL || mail->has_ended)
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

static enum pw_status take_recipients(struct pw_mail *mail, struct pw_error *err)
{
    const struct pw_mail_request *request = &mail->request;

    if (request->recipient_count < 1 || request->recipient_count > PW_MAIL_MAX_RECIPIENTS)
        return pw_fail(err, PW_EINVAL, "recipients must be 1 to %d", PW_MAIL_MAX_RECIPIENTS);
    if (is_bad_word(request->from))
        return pw_fail(err, PW_EINVAL, "the sender is no bare address");
    for (size_t i = 0; i < request->recipient_count; i++) {
        struct curl_slist *longer;

        if (is_bad_word(request->recipients[i]))
            return pw_fail(err, PW_EINVAL, "a recipient is no bare address");
        longer = curl_slist_append(mail->recipients, request->recipients[i]);
        if (longer == NULL)
            return pw_fail_nomem(err);
        mail->recipients = longer;
    }
    return PW_OK;
}

enum pw_status pw_mail_start(struct pw_http *http, const struct pw_mail_request *request,
                             struct pw_mail **out, struct pw_error *err)
{
    struct pw_mail *mail = calloc(1, sizeof *mail);
    enum pw_status status;

    *out = NULL;
    if (mail == NULL)
        return pw_fail_nomem(err);
    mail->request = *request;
    mail->socket = CURL_SOCKET_BAD;
    if (mail->request.timeout_ms < 1 || mail->request.timeout_ms > TIMEOUT_MAX_MS)
        mail->request.timeout_ms = TIMEOUT_MAX_MS;
    mail->connect_timeout_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS;
    if (mail->connect_timeout_ms > mail->request.timeout_ms)
        mail->connect_timeout_ms = mail->request.timeout_ms;
    status = take_recipients(mail, err);
    if (status == PW_OK)
        status = pw_mail_dialog_init(&mail->dialog, request->user, request->password, err);
    if (status != PW_OK)
        goto fail;
    mail->easy = curl_easy_init();
    if (mail->easy == NULL) {
        status = pw_fail_nomem(err);
        goto fail;
    }
    mail->http = http;
    mail->guest.cancel = on_cancel;
    mail->curl = pw_http_admit(http, &mail->guest);
    if (mail->curl == NULL) {
        status = pw_fail(err, PW_ECANCELED, "no mail is sent while shutting down");
        goto fail;
    }
    mail->job.ready = on_ready;
    mail->job.finished = on_finished;
    pw_curl_loop_add(mail->curl, &mail->job);
    *out = mail;
    return PW_OK;
fail:
    mail_free(mail);
    return status;
}

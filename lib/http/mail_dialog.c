/* Follows an SMTP session by the commands and replies that libcurl lets us see (RFC 5321, 4.2). */
#include "http/mail_dialog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SECRET_PLAIN, SECRET_LOGIN, SECRET_PASSWORD };
enum { REPLY_MAX_LINES = 256 };

/* A secret that is the Base64 of text (RFC 4648). */
static enum pw_status encode(struct pw_secret *out, struct pw_str text, struct pw_error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct pw_buffer over;
    enum pw_status status = pw_secret_write(out, text.len / 3 * 4 + 5, &over, err);

    if (status != PW_OK)
        return status;
    for (size_t i = 0; i < text.len; i += 3) {
        unsigned long bits = 0;
        size_t have = text.len - i < 3 ? text.len - i : 3;
        char four[4];

        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < have ? (unsigned char)text.data[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            four[j] = j <= have ? digits[bits >> (18 - 6 * j) & 63] : '=';
        (void)pw_buffer_append(&over, four, sizeof four);
    }
    return pw_secret_written(out, &over) == PW_OK ? PW_OK : pw_fail_nomem(err);
}

/* What AUTH PLAIN says: NUL user NUL password (RFC 4616). */
static enum pw_status plain(struct pw_secret *out, const char *user,
                            const struct pw_secret *password, struct pw_error *err)
{
    struct pw_secret words = {NULL, 0, 0};
    struct pw_buffer over;
    enum pw_status status = pw_secret_write(&words, strlen(user) + password->len + 3, &over, err);

    if (status == PW_OK) {
        (void)pw_buffer_append(&over, "", 1);
        (void)pw_buffer_append(&over, user, strlen(user) + 1);
        (void)pw_buffer_append_str(&over, pw_secret_str(password));
        status = pw_secret_written(&words, &over) == PW_OK ? PW_OK : pw_fail_nomem(err);
    }
    if (status == PW_OK)
        status = encode(out, pw_secret_str(&words), err);
    pw_secret_clear(&words);
    return status;
}

enum pw_status pw_mail_dialog_init(struct pw_mail_dialog *dialog, const char *user,
                                   const struct pw_secret *password, struct pw_error *err)
{
    enum pw_status status;

    memset(dialog, 0, sizeof *dialog);
    if (user == NULL || password == NULL)
        return PW_OK;
    status = plain(&dialog->secrets[SECRET_PLAIN], user, password, err);
    if (status == PW_OK)
        status = encode(&dialog->secrets[SECRET_LOGIN], pw_secret_str(password), err);
    if (status == PW_OK)
        status = pw_secret_set(&dialog->secrets[SECRET_PASSWORD], pw_secret_str(password), err);
    return status;
}

void pw_mail_dialog_free(struct pw_mail_dialog *dialog)
{
    for (size_t i = 0; i < sizeof dialog->secrets / sizeof dialog->secrets[0]; i++)
        pw_secret_clear(&dialog->secrets[i]);
}

static bool begins(struct pw_str command, const char *verb)
{
    size_t len = strlen(verb);

    return command.len >= len && strncasecmp(command.data, verb, len) == 0 &&
           (command.len == len || !isalnum((unsigned char)command.data[len]));
}

void pw_mail_dialog_sent(struct pw_mail_dialog *dialog, struct pw_str command)
{
    static const struct {
        const char *verb;
        enum pw_mail_stage stage;
    } verbs[] = {
        {"EHLO", PW_MAIL_HELLO},   {"HELO", PW_MAIL_HELLO},  {"STARTTLS", PW_MAIL_STARTTLS},
        {"AUTH", PW_MAIL_LOGIN},   {"MAIL", PW_MAIL_SENDER}, {"RCPT", PW_MAIL_RECIPIENT},
        {"DATA", PW_MAIL_CONTENT},
    };

    dialog->line_len = dialog->line_count = 0;
    if (dialog->stage == PW_MAIL_LOGIN && dialog->is_whole && dialog->reply.code == 334) {
        dialog->is_whole = false; /* a name or a password, whatever it looks like */
        return;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (!begins(command, verbs[i].verb))
            continue;
        dialog->stage = verbs[i].stage;
        dialog->is_whole = false;
        if (dialog->stage == PW_MAIL_RECIPIENT)
            dialog->asked++;
    }
}

/* The text of a line goes behind that of the lines before it; only the first keeps its code. */
static void join(struct pw_mail_dialog *dialog, struct pw_str line)
{
    size_t room = sizeof dialog->line - 1 - dialog->line_len;

    while (line.len > 0 && strchr("\r\n \t", line.data[line.len - 1]) != NULL)
        line.len--;
    if (dialog->line_len > 0) {
        size_t skip = line.len > 4 ? 4 : line.len;

        line.data += skip;
        line.len -= skip;
        if (line.len > 0 && room > 0) {
            dialog->line[dialog->line_len++] = ' ';
            room--;
        }
    }
    if (line.len > room)
        line.len = room;
    memcpy(dialog->line + dialog->line_len, line.data, line.len);
    if (dialog->line_len == 0 && line.len > 3)
        dialog->line[3] = ' ';
    dialog->line_len += line.len;
    dialog->line[dialog->line_len] = '\0';
}

static bool is_digits(struct pw_str line)
{
    return line.len >= 3 && isdigit((unsigned char)line.data[0]) &&
           isdigit((unsigned char)line.data[1]) && isdigit((unsigned char)line.data[2]);
}

void pw_mail_dialog_heard(struct pw_mail_dialog *dialog, struct pw_str line)
{
    struct pw_mail_reply *reply = &dialog->reply;

    if (!is_digits(line) || ++dialog->line_count > REPLY_MAX_LINES) {
        dialog->is_odd = true;
        return;
    }
    join(dialog, line);
    if (line.len > 3 && line.data[3] == '-') /* more lines follow */
        return;
    reply->code = (line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 + (line.data[2] - '0');
    for (size_t i = 0; i < dialog->line_len; i++) {
        if (dialog->line[i] == '\0')
            dialog->line[i] = '?'; /* what redacts works on C strings */
    }
    for (size_t i = 0; i < sizeof dialog->secrets / sizeof dialog->secrets[0]; i++)
        pw_secret_redact(&dialog->secrets[i], dialog->line);
    (void)pw_text_printable(reply->text, sizeof reply->text, pw_str_of(dialog->line));
    dialog->line_len = dialog->line_count = 0;
    dialog->is_whole = true;
    if (dialog->stage == PW_MAIL_RECIPIENT)
        dialog->recipients[dialog->asked - 1] = *reply;
    if (dialog->stage == PW_MAIL_CONTENT && dialog->has_content)
        dialog->is_accepted = reply->code >= 200 && reply->code <= 299;
}

/* What comes next ----------------------------------------------------------------------------- */

/* The message with its end, and every dot that begins a line doubled (RFC 5321, 4.5.2). */
static void append_message(struct pw_str message, struct pw_buffer *out)
{
    while (message.len > 0) {
        const char *end = memchr(message.data, '\n', message.len);
        size_t len = end != NULL ? (size_t)(end - message.data) + 1 : message.len;

        if (message.data[0] == '.')
            (void)pw_buffer_append_text(out, ".");
        (void)pw_buffer_append(out, message.data, len);
        message.data += len;
        message.len -= len;
    }
    (void)pw_buffer_append_text(out, ".\r\n");
}

static enum pw_mail_next say(struct pw_mail_dialog *dialog, struct pw_buffer *out)
{
    pw_mail_dialog_sent(dialog, pw_buffer_str(out));
    return PW_MAIL_SAY;
}

static bool is_good(const struct pw_mail_reply *reply)
{
    return reply->code >= 200 && reply->code <= 299;
}

/* The answers to MAIL and to each RCPT so far are there. */
static enum pw_mail_next after_recipients(struct pw_mail_dialog *dialog,
                                          const struct pw_mail_request *request,
                                          struct pw_buffer *out)
{
    if (dialog->asked < request->recipient_count) {
        (void)pw_buffer_printf(out, "RCPT TO:<%s>\r\n", request->recipients[dialog->asked]);
        return say(dialog, out);
    }
    for (size_t i = 0; i < dialog->asked; i++) {
        if (is_good(&dialog->recipients[i])) {
            (void)pw_buffer_append_text(out, "DATA\r\n");
            return say(dialog, out);
        }
    }
    return PW_MAIL_OVER;
}

enum pw_mail_next pw_mail_dialog_next(struct pw_mail_dialog *dialog,
                                      const struct pw_mail_request *request, struct pw_buffer *out)
{
    switch (dialog->stage) {
    case PW_MAIL_CONNECT:
    case PW_MAIL_HELLO:
    case PW_MAIL_STARTTLS:
    case PW_MAIL_LOGIN:
        (void)pw_buffer_printf(out, "MAIL FROM:<%s>\r\n", request->from);
        return say(dialog, out);
    case PW_MAIL_SENDER:
    case PW_MAIL_RECIPIENT:
    case PW_MAIL_CONTENT:
        break;
    }
    if (!dialog->is_whole)
        return PW_MAIL_HEAR;
    if (dialog->stage == PW_MAIL_SENDER && !is_good(&dialog->reply))
        return PW_MAIL_OVER;
    if (dialog->stage != PW_MAIL_CONTENT)
        return after_recipients(dialog, request, out);
    if (dialog->has_content || dialog->reply.code != 354)
        return PW_MAIL_OVER;
    append_message(request->message, out);
    dialog->has_content = true;
    dialog->is_whole = false;
    return PW_MAIL_SAY;
}

const char *pw_mail_dialog_waiting(const struct pw_mail_dialog *dialog)
{
    switch (dialog->stage) {
    case PW_MAIL_CONNECT:
        return "the server's greeting";
    case PW_MAIL_HELLO:
        return "the answer to EHLO";
    case PW_MAIL_STARTTLS:
        return "TLS";
    case PW_MAIL_LOGIN:
        return "the answer to the login";
    case PW_MAIL_SENDER:
        return "the answer to MAIL";
    case PW_MAIL_RECIPIENT:
        return "the answer to RCPT";
    case PW_MAIL_CONTENT:
        break;
    }
    return dialog->has_content ? "the answer to the message" : "the answer to DATA";
}

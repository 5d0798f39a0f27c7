/* Follows an SMTP session by the commands and replies that libcurl lets us see (RFC 5321, 4.2). */
#include "http/mail_dialog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SECRET_PLAIN, SECRET_LOGIN, SECRET_PASSWORD };

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

    dialog->line_len = 0;
    if (dialog->stage == PW_MAIL_LOGIN && dialog->is_whole && dialog->reply.code == 334) {
        dialog->is_whole = false; /* a name or a password, whatever it looks like */
        return;
    }
    if (begins(command, "QUIT")) {
        dialog->is_quitting = true;
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

void pw_mail_dialog_heard(struct pw_mail_dialog *dialog, struct pw_str line)
{
    struct pw_mail_reply *reply = &dialog->reply;

    if (dialog->is_quitting || line.len < 3 || !isdigit((unsigned char)line.data[0]) ||
        !isdigit((unsigned char)line.data[1]) || !isdigit((unsigned char)line.data[2]))
        return;
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
    (void)pw_text_printable(reply->text, sizeof reply->text,
                            (struct pw_str){dialog->line, strlen(dialog->line)});
    dialog->line_len = 0;
    dialog->is_whole = true;
    if (dialog->stage == PW_MAIL_RECIPIENT && dialog->asked > 0 &&
        dialog->asked <= PW_MAIL_MAX_RECIPIENTS)
        dialog->recipients[dialog->asked - 1] = *reply;
    if (dialog->stage == PW_MAIL_CONTENT && dialog->has_content)
        dialog->is_accepted = reply->code >= 200 && reply->code <= 299;
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

/* One message: header and body (RFC 5322, 2045, 3834). */
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alert/hook_email.h"
#include "alert/mail_text.h"
#include "base/clock.h"

enum {
    HASH_BYTES = 16, /* of the SHA-256 that is kept */
    UUID_BYTES = 36,
    SUBJECT_MAX_BYTES = 4096,
    TEXT_MAX_BYTES = 1024 * 1024
};

/* A hash over several texts: hash becomes that of itself and of the hash of text. Needs no memory.
 */
static void hash_text(unsigned char hash[SHA256_DIGEST_LENGTH], struct pw_str text)
{
    unsigned char both[2 * SHA256_DIGEST_LENGTH];

    memcpy(both, hash, SHA256_DIGEST_LENGTH);
    (void)SHA256((const unsigned char *)(text.data != NULL ? text.data : ""), text.len,
                 both + SHA256_DIGEST_LENGTH);
    (void)SHA256(both, sizeof both, hash);
}

static void hash_hex(const unsigned char hash[SHA256_DIGEST_LENGTH], char out[2 * HASH_BYTES + 1])
{
    for (size_t i = 0; i < HASH_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void pw_email_id(const struct pw_delivery *list, char out[PW_EMAIL_ID_BYTES])
{
    unsigned char hash[SHA256_DIGEST_LENGTH] = {0};
    char hex[2 * HASH_BYTES + 1], reminder[24];

    if (list->next == NULL && list->reminder == 0 && strlen(list->uid) == UUID_BYTES) {
        (void)snprintf(out, PW_EMAIL_ID_BYTES, "%s", list->uid);
        return;
    }
    for (; list != NULL; list = list->next) {
        (void)snprintf(reminder, sizeof reminder, "%" PRId64, list->reminder);
        hash_text(hash, pw_str_of(list->uid));
        hash_text(hash, pw_str_of(reminder));
    }
    hash_hex(hash, hex);
    (void)snprintf(out, PW_EMAIL_ID_BYTES, "%s", hex);
}

/* Whether all events are of one machine, or all of one source itself. */
static bool is_one_thread(const struct pw_delivery *list)
{
    const struct pw_delivery *first = list;

    for (; list != NULL; list = list->next) {
        if (strcmp(list->source_name, first->source_name) != 0 ||
            !pw_str_eq(list->node_key, first->node_key))
            return false;
    }
    return true;
}

/* All mails of a machine answer one message that was never sent: mail programs show them as one
 * conversation, the recovery below its problem. */
static void append_thread(const struct pw_delivery *list, const char *domain, struct pw_buffer *out)
{
    unsigned char hash[SHA256_DIGEST_LENGTH] = {0};
    char hex[2 * HASH_BYTES + 1];

    if (!is_one_thread(list))
        return;
    hash_text(hash, pw_str_of(list->source_name));
    hash_text(hash, list->node_key);
    hash_hex(hash, hex);
    (void)pw_buffer_printf(out,
                           "In-Reply-To: <thread.%s@%s>\r\n"
                           "References: <thread.%s@%s>\r\n",
                           hex, domain, hex, domain);
}

/* RFC 5322, 3.3. strftime(3) would speak the language of the locale. */
static void append_date(int64_t now_ms, struct pw_buffer *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(now_ms / PW_SECOND_MS);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL)
        return;
    (void)pw_buffer_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
                           tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                           tm.tm_sec);
}

static void append_addresses(const char *name, const struct pw_mail_address *addresses,
                             size_t count, struct pw_buffer *out)
{
    if (count == 0)
        return;
    (void)pw_buffer_printf(out, "%s: ", name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)pw_buffer_append_text(out, ",\r\n ");
        pw_mail_append_address(out, &addresses[i]);
    }
    (void)pw_buffer_append_text(out, "\r\n");
}

static void append_header(const struct pw_email_config *email, const struct pw_delivery *list,
                          struct pw_str subject, int64_t now_ms, struct pw_buffer *out)
{
    const char *domain = pw_mail_domain(email->from.address);
    char id[PW_EMAIL_ID_BYTES];

    append_date(now_ms, out);
    append_addresses("From", &email->from, 1, out);
    append_addresses("To", email->recipients, email->to_count, out);
    append_addresses("Cc", email->recipients + email->to_count,
                     email->recipient_count - email->to_count, out);
    (void)pw_buffer_append_text(out, "Subject: ");
    pw_mail_append_text(out, subject, strlen("Subject: "));
    pw_email_id(list, id);
    (void)pw_buffer_printf(out, "\r\nMessage-ID: <%s.patchwatch@%s>\r\n", id, domain);
    append_thread(list, domain, out);
    (void)pw_buffer_append_text(out, "Auto-Submitted: auto-generated\r\n"
                                     "User-Agent: patchwatch/" PW_VERSION "\r\n"
                                     "MIME-Version: 1.0\r\n"
                                     "Content-Type: text/plain; charset=utf-8\r\n"
                                     "Content-Transfer-Encoding: quoted-printable\r\n"
                                     "\r\n");
}

enum pw_status pw_email_message(const struct pw_email_config *email, const struct pw_delivery *list,
                                int64_t now_ms, struct pw_buffer *out, struct pw_error *err)
{
    struct pw_buffer subject, text;
    enum pw_status status;

    pw_buffer_init(&subject, SUBJECT_MAX_BYTES);
    pw_buffer_init(&text, TEXT_MAX_BYTES);
    if (email->subject_prefix[0] != '\0')
        (void)pw_buffer_printf(&subject, "%s ", email->subject_prefix);
    status = pw_mail_text(list, &subject, &text, err);
    if (status == PW_OK) {
        append_header(email, list, pw_buffer_str(&subject), now_ms, out);
        pw_mail_append_body(out, pw_buffer_str(&text));
        if (out->failed != PW_OK)
            status = pw_fail(err, out->failed, "the mail is too long, or memory is short");
    }
    pw_buffer_free(&subject);
    pw_buffer_free(&text);
    return status;
}

/* Secrets in pages of their own. */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What another user of the machine could do with the file. */
enum { OTHERS_MODE = 077 };

enum { REDACT_WHOLE_MIN_BYTES = 4, REDACT_PREFIX_BYTES = 8 };

static enum pw_status map(struct pw_secret *out, size_t bytes, struct pw_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped_bytes = (bytes + page - 1) / page * page;
    void *data =
        mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *out = (struct pw_secret){NULL, 0, 0};
    if (data == MAP_FAILED)
        return pw_fail_nomem(err);
    /* Each of these is one more wall, and none is worth stopping for: old kernels and containers
     * refuse some. */
    (void)madvise(data, mapped_bytes, MADV_DONTDUMP);
    (void)madvise(data, mapped_bytes, MADV_DONTFORK);
    (void)mlock(data, mapped_bytes);
    *out = (struct pw_secret){data, 0, mapped_bytes};
    return PW_OK;
}

enum pw_status pw_secret_set(struct pw_secret *secret, struct pw_str text, struct pw_error *err)
{
    struct pw_secret fresh;
    enum pw_status status = map(&fresh, text.len + 1, err);

    if (status != PW_OK)
        return status;
    if (text.len > 0)
        memcpy(fresh.data, text.data, text.len);
    fresh.len = text.len; /* fresh pages are zero: the NUL is there */
    pw_secret_swap(secret, &fresh);
    pw_secret_clear(&fresh);
    return PW_OK;
}

void pw_secret_clear(struct pw_secret *secret)
{
    if (secret->data != NULL) {
        explicit_bzero(secret->data, secret->mapped_bytes);
        (void)munmap(secret->data, secret->mapped_bytes);
    }
    *secret = (struct pw_secret){NULL, 0, 0};
}

void pw_secret_swap(struct pw_secret *a, struct pw_secret *b)
{
    struct pw_secret other = *a;

    *a = *b;
    *b = other;
}

enum pw_status pw_secret_write(struct pw_secret *secret, size_t max_bytes, struct pw_buffer *over,
                               struct pw_error *err)
{
    pw_buffer_init(over, 0);
    if (secret->mapped_bytes < max_bytes + 1) {
        struct pw_secret fresh;
        enum pw_status status = map(&fresh, max_bytes + 1, err);

        if (status != PW_OK)
            return status;
        pw_secret_clear(secret);
        *secret = fresh;
    } else {
        explicit_bzero(secret->data, secret->len);
    }
    secret->len = 0;
    /* A buffer whose maximum fits its capacity never reallocates. */
    *over = (struct pw_buffer){.data = secret->data,
                               .capacity = secret->mapped_bytes,
                               .max_bytes = secret->mapped_bytes - 1};
    secret->data[0] = '\0';
    return PW_OK;
}

enum pw_status pw_secret_written(struct pw_secret *secret, const struct pw_buffer *over)
{
    if (over->failed != PW_OK) {
        pw_secret_clear(secret);
        return over->failed;
    }
    secret->len = over->len;
    return PW_OK;
}

/* ---- files -----------------------------------------------------------------------------------*/

/* Whether path is below $CREDENTIALS_DIRECTORY, whose modes systemd sets; one that climbs out by
 * ".." is not. */
static bool is_systemd_credential(const char *path)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    size_t len;

    if (directory == NULL || directory[0] != '/')
        return false;
    len = strlen(directory);
    while (len > 1 && directory[len - 1] == '/')
        len--;
    if (strncmp(path, directory, len) != 0 || path[len] != '/')
        return false;
    for (const char *p = path + len; (p = strstr(p, "/..")) != NULL; p += 3) {
        if (p[3] == '\0' || p[3] == '/')
            return false;
    }
    return true;
}

static enum pw_status fail_errno(struct pw_error *err, const char *path, int number)
{
    return pw_fail(err,
                   number == ENOENT || number == ENOTDIR ? PW_ENOTFOUND
                   : number == EACCES                    ? PW_EPERM
                                                         : PW_EIO,
                   "cannot read the file %s: %s", path, strerror(number));
}

static enum pw_status check_file(int fd, const char *path, struct pw_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_errno(err, path, errno);
    if (!S_ISREG(st.st_mode))
        return pw_fail(err, PW_EINVAL, "%s is not a regular file", path);
    if ((st.st_mode & OTHERS_MODE) != 0 && !is_systemd_credential(path))
        return pw_fail(err, PW_EPERM,
                       "%s is open to others (mode %04o): a secret file must have mode 0600 or "
                       "0400",
                       path, (unsigned)(st.st_mode & 07777));
    return PW_OK;
}

/* The whole file, at most PW_SECRET_MAX_BYTES, into the empty secret. */
static enum pw_status read_all(int fd, const char *path, struct pw_secret *out,
                               struct pw_error *err)
{
    enum pw_status status = map(out, PW_SECRET_MAX_BYTES + 2, err);

    if (status != PW_OK)
        return status;
    for (;;) {
        ssize_t got = read(fd, out->data + out->len, PW_SECRET_MAX_BYTES + 1 - out->len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(err, path, errno);
        if (got == 0)
            return PW_OK;
        out->len += (size_t)got;
        if (out->len > PW_SECRET_MAX_BYTES)
            return pw_fail(err, PW_ELIMIT, "%s is longer than %d bytes", path, PW_SECRET_MAX_BYTES);
    }
}

static enum pw_status read_file(struct pw_secret *secret, const char *path, bool one_line,
                                struct pw_error *err)
{
    struct pw_secret all = {NULL, 0, 0};
    enum pw_status status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */

    if (fd < 0)
        return fail_errno(err, path, errno);
    status = check_file(fd, path, err);
    if (status == PW_OK)
        status = read_all(fd, path, &all, err);
    if (status != PW_OK)
        goto out;
    while (one_line && all.len > 0 && all.data[all.len - 1] == '\n') {
        all.len--;
        if (all.len > 0 && all.data[all.len - 1] == '\r')
            all.len--;
    }
    if (all.len == 0)
        status = pw_fail(err, PW_EFORMAT, "%s is empty", path);
    else if (memchr(all.data, '\0', all.len) != NULL)
        status = pw_fail(err, PW_EFORMAT, "%s holds a NUL byte", path);
    else if (one_line &&
             (memchr(all.data, '\n', all.len) != NULL || memchr(all.data, '\r', all.len) != NULL))
        status = pw_fail(err, PW_EFORMAT, "%s holds more than one line", path);
    else
        status = pw_secret_set(secret, pw_secret_str(&all), err);
out:
    pw_secret_clear(&all);
    (void)close(fd);
    return status;
}

enum pw_status pw_secret_read(struct pw_secret *secret, const char *path, struct pw_error *err)
{
    return read_file(secret, path, true, err);
}

enum pw_status pw_secret_read_lines(struct pw_secret *secret, const char *path,
                                    struct pw_error *err)
{
    return read_file(secret, path, false, err);
}

/* ---- redaction -------------------------------------------------------------------------------*/

/* What a text may be full of besides plain characters. */
enum { PLAIN = 0, JSON = 1, PERCENT = 2, WAYS = 4 };

static int hex_value(const char *text, size_t digits)
{
    int value = 0;

    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t utf8_of(unsigned long point, char out[4])
{
    static const unsigned char first[] = {0, 0xC0, 0xE0, 0xF0};
    size_t more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;

    for (size_t i = more; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3F));
    out[0] = (char)(first[more] | point);
    return more + 1;
}

/* The bytes that \uXXXX (and its second half, RFC 8259 section 7) at text stands for. */
static size_t unescape_point(const char *text, char out[4], size_t *consumed)
{
    int high = hex_value(text + 2, 4), low;

    if (high < 0)
        return 0;
    *consumed = 6;
    if (high < 0xD800 || high > 0xDFFF)
        return utf8_of((unsigned long)high, out);
    low = text[6] == '\\' && text[7] == 'u' ? hex_value(text + 8, 4) : -1;
    if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
        return 0;
    *consumed = 12;
    return utf8_of(0x10000 + (((unsigned long)high & 0x3FF) << 10) + ((unsigned long)low & 0x3FF),
                   out);
}

/* The bytes that an escape at text stands for; 0 where there is none of that way. */
static size_t unescape(const char *text, unsigned way, char out[4], size_t *consumed)
{
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

    if ((way & PERCENT) != 0 && text[0] == '%') {
        int value = hex_value(text + 1, 2);

        *consumed = 3;
        out[0] = (char)value;
        return value >= 0 ? 1 : 0;
    }
    if ((way & JSON) != 0 && text[0] == '\\' && text[1] != '\0') {
        const char *letter = strchr(letters, text[1]);

        if (text[1] == 'u')
            return unescape_point(text, out, consumed);
        if (letter == NULL)
            return 0;
        *consumed = 2;
        out[0] = values[letter - letters];
        return 1;
    }
    return 0;
}

/* How many bytes of the secret text starts with, in one way of writing; *span of the text. An
 * escape that does not fit is taken literally. */
static size_t match(const struct pw_secret *secret, const char *text, unsigned way, size_t *span)
{
    size_t same = 0, at = 0;

    while (same < secret->len && text[at] != '\0') {
        char bytes[4];
        size_t consumed = 0, count = way == PLAIN ? 0 : unescape(text + at, way, bytes, &consumed);

        if (count > 0 && count <= secret->len - same &&
            memcmp(bytes, secret->data + same, count) == 0) {
            same += count;
            at += consumed;
        } else if (text[at] == secret->data[same]) {
            same++;
            at++;
        } else {
            break;
        }
    }
    *span = at;
    return same;
}

void pw_secret_redact(const struct pw_secret *secret, char *text)
{
    size_t enough = secret->len < REDACT_PREFIX_BYTES ? secret->len : REDACT_PREFIX_BYTES;

    if (secret->len < REDACT_WHOLE_MIN_BYTES)
        return;
    while (*text != '\0') {
        size_t longest = 0, span;

        for (unsigned way = PLAIN; way < WAYS; way++) {
            if (match(secret, text, way, &span) >= enough && span > longest)
                longest = span;
        }
        memset(text, '*', longest);
        text += longest > 0 ? longest : 1;
    }
}

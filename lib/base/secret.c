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
    if (one_line && all.len > 0 && all.data[all.len - 1] == '\n') {
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

void pw_secret_redact(const struct pw_secret *secret, char *text)
{
    size_t enough = secret->len < REDACT_PREFIX_BYTES ? secret->len : REDACT_PREFIX_BYTES;

    if (secret->len < REDACT_WHOLE_MIN_BYTES)
        return;
    while (*text != '\0') {
        size_t same = 0;

        while (same < secret->len && text[same] != '\0' && text[same] == secret->data[same])
            same++;
        if (same >= enough) {
            memset(text, '*', same);
            text += same;
        } else {
            text++;
        }
    }
}

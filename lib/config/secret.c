/* Paths of files that the configuration names. */
#include "config/secret.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"

/* What another user of the machine could do with the file. */
enum { OTHERS_MODE = 077 };

static enum pw_status join(const char *directory, size_t directory_len, const char *name,
                           bool under_cwd, char **out, struct pw_error *err)
{
    struct pw_buffer path;
    char cwd[PATH_MAX];

    pw_buffer_init(&path, (size_t)4 * PATH_MAX);
    if (under_cwd) {
        if (getcwd(cwd, sizeof cwd) == NULL)
            return pw_fail(err, PW_EIO, "cannot find the working directory: %s", strerror(errno));
        (void)pw_buffer_printf(&path, "%s/", cwd);
    }
    (void)pw_buffer_append(&path, directory, directory_len);
    (void)pw_buffer_append_text(&path, name);
    *out = pw_buffer_take(&path);
    return *out == NULL ? pw_fail_nomem(err) : PW_OK;
}

enum pw_status pw_path_beside(const char *ini_file, const char *name, char **out,
                              struct pw_error *err)
{
    const char *slash = strrchr(ini_file, '/');

    *out = NULL;
    if (name[0] == '/')
        return join("", 0, name, false, out, err);
    return join(ini_file, slash != NULL ? (size_t)(slash + 1 - ini_file) : 0, name,
                ini_file[0] != '/', out, err);
}

static enum pw_status check_regular(const char *path, struct stat *st, struct pw_error *err)
{
    if (stat(path, st) != 0)
        return pw_fail(err,
                       errno == ENOENT || errno == ENOTDIR ? PW_ENOTFOUND
                       : errno == EACCES                   ? PW_EPERM
                                                           : PW_EIO,
                       "cannot use the file %s: %s", path, strerror(errno));
    if (!S_ISREG(st->st_mode))
        return pw_fail(err, PW_EINVAL, "%s is not a regular file", path);
    return PW_OK;
}

/* Whether path is below directory; one that climbs out by ".." is not. */
static bool lies_in(const char *path, const char *directory)
{
    size_t len = strlen(directory);

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

enum pw_status pw_path_secret(const char *ini_file, const char *name, char **out,
                              struct pw_error *err)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    enum pw_status status;
    struct stat st;
    char *path = NULL;

    *out = NULL;
    if (credentials != NULL && credentials[0] != '/')
        credentials = NULL;
    if (name[0] != '/' && credentials != NULL) {
        size_t len = strlen(credentials);
        char *directory = NULL;

        while (len > 1 && credentials[len - 1] == '/')
            len--;
        status = join(credentials, len, "/", false, &directory, err);
        if (status == PW_OK)
            status = join(directory, strlen(directory), name, false, &path, err);
        free(directory);
    } else {
        status = pw_path_beside(ini_file, name, &path, err);
    }
    if (status == PW_OK)
        status = check_regular(path, &st, err);
    if (status != PW_OK)
        goto out;
    if ((st.st_mode & OTHERS_MODE) != 0 && (credentials == NULL || !lies_in(path, credentials))) {
        status = pw_fail(err, PW_EPERM,
                         "%s is open to others (mode %04o): a secret file must have mode 0600 or "
                         "0400",
                         path, (unsigned)(st.st_mode & 07777));
        goto out;
    }
    *out = path;
    path = NULL;
out:
    free(path);
    return status;
}

enum pw_status pw_path_existing(const char *ini_file, const char *name, char **out,
                                struct pw_error *err)
{
    enum pw_status status;
    struct stat st;

    status = pw_path_beside(ini_file, name, out, err);
    if (status == PW_OK)
        status = check_regular(*out, &st, err);
    if (status != PW_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

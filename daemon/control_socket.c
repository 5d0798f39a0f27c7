/* Making the control socket, and asking the kernel who connected (unix(7)). */
#include "daemon/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

enum { SOCKET_MODE = 0660, BACKLOG = 64, FIRST_HANDED_FD = 3, MAX_GROUPS = 65536 };

_Static_assert(sizeof((struct pw_control_socket *)0)->path ==
                   sizeof((struct sockaddr_un *)0)->sun_path,
               "a path that fits the one fits the other");

static enum pw_status fail_path(struct pw_error *err, const char *what, const char *path)
{
    int number = errno;

    return pw_fail(err,
                   number == EACCES || number == EPERM || number == EROFS ? PW_EPERM
                   : number == ENOENT                                     ? PW_ENOTFOUND
                                                                          : PW_EIO,
                   "control socket %s: %s: %s", path, what, strerror(number));
}

/* Socket activation ---------------------------------------------------------------------------- */

static bool is_listening_unix(int fd)
{
    int domain = 0, is_listening = 0, type = 0;
    socklen_t len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) == 0 && is_listening != 0;
}

/* The descriptor that systemd handed over, or -1. Only for this process and only once: what we
 * start must not take it for its own. */
static int take_handed_fd(void)
{
    const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
    int64_t pid = 0, count = 0;
    bool is_ours = pid_text != NULL && count_text != NULL &&
                   pw_parse_int(pid_text, 1, INT32_MAX, &pid, NULL) == PW_OK && pid == getpid() &&
                   pw_parse_int(count_text, 1, 64, &count, NULL) == PW_OK;
    int fd = -1;

    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    for (int i = 0; is_ours && i < count; i++) {
        (void)fcntl(FIRST_HANDED_FD + i, F_SETFD, FD_CLOEXEC);
        if (fd < 0 && is_listening_unix(FIRST_HANDED_FD + i))
            fd = FIRST_HANDED_FD + i;
    }
    return fd;
}

static enum pw_status use_handed_fd(int fd, struct pw_control_socket *out, struct pw_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return pw_fail(err, PW_EIO, "the socket that systemd handed over: %s", strerror(errno));
    memcpy(out->path, address.sun_path, sizeof out->path);
    out->path[sizeof out->path - 1] = '\0';
    out->fd = fd;
    out->group = stat(out->path, &out->file) == 0 ? out->file.st_gid : getegid();
    return PW_OK;
}

/* Making it ------------------------------------------------------------------------------------ */

/* Whether nobody listens at an address that is taken. */
static bool is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;

    if (fd >= 0)
        (void)close(fd);
    return refused;
}

static enum pw_status bind_to(int fd, const char *path, const struct sockaddr_un *address,
                              struct pw_error *err)
{
    struct stat info;

    for (int tries = 0; tries < 2; tries++) {
        if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0)
            return PW_OK;
        if (errno != EADDRINUSE)
            return fail_path(err, "cannot be made", path);
        if (lstat(path, &info) != 0 && errno == ENOENT)
            continue;
        if (!S_ISSOCK(info.st_mode))
            return pw_fail(err, PW_EINVAL, "control socket %s: what is there is no socket", path);
        if (!is_stale(address))
            return pw_fail(err, PW_EBUSY,
                           "control socket %s: another patchwatchd listens there (two daemons need "
                           "two sockets: control in patchwatch.ini)",
                           path);
        pw_log_debug("control socket %s: replacing that of a daemon that is gone", path);
        if (unlink(path) != 0 && errno != ENOENT)
            return fail_path(err, "cannot be replaced", path);
    }
    return pw_fail(err, PW_EBUSY, "control socket %s: another patchwatchd is just making it", path);
}

/* The group's where it exists and we may give it; else it stays that of our own group. */
static gid_t give_to_group(const char *path)
{
    const struct group *group = getgrnam(PW_CONTROL_GROUP);
    struct stat info;

    if (group != NULL && group->gr_gid != getegid() && chown(path, (uid_t)-1, group->gr_gid) != 0)
        pw_log_info("control socket %s: cannot be given to the group " PW_CONTROL_GROUP ": %s",
                    path, strerror(errno));
    return stat(path, &info) == 0 ? info.st_gid : getegid();
}

enum pw_status pw_control_socket_open(const char *path, struct pw_control_socket *out,
                                      struct pw_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int handed = take_handed_fd(), fd = -1;
    bool is_bound = false;
    enum pw_status status;

    *out = (struct pw_control_socket){.fd = -1};
    if (handed >= 0)
        return use_handed_fd(handed, out, err);
    if (strlen(path) >= sizeof address.sun_path)
        return pw_fail(err, PW_EINVAL, "control socket %s: the path is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(out->path, address.sun_path, sizeof out->path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Linux makes the file with the descriptor's mode, less the umask: at no time is it open to
     * more than it shall be. */
    if (fd < 0 || fchmod(fd, SOCKET_MODE) != 0) {
        status = fail_path(err, "cannot be made", path);
        goto out;
    }
    status = bind_to(fd, path, &address, err);
    if (status != PW_OK)
        goto out;
    is_bound = true;
    /* At once: as long as nobody listens it looks like a dead daemon's. */
    if (listen(fd, BACKLOG) != 0) {
        status = fail_path(err, "cannot be listened at", path);
        goto out;
    }
    out->group = give_to_group(path);
    if (chmod(path, SOCKET_MODE) != 0 || stat(path, &out->file) != 0) {
        status = fail_path(err, "cannot be opened", path);
        goto out;
    }
    out->is_ours = true;
    out->fd = fd;
out:
    if (status != PW_OK && is_bound)
        (void)unlink(path);
    if (status != PW_OK && fd >= 0)
        (void)close(fd);
    return status;
}

void pw_control_socket_remove(const struct pw_control_socket *socket)
{
    struct stat info;

    if (socket->is_ours && lstat(socket->path, &info) == 0 && info.st_ino == socket->file.st_ino &&
        info.st_dev == socket->file.st_dev)
        (void)unlink(socket->path);
}

/* Who connected -------------------------------------------------------------------------------- */

static bool is_in_group(int fd, gid_t group)
{
    gid_t *groups = NULL;
    socklen_t len = 0;
    bool found = false;

    /* The kernel says how many there are before it hands them out. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
        len > MAX_GROUPS * sizeof *groups)
        return false;
    groups = malloc(len);
    if (groups != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
        for (size_t i = 0; i < len / sizeof *groups && !found; i++)
            found = groups[i] == group;
    }
    free(groups);
    return found;
}

bool pw_control_is_allowed(int fd, gid_t group, struct pw_control_peer *peer)
{
    struct ucred who;
    socklen_t len = sizeof who;

    *peer = (struct pw_control_peer){.pid = -1, .uid = (uid_t)-1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    *peer = (struct pw_control_peer){.pid = who.pid, .uid = who.uid};
    return who.uid == 0 || who.uid == geteuid() || who.gid == group || is_in_group(fd, group);
}

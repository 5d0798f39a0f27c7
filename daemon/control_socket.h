/* The socket file by which the command talks to the daemon: made, replaced where it is a dead
 * daemon's, removed at the end; and whoever may use it. */
#ifndef PW_DAEMON_CONTROL_SOCKET_H
#define PW_DAEMON_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* The group that may use the socket, where it exists. */
#define PW_CONTROL_GROUP "patchwatch"

struct pw_control_socket {
    int fd;       /* listens; not blocking */
    gid_t group;  /* whose members may use it */
    bool is_ours; /* we made the file, and remove it; else systemd did */
    char path[108];
    struct stat file;
};

/* Makes the socket at path, mode 0660, or takes the one that systemd handed over
 * (sd_listen_fds(3)). What a dead daemon left there is replaced. PW_EBUSY: somebody listens there;
 * PW_EPERM, PW_EIO, PW_ENOTFOUND, PW_EINVAL (what is there is no socket) as they say. */
PW_MUST_CHECK enum pw_status pw_control_socket_open(const char *path, struct pw_control_socket *out,
                                                    struct pw_error *err);
/* Removes the file, unless another one has taken its place. The descriptor is the caller's. */
void pw_control_socket_remove(const struct pw_control_socket *socket);

/* Who is at the other end of an accepted connection. */
struct pw_control_peer {
    pid_t pid;
    uid_t uid;
};
/* Whether it is root, the daemon's own user or a member of group. */
bool pw_control_is_allowed(int fd, gid_t group, struct pw_control_peer *peer);

#endif

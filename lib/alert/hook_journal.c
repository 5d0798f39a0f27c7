/* The journal hook: one datagram an event to the socket of systemd-journald.
 *
 * libsystemd's sd_journal_sendv(3) would do it, but sends on a blocking socket: with a journald
 * that hangs it stands still after some ten entries, and so would our loop. The protocol is stable
 * and small, so we speak it ourselves and wait for room on the loop.
 *
 * A run is freed when its last handle is closed; only then is `done` called. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alert/hook.h"
#include "alert/journal_entry.h"
#include "base/failpoint.h"

enum { ENTRY_MAX_BYTES = 64 * 1024 * 1024, WHY_BYTES = 512 };

struct pw_hook_run {
    const struct pw_hook_config *hook;
    pw_hook_done done;
    void *context;
    uv_loop_t *loop;
    uv_timer_t timer; /* begins, then the time limit */
    uv_poll_t poll;   /* waits for room */
    bool has_poll, is_closing;
    int open_handles;
    int fd;
    const struct pw_delivery *next; /* to be sent */
    struct pw_buffer entry;         /* of it */
    enum pw_hook_outcome outcome;
    char why[WHY_BYTES];
};

static void run_free(struct pw_hook_run *run)
{
    if (run->fd >= 0)
        (void)close(run->fd);
    pw_buffer_free(&run->entry);
    free(run);
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_hook_run *run = handle->data;
    pw_hook_done done = run->done;
    void *context = run->context;
    char why[WHY_BYTES];
    struct pw_hook_result result = {.outcome = run->outcome, .why = why};

    if (--run->open_handles > 0)
        return;
    memcpy(why, run->why, sizeof why);
    run_free(run);
    done(context, &result);
}

static void end(struct pw_hook_run *run, enum pw_hook_outcome outcome)
{
    if (run->is_closing)
        return;
    pw_failpoint("hook_end");
    run->is_closing = true;
    run->outcome = outcome;
    run->open_handles = run->has_poll ? 2 : 1;
    uv_close((uv_handle_t *)&run->timer, on_closed);
    if (run->has_poll)
        uv_close((uv_handle_t *)&run->poll, on_closed);
}

static void fail(struct pw_hook_run *run, const char *what)
{
    (void)snprintf(run->why, sizeof run->why, "%s (%s)", what, run->hook->journal_socket);
    end(run, PW_HOOK_RETRY);
}

/* An entry that is too long for a datagram goes as a sealed memory file: journald(8) maps it. */
static ssize_t send_as_file(const struct pw_hook_run *run)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof control};
    struct pw_str entry = pw_buffer_str(&run->entry);
    int file = memfd_create("patchwatch-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING), saved;
    ssize_t sent = -1;

    if (file < 0)
        return -1;
    memset(&control, 0, sizeof control);
    for (size_t done = 0; done < entry.len;) {
        ssize_t n = write(file, entry.data + done, entry.len - done);

        if (n < 0)
            goto out;
        done += (size_t)n;
    }
    if (fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto out;
    control.header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof file)};
    memcpy(CMSG_DATA(&control.header), &file, sizeof file);
    sent = sendmsg(run->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
out:
    saved = errno;
    (void)close(file);
    errno = saved;
    return sent;
}

static ssize_t send_entry(const struct pw_hook_run *run)
{
    struct pw_str entry = pw_buffer_str(&run->entry);
    ssize_t sent = send(run->fd, entry.data, entry.len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0 && (errno == EMSGSIZE || errno == ENOBUFS))
        sent = send_as_file(run);
    return sent;
}

static void send_all(struct pw_hook_run *run);

static void on_room(uv_poll_t *poll, int status, int events)
{
    (void)status; /* sending says what is wrong */
    (void)events;
    (void)uv_poll_stop(poll);
    send_all(poll->data);
}

static void wait_for_room(struct pw_hook_run *run)
{
    if (!run->has_poll) {
        if (uv_poll_init(run->loop, &run->poll, run->fd) != 0) {
            fail(run, "the journal takes nothing");
            return;
        }
        run->poll.data = run;
        run->has_poll = true;
    }
    if (uv_poll_start(&run->poll, UV_WRITABLE, on_room) != 0)
        fail(run, "the journal takes nothing");
}

static void send_all(struct pw_hook_run *run)
{
    char what[256];

    for (; run->next != NULL; run->next = run->next->next) {
        struct pw_error err;

        if (run->entry.len == 0 && pw_journal_entry(run->next, &run->entry, &err) != PW_OK) {
            fail(run, err.message);
            return;
        }
        if (send_entry(run) < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                wait_for_room(run);
                return;
            }
            (void)snprintf(what, sizeof what, "the journal takes nothing: %s", strerror(errno));
            fail(run, what);
            return;
        }
        pw_buffer_clear(&run->entry);
    }
    end(run, PW_HOOK_DELIVERED);
}

static void on_timeout(uv_timer_t *timer)
{
    struct pw_hook_run *run = timer->data;
    char what[128], limit[32];

    (void)snprintf(what, sizeof what, "timed out after %s: the journal takes nothing",
                   pw_duration_text(limit, sizeof limit, run->hook->timeout_ms));
    fail(run, what);
}

static void on_begin(uv_timer_t *timer)
{
    struct pw_hook_run *run = timer->data;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char what[256];

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", run->hook->journal_socket);
    if (connect(run->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)snprintf(what, sizeof what, "the journal is not there: %s", strerror(errno));
        fail(run, what);
        return;
    }
    (void)uv_timer_start(timer, on_timeout, (uint64_t)run->hook->timeout_ms, 0);
    send_all(run);
}

static enum pw_status journal_start(const struct pw_hook_tools *tools,
                                    const struct pw_hook_config *hook,
                                    const struct pw_delivery *list, pw_hook_done done,
                                    void *context, struct pw_hook_run **out, struct pw_error *err)
{
    struct pw_hook_run *run = calloc(1, sizeof *run);

    *out = NULL;
    if (run == NULL)
        return pw_fail_nomem(err);
    run->hook = hook;
    run->done = done;
    run->context = context;
    run->loop = tools->loop;
    run->next = list;
    pw_buffer_init(&run->entry, ENTRY_MAX_BYTES);
    run->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (run->fd < 0) {
        run_free(run);
        return pw_fail(err, PW_EIO, "no socket for the journal: %s", strerror(errno));
    }
    pw_failpoint("hook_start");
    (void)uv_timer_init(tools->loop, &run->timer);
    run->timer.data = run;
    (void)uv_timer_start(&run->timer, on_begin, 0, 0);
    *out = run;
    return PW_OK;
}

static void journal_stop(struct pw_hook_run *run)
{
    if (run->is_closing)
        return;
    (void)snprintf(run->why, sizeof run->why, "stopped, because patchwatchd ends");
    end(run, PW_HOOK_RETRY);
}

const struct pw_hook_kind pw_hook_journal = {.start = journal_start, .stop = journal_stop};

/* The exec hook: one process for one attempt. Its own session, so that TERM and KILL reach all of
 * what it started; standard input a sealed in-memory file, standard output and error one pipe of
 * which we keep the end. A run is freed when its last handle is closed; only then is `done` called.
 *
 * Not uv_spawn, which forks: copying the page tables of a large daemon, and the faults on every
 * page afterwards, hold the loop up for some 20 ms. posix_spawn(3) borrows our memory until the
 * exec. A pidfd says when the process has ended. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alert/hook.h"
#include "alert/hook_env.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"

enum {
    TAIL_BYTES = 16384, /* of the output, kept */
    READ_BYTES = 16384, /* at a time */
    QUOTE_BYTES = 400,  /* of the output, in `why` */
    WHY_BYTES = 640,    /* cause and quotation */
    DRAIN_MS = 1000,    /* for output after the end: a grandchild may hold the pipe for ever */
    GRACE_MS = 2000,    /* between TERM and KILL */
    GRACE_STEP_MS = 100 /* how often we look whether the group is gone */
};

enum run_state {
    RUN_RUNNING,
    RUN_ENDING, /* TERM was sent, KILL follows */
    RUN_KILLED,
    RUN_DRAINING, /* it is over, its output may not be */
    RUN_CLOSING
};

struct pw_hook_run {
    const struct pw_hook_config *hook;
    pw_hook_done done;
    void *context;
    pid_t pid;
    int pidfd;        /* closed behind `ending` */
    uv_poll_t ending; /* of the process */
    uv_pipe_t output;
    uv_timer_t timer;
    int open_handles;
    enum run_state state;
    bool exited;
    bool timed_out;
    bool stopped;
    bool output_ended;
    int exit_code, term_signal;
    int64_t grace_left_ms;
    char read_buffer[READ_BYTES];
    char tail[TAIL_BYTES];
    size_t tail_len;
};

static const char *state_name(enum run_state state)
{
    static const char *const names[] = {"running", "ending", "killed", "draining", "closing"};
    return names[state];
}

static void set_state(struct pw_hook_run *run, enum run_state state)
{
    pw_log_debug("hook %s: process %d: %s -> %s", run->hook->name, (int)run->pid,
                 state_name(run->state), state_name(state));
    run->state = state;
}

/* The last lines of the output, on one line. */
static void quote_output(const struct pw_hook_run *run, char out[QUOTE_BYTES])
{
    struct pw_str tail = {run->tail, run->tail_len};
    char text[QUOTE_BYTES / 2];
    size_t len = 0;

    while (tail.len > 0 && strchr(" \t\r\n", tail.data[tail.len - 1]) != NULL)
        tail.len--;
    if (tail.len > sizeof text) {
        tail.data += tail.len - sizeof text;
        tail.len = sizeof text;
        while (tail.len > 0 && pw_utf8_length(tail.data, tail.len) == 0) {
            tail.data++; /* the middle of a character */
            tail.len--;
        }
    }
    for (size_t i = 0; i < tail.len; i++) {
        char c = tail.data[i];

        text[len++] = c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
    }
    (void)pw_text_printable(out, QUOTE_BYTES, (struct pw_str){text, len});
}

static enum pw_hook_outcome conclude(const struct pw_hook_run *run, char why[WHY_BYTES])
{
    bool delivered =
        !run->timed_out && !run->stopped && run->term_signal == 0 && run->exit_code == 0;
    char quoted[QUOTE_BYTES], duration[32], cause[160];

    why[0] = '\0';
    quote_output(run, quoted);
    if (delivered) {
        if (quoted[0] != '\0')
            pw_log_info("hook %s: output: %s", run->hook->name, quoted);
        return PW_HOOK_DELIVERED;
    }
    if (run->timed_out)
        (void)snprintf(cause, sizeof cause, "timed out after %s",
                       pw_duration_text(duration, sizeof duration, run->hook->timeout_ms));
    else if (run->stopped)
        (void)snprintf(cause, sizeof cause, "stopped, because patchwatchd ends");
    else if (run->term_signal != 0)
        (void)snprintf(cause, sizeof cause, "killed by signal %d (%s)", run->term_signal,
                       strsignal(run->term_signal));
    else
        (void)snprintf(cause, sizeof cause, "exit code %d", run->exit_code);
    (void)snprintf(why, WHY_BYTES, "%s%s%s", cause, quoted[0] != '\0' ? ": " : "", quoted);
    return PW_HOOK_RETRY;
}

static void on_closed(uv_handle_t *handle)
{
    struct pw_hook_run *run = handle->data;
    struct pw_hook_result result = {0};
    char why[WHY_BYTES];
    pw_hook_done done = run->done;
    void *context = run->context;

    if (--run->open_handles > 0)
        return;
    (void)close(run->pidfd);
    result.outcome = conclude(run, why);
    result.why = why;
    free(run);
    done(context, &result);
}

static void close_run(struct pw_hook_run *run)
{
    if (run->state == RUN_CLOSING)
        return;
    set_state(run, RUN_CLOSING);
    run->open_handles = 3;
    uv_close((uv_handle_t *)&run->ending, on_closed);
    uv_close((uv_handle_t *)&run->output, on_closed);
    uv_close((uv_handle_t *)&run->timer, on_closed);
}

static void keep_tail(struct pw_hook_run *run, const char *data, size_t len)
{
    if (run->tail_len + len > TAIL_BYTES) {
        size_t keep = TAIL_BYTES / 2 < run->tail_len ? TAIL_BYTES / 2 : run->tail_len;

        if (len > TAIL_BYTES - keep) {
            data += len - (TAIL_BYTES - keep);
            len = TAIL_BYTES - keep;
        }
        memmove(run->tail, run->tail + run->tail_len - keep, keep);
        run->tail_len = keep;
    }
    memcpy(run->tail + run->tail_len, data, len);
    run->tail_len += len;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct pw_hook_run *run = handle->data;

    (void)suggested;
    *out = uv_buf_init(run->read_buffer, READ_BYTES);
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pw_hook_run *run = stream->data;

    if (n > 0)
        keep_tail(run, buf->base, (size_t)n);
    if (n >= 0)
        return;
    (void)uv_read_stop(stream);
    run->output_ended = true;
    if (run->state == RUN_DRAINING)
        close_run(run);
}

static void on_drained(uv_timer_t *timer)
{
    close_run(timer->data);
}

/* The process has ended and nothing more is to be killed. */
static void drain(struct pw_hook_run *run)
{
    if (run->output_ended) {
        close_run(run);
        return;
    }
    set_state(run, RUN_DRAINING);
    (void)uv_timer_start(&run->timer, on_drained, DRAIN_MS, 0);
}

/* Whether the hook has ended and nothing that it started is left to be given time. Where nobody
 * holds the output any more we do not wait for the group: its last members are as good as dead, or
 * zombies that no init collects. The group's number cannot be another's while a member lives. */
static bool group_is_gone(const struct pw_hook_run *run)
{
    return run->exited && (run->output_ended || kill(-run->pid, 0) != 0);
}

static void kill_group(struct pw_hook_run *run)
{
    (void)uv_timer_stop(&run->timer);
    (void)kill(-run->pid, SIGKILL);
    set_state(run, RUN_KILLED);
    if (run->exited)
        drain(run);
}

static void on_grace(uv_timer_t *timer)
{
    struct pw_hook_run *run = timer->data;

    run->grace_left_ms -= GRACE_STEP_MS;
    if (run->grace_left_ms <= 0 || group_is_gone(run))
        kill_group(run);
}

static void end_group(struct pw_hook_run *run)
{
    if (run->state != RUN_RUNNING)
        return;
    set_state(run, RUN_ENDING);
    run->grace_left_ms = GRACE_MS;
    (void)kill(-run->pid, SIGTERM);
    (void)uv_timer_start(&run->timer, on_grace, GRACE_STEP_MS, GRACE_STEP_MS);
}

static void on_timeout(uv_timer_t *timer)
{
    struct pw_hook_run *run = timer->data;

    run->timed_out = true;
    end_group(run);
}

static void on_ended(uv_poll_t *ending, int status, int events)
{
    struct pw_hook_run *run = ending->data;
    int how = 0;
    pid_t pid = waitpid(run->pid, &how, WNOHANG);

    (void)status;
    (void)events;
    if (pid == 0)
        return;
    (void)uv_poll_stop(ending);
    pw_failpoint("hook_end");
    run->exited = true;
    run->exit_code = pid < 0 ? -1 : WIFEXITED(how) ? WEXITSTATUS(how) : 0;
    run->term_signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    if (run->state == RUN_RUNNING || run->state == RUN_KILLED)
        drain(run);
    else if (run->state == RUN_ENDING && group_is_gone(run))
        kill_group(run);
    /* Else what it started has the rest of the grace, see on_grace. */
}

/* Its own session, no signal blocked or ignored, / as its folder, and descriptors 0, 1 and 2 and no
 * other: libraries open some that would otherwise be inherited, and a socket that lives on in a
 * hook keeps a connection open. Returns 0 or what errno(3) would be. */
static int spawn(struct pw_hook_run *run, char **env, int stdin_fd, int output_fd)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t all, none;
    int rc = posix_spawn_file_actions_init(&files);

    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&how);
    if (rc != 0) {
        (void)posix_spawn_file_actions_destroy(&files);
        return rc;
    }
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawnattr_setsigdefault(&how, &all); /* these four cannot fail */
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETSIGMASK);
    rc = posix_spawn_file_actions_adddup2(&files, stdin_fd, STDIN_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, output_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, output_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_addchdir_np(&files, "/");
    if (rc == 0)
        rc = posix_spawn(&run->pid, run->hook->command[0], &files, &how, run->hook->command, env);
    (void)posix_spawnattr_destroy(&how);
    (void)posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* Starts watching for the end of the process that was just started. Where that cannot be, the
 * process ends here. Returns as spawn. */
static int watch(uv_loop_t *loop, struct pw_hook_run *run)
{
    int rc;

    run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0); /* Linux 5.3; closed on exec */
    rc = run->pidfd < 0 ? errno : -uv_poll_init(loop, &run->ending, run->pidfd);
    if (rc == 0) {
        run->ending.data = run;
        (void)uv_poll_start(&run->ending, UV_READABLE, on_ended); /* cannot fail on a fresh one */
        return 0;
    }
    (void)kill(-run->pid, SIGKILL);
    (void)waitpid(run->pid, NULL, 0);
    if (run->pidfd >= 0)
        (void)close(run->pidfd);
    return rc;
}

static enum pw_status exec_start(const struct pw_hook_tools *tools,
                                 const struct pw_hook_config *hook, const struct pw_delivery *list,
                                 pw_hook_done done, void *context, struct pw_hook_run **out,
                                 struct pw_error *err)
{
    enum pw_status status = PW_OK;
    uv_loop_t *loop = tools->loop;
    struct pw_hook_run *run = calloc(1, sizeof *run);
    char **env = pw_hook_env_new(list);
    int stdin_fd = -1;
    uv_file pipe_fds[2] = {-1, -1};
    int rc;

    *out = NULL;
    if (run == NULL || env == NULL) {
        status = pw_fail_nomem(err);
        goto out;
    }
    run->hook = hook;
    run->state = RUN_RUNNING;
    status = pw_hook_stdin_new(list, &stdin_fd, err);
    if (status != PW_OK)
        goto out;
    rc = uv_pipe(pipe_fds, UV_NONBLOCK_PIPE, 0);
    if (rc != 0) {
        status = pw_fail(err, PW_EIO, "no pipe for the hook's output: %s", uv_strerror(rc));
        goto out;
    }
    rc = spawn(run, env, stdin_fd, pipe_fds[1]);
    if (rc == 0)
        rc = watch(loop, run);
    if (rc != 0) {
        status =
            pw_fail(err, PW_EIO, "%s cannot be started: %s", hook->command[0], uv_strerror(-rc));
        goto out;
    }
    (void)uv_timer_init(loop, &run->timer);    /* cannot fail */
    (void)uv_pipe_init(loop, &run->output, 0); /* nor can this */
    run->timer.data = run->output.data = run;
    pw_failpoint("hook_start");
    run->done = done;
    run->context = context;
    if (uv_pipe_open(&run->output, pipe_fds[0]) == 0)
        pipe_fds[0] = -1; /* the handle's now */
    run->output_ended =
        pipe_fds[0] >= 0 || uv_read_start((uv_stream_t *)&run->output, on_alloc, on_output) != 0;
    uv_update_time(loop); /* starting a process takes time that is not the hook's */
    (void)uv_timer_start(&run->timer, on_timeout, (uint64_t)hook->timeout_ms, 0);
    *out = run;
    run = NULL;
out:
    if (pipe_fds[0] >= 0)
        (void)close(pipe_fds[0]);
    if (pipe_fds[1] >= 0)
        (void)close(pipe_fds[1]);
    if (stdin_fd >= 0)
        (void)close(stdin_fd);
    pw_hook_env_free(env);
    free(run);
    return status;
}

static void exec_stop(struct pw_hook_run *run)
{
    if (run->exited && run->state != RUN_ENDING)
        return; /* its outcome is known already */
    run->stopped = true;
    end_group(run);
}

const struct pw_hook_kind pw_hook_exec = {.start = exec_start, .stop = exec_stop};

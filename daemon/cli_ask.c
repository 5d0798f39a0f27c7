/* Asking the daemon, from the socket to the answer. */
#include "daemon/cli_ask.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/change.h"
#include "daemon/cli_output.h"

enum { SEND_TIMEOUT_MS = 10000, CHANGE_TIMEOUT_MS = 60000, CHUNK_BYTES = 4096 };

/* Reaching it ---------------------------------------------------------------------------------- */

static const char *socket_path(const struct cli *cli)
{
    return cli->config != NULL ? cli->config->daemon.control : NULL;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = SEND_TIMEOUT_MS / 1000};
    int fd, code;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Connecting waits for its turn, but not for ever. */
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        code = errno;
        (void)close(fd);
        errno = code;
        fd = -1;
    }
    return fd;
}

enum cli_reach cli_reach_daemon(struct cli *cli, int *fd)
{
    const char *path = socket_path(cli);
    struct cli_daemon found;
    int code = 0;

    *fd = -1;
    if (path != NULL) {
        *fd = connect_to(path);
        if (*fd >= 0)
            return CLI_REACHED;
        code = errno;
    }
    cli_find_daemon(cli->database, &found);
    if (path != NULL)
        (void)pw_fail(&cli->err, code == EACCES ? PW_EPERM : PW_EBUSY, "%s: %s", path,
                      strerror(code));
    /* Who may not connect does not know whether somebody listens. */
    if (found.running != CLI_RUNNING && code != EACCES)
        return CLI_NOBODY;
    return path == NULL ? CLI_LOCKED : CLI_BARRED;
}

int cli_fail_reach(const struct cli *cli, enum cli_reach reach)
{
    char shown[512];

    (void)fflush(stdout);
    switch (reach) {
    case CLI_BARRED:
        (void)fprintf(stderr, "patchwatch: patchwatchd cannot be asked by its control socket %s\n",
                      pw_text_printable(shown, sizeof shown, pw_str_of(cli->err.message)));
        return cli->err.status == PW_EPERM ? EX_NOPERM : EX_UNAVAILABLE;
    case CLI_LOCKED:
        (void)fprintf(stderr,
                      "patchwatch: patchwatchd runs on %s, and only it may write there; %s\n",
                      pw_text_printable(shown, sizeof shown, pw_str_of(cli->database)),
                      cli->config == NULL
                          ? "give --config instead of --database, which names its control socket"
                          : "its control socket is turned off (control in patchwatch.ini)");
        return EX_UNAVAILABLE;
    case CLI_NOBODY:
    case CLI_REACHED:
        break;
    }
    (void)fputs("patchwatch: patchwatchd is not running\n", stderr);
    return EX_UNAVAILABLE;
}

/* Talking -------------------------------------------------------------------------------------- */

static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd at = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&at, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool send_all(int fd, struct pw_str line)
{
    for (size_t sent = 0; sent < line.len;) {
        ssize_t n = send(fd, line.data + sent, line.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN && !wait_for(fd, POLLOUT, SEND_TIMEOUT_MS))
            return false;
        else if (errno != EINTR && errno != EAGAIN)
            return false;
    }
    return true;
}

enum heard { HEARD, HEARD_NOTHING, HEARD_TOO_LATE };

static enum heard receive_line(int fd, struct pw_buffer *line, int timeout_ms)
{
    int64_t end_ms = pw_clock_monotonic_ms(pw_clock_system()) + timeout_ms;
    char chunk[CHUNK_BYTES];

    for (;;) {
        int64_t left_ms = end_ms - pw_clock_monotonic_ms(pw_clock_system());
        ssize_t n;

        if (timeout_ms >= 0 && left_ms < 0)
            left_ms = 0;
        if (!wait_for(fd, POLLIN, timeout_ms < 0 ? -1 : (int)left_ms))
            return HEARD_TOO_LATE;
        n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || pw_buffer_append(line, chunk, (size_t)n) != PW_OK)
            return HEARD_NOTHING;
        if (line->data[line->len - 1] == '\n')
            return HEARD;
    }
}

void cli_answer_free(struct cli_answer *answer)
{
    pw_json_reader_free(answer->reader);
    pw_buffer_free(&answer->text);
}

static bool read_answer(struct cli *cli, struct cli_answer *answer, int *code)
{
    int64_t exit_code = EX_PROTOCOL;

    answer->reader = pw_json_reader_new();
    if (answer->reader == NULL) {
        *code = cli_fail(cli, pw_fail_nomem(&cli->err));
        return false;
    }
    if (pw_json_reader_parse(answer->reader, pw_buffer_str(&answer->text), false, &cli->err) !=
            PW_OK ||
        !pw_json_reader_number(answer->reader, "exit", &exit_code) || exit_code < 0 ||
        exit_code > 255) {
        (void)fputs("patchwatch: the daemon's answer cannot be understood\n", stderr);
        *code = EX_PROTOCOL;
        return false;
    }
    answer->exit_code = (int)exit_code;
    return true;
}

static void answer_init(struct cli_answer *answer)
{
    *answer = (struct cli_answer){.exit_code = EX_SOFTWARE};
    pw_buffer_init(&answer->text, CLI_ANSWER_MAX_BYTES);
}

bool cli_talk(struct cli *cli, int fd, const struct pw_request *request, int timeout_ms,
              struct cli_answer *answer, int *code)
{
    struct pw_buffer line;
    enum heard heard = HEARD_NOTHING;

    answer_init(answer);
    pw_buffer_init(&line, PW_REQUEST_MAX_BYTES);
    pw_request_write(request, &line);
    if (line.failed != PW_OK) {
        (void)fputs("patchwatch: that is too long\n", stderr);
        *code = EX_USAGE;
    } else if (!send_all(fd, pw_buffer_str(&line)) ||
               (heard = receive_line(fd, &answer->text, timeout_ms)) == HEARD_NOTHING) {
        /* It may have refused before it read all: then its answer is there. */
        if (answer->text.len == 0)
            heard = receive_line(fd, &answer->text, 0);
    }
    (void)close(fd);
    if (line.failed == PW_OK && heard == HEARD_NOTHING) {
        (void)fputs(
            "patchwatch: the daemon went away without an answer; whether it did what it was "
            "asked for is not known\n",
            stderr);
        *code = EX_TEMPFAIL;
    } else if (line.failed == PW_OK && heard == HEARD_TOO_LATE) {
        (void)fprintf(stderr,
                      "patchwatch: no answer from the daemon within %d s; it may still do what it "
                      "was asked for\n",
                      timeout_ms / 1000);
        *code = EX_TEMPFAIL;
    }
    pw_buffer_free(&line);
    return heard == HEARD && read_answer(cli, answer, code);
}

bool cli_take_answer(struct cli *cli, struct pw_str line, struct cli_answer *answer, int *code)
{
    answer_init(answer);
    if (pw_buffer_append_str(&answer->text, line) != PW_OK) {
        *code = cli_fail(cli, pw_fail_nomem(&cli->err));
        return false;
    }
    return read_answer(cli, answer, code);
}

bool cli_show_answer(struct cli *cli, const struct cli_answer *answer)
{
    struct pw_str error = pw_json_reader_text(answer->reader, "error");
    struct cli_text hold;

    if (cli_is_json(cli))
        (void)fwrite(answer->text.data, 1, answer->text.len, stdout);
    if (error.data != NULL) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "patchwatch: %s\n", cli_printable(&hold, error));
        cli_text_free(&hold);
    }
    return !cli_is_json(cli) && error.data == NULL;
}

/* Changes -------------------------------------------------------------------------------------- */

/* Where no daemon runs. Whoever holds the lock after all is one. */
static bool change_here(struct cli *cli, const struct pw_request *request,
                        struct cli_answer *answer, int *code)
{
    struct pw_db *db;
    struct pw_answer written;
    bool is_taken;
    struct pw_error unreached = cli->err;
    enum pw_status status = pw_db_open(cli->database, PW_DB_WRITE, &db, &cli->err);

    answer_init(answer);
    if (status == PW_EBUSY) {
        cli->err = unreached;
        *code = cli_fail_reach(cli, socket_path(cli) == NULL ? CLI_LOCKED : CLI_BARRED);
        return false;
    }
    if (status != PW_OK) {
        *code = cli_fail(cli, status);
        if (status == PW_EPERM)
            (void)fputs("While no patchwatchd runs, only its user and root may change this.\n",
                        stderr);
        return false;
    }
    /* What nobody has checked since it was not closed well is for the daemon to check. */
    if (pw_db_is_unclean(db))
        pw_db_distrust(db);
    pw_answer_init(&written);
    (void)pw_change_run(db, request, pw_clock_wall_ms(pw_clock_system()), &written);
    pw_db_close(db);
    is_taken = cli_take_answer(cli, pw_answer_line(&written), answer, code);
    pw_answer_free(&written);
    return is_taken;
}

int cli_change(struct cli *cli, struct pw_request *request,
               void (*show)(struct cli *cli, const struct cli_answer *answer))
{
    struct cli_answer answer;
    int fd, code = EX_SOFTWARE;
    enum cli_reach reach;
    bool is_answered;

    pw_db_close(cli->db); /* two connections of one process would share their locks */
    cli->db = NULL;
    reach = cli_reach_daemon(cli, &fd);
    if (reach == CLI_LOCKED || reach == CLI_BARRED) {
        pw_request_free(request);
        return cli_fail_reach(cli, reach);
    }
    is_answered = reach == CLI_REACHED
                      ? cli_talk(cli, fd, request, CHANGE_TIMEOUT_MS, &answer, &code)
                      : change_here(cli, request, &answer, &code);
    if (is_answered) {
        code = answer.exit_code;
        if (cli_show_answer(cli, &answer) && show != NULL)
            show(cli, &answer);
    }
    cli_answer_free(&answer);
    pw_request_free(request);
    return code;
}

bool cli_request_text(struct pw_request *request, enum pw_request_text which, const char *text)
{
    if (text == NULL)
        return true;
    request->texts[which] = strdup(text);
    if (request->texts[which] == NULL)
        (void)fputs("patchwatch: no memory\n", stderr);
    return request->texts[which] != NULL;
}

bool cli_request_author(struct pw_request *request)
{
    const char *name = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *user = NULL;
    char number[32];

    if (name == NULL || name[0] == '\0') {
        user = getpwuid(getuid());
        (void)snprintf(number, sizeof number, "uid %u", (unsigned)getuid());
        name = user != NULL ? user->pw_name : number;
    }
    return cli_request_text(request, PW_REQUEST_AUTHOR, name);
}

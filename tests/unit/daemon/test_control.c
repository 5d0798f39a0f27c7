/* The control socket and its connections: lines in, answers out, and everything that a client can
 * do wrong. The clients are plain sockets on the same thread; turn() lets the loop work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/control.h"

enum { TIMEOUT_MS = 300, KEPT_MAX = 512 };

struct fixture {
    uv_loop_t loop;
    char directory[64], path[96];
    struct pw_control *control;
    bool is_closed;
    bool keeps; /* exchanges, instead of answering with the line itself */
    struct pw_exchange *kept[KEPT_MAX];
    size_t kept_count, lines;
};

static void handle(void *context, struct pw_exchange *exchange, struct pw_str line)
{
    struct fixture *fixture = context;
    char answer[256];

    fixture->lines++;
    if (fixture->keeps) {
        fixture->kept[fixture->kept_count++] = exchange;
        return;
    }
    (void)snprintf(answer, sizeof answer, "%zu:%.*s\n", line.len,
                   (int)(line.len > 100 ? 100 : line.len), line.data);
    pw_exchange_answer(exchange, pw_str_of(answer));
}

static void open_control(struct fixture *fixture)
{
    struct pw_control_params params = {&fixture->loop, TIMEOUT_MS, fixture, handle};
    struct pw_control_socket listener;
    struct pw_error err = {PW_OK, ""};

    assert_int_equal(pw_control_socket_open(fixture->path, &listener, &err), PW_OK);
    assert_int_equal(pw_control_new(&params, &listener, &fixture->control, &err), PW_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    (void)signal(SIGPIPE, SIG_IGN);
    strcpy(fixture->directory, "/tmp/pw-control-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/c.sock", fixture->directory);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    open_control(fixture);
    *state = fixture;
    return 0;
}

static void on_closed(void *context)
{
    ((struct fixture *)context)->is_closed = true;
}

static void close_control(struct fixture *fixture)
{
    pw_control_close(fixture->control, on_closed, fixture);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->is_closed);
    fixture->control = NULL;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->control != NULL)
        close_control(fixture);
    assert_int_equal(access(fixture->path, F_OK), -1);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

static void on_turned(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void turn(struct fixture *fixture, uint64_t ms)
{
    uv_timer_t timer;
    bool is_over = false;

    assert_int_equal(uv_timer_init(&fixture->loop, &timer), 0);
    timer.data = &is_over;
    assert_int_equal(uv_timer_start(&timer, on_turned, ms, 0), 0);
    while (!is_over)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static int connect_client(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fixture->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* What has arrived, with "$" at its end where the other side has closed. Static buffer. */
static const char *got(int fd)
{
    static char text[4096];
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, text + len, sizeof text - len - 2)) > 0)
        len += (size_t)n;
    if (n == 0 || errno == ECONNRESET)
        text[len++] = '$';
    text[len] = '\0';
    return text;
}

static void test_lines(void **state)
{
    struct fixture *fixture = *state;
    int one = connect_client(fixture), two = connect_client(fixture);

    put(one, "a");
    turn(fixture, 20);
    assert_string_equal(got(one), "");
    put(one, "b\nc\r\n\nrest");
    put(two, "x\n");
    turn(fixture, 50);
    assert_string_equal(got(one), "2:ab\n1:c\n0:\n");
    assert_string_equal(got(two), "1:x\n");
    put(one, "\n");
    turn(fixture, 20);
    assert_string_equal(got(one), "4:rest\n");
    (void)close(one);
    (void)close(two);
}

static void test_half_closed(void **state)
{
    struct fixture *fixture = *state;
    int fd = connect_client(fixture), silent = connect_client(fixture);

    put(fd, "a\nb\nc");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(shutdown(silent, SHUT_WR), 0);
    turn(fixture, 50);
    assert_string_equal(got(fd), "1:a\n1:b\n$");
    assert_string_equal(got(silent), "$");
    (void)close(fd);
    (void)close(silent);
}

static void test_long_line(void **state)
{
    struct fixture *fixture = *state;
    static char line[PW_CONTROL_MAX_LINE_BYTES + 1];
    int fd = connect_client(fixture), other = connect_client(fixture);

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    put(fd, line);
    turn(fixture, 50);
    put(fd, "\n");
    turn(fixture, 20);
    assert_non_null(strstr(got(fd), "65536:xxx"));
    put(other, line);
    put(other, "xx");
    turn(fixture, 50);
    assert_non_null(strstr(got(other), "too long\",\"ok\":false,\"exit\":64}\n"));
    assert_int_equal(fixture->lines, 1);
    (void)close(fd);
    (void)close(other);
}

static void test_slow(void **state)
{
    struct fixture *fixture = *state;
    int dripping = connect_client(fixture), silent = connect_client(fixture);
    ssize_t n = 1;

    for (int i = 0; i < 20 && n == 1; i++) {
        turn(fixture, TIMEOUT_MS / 10);
        n = write(dripping, "x", 1);
    }
    assert_int_equal(n, -1);
    assert_string_equal(got(silent), "$");
    (void)close(dripping);
    (void)close(silent);
}

static void test_gone_while_waiting(void **state)
{
    struct fixture *fixture = *state;
    int fd;

    fixture->keeps = true;
    for (int i = 0; i < PW_CONTROL_MAX_WAITING; i++) {
        fd = connect_client(fixture);
        put(fd, "a\n");
        turn(fixture, 1);
        (void)close(fd);
        turn(fixture, 1);
    }
    assert_int_equal(fixture->kept_count, PW_CONTROL_MAX_WAITING);
    /* They hold no connection any more, but there is an end to what is remembered of them. */
    fd = connect_client(fixture);
    put(fd, "b\n");
    turn(fixture, 20);
    assert_non_null(strstr(got(fd), "\"exit\":75}\n"));
    (void)close(fd);
    for (size_t i = 0; i < fixture->kept_count; i++)
        pw_exchange_answer(fixture->kept[i], pw_str_of("late\n"));
    fixture->keeps = false;
    fd = connect_client(fixture);
    put(fd, "c\n");
    turn(fixture, 20);
    assert_string_equal(got(fd), "1:c\n");
    (void)close(fd);
}

static void test_many(void **state)
{
    struct fixture *fixture = *state;
    static int fds[1000];
    int open = 0, last;

    for (int i = 0; i < 1000; i++) {
        fds[i] = connect_client(fixture);
        turn(fixture, 0);
    }
    turn(fixture, 20);
    for (int i = 0; i < 1000; i++)
        open += got(fds[i])[0] != '$';
    assert_int_equal(open, PW_CONTROL_MAX_CONNECTIONS);
    last = connect_client(fixture);
    put(last, "me\n");
    turn(fixture, 20);
    assert_string_equal(got(last), "2:me\n");
    (void)close(last);
    for (int i = 0; i < 1000; i++)
        (void)close(fds[i]);
}

/* Where every connection waits for its answer nobody is pushed out, and the next is told so. */
static void test_all_wait(void **state)
{
    struct fixture *fixture = *state;
    static int fds[PW_CONTROL_MAX_CONNECTIONS];
    int last;

    fixture->keeps = true;
    for (int i = 0; i < PW_CONTROL_MAX_CONNECTIONS; i++) {
        fds[i] = connect_client(fixture);
        put(fds[i], "a\n");
        turn(fixture, 1);
    }
    last = connect_client(fixture);
    turn(fixture, 20);
    assert_non_null(strstr(got(last), "busy"));
    (void)close(last);
    for (size_t i = 0; i < fixture->kept_count; i++)
        pw_exchange_answer(fixture->kept[i], pw_str_of("ok\n"));
    turn(fixture, 20);
    for (int i = 0; i < PW_CONTROL_MAX_CONNECTIONS; i++) {
        assert_string_equal(got(fds[i]), "ok\n");
        (void)close(fds[i]);
    }
}

static void on_later(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;

    assert_false(fixture->is_closed);
    pw_exchange_answer(fixture->kept[0], pw_str_of("at last\n"));
    uv_close((uv_handle_t *)timer, NULL);
}

static void test_close_waits_for_answers(void **state)
{
    struct fixture *fixture = *state;
    int waiting = connect_client(fixture), idle = connect_client(fixture);
    uv_timer_t timer;

    fixture->keeps = true;
    put(waiting, "a\n");
    turn(fixture, 20);
    assert_int_equal(fixture->kept_count, 1);
    (void)uv_timer_init(&fixture->loop, &timer);
    timer.data = fixture;
    (void)uv_timer_start(&timer, on_later, 30, 0);
    close_control(fixture);
    assert_string_equal(got(waiting), "at last\n$");
    assert_string_equal(got(idle), "$");
    (void)close(waiting);
    (void)close(idle);
}

static void test_socket_file(void **state)
{
    struct fixture *fixture = *state;
    struct pw_control_socket other;
    struct pw_error err = {PW_OK, ""};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat info;
    FILE *file;
    int fd;

    assert_int_equal(stat(fixture->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0660);
    assert_int_equal(pw_control_socket_open(fixture->path, &other, &err), PW_EBUSY);
    assert_int_equal(stat(fixture->path, &info), 0);
    close_control(fixture);

    /* A dead one's is replaced. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, fixture->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd);
    assert_int_equal(pw_control_socket_open(fixture->path, &other, &err), PW_OK);
    assert_true(other.is_ours);

    /* Only its own file is removed. */
    assert_int_equal(unlink(fixture->path), 0);
    file = fopen(fixture->path, "w");
    assert_non_null(file);
    (void)fclose(file);
    pw_control_socket_remove(&other);
    (void)close(other.fd);
    assert_int_equal(pw_control_socket_open(fixture->path, &other, &err), PW_EINVAL);
    assert_non_null(strstr(err.message, "no socket"));
    assert_int_equal(unlink(fixture->path), 0);

    assert_int_equal(pw_control_socket_open("/nonexistent/c.sock", &other, &err), PW_ENOTFOUND);
    open_control(fixture);
    fixture->is_closed = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits_for_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

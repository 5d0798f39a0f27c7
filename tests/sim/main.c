/*
 * coc-sim: a simulated COC patch-compliance API. This file reads the options and opens the port.
 */
#include "server.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_BASE_TIME_MS INT64_C(1768435200000) /* 2026-01-15T00:00:00Z */

struct options {
    const char *listen;
    const char *port_file;
    const char *path_prefix;
    const char *tls_cert;
    const char *tls_key;
    int64_t port;
    int64_t nodes;
    int64_t seed;
    int64_t base_time_ms;
    double non_compliant_percent;
    bool page_mode;
    bool help;
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"port", required_argument, NULL, 'p'},
    {"port-file", required_argument, NULL, 'f'},
    {"nodes", required_argument, NULL, 'n'},
    {"seed", required_argument, NULL, 's'},
    {"non-compliant", required_argument, NULL, 'c'},
    {"base-time", required_argument, NULL, 'b'},
    {"offset-mode", required_argument, NULL, 'o'},
    {"path-prefix", required_argument, NULL, 'P'},
    {"tls-cert", required_argument, NULL, 'C'},
    {"tls-key", required_argument, NULL, 'K'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_help(void)
{
    puts("usage: coc-sim [OPTION]...\n"
         "A simulated COC patch-compliance API, steered under /sim/ on the same port.\n"
         "  --listen ADDR            numeric address (127.0.0.1)\n"
         "  --port N                 0 = any free port (0)\n"
         "  --port-file FILE         where to write the port once it listens\n"
         "  --nodes N                size of the fleet, 0 to 1000000 (0)\n"
         "  --seed S                 what the fleet is made up from (1)\n"
         "  --non-compliant PERCENT  share that starts non_compliant (10)\n"
         "  --base-time MS           start of the first report times (1768435200000)\n"
         "  --offset-mode MODE       page or record: what offset means (page)\n"
         "  --path-prefix PATH       what stands before every path but /sim/\n"
         "  --tls-cert FILE          speak TLS with this certificate chain (PEM)\n"
         "  --tls-key FILE           and this private key (PEM)\n"
         "  --help                   this text");
}

/* Takes one option's value; false if it is out of its range. */
static bool take_option(struct options *options, int option, const char *value)
{
    switch (option) {
    case 'l':
        options->listen = value;
        return true;
    case 'p':
        return parse_int(value, 0, 65535, &options->port);
    case 'f':
        options->port_file = value;
        return *value != '\0';
    case 'n':
        return parse_int(value, 0, NODES_MAX, &options->nodes);
    case 's':
        return parse_int(value, 0, INT64_MAX, &options->seed);
    case 'c':
        return parse_number(value, 0.0, 100.0, &options->non_compliant_percent);
    case 'b':
        return parse_int(value, 0, INT64_MAX / 2, &options->base_time_ms);
    case 'P':
        options->path_prefix = value;
        return value[0] == '/' && value[strlen(value) - 1] != '/' && strcmp(value, "/sim") != 0 &&
               strncmp(value, "/sim/", 5) != 0;
    case 'C':
        options->tls_cert = value;
        return *value != '\0';
    case 'K':
        options->tls_key = value;
        return *value != '\0';
    case 'o':
        options->page_mode = strcmp(value, "page") == 0;
        return options->page_mode || strcmp(value, "record") == 0;
    default:
        options->help = true;
        return true;
    }
}

static bool read_options(int argc, char **argv, struct options *options)
{
    int option = 0;
    int place = 0;
    while ((option = getopt_long(argc, argv, "", long_options, &place)) != -1) {
        if (option == '?') {
            return false;
        }
        if (!take_option(options, option, optarg)) {
            fprintf(stderr, "coc-sim: bad value for --%s: %s\n", long_options[place].name, optarg);
            return false;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "coc-sim: unexpected argument: %s\n", argv[optind]);
        return false;
    }
    if ((options->tls_cert == NULL) != (options->tls_key == NULL)) {
        fputs("coc-sim: --tls-cert and --tls-key go together\n", stderr);
        return false;
    }
    return true;
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool make_address(const struct options *options, union address *address, socklen_t *size)
{
    *address = (union address){0};
    if (inet_pton(AF_INET, options->listen, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)options->port);
        *size = sizeof address->v4;
        return true;
    }
    if (inet_pton(AF_INET6, options->listen, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)options->port);
        *size = sizeof address->v6;
        return true;
    }
    return false;
}

/* Opens the port and puts the one it got into the address; -1 on failure. */
static int open_port(union address *address, socklen_t size)
{
    const int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address->any, size) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, &address->any, &size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool write_port_file(const char *path, unsigned port)
{
    struct buf temporary = {0};
    buf_printf(&temporary, "%s.%ld", path, (long)getpid());
    buf_add(&temporary, "", 1);
    FILE *file = fopen(temporary.data, "w");
    bool written = file != NULL && fprintf(file, "%u\n", port) > 0;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    written = written && rename(temporary.data, path) == 0;
    buf_free(&temporary);
    return written;
}

static bool announce(const struct options *options, const union address *address)
{
    bool is_v6 = address->any.sa_family == AF_INET6;
    unsigned port = ntohs(is_v6 ? address->v6.sin6_port : address->v4.sin_port);
    if (options->port_file != NULL && !write_port_file(options->port_file, port)) {
        perror(options->port_file);
        return false;
    }
    printf("coc-sim: listening on %s%s%s:%u\n", is_v6 ? "[" : "", options->listen, is_v6 ? "]" : "",
           port);
    return fflush(stdout) == 0;
}

/* Reads a file whole, as a text; false if it cannot. */
static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t got = 0;
    do {
        got = fread(buf_reserve(out, 4097), 1, 4096, file);
        out->len += got;
    } while (got > 0);
    bool good = ferror(file) == 0;
    (void)fclose(file);
    buf_add(out, "", 1);
    return good;
}

/* The files that the options name; false, with a message, if TLS cannot be had. */
static bool read_tls(const struct options *options, struct tls *tls)
{
    if (options->tls_cert == NULL) {
        return true;
    }
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        fputs("coc-sim: this libmicrohttpd has no TLS\n", stderr);
        return false;
    }
    if (!read_file(options->tls_cert, &tls->cert)) {
        perror(options->tls_cert);
        return false;
    }
    if (!read_file(options->tls_key, &tls->key)) {
        perror(options->tls_key);
        return false;
    }
    return true;
}

static int serve(const struct options *options, const union address *address, int fd,
                 const struct tls *tls)
{
    struct server *server = sim_calloc(1, sizeof *server);
    server->fleet.seed = (uint64_t)options->seed;
    server->fleet.base_time_ms = options->base_time_ms;
    server->fleet.non_compliant_percent = options->non_compliant_percent;
    server->fleet.page_mode = options->page_mode;
    server->path_prefix = options->path_prefix;
    server_reset(server);
    fleet_make(&server->fleet, (size_t)options->nodes);
    (void)order_get(&server->fleet);
    int status = EX_IOERR;
    if (!announce(options, address)) {
        close(fd);
    } else if (server_run(server, fd, tls->cert.len > 0 ? tls : NULL)) {
        status = EXIT_SUCCESS;
    } else {
        fputs("coc-sim: cannot start the server\n", stderr);
    }
    server_free(server);
    free(server);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {
        .listen = "127.0.0.1",
        .path_prefix = "",
        .seed = 1,
        .base_time_ms = DEFAULT_BASE_TIME_MS,
        .non_compliant_percent = 10.0,
        .page_mode = true,
    };
    if (!read_options(argc, argv, &options)) {
        return EX_USAGE;
    }
    if (options.help) {
        print_help();
        return EXIT_SUCCESS;
    }
    union address address;
    socklen_t size = 0;
    if (!make_address(&options, &address, &size)) {
        fprintf(stderr, "coc-sim: bad value for --listen: %s\n", options.listen);
        return EX_USAGE;
    }
    if (!server_block_signals()) {
        perror("coc-sim: signals");
        return EX_OSERR;
    }
    struct tls tls = {0};
    int status = EX_IOERR;
    if (read_tls(&options, &tls)) {
        int fd = open_port(&address, size);
        if (fd >= 0) {
            status = serve(&options, &address, fd, &tls);
        } else {
            perror("coc-sim: cannot listen");
        }
    } else {
        status = EX_NOINPUT;
    }
    buf_free(&tls.cert);
    buf_free(&tls.key);
    return status;
}

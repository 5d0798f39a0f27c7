/* patchwatchd: the command line of the daemon. */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "daemon/service.h"

#define DEFAULT_CONFIG "/etc/patchwatch/patchwatch.ini"

static const char usage[] =
    "Usage: patchwatchd [--config FILE] [--once] [--check] [--version] [--help]\n"
    "\n"
    "Watches the patch compliance of Huawei Cloud machines and tells hooks what changed.\n"
    "\n"
    "  --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
    "  --check        load everything, print every problem as FILE:LINE: message; exit 0 or 78\n"
    "  --once         sweep each source once, deliver what is due, exit:\n"
    "                 0 all complete, 75 some incomplete or failed\n"
    "  --version      print the version\n"
    "  --help         print this\n"
    "\n"
    "Stays in the foreground and logs to stderr. SIGTERM and SIGINT stop it, SIGHUP reloads.\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"once", no_argument, NULL, 'o'},         {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    const char *path = DEFAULT_CONFIG;
    bool check = false, once = false;
    struct pw_config *config;
    struct pw_alerts *alerts;
    struct pw_problems problems;
    bool is_loaded;
    sigset_t held;
    int option;

    pw_service_signals(&held);
    (void)pthread_sigmask(SIG_BLOCK, &held, NULL);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'o':
            once = true;
            break;
        case 'v':
            (void)puts("patchwatchd " PW_VERSION);
            return EX_OK;
        case 'h':
            (void)fputs(usage, stdout);
            return EX_OK;
        default:
            (void)fputs("Try 'patchwatchd --help'.\n", stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "patchwatchd: unexpected argument '%s'\nTry 'patchwatchd --help'.\n",
                      argv[optind]);
        return EX_USAGE;
    }
    pw_log_init();
    pw_problems_init(&problems);
    is_loaded = pw_service_load(path, &config, &alerts, &problems);
    pw_problems_print(&problems, stderr);
    pw_problems_free(&problems);
    if (!is_loaded)
        return EX_CONFIG;
    if (check) {
        pw_alerts_free(alerts);
        pw_config_free(config);
        (void)printf("%s: ok\n", path);
        return EX_OK;
    }
    pw_log_set_level(config->daemon.log_level);
    return pw_service_run(config, alerts, once);
}

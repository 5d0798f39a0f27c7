/* Is a patchwatchd running? The writer holds a lock (flock) on DATABASE.lock; /proc/locks tells who
 * holds which, to anybody, and asking disturbs nobody. It tells of those processes only that are
 * visible in our PID namespace, so that seeing nobody there may mean nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon/cli.h"

/* The name of a process, or "" (gone, or hidden). */
static void read_name(int64_t pid, char *out, size_t size_bytes)
{
    char path[64];
    FILE *file;

    out[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(out, (int)size_bytes, file) != NULL)
        out[strcspn(out, "\n")] = '\0';
    (void)fclose(file);
}

static bool is_daemon(const char *program)
{
    return strcmp(program, "patchwatchd") == 0;
}

/* "1: FLOCK  ADVISORY  WRITE 12451 fe:00:11149769 0 EOF", proc_locks(5). */
static bool holds(const char *line, const struct stat *file, struct cli_daemon *out)
{
    unsigned major_number, minor_number;
    uintmax_t inode;

    if (sscanf(line, "%*d: FLOCK %*s WRITE %" SCNd64 " %x:%x:%ju", &out->pid, &major_number,
               &minor_number, &inode) != 4 ||
        inode != (uintmax_t)file->st_ino)
        return false;
    read_name(out->pid, out->program, sizeof out->program);
    if (major_number == major(file->st_dev) && minor_number == minor(file->st_dev))
        return true;
    /* On btrfs and overlayfs stat(2) gives another device than the kernel's table. */
    return is_daemon(out->program);
}

static bool find_holder(FILE *locks, const struct stat *file, struct cli_daemon *out)
{
    char line[256];

    while (fgets(line, sizeof line, locks) != NULL) {
        if (holds(line, file, out))
            return true;
    }
    out->pid = 0;
    out->program[0] = '\0';
    return false;
}

/* Whether every process of this kernel shows in our /proc: the first PID namespace has this number
 * in all kernels (PROC_PID_INIT_INO). */
static bool sees_all(void)
{
    struct stat info;

    return stat("/proc/self/ns/pid", &info) == 0 && info.st_ino == UINT32_C(0xEFFFFFFC);
}

/* The lock file is there and nobody is seen to hold it. A daemon that ended well left a mark in it
 * (lib/store/db.c) and empties it while it runs; its size may be seen by whoever may not read it.
 */
static void judge_unheld(const struct stat *file, struct cli_daemon *out)
{
    out->running = CLI_STOPPED;
    if (file->st_size > 0 || sees_all())
        return;
    out->running = CLI_UNKNOWN;
    out->reason = "it did not say that it ended, and processes outside of this container do not "
                  "show";
}

void cli_find_daemon(const char *database, struct cli_daemon *out)
{
    char *real_path = realpath(database, NULL), *name = NULL;
    struct stat file;
    FILE *locks = NULL;

    *out = (struct cli_daemon){.running = CLI_UNKNOWN, .reason = "its lock file cannot be seen"};
    if (real_path == NULL || asprintf(&name, "%s.lock", real_path) < 0) {
        name = NULL;
        goto out;
    }
    if (stat(name, &file) != 0) {
        if (errno == ENOENT)
            out->running = CLI_STOPPED; /* it makes the file before anything else */
        goto out;
    }
    locks = fopen("/proc/locks", "re");
    if (locks == NULL) {
        out->reason = "/proc/locks does not tell";
        goto out;
    }
    if (!find_holder(locks, &file, out))
        judge_unheld(&file, out);
    else if (out->program[0] == '\0' || is_daemon(out->program))
        out->running = CLI_RUNNING;
    else
        out->running = CLI_STOPPED;
    (void)fclose(locks);
out:
    free(name);
    free(real_path);
}

/* Is a patchwatchd running? The writer holds a lock (flock) on DATABASE.lock; /proc/locks tells who
 * holds which, to anybody, and asking disturbs nobody. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon/cli.h"

/* The name of a process, or "" (gone, or of another namespace). */
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

/* "1: FLOCK  ADVISORY  WRITE 12451 fe:00:11149769 0 EOF", proc_locks(5). */
static bool holds(const char *line, const struct stat *file, int64_t *pid)
{
    char name[32];
    unsigned major_number, minor_number;
    uintmax_t inode;

    if (sscanf(line, "%*d: FLOCK %*s WRITE %" SCNd64 " %x:%x:%ju", pid, &major_number,
               &minor_number, &inode) != 4 ||
        inode != (uintmax_t)file->st_ino)
        return false;
    if (major_number == major(file->st_dev) && minor_number == minor(file->st_dev))
        return true;
    /* On btrfs and overlayfs stat(2) gives another device than the kernel's table. */
    read_name(*pid, name, sizeof name);
    return strcmp(name, "patchwatchd") == 0;
}

enum cli_running cli_find_daemon(const char *database, int64_t *pid)
{
    char *real_path = realpath(database, NULL), *name = NULL;
    enum cli_running found = CLI_UNKNOWN;
    struct stat file;
    char line[256];
    FILE *locks = NULL;

    *pid = 0;
    if (real_path == NULL || asprintf(&name, "%s.lock", real_path) < 0) {
        name = NULL;
        goto out;
    }
    if (stat(name, &file) != 0) {
        found = CLI_STOPPED; /* it makes the file before anything else */
        goto out;
    }
    locks = fopen("/proc/locks", "re");
    if (locks == NULL)
        goto out;
    found = CLI_STOPPED;
    while (found == CLI_STOPPED && fgets(line, sizeof line, locks) != NULL) {
        if (holds(line, &file, pid))
            found = CLI_RUNNING;
    }
    (void)fclose(locks);
    if (found != CLI_RUNNING)
        *pid = 0;
out:
    free(name);
    free(real_path);
    return found;
}

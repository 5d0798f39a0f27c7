/* Whether files are other than when they were last read. Internal to this room. */
#ifndef PW_CLOUD_WATCH_H
#define PW_CLOUD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

enum { PW_WATCH_MAX_FILES = 3 };

struct pw_file_stamp {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size_bytes;
    struct timespec modified, changed; /* changed: also by chmod(1) */
};

struct pw_watch {
    const char *paths[PW_WATCH_MAX_FILES]; /* not owned */
    struct pw_file_stamp stamps[PW_WATCH_MAX_FILES];
    size_t count;
};

/* Adds a file; NULL is none. */
void pw_watch_add(struct pw_watch *watch, const char *path);
/* Remembers the files as they are now. */
void pw_watch_look(struct pw_watch *watch);
/* Whether one of them is not as it was at the last look. */
bool pw_watch_changed(const struct pw_watch *watch);

#endif

/* Files by their stat(2). */
#include "cloud/watch.h"

#include <assert.h>
#include <sys/stat.h>

static struct pw_file_stamp stamp_of(const char *path)
{
    struct pw_file_stamp stamp = {.exists = false};
    struct stat st;

    if (stat(path, &st) != 0)
        return stamp;
    stamp.exists = true;
    stamp.device = st.st_dev;
    stamp.inode = st.st_ino;
    stamp.size_bytes = st.st_size;
    stamp.modified = st.st_mtim;
    stamp.changed = st.st_ctim;
    return stamp;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct pw_file_stamp *a, const struct pw_file_stamp *b)
{
    if (!a->exists || !b->exists)
        return a->exists == b->exists;
    return a->device == b->device && a->inode == b->inode && a->size_bytes == b->size_bytes &&
           same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

void pw_watch_add(struct pw_watch *watch, const char *path)
{
    if (path == NULL)
        return;
    assert(watch->count < PW_WATCH_MAX_FILES);
    watch->paths[watch->count++] = path;
}

void pw_watch_look(struct pw_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        watch->stamps[i] = stamp_of(watch->paths[i]);
}

bool pw_watch_changed(const struct pw_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++) {
        struct pw_file_stamp now = stamp_of(watch->paths[i]);

        if (!same_stamp(&now, &watch->stamps[i]))
            return true;
    }
    return false;
}

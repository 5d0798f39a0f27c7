/* A copy of the history that is whole: made while the daemon runs, without holding it up. */
#ifndef PW_STORE_BACKUP_H
#define PW_STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/db.h"

struct pw_backup_params {
    bool overwrite; /* replace the file that is there */
    /* Asked after every step; true ends the copy. NULL: nobody ends it. */
    bool (*is_canceled)(void *context);
    void *context;
    int step_pages; /* copied between two questions; 0 = some thousand */
};

/* Copies what db (opened with PW_DB_READ) sees at this moment to path. The copy grows in PATH.part,
 * is synced, has mode 0640, and is then renamed, so that path is never half a copy. It needs no
 * -wal or -shm file. All of it is read in one transaction: it is of one instant, whatever is
 * written meanwhile. A PATH.part that a killed backup left behind is used again, one that is
 * somebody else's is left alone. *bytes (may be NULL) is the size of the copy.
 * PW_EBUSY: path exists and `overwrite` is false, or another backup to path is running; PW_EINVAL:
 * path or PATH.part is the history or one of the files beside it, or no regular file; PW_ECANCELED;
 * PW_EPERM, PW_ENOTFOUND, PW_EFULL, PW_EIO as they say. Then nothing is left behind, and what was
 * there is as it was. */
PW_MUST_CHECK enum pw_status pw_store_backup(struct pw_db *db, const char *path,
                                             const struct pw_backup_params *params, int64_t *bytes,
                                             struct pw_error *err);

#endif

/* A copy of the history that is whole: made while the daemon runs, without holding it up. */
#ifndef PW_STORE_BACKUP_H
#define PW_STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/db.h"

/* Copies what db (opened with PW_DB_READ) sees at this moment to path: to a temporary file beside
 * it first, synced, mode 0640, then renamed, so that path is never half a copy. The copy needs no
 * -wal or -shm file. *bytes (may be NULL) is its size. PW_EBUSY: path exists and `overwrite` is
 * false; PW_EINVAL: path is the history itself, or no regular file; PW_EPERM, PW_ENOTFOUND,
 * PW_EFULL, PW_EIO as they say; then nothing is left behind and what was there is as it was. */
PW_MUST_CHECK enum pw_status pw_store_backup(struct pw_db *db, const char *path, bool overwrite,
                                             int64_t *bytes, struct pw_error *err);

#endif

/* The hash chain of the events: each row holds SHA-256 over the row before it and its own content,
 * so that nobody changes, removes or inserts one without a trace. docs/history.md says how the
 * bytes are put together. */
#ifndef PW_STORE_CHAIN_H
#define PW_STORE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/db.h"

enum { PW_CHAIN_BYTES = 32, PW_CHAIN_HEX_SIZE = 65 };

#define PW_CHAIN_NULL INT64_MIN /* of node_id and sweep_id: SQL's NULL */

/* What is hashed: every column of event but the hash itself, in this order. Texts may be null. */
#define PW_CHAIN_COLUMNS                                                                           \
    "event_id, uid, type, source_id, node_id, sweep_id, from_status, to_status, cause, "           \
    "occurred_at, recorded_at, data"
enum { PW_CHAIN_COLUMN_COUNT = 12 };

struct pw_chain_row {
    int64_t event_id;
    struct pw_str uid;
    struct pw_str type;
    int64_t source_id;
    int64_t node_id;
    int64_t sweep_id;
    struct pw_str from_status;
    struct pw_str to_status;
    struct pw_str cause;
    int64_t occurred_at_ms;
    int64_t recorded_at_ms;
    struct pw_str data;
};

/* A link: the number of an event and the hash that its row holds. */
struct pw_chain_link {
    int64_t event_id;
    unsigned char hash[PW_CHAIN_BYTES]; /* zeros before the first event, and where a row has none */
};

/* The hash of row behind `previous`. PW_EIO where the library of hashes fails. */
PW_MUST_CHECK enum pw_status pw_chain_hash(const unsigned char previous[PW_CHAIN_BYTES],
                                           const struct pw_chain_row *row,
                                           unsigned char out[PW_CHAIN_BYTES], struct pw_error *err);
/* Reads PW_CHAIN_COLUMNS, the first of them being column `first`. Valid until the next step. */
void pw_chain_row_read(sqlite3_stmt *statement, int first, struct pw_chain_row *out);
/* The hash in that column; false, and zeros, where there is none or it has another length. */
bool pw_chain_hash_read(sqlite3_stmt *statement, int column, unsigned char out[PW_CHAIN_BYTES]);
/* The last link, with the last number that was used: the hash is that of the newest event, or of
 * the anchor where every event was pruned. */
PW_MUST_CHECK enum pw_status pw_chain_end(struct pw_db *db, struct pw_chain_link *out,
                                          struct pw_error *err);
/* Where the chain begins: the newest event that was pruned, *pruned_at_ms when; event_id 0 and
 * zeros where none was. */
PW_MUST_CHECK enum pw_status pw_chain_anchor(struct pw_db *db, struct pw_chain_link *out,
                                             int64_t *pruned_at_ms, struct pw_error *err);
/* Moves the beginning to `link`, whose event and all before it are to go, because they were
 * recorded before kept_from_ms. In the caller's transaction. */
PW_MUST_CHECK enum pw_status pw_chain_set_anchor(struct pw_db *db, const struct pw_chain_link *link,
                                                 int64_t kept_from_ms, int64_t now_ms,
                                                 struct pw_error *err);
/* Chains the rows that a file of an older version has, over the gaps that their numbers may have,
 * and notes how far those count for none (chain_start). In the caller's transaction. */
PW_MUST_CHECK enum pw_status pw_chain_migrate(struct pw_db *db, struct pw_error *err);
/* The hash as 64 hexadecimal digits. Returns out. */
const char *pw_chain_hex(char out[PW_CHAIN_HEX_SIZE], const unsigned char hash[PW_CHAIN_BYTES]);

#endif

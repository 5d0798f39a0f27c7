/* Hashing events and finding the two ends of their chain. Nothing here keeps memory. */
#include "store/chain.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char end_sql[] =
    "SELECT q.last, e.chain_hash, a.hash"
    "  FROM (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) AS last)"
    "    AS q LEFT JOIN event AS e ON e.event_id ="
    "    (SELECT l.event_id FROM event AS l WHERE l.event_id <= q.last"
    "      ORDER BY l.event_id DESC LIMIT 1)"
    "  LEFT JOIN chain_anchor AS a ON a.event_id = q.last";
static const char anchor_sql[] =
    "SELECT event_id, hash, pruned_at FROM chain_anchor ORDER BY event_id DESC LIMIT 1";
static const char kept_sql[] = "SELECT max(kept_from) FROM chain_anchor";
static const char drop_anchor_sql[] = "DELETE FROM chain_anchor";
static const char put_anchor_sql[] =
    "INSERT INTO chain_anchor (event_id, hash, pruned_at, kept_from) VALUES (?1, ?2, ?3, ?4)";
static const char next_sql[] =
    "SELECT " PW_CHAIN_COLUMNS " FROM event WHERE event_id > ?1 ORDER BY event_id LIMIT 1";
static const char put_sql[] = "UPDATE event SET chain_hash = ?2 WHERE event_id = ?1";
/* Where the rows that are there began above 1, what was before them is gone for good. */
static const char start_anchor_sql[] =
    "INSERT INTO chain_anchor (event_id, hash, pruned_at, kept_from)"
    " SELECT f.before, zeroblob(32), ?1, 0 FROM"
    " (SELECT coalesce((SELECT min(event_id) FROM event) - 1,"
    "                  (SELECT max(seq) FROM sqlite_sequence WHERE name = 'event')) AS before) AS f"
    " WHERE f.before > 0";
static const char start_sql[] =
    "INSERT INTO chain_start (event_id, sweep_id, migrated_at)"
    " SELECT q.seq, (SELECT coalesce(max(sweep_id), 0) FROM sweep), ?1 FROM sqlite_sequence AS q"
    "  WHERE q.name = 'event' AND q.seq > 0";

/* Encoding ------------------------------------------------------------------------------------ */

static bool add_int64(EVP_MD_CTX *digest, unsigned char kind, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    unsigned char bytes[9] = {kind};

    for (int i = 8; i > 0; i--, bits >>= 8)
        bytes[i] = (unsigned char)(bits & 0xff);
    return EVP_DigestUpdate(digest, bytes, sizeof bytes) == 1;
}

static bool add_null(EVP_MD_CTX *digest)
{
    return EVP_DigestUpdate(digest, "N", 1) == 1;
}

static bool add_number(EVP_MD_CTX *digest, int64_t value)
{
    return value == PW_CHAIN_NULL ? add_null(digest) : add_int64(digest, 'I', value);
}

static bool add_text(EVP_MD_CTX *digest, struct pw_str text)
{
    if (text.data == NULL)
        return add_null(digest);
    return add_int64(digest, 'T', (int64_t)text.len) &&
           EVP_DigestUpdate(digest, text.data, text.len) == 1;
}

enum pw_status pw_chain_hash(const unsigned char previous[PW_CHAIN_BYTES],
                             const struct pw_chain_row *row, unsigned char out[PW_CHAIN_BYTES],
                             struct pw_error *err)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned int size = 0;
    bool done;

    if (digest == NULL)
        return pw_fail_nomem(err);
    done = EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(digest, previous, PW_CHAIN_BYTES) == 1 &&
           add_number(digest, row->event_id) && add_text(digest, row->uid) &&
           add_text(digest, row->type) && add_number(digest, row->source_id) &&
           add_number(digest, row->node_id) && add_number(digest, row->sweep_id) &&
           add_text(digest, row->from_status) && add_text(digest, row->to_status) &&
           add_text(digest, row->cause) && add_number(digest, row->occurred_at_ms) &&
           add_number(digest, row->recorded_at_ms) && add_text(digest, row->data) &&
           EVP_DigestFinal_ex(digest, out, &size) == 1 && size == PW_CHAIN_BYTES;
    EVP_MD_CTX_free(digest);
    return done ? PW_OK : pw_fail(err, PW_EIO, "OpenSSL cannot compute SHA-256");
}

void pw_chain_row_read(sqlite3_stmt *statement, int first, struct pw_chain_row *out)
{
    *out = (struct pw_chain_row){
        .event_id = sqlite3_column_int64(statement, first),
        .uid = pw_db_column_str(statement, first + 1),
        .type = pw_db_column_str(statement, first + 2),
        .source_id = sqlite3_column_int64(statement, first + 3),
        .node_id = pw_db_column_int_or(statement, first + 4, PW_CHAIN_NULL),
        .sweep_id = pw_db_column_int_or(statement, first + 5, PW_CHAIN_NULL),
        .from_status = pw_db_column_str(statement, first + 6),
        .to_status = pw_db_column_str(statement, first + 7),
        .cause = pw_db_column_str(statement, first + 8),
        .occurred_at_ms = sqlite3_column_int64(statement, first + 9),
        .recorded_at_ms = sqlite3_column_int64(statement, first + 10),
        .data = pw_db_column_str(statement, first + 11),
    };
}

bool pw_chain_hash_read(sqlite3_stmt *statement, int column, unsigned char out[PW_CHAIN_BYTES])
{
    const void *bytes = sqlite3_column_blob(statement, column);

    if (bytes == NULL || sqlite3_column_bytes(statement, column) != PW_CHAIN_BYTES) {
        memset(out, 0, PW_CHAIN_BYTES);
        return false;
    }
    memcpy(out, bytes, PW_CHAIN_BYTES);
    return true;
}

const char *pw_chain_hex(char out[PW_CHAIN_HEX_SIZE], const unsigned char hash[PW_CHAIN_BYTES])
{
    for (int i = 0; i < PW_CHAIN_BYTES; i++)
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", hash[i]);
    return out;
}

/* The two ends -------------------------------------------------------------------------------- */

enum pw_status pw_chain_end(struct pw_db *db, struct pw_chain_link *out, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, end_sql, &statement, err);
    bool row;

    *out = (struct pw_chain_link){0};
    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        out->event_id = sqlite3_column_int64(statement, 0);
        /* A row without a hash was put there by somebody else, and one that should follow it may be
         * gone; verify names them, we go on. */
        if (!pw_chain_hash_read(statement, 1, out->hash))
            (void)pw_chain_hash_read(statement, 2, out->hash);
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_chain_anchor(struct pw_db *db, struct pw_chain_link *out, int64_t *pruned_at_ms,
                               struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, anchor_sql, &statement, err);
    bool row;

    *out = (struct pw_chain_link){0};
    *pruned_at_ms = 0;
    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row) {
        out->event_id = sqlite3_column_int64(statement, 0);
        (void)pw_chain_hash_read(statement, 1, out->hash);
        *pruned_at_ms = sqlite3_column_int64(statement, 2);
    }
    (void)sqlite3_reset(statement);
    return status;
}

enum pw_status pw_chain_set_anchor(struct pw_db *db, const struct pw_chain_link *link,
                                   int64_t kept_from_ms, int64_t now_ms, struct pw_error *err)
{
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, kept_sql, &statement, err);
    bool row;

    if (status != PW_OK)
        return status;
    status = pw_db_step(db, statement, &row, err);
    if (status == PW_OK && row && kept_from_ms < pw_db_column_int_or(statement, 0, INT64_MIN))
        kept_from_ms = sqlite3_column_int64(statement, 0); /* retention may have become longer */
    (void)sqlite3_reset(statement);
    if (status == PW_OK)
        status = pw_db_prepare(db, drop_anchor_sql, &statement, err);
    if (status == PW_OK)
        status = pw_db_run(db, statement, err);
    if (status == PW_OK)
        status = pw_db_prepare(db, put_anchor_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, link->event_id);
    pw_db_bind_bytes(statement, 2, link->hash, PW_CHAIN_BYTES);
    pw_db_bind_int(statement, 3, now_ms);
    pw_db_bind_int(statement, 4, kept_from_ms);
    return pw_db_run(db, statement, err);
}

/* Files of older versions --------------------------------------------------------------------- */

/* Chains the event behind *link and moves *link to it; *found false at the end. */
static enum pw_status chain_next(struct pw_db *db, struct pw_chain_link *link, bool *found,
                                 struct pw_error *err)
{
    struct pw_chain_row row;
    sqlite3_stmt *statement;
    enum pw_status status = pw_db_prepare(db, next_sql, &statement, err);

    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, link->event_id);
    status = pw_db_step(db, statement, found, err);
    if (status != PW_OK || !*found)
        return status;
    pw_chain_row_read(statement, 0, &row);
    status = pw_chain_hash(link->hash, &row, link->hash, err);
    link->event_id = row.event_id;
    (void)sqlite3_reset(statement);
    if (status == PW_OK)
        status = pw_db_prepare(db, put_sql, &statement, err);
    if (status != PW_OK)
        return status;
    pw_db_bind_int(statement, 1, link->event_id);
    pw_db_bind_bytes(statement, 2, link->hash, PW_CHAIN_BYTES);
    return pw_db_run(db, statement, err);
}

enum pw_status pw_chain_migrate(struct pw_db *db, struct pw_error *err)
{
    static const char *const sqls[] = {start_anchor_sql, start_sql};
    struct pw_chain_link link = {0};
    enum pw_status status;
    bool found;

    do {
        status = chain_next(db, &link, &found, err);
    } while (status == PW_OK && found);
    for (int i = 0; i < 2 && status == PW_OK; i++) {
        sqlite3_stmt *statement;

        status = pw_db_prepare(db, sqls[i], &statement, err);
        if (status != PW_OK)
            break;
        pw_db_bind_int(statement, 1, pw_clock_wall_ms(pw_clock_system()));
        status = pw_db_run(db, statement, err);
    }
    return status;
}

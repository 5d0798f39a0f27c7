/*
 * Growable byte buffers and the JSON they are filled with. A buffer owns its bytes until buf_free()
 * or buf_take(). Memory that cannot be had ends the program: a simulator has nobody to report it
 * to.
 */
#ifndef COC_SIM_BUF_H
#define COC_SIM_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t len;
    size_t size;
};

/* Memory of `bytes` bytes, never NULL; the caller frees it with free(). */
void *sim_alloc(size_t bytes);
/* Memory of `count` zeroed elements; never NULL. */
void *sim_calloc(size_t count, size_t bytes);
/* realloc() that never returns NULL. */
void *sim_realloc(void *memory, size_t bytes);
/* A copy of `text`; NULL stays NULL. The caller frees it. */
char *sim_strdup(const char *text);

/* Makes room for `more` bytes after the length and returns where they start. */
char *buf_reserve(struct buf *buf, size_t more);
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_str(struct buf *buf, const char *text);
void buf_int(struct buf *buf, int64_t value);
void buf_fill(struct buf *buf, char byte, size_t count);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a JSON string with its quotes; NULL gives null. Bytes from 0x80 on go through as they
 * are. */
void buf_json(struct buf *buf, const char *text, size_t len);
void buf_json_str(struct buf *buf, const char *text);

/* Replaces the `old_len` bytes at `start` by `len` others. */
void buf_splice(struct buf *buf, size_t start, size_t old_len, const char *bytes, size_t len);

void buf_free(struct buf *buf);

/* Writes a JSON string at `out`, which has room for 6 * len + 4 bytes; returns the end. */
char *json_put_string(char *out, const char *text, size_t len);
/* Writes a decimal number at `out`, which has room for 20 bytes; returns the end. */
char *json_put_int(char *out, int64_t value);

#endif

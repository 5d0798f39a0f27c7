/*
 * Time as the simulated server believes it: the real one, shifted by what a test asked for; and the
 * forms in which the cloud writes times.
 */
#ifndef COC_SIM_SERVERTIME_H
#define COC_SIM_SERVERTIME_H

#include "buf.h"

struct server;

/* Unix time in milliseconds, the shift included. */
int64_t server_time_ms(const struct server *server);

/* 2026-01-15T00:00:00Z, with six digits of fraction where asked for. */
void time_put_iso(struct buf *out, int64_t time_ms, bool fraction);
/* 20260115T000000Z, as in X-Sdk-Date. */
void time_put_basic(struct buf *out, int64_t time_ms);
/* Thu, 15 Jan 2026 00:00:00 GMT, as in Date. */
void time_put_http(struct buf *out, int64_t time_ms);
/* Reads 20260115T000000Z; false if the text is anything else. */
bool time_parse_basic(const char *text, int64_t *time_ms);

#endif

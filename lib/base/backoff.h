/* When to try again: exponential backoff with full jitter, as in Marc Brooker, "Exponential Backoff
 * And Jitter" (AWS Architecture Blog, 2015). Pure: the random number is a parameter. */
#ifndef PW_BASE_BACKOFF_H
#define PW_BASE_BACKOFF_H

#include <stdint.h>

/* Milliseconds to wait before attempt number `attempt` + 1 (attempt ≥ 1 has just failed): uniform
 * in [floor_ms, max(floor_ms, min(cap_ms, base_ms · 2^(attempt-1)))]. random is any 64-bit number.
 */
int64_t pw_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms, int64_t floor_ms,
                      uint64_t random);

/* A random 64-bit number, good enough for jitter (getrandom(2), falling back to the clock). */
uint64_t pw_random(void);

#endif

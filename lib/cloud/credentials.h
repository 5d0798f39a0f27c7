/* Credentials of one source: whatever the kind, headers for a request, fetched, renewed and re-read
 * on the loop without losing a sweep. Secrets live in memory that no core dump shows and that is
 * wiped before it is freed; no function here ever puts one into a log line or an error.
 *
 * Of a token's life only the length is taken from the server (its expires_at less its own Date),
 * and run off on our monotonic clock: a clock of ours that is wrong makes no token old. */
#ifndef PW_CLOUD_CREDENTIALS_H
#define PW_CLOUD_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/error.h"
#include "cloud/guard.h"
#include "config/config.h"
#include "http/http.h"

struct pw_credentials;

/* http, guard and source must outlive it. Nothing is read or fetched yet. */
PW_MUST_CHECK enum pw_status pw_credentials_new(uv_loop_t *loop, struct pw_http *http,
                                                const struct pw_clock *clock,
                                                struct pw_guard *guard,
                                                const struct pw_source_config *source,
                                                struct pw_credentials **out, struct pw_error *err);
/* Cancels what is under way (its ready is not called any more) and frees all on the loop, then
 * calls closed (may be NULL). May be called from ready. Before pw_http_close, or from its calls. */
void pw_credentials_close(struct pw_credentials *credentials, void (*closed)(void *context),
                          void *context);

/* Makes sure that there is a credential that holds for a while: reads files that changed, fetches
 * or renews tokens (password: early, in the last hour or quarter of their life; metadata: when less
 * than 40 min remain). Where the old credential still holds, it is PW_OK at once and renewing goes
 * on beside it. Waits where another source is the first to show the same credential, until that one
 * has an answer (see guard.h).
 * ready is called once, on the loop, never from within: PW_OK, or PW_EPERM (the credential itself
 * was refused, perhaps by way of another source or long ago, or a file is open to others: do not
 * try again until it changes, or much later), PW_ENETWORK, PW_EREMOTE, PW_EFORMAT, PW_ENOTFOUND and
 * any other (try again later), PW_ECANCELED (http was closed). One at a time. */
void pw_credentials_prepare(struct pw_credentials *credentials,
                            void (*ready)(void *context, enum pw_status status,
                                          const struct pw_error *error),
                            void *context);
/* Ends a running prepare, whose ready is not called any more. What is being renewed beside
 * credentials that hold goes on. */
void pw_credentials_cancel(struct pw_credentials *credentials);
/* The sweep that prepare was for is over. Where it was the first to show a credential and no server
 * said anything, another source may show it now. */
void pw_credentials_rest(struct pw_credentials *credentials);

/* What the server (IAM, metadata) said in the last prepare that failed; "" where it said nothing.
 */
struct pw_credentials_trouble {
    char code[96];
    char request_id[96];
};
const struct pw_credentials_trouble *
pw_credentials_trouble(const struct pw_credentials *credentials);

/* Another number, never 0, for each set of keys that is put in use; 0 before the first. Keys do not
 * change between prepare and headers without a new number. */
unsigned pw_credentials_generation(const struct pw_credentials *credentials);

/* The headers for one attempt, "Name: value", NULL-terminated: a signature with the time of now, or
 * a token, and X-Domain-Id / X-Project-Id / X-Security-Token. Valid until the next call. url as it
 * goes on the wire. PW_EPERM without a prepared credential. */
PW_MUST_CHECK enum pw_status pw_credentials_headers(struct pw_credentials *credentials,
                                                    const char *method, const char *url,
                                                    struct pw_str body, const char *const **headers,
                                                    struct pw_error *err);

/* A server answered something other than 401 to keys of this generation: they are good. */
void pw_credentials_accepted(struct pw_credentials *credentials, unsigned generation);

/* A server answered 401 to what pw_credentials_headers gave in this generation. True where a fresh
 * credential may help (newer keys are in use already; password and metadata: unless this one is
 * itself the fresh one, and under five minutes old; token and aksk: if the file has changed since):
 * prepare again, then repeat. False: the credential itself is refused; wait until
 * pw_credentials_changed, or much longer. Several answers to one credential get the same verdict.
 */
bool pw_credentials_refused(struct pw_credentials *credentials, unsigned generation);

/* A server answered 403 to keys of this generation. Rights may have been given since a token was
 * made: password and metadata fetch a fresh one at the next prepare; nothing for others. */
void pw_credentials_forbidden(struct pw_credentials *credentials, unsigned generation);

/* Whether the files behind the credential are others than those last read. Cheap (stat); for a
 * source that waits. */
bool pw_credentials_changed(const struct pw_credentials *credentials);

/* Overwrites by stars whatever of the credential a text shows, such as an error that repeats what
 * the server was sent. */
void pw_credentials_redact(const struct pw_credentials *credentials, char *text);

#endif

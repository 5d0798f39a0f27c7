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
#include "config/config.h"
#include "http/http.h"

struct pw_credentials;

/* http and source must outlive it. Nothing is read or fetched yet. */
PW_MUST_CHECK enum pw_status pw_credentials_new(uv_loop_t *loop, struct pw_http *http,
                                                const struct pw_clock *clock,
                                                const struct pw_source_config *source,
                                                struct pw_credentials **out, struct pw_error *err);
/* Cancels what is under way (its ready is not called any more) and frees all on the loop, then
 * calls closed (may be NULL). May be called from ready. Before pw_http_close, or from its calls. */
void pw_credentials_close(struct pw_credentials *credentials, void (*closed)(void *context),
                          void *context);

/* Makes sure that there is a credential that holds for a while: reads files that changed, fetches
 * or renews tokens (password: early, in the last hour or quarter of their life; metadata: when less
 * than 40 min remain). Where renewing fails and the old credential still holds, that is logged and
 * PW_OK. ready is called once, on the loop, never from within: PW_OK, or PW_EPERM (the server
 * refused the credential itself, or a file is open to others: do not try again until it changes),
 * PW_ENETWORK, PW_EREMOTE, PW_EFORMAT, PW_ENOTFOUND and any other (try again later), PW_ECANCELED
 * (http was closed). One at a time. */
void pw_credentials_prepare(struct pw_credentials *credentials,
                            void (*ready)(void *context, enum pw_status status,
                                          const struct pw_error *error),
                            void *context);

/* The headers for one attempt, "Name: value", NULL-terminated: a signature with the time of now, or
 * a token, and X-Domain-Id / X-Project-Id / X-Security-Token. Valid until the next call. url as it
 * goes on the wire. PW_EPERM without a prepared credential. */
PW_MUST_CHECK enum pw_status pw_credentials_headers(struct pw_credentials *credentials,
                                                    const char *method, const char *url,
                                                    struct pw_str body, const char *const **headers,
                                                    struct pw_error *err);

/* A server answered 401 to what pw_credentials_headers gave. True where a fresh credential may help
 * (password and metadata: unless this one is itself the fresh one, and under five minutes old;
 * token and aksk: if the file has changed since): prepare again, then repeat. False: the credential
 * itself is refused; wait until pw_credentials_changed, or much longer. Several answers to one
 * credential get the same verdict. */
bool pw_credentials_refused(struct pw_credentials *credentials);

/* Whether the files behind the credential are others than those last read. Cheap (stat); for a
 * source that waits. */
bool pw_credentials_changed(const struct pw_credentials *credentials);

/* Overwrites by stars whatever of the credential a text shows, such as an error that repeats what
 * the server was sent. */
void pw_credentials_redact(const struct pw_credentials *credentials, char *text);

#endif

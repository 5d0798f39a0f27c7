/* The URLs that may stand in the configuration: an origin and a path prefix, no more. Pure. */
#ifndef PW_CONFIG_URL_H
#define PW_CONFIG_URL_H

#include <stdbool.h>

#include "base/error.h"

/* Checks http(s)://HOST[:PORT][/PREFIX] (RFC 3986; IPv6 in brackets; no user, query, fragment) and
 * gives it with a lower-case scheme and without trailing slashes. The caller frees *out. Messages
 * never repeat a user or password. */
PW_MUST_CHECK enum pw_status pw_url_parse(const char *text, char **out, struct pw_error *err);
/* The same for a proxy: [SCHEME://]HOST[:PORT], scheme http, https, socks4, socks4a, socks5 or
 * socks5h. */
PW_MUST_CHECK enum pw_status pw_url_check_proxy(const char *text, struct pw_error *err);
/* HOST:PORT, both required. */
PW_MUST_CHECK enum pw_status pw_url_check_host_port(const char *text, struct pw_error *err);

/* Whether a URL as pw_url_parse gives it would carry credentials in the clear over a network:
 * http:// to anything but loopback (127/8, ::1, localhost) and link-local (169.254/16, fe80::/10).
 */
bool pw_url_exposes_credentials(const char *url);

#endif

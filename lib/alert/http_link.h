/* How the kinds of hooks that speak HTTP reach their receivers: URLs, CAs, proxy, headers, token.
 * Read when alerts.yaml is loaded, secrets included; read-only from then on. */
#ifndef PW_ALERT_HTTP_LINK_H
#define PW_ALERT_HTTP_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "alert/parse.h"
#include "base/secret.h"

enum { PW_HTTP_LINK_MAX_URLS = 16, PW_HTTP_LINK_MAX_HEADERS = 32 };

struct pw_http_link {
    struct pw_secret urls[PW_HTTP_LINK_MAX_URLS];
    size_t url_count;
    bool url_is_secret;        /* it came from a file: no message shows it */
    struct pw_secret path;     /* of a secret URL, what follows its host: to be redacted */
    struct pw_secret password; /* in a secret URL: likewise */
    struct pw_secret bearer;   /* the line "Authorization: Bearer …", or empty */
    struct pw_secret token;    /* what stands in it: to be redacted */
    char *ca_file, *proxy;     /* NULL = none */
    char **headers;            /* "Name: value" …, NULL-terminated, or NULL */
};

/* The keys that pw_http_link_parse reads, for the list of a kind's own. */
#define PW_HTTP_LINK_KEYS "token_file", "ca_file", "proxy", "headers"

/* Checks an http(s) URL and adds it. A query is fine, a fragment is not; user and password only in
 * one that is a secret. line is that of the YAML file. PW_ENOMEM, else PW_OK: what is wrong goes to
 * the problems, which never show a secret URL. */
PW_MUST_CHECK enum pw_status pw_http_link_add_url(struct pw_http_link *link, struct pw_yaml *yaml,
                                                  int line, struct pw_str url, bool is_secret);
/* Reads the keys above; after the URLs. is_signed: what is sent proves by itself who sent it, so
 * that a URL without TLS needs no warning. */
PW_MUST_CHECK enum pw_status pw_http_link_parse(struct pw_http_link *link, struct pw_yaml *yaml,
                                                yaml_node_t *mapping,
                                                const struct pw_hook_config *hook, bool is_signed);
/* The secret file that key names into secret: from $CREDENTIALS_DIRECTORY, else beside alerts.yaml.
 * *is_there says whether it could be read. has_lines: see pw_secret_read_lines. */
PW_MUST_CHECK enum pw_status pw_http_link_read_secret(struct pw_yaml *yaml, yaml_node_t *node,
                                                      const char *key, bool has_lines,
                                                      struct pw_secret *secret, bool *is_there);
/* The absolute path of an existing file that key names, or NULL where there is a problem. The
 * caller frees. */
PW_MUST_CHECK enum pw_status pw_http_link_read_path(struct pw_yaml *yaml, yaml_node_t *node,
                                                    const char *key, char **out);
/* A hash of the URLs, for pw_hook_config.target. */
void pw_http_link_hash(const struct pw_http_link *link, char out[65]);
/* Puts stars over every secret of the link in text. */
void pw_http_link_redact(const struct pw_http_link *link, char *text);
void pw_http_link_free(struct pw_http_link *link); /* what it owns; a zeroed one is fine */

#endif

/* Taking URLs apart. Stricter than RFC 3986 where a looser reading would only hide a slip. */
#include "config/url.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HOST_CHARS LETTERS DIGITS "._-"
/* pchar and "/" of RFC 3986 section 3.3 */
#define PATH_CHARS LETTERS DIGITS "/-._~%!$&'()*+,;=:@"

enum { HOST_MAX_BYTES = 253, ADDRESS_BYTES = 64 };

/* An IPv6 address between brackets, its zone (RFC 6874: "%25eth0") set aside. */
static bool parse_ipv6(const char *text, size_t len, struct in6_addr *out)
{
    char address[ADDRESS_BYTES];
    const char *zone = memchr(text, '%', len);
    size_t address_len = zone != NULL ? (size_t)(zone - text) : len;

    if (address_len >= sizeof address || (zone != NULL && address_len + 1 == len))
        return false;
    memcpy(address, text, address_len);
    address[address_len] = '\0';
    return inet_pton(AF_INET6, address, out) == 1;
}

/* HOST[:PORT] of len bytes at text. */
static enum pw_status check_authority(const char *text, size_t len, bool need_port,
                                      struct pw_error *err)
{
    struct in6_addr ipv6;
    size_t host_len;
    const char *rest;

    if (memchr(text, '@', len) != NULL)
        return pw_fail(err, PW_EINVAL,
                       "a user name or password must not stand in it: a secret stands in no ini "
                       "file");
    if (len > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', len);

        if (end == NULL || !parse_ipv6(text + 1, (size_t)(end - text) - 1, &ipv6))
            return pw_fail(err, PW_EINVAL, "there is no IPv6 address between the brackets");
        host_len = (size_t)(end - text) + 1;
    } else {
        host_len = strspn(text, HOST_CHARS);
        host_len = host_len < len ? host_len : len;
        if (host_len == 0)
            return pw_fail(err, PW_EINVAL, "the host is missing");
        if (host_len > HOST_MAX_BYTES)
            return pw_fail(err, PW_EINVAL, "the host is too long");
    }
    rest = text + host_len;
    len -= host_len;
    if (len > 0 && rest[0] != ':')
        return pw_fail(err, PW_EINVAL, "'%c' must not stand in a host name%s", rest[0],
                       rest[0] == '[' ? "" : " (an IPv6 address stands in brackets)");
    if (len > 0) {
        char port[8];
        int64_t number;

        rest++;
        len--;
        if (memchr(rest, ':', len) != NULL)
            return pw_fail(err, PW_EINVAL, "an IPv6 address stands in brackets");
        if (len == 0 || len >= sizeof port || strspn(rest, DIGITS) < len)
            return pw_fail(err, PW_EINVAL, "the port is not a number from 1 to 65535");
        memcpy(port, rest, len);
        port[len] = '\0';
        if (pw_parse_int(port, 1, 65535, &number, NULL) != PW_OK)
            return pw_fail(err, PW_EINVAL, "the port is not a number from 1 to 65535");
    } else if (need_port) {
        return pw_fail(err, PW_EINVAL, "the port is missing: write HOST:PORT");
    }
    return PW_OK;
}

/* Bytes of "http://" or "https://" at the start of text, any case; else 0. */
static size_t scheme_length(const char *text)
{
    if (strncasecmp(text, "https://", 8) == 0)
        return 8;
    return strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
}

enum pw_status pw_url_parse(const char *text, char **out, struct pw_error *err)
{
    size_t scheme_len = scheme_length(text), len = strlen(text), authority_len, path_ok;
    const char *authority = text + scheme_len, *path;
    enum pw_status status;
    char *url;

    *out = NULL;
    if (scheme_len == 0)
        return pw_fail(err, PW_EINVAL, "it must begin with https:// or http://");
    authority_len = strcspn(authority, "/?#");
    status = check_authority(authority, authority_len, false, err);
    if (status != PW_OK)
        return status;
    path = authority + authority_len;
    path_ok = strspn(path, PATH_CHARS);
    if (path[path_ok] == '?' || path[path_ok] == '#')
        return pw_fail(err, PW_EINVAL, "a query or fragment ('%c') must not stand in it",
                       path[path_ok]);
    if (path[path_ok] != '\0')
        return pw_fail(err, PW_EINVAL, "the path holds a character that must be %%-encoded");
    while (len > scheme_len && text[len - 1] == '/')
        len--;
    url = pw_str_dup((struct pw_str){text, len});
    if (url == NULL)
        return pw_fail_nomem(err);
    memcpy(url, scheme_len == 8 ? "https" : "http", scheme_len - 3);
    *out = url;
    return PW_OK;
}

enum pw_status pw_url_check_proxy(const char *text, struct pw_error *err)
{
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    const char *mark = strstr(text, "://"), *authority = text;
    bool known = mark == NULL;
    size_t len;

    if (mark != NULL) {
        authority = mark + 3;
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
            if (strlen(schemes[i]) == (size_t)(mark - text) &&
                strncasecmp(schemes[i], text, (size_t)(mark - text)) == 0)
                known = true;
        }
    }
    if (!known)
        return pw_fail(err, PW_EINVAL,
                       "its scheme is not one of http, https, socks4, socks4a, socks5, socks5h");
    len = strlen(authority);
    if (len > 0 && authority[len - 1] == '/')
        len--;
    return check_authority(authority, len, false, err);
}

enum pw_status pw_url_check_host_port(const char *text, struct pw_error *err)
{
    return check_authority(text, strlen(text), true, err);
}

bool pw_url_exposes_credentials(const char *url)
{
    static const char scheme[] = "http://";
    const char *host = url + sizeof scheme - 1, *end;
    char name[ADDRESS_BYTES];
    struct in6_addr ipv6;
    struct in_addr ipv4;
    size_t len;

    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    if (host[0] == '[') {
        end = strchr(host, ']');
        if (end == NULL || !parse_ipv6(host + 1, (size_t)(end - host) - 1, &ipv6))
            return true;
        return !(IN6_IS_ADDR_LOOPBACK(&ipv6) || IN6_IS_ADDR_LINKLOCAL(&ipv6));
    }
    len = strcspn(host, ":/");
    if (len >= sizeof name)
        return true;
    memcpy(name, host, len);
    name[len] = '\0';
    if (strcasecmp(name, "localhost") == 0)
        return false;
    /* Only the dotted quad counts: other spellings of an address are read differently by others. */
    if (inet_pton(AF_INET, name, &ipv4) != 1)
        return true;
    return !(ntohl(ipv4.s_addr) >> 24 == 127 || ntohl(ipv4.s_addr) >> 16 == 0xa9fe);
}

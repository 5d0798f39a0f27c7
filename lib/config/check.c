/* Checks across keys. What a wrong value made NULL is not called missing as well: the texts decide
 * what was given. */
#include "config/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "config/option.h"
#include "config/url.h"

/* The keys that belong to a kind of credentials. */
static const struct companion {
    enum pw_auth_kind kind;
    const char *key;
    bool is_required;
} companions[] = {
    {PW_AUTH_AKSK, "access_key_file", true},        {PW_AUTH_AKSK, "secret_key_file", true},
    {PW_AUTH_AKSK, "security_token_file", false},   {PW_AUTH_TOKEN, "token_file", true},
    {PW_AUTH_PASSWORD, "iam_endpoint", true},       {PW_AUTH_PASSWORD, "iam_domain", true},
    {PW_AUTH_PASSWORD, "iam_user", true},           {PW_AUTH_PASSWORD, "iam_password_file", true},
    {PW_AUTH_METADATA, "metadata_endpoint", false},
};
static const size_t companion_count = sizeof companions / sizeof companions[0];

/* Whether the vendor's SDK would find a key pair here: in its variables, or in its credentials
 * file. */
static bool sdk_has_keys(void)
{
    const char *access_key = getenv("HUAWEICLOUD_SDK_AK");
    const char *file = getenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE");
    const char *home = getenv("HOME");
    char path[4096];

    if (access_key != NULL && access_key[0] != '\0')
        return true;
    if (file != NULL && file[0] != '\0')
        return access(file, R_OK) == 0;
    if (home == NULL ||
        snprintf(path, sizeof path, "%s/.huaweicloud/credentials", home) >= (int)sizeof path)
        return false;
    return access(path, R_OK) == 0;
}

bool pw_listen_is_supported(void)
{
    return false;
}

/* The value that counts for a key of the source: its own, else that of [defaults], else NULL. */
static const struct pw_doc_value *value_of(const struct pw_doc_section *own,
                                           const struct pw_doc_section *defaults, const char *key)
{
    const struct pw_option *option = pw_option_find(own->kind, key);
    size_t index;

    if (option == NULL)
        return NULL;
    index = pw_option_index(option);
    if (own->values[index].text != NULL)
        return &own->values[index];
    return defaults->values[index].text != NULL ? &defaults->values[index] : NULL;
}

/* Where to point: at the value, else at the source's header. */
static struct pw_place place_of(const struct pw_doc_section *own,
                                const struct pw_doc_section *defaults, const char *key)
{
    const struct pw_doc_value *value = value_of(own, defaults, key);

    return value != NULL ? value->place : own->first;
}

static bool is_given(const struct pw_doc_section *own, const struct pw_doc_section *defaults,
                     const char *key)
{
    const struct pw_doc_value *value = value_of(own, defaults, key);

    return value != NULL && value->text[0] != '\0';
}

static void check_companions(const struct pw_source_config *source,
                             const struct pw_doc_section *own,
                             const struct pw_doc_section *defaults, const char *kind_name,
                             struct pw_problems *problems)
{
    struct pw_place at = place_of(own, defaults, "auth");
    char missing[256] = "";
    size_t used = 0;
    bool has_keys_elsewhere = source->auth == PW_AUTH_AKSK &&
                              !is_given(own, defaults, "access_key_file") &&
                              !is_given(own, defaults, "secret_key_file") && sdk_has_keys();

    for (size_t i = 0; i < companion_count; i++) {
        const struct companion *c = &companions[i];

        if (c->kind == source->auth && c->is_required && !has_keys_elsewhere &&
            !is_given(own, defaults, c->key)) {
            int added = snprintf(missing + used, sizeof missing - used, "%s%s",
                                 used == 0 ? "" : ", ", c->key);

            if (added > 0 && (size_t)added < sizeof missing - used)
                used += (size_t)added;
        }
        /* Only the source's own: [defaults] may serve sources of several kinds. */
        if (c->kind != source->auth && is_given(own, own, c->key)) {
            struct pw_place key_at = place_of(own, own, c->key);

            pw_problem_warning(problems, key_at.file, key_at.line,
                               "source %s: %s is not used with auth = %s", source->name, c->key,
                               kind_name);
        }
    }
    if (used > 0)
        pw_problem_error(problems, at.file, at.line, "source %s: auth = %s also needs %s",
                         source->name, kind_name, missing);
}

static void check_auth(const struct pw_source_config *source, const struct pw_doc_section *own,
                       const struct pw_doc_section *defaults, struct pw_problems *problems)
{
    const struct pw_option *option = pw_option_find(PW_SECTION_SOURCE, "auth");
    const struct pw_doc_value *value = value_of(own, defaults, "auth");
    const char *kind_name = pw_option_choice_name(option, (int)source->auth);

    /* A word that is no kind was reported; what it might need is anybody's guess. */
    if (value != NULL && strcmp(value->text, kind_name) != 0)
        return;
    check_companions(source, own, defaults, kind_name, problems);
}

/* Whether the secret is what its kind can be: keys and tokens go into headers. */
static enum pw_status check_content(const char *path, bool is_word, struct pw_error *err)
{
    struct pw_secret secret = {NULL, 0, 0};
    enum pw_status status = pw_secret_read(&secret, path, err);

    for (size_t i = 0; status == PW_OK && is_word && i < secret.len; i++) {
        if (secret.data[i] <= 0x20 || secret.data[i] >= 0x7F)
            status = pw_fail(err, PW_EFORMAT,
                             "%s holds a blank or another character that cannot be right (byte %zu "
                             "of %zu)",
                             path, i + 1, secret.len);
    }
    pw_secret_clear(&secret);
    return status;
}

static void check_secrets(const struct pw_source_config *source, const struct pw_doc_section *own,
                          const struct pw_doc_section *defaults, struct pw_problems *problems)
{
    const struct {
        enum pw_auth_kind kind;
        const char *key, *path;
        bool is_word;
    } files[] = {
        {PW_AUTH_AKSK, "access_key_file", source->access_key_file, true},
        {PW_AUTH_AKSK, "secret_key_file", source->secret_key_file, true},
        {PW_AUTH_AKSK, "security_token_file", source->security_token_file, true},
        {PW_AUTH_TOKEN, "token_file", source->token_file, true},
        {PW_AUTH_PASSWORD, "iam_password_file", source->iam_password_file, false},
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct pw_error err;
        enum pw_status status;

        if (files[i].kind != source->auth || files[i].path == NULL)
            continue;
        status = check_content(files[i].path, files[i].is_word, &err);
        /* Who checks need not be who runs the daemon: that one may not read it is no problem. */
        if (status == PW_EFORMAT || status == PW_ELIMIT) {
            struct pw_place at = place_of(own, defaults, files[i].key);

            pw_problem_error(problems, at.file, at.line, "source %s: %s: %s", source->name,
                             files[i].key, err.message);
        }
    }
}

/* http:// to this machine leaves it where a proxy elsewhere carries it. */
static bool is_carried_away(const char *url, const char *proxy)
{
    const char *host = proxy != NULL ? strstr(proxy, "://") : NULL;
    char *as_http = NULL;
    bool is_exposed;

    if (proxy == NULL || strncmp(url, "http://", 7) != 0)
        return false;
    if (asprintf(&as_http, "http://%s", host != NULL ? host + 3 : proxy) < 0)
        return true;
    is_exposed = pw_url_exposes_credentials(as_http);
    free(as_http);
    return is_exposed;
}

static void check_exposed(const struct pw_source_config *source, const struct pw_doc_section *own,
                          const struct pw_doc_section *defaults, const char *key, const char *url,
                          struct pw_problems *problems)
{
    bool may_go_by_proxy = strcmp(key, "metadata_endpoint") != 0;

    if (url != NULL && (pw_url_exposes_credentials(url) ||
                        (may_go_by_proxy && is_carried_away(url, source->proxy)))) {
        struct pw_place at = place_of(own, defaults, key);

        pw_problem_error(problems, at.file, at.line,
                         "source %s: %s would carry credentials in the clear: use https:// "
                         "(http:// is for loopback and link-local addresses, or auth = none)",
                         source->name, key);
    }
}

void pw_check_source(const struct pw_source_config *source, const struct pw_doc_section *own,
                     const struct pw_doc_section *defaults, struct pw_problems *problems)
{
    if (value_of(own, defaults, "endpoint") == NULL)
        pw_problem_error(problems, own->first.file, own->first.line,
                         "source %s has no endpoint: add endpoint = https://HOST", source->name);
    check_auth(source, own, defaults, problems);
    check_secrets(source, own, defaults, problems);
    if (source->auth != PW_AUTH_NONE)
        check_exposed(source, own, defaults, "endpoint", source->endpoint, problems);
    if (source->auth == PW_AUTH_PASSWORD)
        check_exposed(source, own, defaults, "iam_endpoint", source->iam_endpoint, problems);
    if (source->auth == PW_AUTH_METADATA)
        check_exposed(source, own, defaults, "metadata_endpoint", source->metadata_endpoint,
                      problems);
    if (source->flap_window > 0 && source->flap_off_percent > source->flap_on_percent) {
        struct pw_place at = place_of(own, defaults, "flap_off");

        pw_problem_error(problems, at.file, at.line,
                         "source %s: flap_off must not be greater than flap_on", source->name);
    }
    if (source->filter[PW_FILTER_COMPLIANT_STATUS] != NULL) {
        struct pw_place at = place_of(own, defaults, "filter.compliant_status");

        pw_problem_warning(problems, at.file, at.line,
                           "source %s: a node whose status changes leaves the result of this "
                           "filter; that is node.missing, never a recovery",
                           source->name);
    }
}

void pw_check_daemon(const struct pw_daemon_config *daemon, const struct pw_doc_section *own,
                     struct pw_problems *problems)
{
    if (daemon->listen != NULL && !pw_listen_is_supported()) {
        struct pw_place at = place_of(own, own, "listen");

        pw_problem_error(problems, at.file, at.line,
                         "listen is not supported by this version: leave it empty");
    }
}

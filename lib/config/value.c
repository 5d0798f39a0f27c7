/* A reader for each type of the option table. */
#include "config/value.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/secret.h"
#include "config/url.h"

static enum pw_status copy(const char *text, char **out, struct pw_error *err)
{
    *out = pw_str_dup(pw_str_of(text));
    return *out == NULL ? pw_fail_nomem(err) : PW_OK;
}

static enum pw_status read_duration(const struct pw_option *option, const char *text, int64_t *out,
                                    struct pw_error *err)
{
    char least[32], most[32];
    int64_t value;
    enum pw_status status = pw_parse_duration_ms(text, &value, err);

    if (status != PW_OK)
        return status;
    if (value < option->min || value > option->max)
        return pw_fail(err, PW_EINVAL, "'%s' is not within %s and %s", text,
                       pw_duration_text(least, sizeof least, option->min),
                       pw_duration_text(most, sizeof most, option->max));
    *out = value;
    return PW_OK;
}

static enum pw_status read_percent(const struct pw_option *option, const char *text, int64_t *out,
                                   struct pw_error *err)
{
    char digits[16];
    size_t len = strlen(text);

    if (len > 0 && text[len - 1] == '%')
        len--;
    if (len < sizeof digits) {
        memcpy(digits, text, len);
        digits[len] = '\0';
        if (pw_parse_int(digits, option->min, option->max, out, NULL) == PW_OK)
            return PW_OK;
    }
    return pw_fail(err, PW_EINVAL, "'%s' is not a percentage from %d%% to %d%%", text,
                   (int)option->min, (int)option->max);
}

static enum pw_status read_rate(const struct pw_option *option, const char *text, int64_t *count,
                                int64_t *period_ms, struct pw_error *err)
{
    const char *slash = strchr(text, '/');
    char digits[16];
    size_t len;
    int64_t value;

    if (strcmp(text, "0") == 0) {
        *count = 0;
        *period_ms = PW_SECOND_MS;
        return PW_OK;
    }
    if (slash == NULL || (strcmp(slash, "/s") != 0 && strcmp(slash, "/m") != 0))
        goto bad;
    len = (size_t)(slash - text);
    if (len >= sizeof digits)
        goto bad;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (pw_parse_int(digits, option->min, option->max, &value, NULL) != PW_OK)
        goto bad;
    *count = value;
    *period_ms = slash[1] == 's' ? PW_SECOND_MS : 60 * PW_SECOND_MS;
    return PW_OK;
bad:
    return pw_fail(err, PW_EINVAL,
                   "'%s' is not a rate: write N/s or N/m with N from %d to %d, or 0 for no limit",
                   text, (int)option->min, (int)option->max);
}

static enum pw_status read_choice(const struct pw_option *option, const char *text, int *out,
                                  struct pw_error *err)
{
    struct pw_buffer names;
    enum pw_status status;

    for (const struct pw_choice *c = option->choices; c->name != NULL; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return PW_OK;
        }
    }
    pw_buffer_init(&names, 1024);
    for (const struct pw_choice *c = option->choices; c->name != NULL; c++)
        (void)pw_buffer_printf(&names, "%s%s", c == option->choices ? "" : ", ", c->name);
    status = names.failed != PW_OK
                 ? pw_fail_nomem(err)
                 : pw_fail(err, PW_EINVAL, "'%s' is not one of %s", text, names.data);
    pw_buffer_free(&names);
    return status;
}

static enum pw_status read_text(const struct pw_option *option, const char *text, char **out,
                                struct pw_error *err)
{
    int unused;
    enum pw_status status = PW_OK;

    if (option->type == PW_OPTION_STRING && option->choices != NULL)
        status = read_choice(option, text, &unused, err);
    else if (option->type == PW_OPTION_PROXY)
        status = pw_url_check_proxy(text, err);
    else if (option->type == PW_OPTION_LISTEN)
        status = pw_url_check_host_port(text, err);
    else if (option->type == PW_OPTION_ABSOLUTE && text[0] != '/')
        status = pw_fail(err, PW_EINVAL, "'%s' is not an absolute path", text);
    return status != PW_OK ? status : copy(text, out, err);
}

static enum pw_status read_socket(const char *text, const char *ini_file, char **out,
                                  struct pw_error *err)
{
    static const size_t longest = sizeof((struct sockaddr_un){0}).sun_path - 1;
    enum pw_status status = pw_path_beside(ini_file, text, out, err);

    if (status == PW_OK && strlen(*out) > longest) {
        status = pw_fail(err, PW_EINVAL,
                         "the path of the socket is %zu bytes long, and a socket's may have %zu",
                         strlen(*out), longest);
        free(*out);
        *out = NULL;
    }
    return status;
}

/* Whether the field is a string that the target owns. */
static bool owns_string(const struct pw_option *option)
{
    switch (option->type) {
    case PW_OPTION_INT:
    case PW_OPTION_PERCENT:
    case PW_OPTION_DURATION:
    case PW_OPTION_RATE:
    case PW_OPTION_CHOICE:
    case PW_OPTION_FLAG:
        return false;
    case PW_OPTION_STRING:
    case PW_OPTION_PATH:
    case PW_OPTION_ABSOLUTE:
    case PW_OPTION_SOCKET:
    case PW_OPTION_SECRET_FILE:
    case PW_OPTION_CA_FILE:
    case PW_OPTION_URL:
    case PW_OPTION_PROXY:
    case PW_OPTION_LISTEN:
        return true;
    }
    return false;
}

static void *field(void *target, size_t offset)
{
    return (char *)target + offset;
}

enum pw_status pw_value_set(const struct pw_option *option, void *target, const char *text,
                            const char *ini_file, struct pw_error *err)
{
    void *place = field(target, option->offset);
    enum pw_status status = PW_OK;
    char *string = NULL;
    size_t len = strlen(text);
    int choice = 0;

    /* inih hands quotes out as they stand, so that "cn-north-4" would filter for a region with
     * quotes in its name and find nothing, without a word. */
    if (len >= 2 && (text[0] == '"' || text[0] == '\'') && text[len - 1] == text[0])
        return pw_fail(err, PW_EINVAL, "the quotes would be part of the value: leave them away");
    switch (option->type) {
    case PW_OPTION_INT:
        return pw_parse_int(text, option->min, option->max, place, err);
    case PW_OPTION_PERCENT:
        return read_percent(option, text, place, err);
    case PW_OPTION_DURATION:
        return read_duration(option, text, place, err);
    case PW_OPTION_RATE:
        return read_rate(option, text, place, field(target, option->period_offset), err);
    case PW_OPTION_CHOICE:
        status = read_choice(option, text, &choice, err);
        if (status == PW_OK)
            memcpy(place, &choice, sizeof choice);
        return status;
    case PW_OPTION_FLAG:
        status = read_choice(option, text, &choice, err);
        if (status == PW_OK)
            *(bool *)place = choice != 0;
        return status;
    case PW_OPTION_STRING:
    case PW_OPTION_ABSOLUTE:
    case PW_OPTION_PROXY:
    case PW_OPTION_LISTEN:
        status = read_text(option, text, &string, err);
        break;
    case PW_OPTION_PATH:
        status = pw_path_beside(ini_file, text, &string, err);
        break;
    case PW_OPTION_SOCKET:
        status = read_socket(text, ini_file, &string, err);
        break;
    case PW_OPTION_SECRET_FILE:
        status = pw_path_secret(ini_file, text, &string, err);
        break;
    case PW_OPTION_CA_FILE:
        status = pw_path_existing(ini_file, text, &string, err);
        break;
    case PW_OPTION_URL:
        status = pw_url_parse(text, &string, err);
        break;
    }
    if (status == PW_OK) {
        free(*(char **)place);
        *(char **)place = string;
    }
    return status;
}

void pw_value_free_all(enum pw_option_section section, void *target)
{
    for (size_t i = 0; i < pw_option_count; i++) {
        const struct pw_option *option = &pw_options[i];

        if (option->section == section && owns_string(option)) {
            char **place = field(target, option->offset);

            free(*place);
            *place = NULL;
        }
    }
}

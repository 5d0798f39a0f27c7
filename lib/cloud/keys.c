/* Keys and tokens from files and variables. */
#include "cloud/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* Real ones have 32. */
enum { ID_MAX_BYTES = 128 };

void pw_keys_clear(struct pw_keys *keys)
{
    pw_secret_clear(&keys->access_key);
    pw_secret_clear(&keys->secret_key);
    pw_secret_clear(&keys->security_token);
    pw_secret_clear(&keys->token);
    pw_secret_clear(&keys->domain_id);
    pw_secret_clear(&keys->project_id);
}

void pw_keys_take(struct pw_keys *keys, struct pw_keys *fresh)
{
    pw_keys_clear(keys);
    *keys = *fresh;
    *fresh = (struct pw_keys){.token = {NULL, 0, 0}};
}

void pw_keys_redact(const struct pw_keys *keys, char *text)
{
    pw_secret_redact(&keys->access_key, text);
    pw_secret_redact(&keys->secret_key, text);
    pw_secret_redact(&keys->security_token, text);
    pw_secret_redact(&keys->token, text);
}

enum pw_status pw_keys_set(struct pw_secret *secret, struct pw_str value, const char *what,
                           struct pw_error *err)
{
    if (value.len == 0)
        return pw_fail(err, PW_EFORMAT, "%s is empty", what);
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] <= 0x20 || value.data[i] >= 0x7F)
            return pw_fail(err, PW_EFORMAT,
                           "%s holds a blank or another character that cannot be right (byte %zu "
                           "of %zu)",
                           what, i + 1, value.len);
    }
    return pw_secret_set(secret, value, err);
}

static enum pw_status read_key(struct pw_secret *secret, const char *path, struct pw_error *err)
{
    enum pw_status status = pw_secret_read(secret, path, err);

    return status == PW_OK ? pw_keys_set(secret, pw_secret_str(secret), path, err) : status;
}

/* ---- the SDK's own places --------------------------------------------------------------------*/

static struct pw_str trim(struct pw_str text)
{
    while (text.len > 0 && isspace((unsigned char)text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.len--;
    return text;
}

/* The value of key in section of an ini text; the null view where there is none. The parser of the
 * ini files is not used: it keeps lines where nobody wipes them. */
static struct pw_str ini_value(struct pw_str text, const char *section, const char *key)
{
    const char *end = text.data + text.len;
    struct pw_str found = PW_STR_NULL;
    bool in_section = false;

    for (const char *at = text.data, *next; at < end; at = next) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct pw_str line =
            trim((struct pw_str){at, (size_t)((newline != NULL ? newline : end) - at)});
        size_t name_len = 0;

        next = newline != NULL ? newline + 1 : end;
        if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
            continue;
        if (line.data[0] == '[') {
            in_section = line.len == strlen(section) + 2 && line.data[line.len - 1] == ']' &&
                         memcmp(line.data + 1, section, line.len - 2) == 0;
            continue;
        }
        while (name_len < line.len && line.data[name_len] != '=' && line.data[name_len] != ':')
            name_len++;
        if (in_section && name_len < line.len &&
            pw_str_is(trim((struct pw_str){line.data, name_len}), key))
            found = trim((struct pw_str){line.data + name_len + 1, line.len - name_len - 1});
    }
    return found;
}

/* ak, sk and perhaps a security token, whose names are for messages. */
static enum pw_status take_pair(struct pw_keys *out, const struct pw_str values[3],
                                const char *const names[3], const char *where, struct pw_error *err)
{
    struct pw_secret *const secrets[3] = {&out->access_key, &out->secret_key, &out->security_token};

    for (size_t i = 0; i < 3; i++) {
        enum pw_status status;

        if (i == 2 && values[i].len == 0)
            break;
        if (values[i].len == 0)
            return pw_fail(err, PW_EFORMAT, "%s%s is missing beside %s", where, names[i],
                           names[1 - i]);
        status = pw_keys_set(secrets[i], values[i], names[i], err);
        if (status != PW_OK)
            return where[0] != '\0' ? pw_fail_in(err, "%.*s", (int)strlen(where) - 2, where)
                                    : status;
    }
    return PW_OK;
}

/* The ids of the environment, else those of the file. */
static enum pw_status take_ids(struct pw_keys *out, struct pw_str domain_id,
                               struct pw_str project_id, struct pw_error *err)
{
    static const char *const names[] = {"HUAWEICLOUD_SDK_DOMAIN_ID", "HUAWEICLOUD_SDK_PROJECT_ID"};
    struct pw_secret *const ids[] = {&out->domain_id, &out->project_id};
    const struct pw_str in_file[] = {domain_id, project_id};

    for (size_t i = 0; i < 2; i++) {
        struct pw_str value = pw_str_of(getenv(names[i]));
        const char *name = value.len > 0 ? names[i] : i == 0 ? "domain_id" : "project_id";
        enum pw_status status;

        if (value.len == 0)
            value = in_file[i];
        if (value.len == 0)
            continue;
        if (value.len > ID_MAX_BYTES)
            return pw_fail(err, PW_EFORMAT, "%s is longer than %d bytes", name, ID_MAX_BYTES);
        status = pw_keys_set(ids[i], value, name, err);
        if (status != PW_OK)
            return status;
    }
    return PW_OK;
}

static enum pw_status read_sdk_file(const char *path, struct pw_keys *out, struct pw_error *err)
{
    static const char *const sections[] = {"global", "basic"};
    static const char *const names[] = {"ak", "sk", "security_token"};
    struct pw_secret text = {NULL, 0, 0};
    enum pw_status status = pw_secret_read_lines(&text, path, err);
    char where[256];

    if (status != PW_OK)
        goto out;
    for (size_t i = 0; i < 2; i++) {
        struct pw_str values[3];

        for (size_t k = 0; k < 3; k++)
            values[k] = ini_value(pw_secret_str(&text), sections[i], names[k]);
        if (values[0].len == 0 && values[1].len == 0)
            continue;
        (void)snprintf(where, sizeof where, "%.200s: [%s]: ", path, sections[i]);
        status = take_pair(out, values, names, where, err);
        if (status == PW_OK)
            status = take_ids(out, ini_value(pw_secret_str(&text), sections[i], "domain_id"),
                              ini_value(pw_secret_str(&text), sections[i], "project_id"), err);
        goto out;
    }
    status = pw_fail(err, PW_ENOTFOUND, "%s has no ak and sk in [global] or [basic]", path);
out:
    pw_secret_clear(&text);
    return status;
}

static const char *const variables[] = {"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK",
                                        "HUAWEICLOUD_SDK_SECURITY_TOKEN"};

bool pw_keys_in_environment(void)
{
    return pw_str_of(getenv(variables[0])).len > 0 || pw_str_of(getenv(variables[1])).len > 0;
}

static enum pw_status read_sdk_places(const char *sdk_file, struct pw_keys *out,
                                      struct pw_error *err)
{
    struct pw_str values[3];

    for (size_t i = 0; i < 3; i++)
        values[i] = pw_str_of(getenv(variables[i]));
    if (pw_keys_in_environment()) {
        enum pw_status status = take_pair(out, values, variables, "", err);

        return status == PW_OK ? take_ids(out, PW_STR_NULL, PW_STR_NULL, err) : status;
    }
    if (sdk_file == NULL)
        return pw_fail(err, PW_ENOTFOUND,
                       "there is no access key: name access_key_file and secret_key_file, or set "
                       "HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK");
    return read_sdk_file(sdk_file, out, err);
}

static enum pw_status read_files(const struct pw_source_config *source, struct pw_keys *out,
                                 struct pw_error *err)
{
    enum pw_status status;

    if (source->access_key_file == NULL || source->secret_key_file == NULL)
        return pw_fail(err, PW_EINVAL,
                       "access_key_file and secret_key_file belong together: one is missing");
    status = read_key(&out->access_key, source->access_key_file, err);
    if (status == PW_OK)
        status = read_key(&out->secret_key, source->secret_key_file, err);
    if (status == PW_OK && source->security_token_file != NULL)
        status = read_key(&out->security_token, source->security_token_file, err);
    return status;
}

enum pw_status pw_keys_read(const struct pw_source_config *source, const char *sdk_file,
                            struct pw_keys *out, struct pw_error *err)
{
    enum pw_status status;

    if (source->auth == PW_AUTH_TOKEN)
        status = source->token_file != NULL
                     ? read_key(&out->token, source->token_file, err)
                     : pw_fail(err, PW_EINVAL, "auth = token needs token_file");
    else if (source->access_key_file != NULL || source->secret_key_file != NULL)
        status = read_files(source, out, err);
    else
        status = read_sdk_places(sdk_file, out, err);
    if (status != PW_OK)
        pw_keys_clear(out);
    return status;
}

/* ---- times -----------------------------------------------------------------------------------*/

int64_t pw_cloud_time_ms(struct pw_str text)
{
    char copy[40];
    struct tm tm = {.tm_sec = 0};
    int64_t fraction_ms = 0, scale = 100;
    const char *rest;

    if (text.len == 0 || text.len >= sizeof copy)
        return PW_TIME_NONE;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return PW_TIME_NONE;
    if (*rest == '.') {
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            fraction_ms += (*rest - '0') * scale;
    }
    /* Huawei Cloud gives UTC, with its mark or without. */
    if (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0 && *rest != '\0')
        return PW_TIME_NONE;
    return (int64_t)timegm(&tm) * 1000 + fraction_ms;
}

/* Environment and standard input of an exec hook. Nothing of the daemon's own environment gets
 * through: it may hold paths of credentials. */
#include "alert/hook_env.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"

enum { NUMBER_BYTES = 24 };

static char *variable(const char *name, struct pw_str value)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    struct pw_buffer out;
    size_t used = 0;

    pw_buffer_init(&out, PW_HOOK_ENV_VALUE_MAX_BYTES + 64);
    (void)pw_buffer_printf(&out, "%s=", name);
    for (size_t i = 0; i < value.len;) {
        size_t n = pw_utf8_length(value.data + i, value.len - i);
        bool is_nul = value.data[i] == '\0';
        size_t grow = is_nul ? sizeof replacement - 1 : n > 0 ? n : 1;

        if (used + grow > PW_HOOK_ENV_VALUE_MAX_BYTES)
            break;
        (void)pw_buffer_append(&out, is_nul ? replacement : value.data + i, grow);
        used += grow;
        i += is_nul ? 1 : grow;
    }
    return pw_buffer_take(&out);
}

char **pw_hook_env_new(const struct pw_delivery *list)
{
    const struct pw_delivery *delivery = list;
    char attempt[NUMBER_BYTES], reminder[NUMBER_BYTES], events[NUMBER_BYTES];
    int64_t event_count = 0;
    char **env;

    (void)snprintf(attempt, sizeof attempt, "%" PRId64, delivery->attempts);
    (void)snprintf(reminder, sizeof reminder, "%" PRId64, delivery->reminder);
    for (const struct pw_delivery *each = list; each != NULL; each = each->next)
        event_count++;
    (void)snprintf(events, sizeof events, "%" PRId64, event_count);
    const struct {
        const char *name;
        struct pw_str value;
    } variables[] = {
        {"PATH", pw_str_of("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")},
        {"LANG", pw_str_of("C.UTF-8")},
        {"PATCHWATCH_EVENT_ID", pw_str_of(delivery->uid)},
        {"PATCHWATCH_TYPE", pw_str_of(delivery->type)},
        {"PATCHWATCH_SOURCE", pw_str_of(delivery->source_name)},
        {"PATCHWATCH_NODE_KEY", delivery->node_key},
        {"PATCHWATCH_NODE_NAME", delivery->node_name},
        {"PATCHWATCH_FROM", delivery->from},
        {"PATCHWATCH_TO", delivery->to},
        {"PATCHWATCH_HOOK", pw_str_of(delivery->hook)},
        {"PATCHWATCH_RULE", pw_str_of(delivery->rule)},
        {"PATCHWATCH_ATTEMPT", pw_str_of(attempt)},
        {"PATCHWATCH_COUNT", pw_str_of(events)},
        {"PATCHWATCH_REMINDER", pw_str_of(reminder)}, /* the last: only in reminders */
    };
    const size_t count = sizeof variables / sizeof variables[0] - (delivery->reminder > 0 ? 0 : 1);

    env = calloc(count + 1, sizeof *env);
    for (size_t i = 0; env != NULL && i < count; i++) {
        env[i] = variable(variables[i].name, variables[i].value);
        if (env[i] == NULL) {
            pw_hook_env_free(env);
            env = NULL;
        }
    }
    return env;
}

void pw_hook_env_free(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        free(env[i]);
    free(env);
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_events(int fd, const struct pw_delivery *list)
{
    for (const struct pw_delivery *each = list; each != NULL; each = each->next) {
        if (!write_all(fd, each->event_json.data, each->event_json.len) || !write_all(fd, "\n", 1))
            return false;
    }
    return true;
}

enum pw_status pw_hook_stdin_new(const struct pw_delivery *list, int *out_fd, struct pw_error *err)
{
    enum pw_status status;
    int fd = memfd_create("patchwatch-event", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    *out_fd = -1;
    if (fd < 0 || !write_events(fd, list) || lseek(fd, 0, SEEK_SET) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        status = pw_fail(err, PW_EIO, "the event cannot be put into memory: %s", strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return status;
    }
    *out_fd = fd;
    return PW_OK;
}

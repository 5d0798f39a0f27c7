/* The shape of a mute's match: its keys, and the words of those that have a list of them. */
#include "alert/mute_check.h"

#include <stdbool.h>

#include "base/json_reader.h"
#include "base/nearest.h"
#include "compliance/event.h"

static const char *const keys[] = {"type",
                                   "cause",
                                   "severity",
                                   "source",
                                   "scene",
                                   "region",
                                   "group",
                                   "name",
                                   "node",
                                   "operating_system",
                                   "enterprise_project_id",
                                   "baseline",
                                   NULL};

struct check {
    enum pw_status status;
    struct pw_error *err;
};

static bool is_key(struct pw_str key)
{
    for (size_t i = 0; keys[i] != NULL; i++) {
        if (pw_str_is(key, keys[i]))
            return true;
    }
    return false;
}

static bool is_severity(struct pw_str word)
{
    for (int s = 0; s < PW_SEVERITY_COUNT; s++) {
        if (pw_str_is(word, pw_severity_name((enum pw_severity)s)))
            return true;
    }
    return false;
}

static bool check_member(void *context, const struct pw_json_member *member)
{
    struct check *check = context;
    enum pw_event_type type;
    char shown[64];
    const char *near;

    if (member->depth > 0) {
        check->status = pw_fail(check->err, PW_EINVAL, "match: an object in it means nothing");
    } else if (!is_key(member->key)) {
        near = pw_nearest(pw_text_printable(shown, sizeof shown, member->key), keys);
        check->status = pw_fail(check->err, PW_EINVAL, "match: unknown key '%s'%s%s%s", shown,
                                near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                                near != NULL ? "'?" : "");
    } else if (pw_str_is(member->key, "type") && !pw_event_type_parse(member->text, &type)) {
        check->status = pw_fail(check->err, PW_EINVAL, "match: unknown type '%s'",
                                pw_text_printable(shown, sizeof shown, member->text));
    } else if (pw_str_is(member->key, "severity") && !is_severity(member->text)) {
        check->status = pw_fail(check->err, PW_EINVAL, "match: unknown severity '%s'",
                                pw_text_printable(shown, sizeof shown, member->text));
    }
    return check->status == PW_OK;
}

enum pw_status pw_mute_check(struct pw_str match, struct pw_error *err)
{
    struct check check = {.status = PW_OK, .err = err};
    struct pw_json_reader *reader = NULL;

    if (match.len > PW_MUTE_MATCH_MAX_BYTES)
        return pw_fail(err, PW_EINVAL, "match: longer than %d bytes", PW_MUTE_MATCH_MAX_BYTES);
    if (match.len < 2 || match.data[0] != '{' || match.data[match.len - 1] != '}')
        return pw_fail(err, PW_EINVAL, "match: not a JSON object");
    reader = pw_json_reader_new();
    if (reader == NULL)
        return pw_fail_nomem(err);
    check.status = pw_json_reader_parse(reader, match, false, err);
    if (check.status == PW_EFORMAT)
        check.status = pw_fail(err, PW_EINVAL, "match: not a JSON object");
    else if (check.status == PW_OK)
        pw_json_reader_walk(reader, 8, check_member, &check);
    pw_json_reader_free(reader);
    return check.status;
}

/* A mute's match is JSON, and says what match of alerts.yaml can say. */
#include "alert/mute_check.h"

#include <string.h>

#include "alert/rules.h"
#include "base/json_reader.h"

/* libyaml takes more than JSON; other readers of the table do not. */
static enum pw_status check_json(struct pw_str match, struct pw_error *err)
{
    struct pw_json_reader *reader = pw_json_reader_new();
    enum pw_status status;

    if (reader == NULL)
        return pw_fail_nomem(err);
    status = pw_json_reader_parse(reader, match, false, err);
    if (status == PW_EFORMAT)
        status = pw_fail(err, PW_EINVAL, "match: not a JSON object");
    pw_json_reader_free(reader);
    return status;
}

/* "match:1: unknown key …" without the line, of which there is one. */
static enum pw_status first_problem(const struct pw_problems *problems, struct pw_error *err)
{
    const char *text = problems->count > 0 ? problems->items[0].text : NULL;
    const char *message = text != NULL ? strstr(text, ": ") : NULL;

    return pw_fail(err, PW_EINVAL, "match%s", message != NULL ? message : ": is not understood");
}

enum pw_status pw_mute_check(struct pw_str match, struct pw_error *err)
{
    struct pw_problems problems;
    struct pw_match parsed;
    enum pw_status status;

    if (match.len > PW_MUTE_MATCH_MAX_BYTES)
        return pw_fail(err, PW_EINVAL, "match: longer than %d bytes", PW_MUTE_MATCH_MAX_BYTES);
    if (match.len < 2 || match.data[0] != '{' || match.data[match.len - 1] != '}')
        return pw_fail(err, PW_EINVAL, "match: not a JSON object");
    status = check_json(match, err);
    if (status != PW_OK)
        return status;
    pw_problems_init(&problems);
    status = pw_match_parse_json(match, &parsed, &problems);
    if (status == PW_OK)
        pw_match_free(&parsed);
    else if (status == PW_ENOMEM)
        status = pw_fail_nomem(err);
    else
        status = first_problem(&problems, err);
    pw_problems_free(&problems);
    return status;
}

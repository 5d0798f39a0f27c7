/* Answers to `hook test`. */
#include "daemon/hook_answer.h"

#include <sysexits.h>

void pw_hook_test_answer(struct pw_answer *answer, const char *hook,
                         const struct pw_hook_test_result *result)
{
    /* In the order of enum pw_hook_outcome. */
    static const char *const outcomes[] = {"delivered", "failed", "refused", "gone"};
    struct pw_json *json = &answer->json;

    pw_answer_begin(answer);
    pw_json_key(json, "hook");
    pw_json_text(json, hook);
    pw_json_key(json, "outcome");
    pw_json_text(json, outcomes[result->outcome]);
    pw_json_key(json, "took_ms");
    pw_json_int(json, result->took_ms);
    pw_json_key(json, "why");
    pw_json_text(json, result->outcome == PW_HOOK_DELIVERED ? NULL : result->why);
    pw_answer_end(answer, result->outcome == PW_HOOK_DELIVERED ? EX_OK : 1);
}

void pw_hook_test_answer_unknown(struct pw_answer *answer, const struct pw_alerts *alerts,
                                 const char *name)
{
    const char *near = pw_hook_test_nearest(alerts, name);
    char shown[64];

    pw_answer_fail(answer, EX_NOINPUT, "there is no hook '%s'%s%s%s",
                   pw_text_printable(shown, sizeof shown, pw_str_of(name)),
                   near != NULL ? "; do you mean '" : "", near != NULL ? near : "",
                   near != NULL ? "'?" : "");
}

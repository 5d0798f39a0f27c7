/* Whether the match of a mute that somebody makes with the command is one that means something. */
#ifndef PW_ALERT_MUTE_CHECK_H
#define PW_ALERT_MUTE_CHECK_H

#include "base/error.h"
#include "base/text.h"

enum { PW_MUTE_MATCH_MAX_BYTES = 16 * 1024 };

/* match: a JSON object with keys as in match of alerts.yaml; {} is everything. PW_EINVAL says what
 * is wrong with it. */
PW_MUST_CHECK enum pw_status pw_mute_check(struct pw_str match, struct pw_error *err);

#endif

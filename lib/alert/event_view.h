/* An event as the hooks that put it into words look at it: its JSON taken apart, what it means for
 * whoever is told, and one line for people. */
#ifndef PW_ALERT_EVENT_VIEW_H
#define PW_ALERT_EVENT_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json_reader.h"
#include "store/outbox.h"

/* What the event says of what stands until something ends it. */
enum pw_view_role {
    PW_VIEW_NEWS,    /* nothing stands: it is said once */
    PW_VIEW_PROBLEM, /* a problem began, or is told of again */
    PW_VIEW_GOES_ON, /* it stands, and changed */
    PW_VIEW_END
};
enum pw_view_matter { PW_VIEW_STATUS, PW_VIEW_PRESENCE, PW_VIEW_SOURCE, PW_VIEW_FLEET };

struct pw_event_view {
    const struct pw_delivery *delivery; /* borrowed */
    struct pw_json_reader *reader;
    const char *type; /* without "io.patchwatch." */
    enum pw_view_role role;
    enum pw_view_matter matter;
};

/* Opens a zeroed view, or one that is open, on a delivery, which must outlive it. An event whose
 * JSON cannot be read (it is longer than the reader takes) has but what stands in the delivery
 * itself: it is told all the same. PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_event_view_open(struct pw_event_view *view,
                                                const struct pw_delivery *delivery,
                                                struct pw_error *err);
void pw_event_view_close(struct pw_event_view *view);

/* The text at a path of the event's JSON such as "data.node.region", or the null view. Lives until
 * the view is opened anew or closed. */
struct pw_str pw_event_view_text(const struct pw_event_view *view, const char *path);
bool pw_event_view_number(const struct pw_event_view *view, const char *path, int64_t *out);
/* `time` of the event, Unix milliseconds; PW_TIME_NONE where it cannot be read. */
int64_t pw_event_view_time_ms(const struct pw_event_view *view);

enum pw_view_style {
    PW_VIEW_PLAIN,
    PW_VIEW_SLACK /* mrkdwn: & < > escaped, names as code */
};

/* Appends one line that says what happened: "prod-web-1 is non-compliant: 2 patches (2 high), …".
 * What comes from outside is cut, and its control characters are escaped. Failure is the buffer's.
 */
void pw_event_view_summary(const struct pw_event_view *view, enum pw_view_style style,
                           struct pw_buffer *out);
/* Appends text from outside in that style, cut and escaped as in the summary. */
void pw_event_view_quote(enum pw_view_style style, struct pw_str text, struct pw_buffer *out);

#endif

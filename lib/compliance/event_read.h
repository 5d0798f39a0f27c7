/* Reading an event back from its CloudEvents JSON, as pw_event_write wrote it: for whoever must
 * decide about an event that was recorded earlier. Pure. */
#ifndef PW_COMPLIANCE_EVENT_READ_H
#define PW_COMPLIANCE_EVENT_READ_H

#include "base/error.h"
#include "base/json_reader.h"
#include "compliance/event.h"

/* An event with the memory that it points into. */
struct pw_event_copy {
    struct pw_event event; /* totals and failure are NULL; everything else as it was written */
    struct pw_report report;
    char source_name[256];
    struct pw_json_reader *reader;
};

/* A zeroed copy is an empty one. The json may go afterwards. What event points to lives until the
 * next read or free. PW_EFORMAT: not an event of ours; PW_ELIMIT, PW_ENOMEM. */
PW_MUST_CHECK enum pw_status pw_event_read(struct pw_event_copy *copy, struct pw_str json,
                                           struct pw_error *err);
void pw_event_copy_free(struct pw_event_copy *copy);

#endif

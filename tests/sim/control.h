/*
 * What the handlers of the control interface share: checked parameters, errors, and the list of
 * nodes they touched.
 */
#ifndef COC_SIM_CONTROL_H
#define COC_SIM_CONTROL_H

#include "server.h"

/* One control request; after the first failure the answer is an error and stays it. */
struct control {
    struct server *server;
    struct request *request;
    bool failed;
};

void control_fail(struct control *control, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails unless every parameter is among the names, a list that NULL ends. */
void control_only(struct control *control, const char *const *names);
const char *control_text(const struct control *control, const char *name);
/* The parameter, or `absent` where it is not given; fails if it is out of range. */
int64_t control_int(struct control *control, const char *name, int64_t min, int64_t max,
                    int64_t absent);
double control_number(struct control *control, const char *name, double min, double max,
                      double absent);
bool control_flag(struct control *control, const char *name);
/* A status by name; STATUSES where absent. */
enum status control_status(struct control *control, const char *name);
/* The node that `index` names; fails unless it is present. */
uint32_t control_index(struct control *control);
/* The report_time and new_id parameters. */
struct report_change control_change(struct control *control);

/* The answer {"affected":n,"nodes":[...]} in the making. */
struct affected {
    struct control *control;
    size_t count;
    bool listed;
    struct buf from; /* status before, as JSON */
    struct buf nodes;
};

struct affected affected_start(struct control *control);
/* Before a change of the node (which may be absent), and after it. */
void affected_before(struct affected *affected, uint32_t index);
void affected_after(struct affected *affected, uint32_t index);
/* Writes the answer and frees the list. */
void affected_finish(struct affected *affected);

/* Members of a node that tests know it by, from "index" to "baseline_id". */
void control_write_node(uint32_t index, const struct row *row, struct buf *out);

/* control_cloud.c: members of the state about auth, clock, IAM and metadata. */
void control_write_cloud(const struct server *server, struct buf *out);

handler control_fleet;
handler control_flip;
handler control_add;
handler control_remove;
handler control_restore;
handler control_touch;
handler control_counts;
handler control_set;
handler control_unset;
handler control_clear;
handler control_record;
handler control_record_raw;
handler control_record_drop;
handler control_fault;
handler control_fault_clear;
handler control_auth;
handler control_clock;
handler control_gzip;
handler control_iam;
handler control_iam_user;
handler control_iam_revoke;
handler control_metadata;
handler control_metadata_rotate;
handler control_metadata_forget;
handler control_state;
handler control_truth;
handler control_requests;
handler control_requests_clear;
handler control_login;

#endif

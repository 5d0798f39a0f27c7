/*
 * Arming and clearing faults.
 */
#include "control.h"

#include <string.h>

struct fault_context {
    struct control *control;
    struct fault *fault;
};

static void take_text(struct fault *fault, enum fault_text text, const char *value)
{
    if (fault->text[text] == NULL) {
        fault->text[text] = sim_strdup(value);
    }
}

static bool take_param(void *cls, const char *name, const char *value)
{
    static const char *const elsewhere[] = {"kind", "probability", "seed", "body", "path"};
    const struct fault_context *context = cls;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        if (strcmp(elsewhere[i], name) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < FAULT_TEXTS; i++) {
        if (strcmp(fault_text_name((enum fault_text)i), name) == 0) {
            take_text(context->fault, (enum fault_text)i, value);
            return true;
        }
    }
    for (unsigned i = 0; i < FAULT_NUMBERS; i++) {
        if (strcmp(fault_number_name((enum fault_number)i), name) == 0) {
            if (!fault_set_number(context->fault, (enum fault_number)i, value)) {
                control_fail(context->control, 400, "%s is out of range", name);
            }
            return !context->control->failed;
        }
    }
    control_fail(context->control, 400, "unknown parameter %s", name);
    return false;
}

static void take_body(struct control *control, struct fault *fault)
{
    const char *body = control_text(control, "body");
    if (body != NULL) {
        buf_str(&fault->body, body);
        fault->has_body = true;
    } else if (control->request->upload.len > 0) {
        buf_add(&fault->body, control->request->upload.data, control->request->upload.len);
        fault->has_body = true;
    }
}

/* Whose requests are to meet the fault, and whether they can. */
static void take_path(struct control *control, struct fault *fault)
{
    const char *path = control_text(control, "path");
    enum realm realm = path != NULL ? realm_find(path) : fault->realm;
    if (realm == REALMS) {
        control_fail(control, 400, "path must be api, patches, iam or metadata");
        return;
    }
    if (!fault_fits(fault->kind, realm)) {
        control_fail(control, 400, "%s does not fit path %s", fault_kind_name(fault->kind),
                     realm_name(realm));
    }
    if (realm != REALM_API && realm != REALM_PATCHES &&
        (fault_given(fault, NUMBER_PAGE) || fault_given(fault, NUMBER_OFFSET))) {
        control_fail(control, 400, "page and offset are for paths api and patches");
    }
    fault->realm = realm;
}

void control_fault(struct server *server, struct request *request)
{
    struct control control = {server, request, false};
    const char *name = control_text(&control, "kind");
    enum fault_kind kind = name != NULL ? fault_kind_find(name) : FAULT_KINDS;
    if (kind == FAULT_KINDS) {
        control_fail(&control, 400, "kind names no fault");
        return;
    }
    struct fault fault = fault_default(kind, server->fleet.seed);
    struct fault_context context = {&control, &fault};
    fault.seed = (uint64_t)control_int(&control, "seed", 0, INT64_MAX, (int64_t)fault.seed);
    fault.probability = control_number(&control, "probability", 0.0, 1.0, 1.0);
    (void)request_each_param(request, &context, take_param);
    take_path(&control, &fault);
    const char *variant = fault.text[TEXT_VARIANT];
    if (variant != NULL && !spoil_has_variant(kind, variant)) {
        control_fail(&control, 400, "%s has no such variant", fault_kind_name(kind));
    }
    take_body(&control, &fault);
    if (control.failed) {
        fault_free(&fault);
        return;
    }
    int64_t id = faults_arm(&server->faults, fault);
    request->answer.status = 200;
    buf_printf(&request->answer.body, "{\"fault\":%lld,\"kind\":\"%s\"}\n", (long long)id,
               fault_kind_name(kind));
}

void control_fault_clear(struct server *server, struct request *request)
{
    static const char *const known[] = {"fault", NULL};
    struct control control = {server, request, false};
    control_only(&control, known);
    int64_t id = control_int(&control, "fault", 1, INT64_MAX, 0);
    if (!control.failed) {
        size_t cleared = faults_clear(&server->faults, id);
        request->answer.status = 200;
        buf_printf(&request->answer.body, "{\"cleared\":%zu}\n", cleared);
    }
}

/*
 * Parameters of a request, numbers in them, and error answers (see request.h).
 */
#include "request.h"

#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *request_query(const struct request *request)
{
    const char *mark = strchr(request->target, '?');
    return mark != NULL ? mark + 1 : "";
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct count_context {
    const char *name;
    size_t count;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct count_context *context = cls;
    (void)kind;
    (void)value;
    context->count += strcasecmp(name, context->name) == 0;
    return MHD_YES;
}

size_t request_header_count(const struct request *request, const char *name)
{
    struct count_context context = {name, 0};
    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, &context);
    return context.count;
}

const char *request_param(const struct request *request, const char *name)
{
    const char *value = NULL;
    size_t size = 0;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &value, &size) == MHD_NO) {
        return NULL;
    }
    return value != NULL ? value : "";
}

struct each_context {
    void *context;
    bool (*each)(void *context, const char *name, const char *value);
    bool result;
};

static enum MHD_Result visit(void *cls, enum MHD_ValueKind kind, const char *name,
                             const char *value)
{
    struct each_context *visitor = cls;
    (void)kind;
    visitor->result = visitor->each(visitor->context, name, value != NULL ? value : "");
    return visitor->result ? MHD_YES : MHD_NO;
}

bool request_each_param(const struct request *request, void *context,
                        bool (*each)(void *context, const char *name, const char *value))
{
    struct each_context visitor = {context, each, true};
    (void)MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, visit, &visitor);
    return visitor.result;
}

bool parse_int(const char *text, int64_t min, int64_t max, int64_t *value)
{
    const char *digits = *text == '-' && min < 0 ? text + 1 : text;
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        return false;
    }
    errno = 0;
    long long parsed = strtoll(text, NULL, 10);
    if (errno != 0 || parsed < min || parsed > max) {
        return false;
    }
    *value = parsed;
    return true;
}

bool parse_number(const char *text, double min, double max, double *value)
{
    char *end = NULL;
    if (*text == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0') {
        return false;
    }
    double parsed = strtod(text, &end);
    if (*end != '\0' || !isfinite(parsed) || parsed < min || parsed > max) {
        return false;
    }
    *value = parsed;
    return true;
}

void answer_api_error(struct answer *answer, unsigned status, const char *code, const char *message)
{
    answer->status = status;
    answer->body.len = 0;
    buf_str(&answer->body, "{\"error_code\":");
    buf_json_str(&answer->body, code);
    buf_str(&answer->body, ",\"error_msg\":");
    buf_json_str(&answer->body, message);
    buf_str(&answer->body, "}");
}

void answer_realm_error(struct answer *answer, enum realm realm, unsigned status, const char *code,
                        const char *message)
{
    if (realm == REALM_API || realm == REALM_PATCHES) {
        answer_api_error(answer, status, code, message);
        return;
    }
    answer->status = status;
    answer->body.len = 0;
    if (realm == REALM_IAM) {
        buf_printf(&answer->body, "{\"error\":{\"code\":%u,\"message\":", status);
        buf_json_str(&answer->body, message);
        buf_printf(&answer->body, ",\"title\":\"%s\"}}", status_title(status));
    } else {
        free(answer->content_type);
        answer->content_type = sim_strdup("text/html; charset=UTF-8");
        buf_printf(&answer->body, "<html><head><title>%u %s</title></head><body>%s</body></html>\n",
                   status, status_title(status), message);
    }
}

void answer_error(struct answer *answer, unsigned status, const char *message)
{
    answer->status = status;
    answer->body.len = 0;
    buf_str(&answer->body, "{\"error\":");
    buf_json_str(&answer->body, message);
    buf_str(&answer->body, "}\n");
}

void answer_free(struct answer *answer)
{
    buf_free(&answer->body);
    free(answer->content_type);
    free(answer->retry_after);
    free(answer->location);
    free(answer->subject_token);
    *answer = (struct answer){0};
}

void api_error_for(unsigned status, const char **code, const char **message)
{
    static const struct {
        unsigned status;
        const char *code;
        const char *message;
    } known[] = {
        {400, "APIGW.0106", "Orchestration error: invalid request"},
        {401, "APIGW.0301", "Incorrect IAM authentication information: verify aksk signature fail"},
        {403, "APIGW.0302", "The IAM user is not allowed to access this API"},
        {404, "APIGW.0101", "The API does not exist or has not been published in the environment"},
        {405, "APIGW.0101", "The API does not support this request method"},
        {413, "APIGW.0201", "Request entity too large"},
        {502, "APIGW.0201", "Backend unavailable"},
        {503, "APIGW.0201", "Backend temporarily unavailable"},
        {504, "APIGW.0201", "Backend timeout"},
    };
    *code = "COC.00010001";
    *message = "Internal error";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].status == status) {
            *code = known[i].code;
            *message = known[i].message;
        }
    }
}

const char *status_title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},         {401, "Unauthorized"},
        {403, "Forbidden"},           {404, "Not Found"},
        {405, "Method Not Allowed"},  {413, "Request Entity Too Large"},
        {429, "Too Many Requests"},   {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        if (titles[i].status == status) {
            return titles[i].title;
        }
    }
    return "Error";
}

static const char *const realm_names[REALMS] = {
    [REALM_CONTROL] = "control", [REALM_API] = "api",           [REALM_PATCHES] = "patches",
    [REALM_IAM] = "iam",         [REALM_METADATA] = "metadata",
};

const char *realm_name(enum realm realm)
{
    return realm_names[realm];
}

enum realm realm_find(const char *name)
{
    unsigned i = REALM_API;
    while (i < REALMS && strcmp(realm_names[i], name) != 0) {
        i++;
    }
    return (enum realm)i;
}

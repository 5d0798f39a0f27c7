/*
 * POST /v3/auth/tokens: the password method with a domain's or a project's scope (see iam.h).
 */
#include "iam.h"
#include "json.h"
#include "opaque.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define USER "auth.identity.password.user."

/* What a client asks for; the texts are the document's. */
struct login {
    const char *domain;
    const char *user;
    const char *password;
    bool of_project; /* else of the domain */
    const char *scope_name;
    const char *scope_id;
};

static void refuse(struct server *server, struct request *request, unsigned status,
                   const char *message)
{
    server->iam.refused++;
    answer_realm_error(&request->answer, REALM_IAM, status, NULL, message);
}

/* The scope's parts, of which there must be exactly one kind with a name or an id. */
static bool read_scope(const struct json *json, struct login *login)
{
    bool domain = json_at(json, "auth.scope.domain") != NULL;
    login->of_project = json_at(json, "auth.scope.project") != NULL;
    login->scope_name =
        json_string(json, login->of_project ? "auth.scope.project.name" : "auth.scope.domain.name");
    login->scope_id =
        json_string(json, login->of_project ? "auth.scope.project.id" : "auth.scope.domain.id");
    return domain != login->of_project && (login->scope_name != NULL || login->scope_id != NULL);
}

/* NULL, or what is wrong with the body. */
static const char *read_login(const struct json *json, struct login *login)
{
    const char *method = json_string(json, "auth.identity.methods.0");
    login->user = json_string(json, USER "name");
    login->password = json_string(json, USER "password");
    login->domain = json_string(json, USER "domain.name");
    if (method == NULL || strcmp(method, "password") != 0 ||
        json_at(json, "auth.identity.methods.1") != NULL) {
        return "The request body is invalid: auth.identity.methods must be [\"password\"].";
    }
    if (login->user == NULL || login->password == NULL || login->domain == NULL) {
        return "The request body is invalid: auth.identity.password.user needs name, password and "
               "domain.name.";
    }
    if (!read_scope(json, login)) {
        return "The request body is invalid: auth.scope needs either domain or project with name "
               "or id.";
    }
    return NULL;
}

static const struct iam_user *find_user(const struct iam *iam, const char *domain, const char *name)
{
    for (size_t i = 0; i < iam->user_count; i++) {
        if (strcmp(iam->user[i].domain, domain) == 0 && strcmp(iam->user[i].user, name) == 0) {
            return &iam->user[i];
        }
    }
    return NULL;
}

static bool scope_fits(const struct iam_user *user, const struct login *login)
{
    const char *name = login->of_project ? user->project : user->domain;
    const char *id = login->of_project ? user->project_id : user->domain_id;
    return (login->scope_name == NULL || strcmp(login->scope_name, name) == 0) &&
           (login->scope_id == NULL || strcmp(login->scope_id, id) == 0);
}

static void put_member(struct buf *out, const char *before, const char *text)
{
    buf_str(out, before);
    buf_json_str(out, text);
}

static void put_catalog(struct buf *out, const struct iam_user *user)
{
    static const char *const services[] = {"coc", "ecs", "evs", "iam", "ims", "obs", "vpc"};
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        buf_printf(out, "%s{\"type\":\"%s\",\"name\":\"%s\",\"id\":\"%032zx\"", i > 0 ? "," : "",
                   services[i], services[i], i + 1);
        put_member(out, ",\"endpoints\":[{\"interface\":\"public\",\"region\":", user->project);
        put_member(out, ",\"region_id\":", user->project);
        buf_printf(out, ",\"id\":\"%032zx\",\"url\":\"https://%s.example.invalid/v1\"}]}", i + 101,
                   services[i]);
    }
}

static void put_token(struct buf *out, const struct iam_user *user, const struct login *login,
                      int64_t now_ms, int64_t expires_ms)
{
    buf_str(out, "{\"token\":{\"expires_at\":\"");
    time_put_iso(out, expires_ms, true);
    buf_str(out, "\",\"issued_at\":\"");
    time_put_iso(out, now_ms, true);
    buf_str(out, "\",\"methods\":[\"password\"],");
    if (login->of_project) {
        put_member(out, "\"project\":{\"id\":", user->project_id);
        put_member(out, ",\"name\":", user->project);
        put_member(out, ",\"domain\":{\"id\":", user->domain_id);
        put_member(out, ",\"name\":", user->domain);
        buf_str(out, "}},");
    } else {
        put_member(out, "\"domain\":{\"id\":", user->domain_id);
        put_member(out, ",\"name\":", user->domain);
        buf_str(out, "},");
    }
    put_member(out, "\"user\":{\"id\":", user->user_id);
    put_member(out, ",\"name\":", user->user);
    put_member(out, ",\"domain\":{\"id\":", user->domain_id);
    put_member(out, ",\"name\":", user->domain);
    buf_str(out, "},\"password_expires_at\":\"\"},\"roles\":[{\"id\":\"0\",\"name\":\"te_admin\"}],"
                 "\"catalog\":[");
}

static void issue(struct server *server, struct request *request, const struct iam_user *user,
                  const struct login *login)
{
    struct iam *iam = &server->iam;
    const char *nocatalog = request_param(request, "nocatalog");
    int64_t now_ms = server_time_ms(server);
    int64_t expires_ms = now_ms + (iam->ttl_ms > 0 ? iam->ttl_ms : IAM_TTL_MS);
    if (iam->token_count == IAM_TOKENS_MAX) {
        refuse(server, request, 500, "Too many tokens.");
        return;
    }
    iam->tokens = sim_realloc(iam->tokens, (iam->token_count + 1) * sizeof *iam->tokens);
    iam->tokens[iam->token_count++] = (struct iam_token){expires_ms, false};
    struct answer *answer = &request->answer;
    answer->status = 201;
    answer->subject_token = opaque_make(OPAQUE_IAM_TOKEN, iam->first_token + iam->token_count);
    put_token(&answer->body, user, login, now_ms, expires_ms);
    if (nocatalog == NULL || strcmp(nocatalog, "true") != 0) {
        put_catalog(&answer->body, user);
    }
    buf_str(&answer->body, "]}}");
    const struct fault *fault = faults_pick(&server->faults, request, NULL, false);
    if (fault != NULL) {
        fault_answer(fault, request);
    }
}

static void log_in(struct server *server, struct request *request, const struct login *login)
{
    const struct iam_user *user = find_user(&server->iam, login->domain, login->user);
    if (user == NULL || strcmp(user->password, login->password) != 0) {
        refuse(server, request, 401, "The username or password is wrong.");
    } else if (user->forbidden) {
        refuse(server, request, 403, "You are not authorized to perform the requested action.");
    } else if (!scope_fits(user, login)) {
        refuse(server, request, 401, "The scope is not one of this user.");
    } else {
        issue(server, request, user, login);
    }
}

void iam_tokens(struct server *server, struct request *request)
{
    const char *type = request_header(request, "Content-Type");
    struct json *json = sim_calloc(1, sizeof *json);
    struct login login = {0};
    const char *wrong = NULL;
    server->iam.requests++;
    if (type == NULL || strncasecmp(type, "application/json", 16) != 0) {
        wrong = "The Content-Type must be application/json.";
    } else if (!json_read(json, request->upload.data, request->upload.len)) {
        wrong = "The request body is not valid JSON.";
    } else {
        wrong = read_login(json, &login);
    }
    if (wrong != NULL) {
        refuse(server, request, 400, wrong);
    } else {
        log_in(server, request, &login);
    }
    json_free(json);
    free(json);
}

enum iam_token_state iam_token_state(const struct iam *iam, const char *text, int64_t now_ms)
{
    uint64_t number = opaque_number(OPAQUE_IAM_TOKEN, text);
    if (number <= iam->first_token || number - iam->first_token > iam->token_count) {
        return IAM_TOKEN_UNKNOWN;
    }
    const struct iam_token *token = &iam->tokens[number - iam->first_token - 1];
    return token->revoked                ? IAM_TOKEN_REVOKED
           : token->expires_ms <= now_ms ? IAM_TOKEN_EXPIRED
                                         : IAM_TOKEN_VALID;
}

size_t iam_valid_tokens(const struct iam *iam, int64_t now_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < iam->token_count; i++) {
        count += !iam->tokens[i].revoked && now_ms < iam->tokens[i].expires_ms;
    }
    return count;
}

size_t iam_revoke(struct iam *iam, int64_t now_ms)
{
    size_t count = iam_valid_tokens(iam, now_ms);
    for (size_t i = 0; i < iam->token_count; i++) {
        iam->tokens[i].revoked = true;
    }
    return count;
}

/* 32 hexadecimal digits that follow from a name. */
static char *make_id(uint64_t kind, const char *domain, const char *name)
{
    uint64_t hash = kind;
    for (const char *part = domain; part != NULL; part = part == domain ? name : NULL) {
        for (const char *byte = part; *byte != '\0'; byte++) {
            hash = derive_hash(hash, kind, (unsigned char)*byte);
        }
        hash = derive_hash(hash, kind, 256);
    }
    struct buf id = {0};
    buf_printf(&id, "%016llx%016llx", (unsigned long long)hash,
               (unsigned long long)derive_hash(hash, kind, 257));
    buf_add(&id, "", 1);
    return id.data;
}

static void user_free(struct iam_user *user)
{
    free(user->domain);
    free(user->user);
    free(user->password);
    free(user->project);
    free(user->domain_id);
    free(user->user_id);
    free(user->project_id);
    *user = (struct iam_user){0};
}

const struct iam_user *iam_add_user(struct iam *iam, const char *domain, const char *name,
                                    const char *password, const char *project,
                                    const char *domain_id, const char *project_id)
{
    const struct iam_user *known = find_user(iam, domain, name);
    size_t index = known != NULL ? (size_t)(known - iam->user) : iam->user_count;
    if (index == IAM_USERS_MAX) {
        return NULL;
    }
    struct iam_user *user = &iam->user[index];
    iam->user_count += known == NULL;
    user_free(user);
    const char *in = project != NULL ? project : "cn-north-4";
    *user = (struct iam_user){
        .domain = sim_strdup(domain),
        .user = sim_strdup(name),
        .password = sim_strdup(password),
        .project = sim_strdup(in),
        .domain_id = domain_id != NULL ? sim_strdup(domain_id) : make_id(1, domain, ""),
        .user_id = make_id(2, domain, name),
        .project_id = project_id != NULL ? sim_strdup(project_id) : make_id(3, domain, in),
    };
    return user;
}

void iam_forbid(struct iam *iam, const struct iam_user *user, bool forbidden)
{
    iam->user[user - iam->user].forbidden = forbidden;
}

void iam_reset(struct iam *iam)
{
    uint64_t first_token = iam->first_token + iam->token_count;
    for (size_t i = 0; i < iam->user_count; i++) {
        user_free(&iam->user[i]);
    }
    free(iam->tokens);
    *iam = (struct iam){.first_token = first_token};
}

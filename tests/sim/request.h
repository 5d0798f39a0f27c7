/*
 * A request, its parameters, and the answer to it as data: what to send, and how to misbehave while
 * sending it.
 */
#ifndef COC_SIM_REQUEST_H
#define COC_SIM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

struct MHD_Connection;
struct server;

/* Whose path a request is for: how its errors look, which faults it meets. */
enum realm { REALM_CONTROL, REALM_API, REALM_PATCHES, REALM_IAM, REALM_METADATA, REALMS };

enum wire {
    WIRE_PLAIN,
    WIRE_RESET,     /* RST, nothing sent */
    WIRE_RESET_MID, /* headers and half the body, then RST */
    WIRE_SILENT,    /* closed, nothing sent */
    WIRE_DRIP,      /* wire_arg bytes a second */
    WIRE_TRUNCATE,  /* half the body, then closed */
    WIRE_LENGTH     /* Content-Length says wire_arg */
};

/* Owns its body and texts; whoever sends it takes the body. */
struct answer {
    unsigned status;
    struct buf body;
    char *content_type;  /* NULL = application/json */
    char *retry_after;   /* NULL = none */
    char *location;      /* NULL = none */
    char *subject_token; /* NULL = none */
    bool gzip;           /* the body is gzip-encoded */
    const char *fault;   /* kind of the fault in it, static; NULL = none */
    enum wire wire;
    int64_t wire_arg;
    int64_t delay_ms;
    bool close; /* ask for the connection's end */
};

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    enum realm realm;
    const char *method; /* good while the request is handled */
    char *target;       /* path and query string as received */
    const char *rest;   /* of the path, behind that of a route with a slash at its end */
    const char *auth;   /* what authentication found, static; NULL = nobody asked */
    bool started;
    bool too_large;
    bool active; /* counted among the API requests being answered */
    bool answered;
    struct buf upload;
    struct answer answer;
    size_t sent;     /* of the body, where it is sent piece by piece */
    bool piece_due;  /* a drip may be sent, or a reset made */
    bool suspended;  /* waits for wake_ms, in the server's list */
    int64_t wake_ms; /* monotonic */
    struct request *next;
};

enum { UPLOAD_MAX_BYTES = 64 << 20 };

/* The query string as received, "" if none. */
const char *request_query(const struct request *request);
/* A header's value; NULL if absent. */
const char *request_header(const struct request *request, const char *name);
/* How often a header was sent. */
size_t request_header_count(const struct request *request, const char *name);
/* A decoded query parameter; NULL if absent, "" if it has no value. */
const char *request_param(const struct request *request, const char *name);
/* Calls `each` with every parameter until it returns false; returns what the last call returned. */
bool request_each_param(const struct request *request, void *context,
                        bool (*each)(void *context, const char *name, const char *value));

/* Parses a whole decimal number within a range; digits only, with a minus where min < 0. */
bool parse_int(const char *text, int64_t min, int64_t max, int64_t *value);
/* Parses a whole decimal fraction within a range. */
bool parse_number(const char *text, double min, double max, double *value);

/* An error of the API or its gateway as the answer: {"error_code","error_msg"}. */
void answer_api_error(struct answer *answer, unsigned status, const char *code,
                      const char *message);
/* An error as the realm words it: the gateway's flat form, IAM's nested one, a page of text. */
void answer_realm_error(struct answer *answer, enum realm realm, unsigned status, const char *code,
                        const char *message);
/* An error of the control interface: {"error"}. */
void answer_error(struct answer *answer, unsigned status, const char *message);
void answer_free(struct answer *answer);

/* The code and message that the API or its gateway gives with a status. */
void api_error_for(unsigned status, const char **code, const char **message);
/* The message that goes with a status in every realm but the API. */
const char *status_title(unsigned status);

/* "api", "patches", "iam" or "metadata". */
const char *realm_name(enum realm realm);
/* REALMS if there is none of that name. */
enum realm realm_find(const char *name);

#endif

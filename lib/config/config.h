/* patchwatch.ini and conf.d: the loaded configuration. Loading builds a new object whole; a bad
 * file changes nothing. */
#ifndef PW_CONFIG_CONFIG_H
#define PW_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/problems.h"

enum pw_auth_kind { PW_AUTH_NONE, PW_AUTH_AKSK, PW_AUTH_TOKEN, PW_AUTH_PASSWORD, PW_AUTH_METADATA };
enum pw_offset_setting { PW_OFFSET_SETTING_AUTO, PW_OFFSET_SETTING_PAGE, PW_OFFSET_SETTING_RECORD };

/* The query parameters that a source may fix, filter.NAME in the file, in the API's order. */
enum pw_filter {
    PW_FILTER_ENTERPRISE_PROJECT_ID,
    PW_FILTER_NAME,
    PW_FILTER_INSTANCE_ID,
    PW_FILTER_IP,
    PW_FILTER_EIP,
    PW_FILTER_OPERATING_SYSTEM,
    PW_FILTER_REGION,
    PW_FILTER_GROUP,
    PW_FILTER_COMPLIANT_STATUS,
    PW_FILTER_ORDER_ID,
    PW_FILTER_REPORT_SCENE,
    PW_FILTER_CCE_INFO_ID,
    PW_FILTER_COUNT
};
const char *pw_filter_name(enum pw_filter filter); /* the API's parameter name */

/* What this version can do at run time; the rest is read and checked, then refused. */
bool pw_listen_is_supported(void);

/* All strings are owned by the configuration; NULL = not set. Files are absolute paths. */
struct pw_source_config {
    char *name;
    char *endpoint; /* "https://host[:port][/prefix]", no trailing slash */
    enum pw_auth_kind auth;
    char *access_key_file, *secret_key_file, *security_token_file;
    char *token_file;
    char *iam_endpoint, *iam_domain, *iam_user, *iam_password_file;
    char *metadata_endpoint;
    char *domain_id, *project_id;
    int64_t interval_ms;
    int64_t jitter_percent;
    int64_t timeout_ms, connect_timeout_ms, sweep_timeout_ms;
    int64_t page_size;
    enum pw_offset_setting offset;
    bool sort_by_report_time;
    int64_t concurrency;
    int64_t rate_count; /* requests per rate_period_ms; 0 = no limit */
    int64_t rate_period_ms;
    int64_t retries;
    int64_t confirm;
    int64_t missing_after;
    int64_t failing_after;
    int64_t failing_repeat_ms;
    bool details;        /* the missing patches of a node that turned are read */
    int64_t flap_window; /* complete sweeps; 0 = off */
    int64_t flap_on_percent, flap_off_percent;
    int64_t mass_change_percent; /* of the nodes; 0 = off */
    int64_t mass_change_min;
    bool http2;
    char *ca_file;
    char *proxy;
    char *filter[PW_FILTER_COUNT];
    const char *file; /* where the section stands, for messages */
    int line;
};

struct pw_daemon_config {
    char *database;
    char *alerts;  /* NULL = none; the file may be absent */
    char *control; /* NULL = none */
    char *listen;  /* NULL = off */
    enum pw_log_level log_level;
    int64_t retention_ms; /* 0 = keep all */
};

struct pw_config {
    char *path;
    struct pw_daemon_config daemon;
    struct pw_source_config *sources;
    size_t source_count;
    char **files; /* every file that was read, in order; source->file points here */
    size_t file_count;
};

/* Loads path, then conf.d/ *.ini beside it in lexical order. Every problem goes to problems;
 * PW_EINVAL where one of them is an error (those that stood in problems before do not count),
 * PW_ENOMEM. Reads secret files for their form only (private, one line, no blanks), touches neither
 * network nor database. *out is freed with pw_config_free; on error it is NULL. */
PW_MUST_CHECK enum pw_status pw_config_load(const char *path, struct pw_config **out,
                                            struct pw_problems *problems);
void pw_config_free(struct pw_config *config);

/* Where a configuration that could not be loaded says that its alerts are, so that their problems
 * can be told in the same go. NULL where it says nothing usable. The caller frees. */
char *pw_config_alerts_path(const char *path);

/* What a program that only reads needs: [daemon] and the sources, without a look at secret files or
 * alerts, and with whatever of the sources can be understood. What is wrong with the files
 * themselves and with [daemon] goes to problems; PW_EINVAL where the main file or the path of the
 * database cannot be read, PW_ENOMEM. *out is freed with pw_config_free; on error it is NULL. */
PW_MUST_CHECK enum pw_status pw_config_peek(const char *path, struct pw_config **out,
                                            struct pw_problems *problems);

/* The option table, for documentation tests and completion: calls each for every key. section is
 * "daemon" or "source"; default_text "" where the option has none. */
void pw_config_each_option(void (*each)(void *context, const char *section, const char *key,
                                        const char *default_text, const char *help),
                           void *context);

#endif

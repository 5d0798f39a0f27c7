/* The option table and its look-ups. Order: as docs/configuration.md lists them. */
#include "config/option.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/nearest.h"
#include "config/config.h"

/* PW_OPTION_CHOICE writes an int into the enum's place. */
_Static_assert(sizeof(enum pw_auth_kind) == sizeof(int), "enum is no int");
_Static_assert(sizeof(enum pw_offset_setting) == sizeof(int), "enum is no int");
_Static_assert(sizeof(enum pw_log_level) == sizeof(int), "enum is no int");

static const struct pw_choice log_level_choices[] = {
    {"debug", PW_LOG_DEBUG},     {"info", PW_LOG_INFO}, {"notice", PW_LOG_NOTICE},
    {"warning", PW_LOG_WARNING}, {"err", PW_LOG_ERR},   {NULL, 0}};

static const struct pw_choice auth_choices[] = {
    {"aksk", PW_AUTH_AKSK},         {"token", PW_AUTH_TOKEN}, {"password", PW_AUTH_PASSWORD},
    {"metadata", PW_AUTH_METADATA}, {"none", PW_AUTH_NONE},   {NULL, 0}};

static const struct pw_choice offset_choices[] = {{"auto", PW_OFFSET_SETTING_AUTO},
                                                  {"page", PW_OFFSET_SETTING_PAGE},
                                                  {"record", PW_OFFSET_SETTING_RECORD},
                                                  {NULL, 0}};

static const struct pw_choice sort_choices[] = {{"report_time", true}, {"none", false}, {NULL, 0}};

static const struct pw_choice details_choices[] = {{"off", false}, {"changed", true}, {NULL, 0}};

static const struct pw_choice yes_no[] = {{"yes", true}, {"no", false}, {NULL, 0}};

static const struct pw_choice compliant_status_choices[] = {
    {"compliant", 0}, {"non_compliant", 0}, {NULL, 0}};

/* Designated initialisers name what differs; the macros hold the section and the field only. */
#define DAEMON(name, option_type)                                                                  \
    .section = PW_SECTION_DAEMON, .key = #name, .type = (option_type),                             \
    .offset = offsetof(struct pw_daemon_config, name)
#define SOURCE(name, option_type)                                                                  \
    .section = PW_SECTION_SOURCE, .key = #name, .type = (option_type),                             \
    .offset = offsetof(struct pw_source_config, name)
#define SOURCE_AS(name, field, option_type)                                                        \
    .section = PW_SECTION_SOURCE, .key = (name), .type = (option_type),                            \
    .offset = offsetof(struct pw_source_config, field)
#define FILTER(name, id)                                                                           \
    .section = PW_SECTION_SOURCE, .key = "filter." name, .type = PW_OPTION_STRING,                 \
    .may_be_empty = true, .offset = offsetof(struct pw_source_config, filter[id]),                 \
    .default_text = ""

const struct pw_option pw_options[] = {
    {DAEMON(database, PW_OPTION_ABSOLUTE), .default_text = "/var/lib/patchwatch/history.db",
     .help = "the SQLite database with the history; an absolute path"},
    {DAEMON(alerts, PW_OPTION_PATH), .may_be_empty = true,
     .default_text = "/etc/patchwatch/alerts.yaml",
     .help = "hooks, rules and mutes; where the file is absent there are no alerts"},
    {DAEMON(control, PW_OPTION_SOCKET), .may_be_empty = true,
     .default_text = "/run/patchwatch/control.sock",
     .help = "the socket by which the command patchwatch talks to the daemon"},
    {DAEMON(listen, PW_OPTION_LISTEN), .may_be_empty = true, .default_text = "",
     .help = "HOST:PORT of the read-only HTTP side; empty = off"},
    {DAEMON(log_level, PW_OPTION_CHOICE), .default_text = "info", .choices = log_level_choices,
     .help = "the least important lines that are logged"},
    {.section = PW_SECTION_DAEMON,
     .key = "retention",
     .type = PW_OPTION_DURATION,
     .offset = offsetof(struct pw_daemon_config, retention_ms),
     .default_text = "400d",
     .min = 0,
     .max = 36500 * PW_DAY_MS,
     .help = "how long history is to be kept; 0 = for ever"},

    {SOURCE(endpoint, PW_OPTION_URL), .default_text = "",
     .help = "where the API is: http(s)://HOST[:PORT][/PREFIX]; required"},
    {SOURCE(auth, PW_OPTION_CHOICE), .default_text = "aksk", .choices = auth_choices,
     .help = "the kind of credentials"},
    {SOURCE(access_key_file, PW_OPTION_SECRET_FILE), .may_be_empty = true, .default_text = "",
     .help = "aksk: the file that holds the access key id"},
    {SOURCE(secret_key_file, PW_OPTION_SECRET_FILE), .may_be_empty = true, .default_text = "",
     .help = "aksk: the file that holds the secret access key"},
    {SOURCE(security_token_file, PW_OPTION_SECRET_FILE), .may_be_empty = true, .default_text = "",
     .help = "aksk: the file that holds the security token of temporary keys"},
    {SOURCE(token_file, PW_OPTION_SECRET_FILE), .may_be_empty = true, .default_text = "",
     .help = "token: the file that holds an IAM token"},
    {SOURCE(iam_endpoint, PW_OPTION_URL), .may_be_empty = true, .default_text = "",
     .help = "password: where IAM is, such as https://iam.myhuaweicloud.com"},
    {SOURCE(iam_domain, PW_OPTION_STRING), .may_be_empty = true, .default_text = "",
     .help = "password: the name of the account"},
    {SOURCE(iam_user, PW_OPTION_STRING), .may_be_empty = true, .default_text = "",
     .help = "password: the name of the IAM user"},
    {SOURCE(iam_password_file, PW_OPTION_SECRET_FILE), .may_be_empty = true, .default_text = "",
     .help = "password: the file that holds the IAM user's password"},
    {SOURCE(metadata_endpoint, PW_OPTION_URL), .default_text = "http://169.254.169.254",
     .help = "metadata: where the metadata service of the machine is"},
    {SOURCE(domain_id, PW_OPTION_STRING), .may_be_empty = true, .default_text = "",
     .help = "the account's id, sent as X-Domain-Id"},
    {SOURCE(project_id, PW_OPTION_STRING), .may_be_empty = true, .default_text = "",
     .help = "the project's id, sent as X-Project-Id"},
    {SOURCE_AS("interval", interval_ms, PW_OPTION_DURATION), .default_text = "15m",
     .min = PW_SECOND_MS, .max = 30 * PW_DAY_MS, .help = "from the start of one sweep to the next"},
    {SOURCE_AS("jitter", jitter_percent, PW_OPTION_PERCENT), .default_text = "10%", .min = 0,
     .max = 100, .help = "how much of the interval is left to chance"},
    {SOURCE_AS("timeout", timeout_ms, PW_OPTION_DURATION), .default_text = "60s", .min = 1,
     .max = PW_DAY_MS, .help = "of one request"},
    {SOURCE_AS("connect_timeout", connect_timeout_ms, PW_OPTION_DURATION), .default_text = "10s",
     .min = 1, .max = PW_DAY_MS, .help = "of making a connection, TLS included"},
    {SOURCE_AS("sweep_timeout", sweep_timeout_ms, PW_OPTION_DURATION), .default_text = "30m",
     .min = 1, .max = 7 * PW_DAY_MS, .help = "of a whole sweep"},
    {SOURCE(page_size, PW_OPTION_INT), .default_text = "100", .min = 1, .max = 100,
     .help = "records asked for at once"},
    {SOURCE(offset, PW_OPTION_CHOICE), .default_text = "auto", .choices = offset_choices,
     .help = "what the API counts in its parameter offset; auto finds out"},
    {SOURCE_AS("sort", sort_by_report_time, PW_OPTION_FLAG), .default_text = "report_time",
     .choices = sort_choices, .help = "the order that the API is asked for"},
    {SOURCE(concurrency, PW_OPTION_INT), .default_text = "4", .min = 1, .max = 64,
     .help = "requests under way at once"},
    {SOURCE_AS("rate", rate_count, PW_OPTION_RATE),
     .period_offset = offsetof(struct pw_source_config, rate_period_ms), .default_text = "10/s",
     .min = 1, .max = 1000000, .help = "most requests a second (N/s) or a minute (N/m); 0 = any"},
    {SOURCE(retries, PW_OPTION_INT), .default_text = "5", .min = 0, .max = 20,
     .help = "further attempts after a request that failed"},
    {SOURCE(confirm, PW_OPTION_INT), .default_text = "1", .min = 1, .max = 1000,
     .help = "sweeps in a row that must show a new status before it counts"},
    {SOURCE(missing_after, PW_OPTION_INT), .default_text = "3", .min = 1, .max = 1000,
     .help = "complete sweeps in a row without a node before it is missing"},
    {SOURCE(failing_after, PW_OPTION_INT), .default_text = "3", .min = 1, .max = 1000,
     .help = "sweeps in a row that fail or are incomplete before the source is said to fail"},
    {SOURCE_AS("failing_repeat", failing_repeat_ms, PW_OPTION_DURATION), .default_text = "24h",
     .min = 60000, .max = 30 * PW_DAY_MS, .help = "when that is said again while it lasts"},
    {SOURCE(details, PW_OPTION_FLAG), .default_text = "off", .choices = details_choices,
     .help = "whether the missing patches of a node that turns non-compliant are read too"},
    {SOURCE(flap_window, PW_OPTION_INT), .default_text = "20", .min = 0, .max = 200,
     .help = "complete sweeps over which changes are counted to find flapping nodes; 0 = off"},
    {SOURCE_AS("flap_on", flap_on_percent, PW_OPTION_PERCENT), .default_text = "50%", .min = 1,
     .max = 100, .help = "the share of changes from which on a node flaps"},
    {SOURCE_AS("flap_off", flap_off_percent, PW_OPTION_PERCENT), .default_text = "25%", .min = 1,
     .max = 100, .help = "the share below which it has settled"},
    {SOURCE_AS("mass_change", mass_change_percent, PW_OPTION_PERCENT), .default_text = "25%",
     .min = 0, .max = 99,
     .help = "when more of the nodes than that change at once, another sweep must confirm it; 0 = "
             "off"},
    {SOURCE(mass_change_min, PW_OPTION_INT), .default_text = "20", .min = 1, .max = 1000000,
     .help = "fewer nodes than that are no mass change"},
    {SOURCE(http2, PW_OPTION_FLAG), .default_text = "no", .choices = yes_no,
     .help = "whether HTTP/2 may be spoken with this server"},
    {SOURCE(ca_file, PW_OPTION_CA_FILE), .may_be_empty = true, .default_text = "",
     .help = "PEM file of the only CAs to trust; empty = the system's"},
    {SOURCE(proxy, PW_OPTION_PROXY), .may_be_empty = true, .default_text = "",
     .help = "[SCHEME://]HOST[:PORT]; empty = none, whatever the environment says"},
    {FILTER("enterprise_project_id", PW_FILTER_ENTERPRISE_PROJECT_ID),
     .help = "only this enterprise project"},
    {FILTER("name", PW_FILTER_NAME), .help = "only nodes of this name"},
    {FILTER("instance_id", PW_FILTER_INSTANCE_ID), .help = "only the node with this id"},
    {FILTER("ip", PW_FILTER_IP), .help = "only nodes with this private address"},
    {FILTER("eip", PW_FILTER_EIP), .help = "only nodes with this elastic (public) address"},
    {FILTER("operating_system", PW_FILTER_OPERATING_SYSTEM),
     .help = "only nodes with this operating system"},
    {FILTER("region", PW_FILTER_REGION), .help = "only this region, such as cn-north-4"},
    {FILTER("group", PW_FILTER_GROUP), .help = "only this group of nodes"},
    {FILTER("compliant_status", PW_FILTER_COMPLIANT_STATUS), .choices = compliant_status_choices,
     .help = "only reports of this status; hides recoveries"},
    {FILTER("order_id", PW_FILTER_ORDER_ID), .help = "only reports of this service ticket"},
    {FILTER("report_scene", PW_FILTER_REPORT_SCENE), .help = "only this scene: ECS, CCE, BMS"},
    {FILTER("cce_info_id", PW_FILTER_CCE_INFO_ID), .help = "only nodes of this CCE cluster"},
};
const size_t pw_option_count = sizeof pw_options / sizeof pw_options[0];

#undef DAEMON
#undef SOURCE
#undef SOURCE_AS
#undef FILTER

const struct pw_option *pw_option_find(enum pw_option_section section, const char *key)
{
    for (size_t i = 0; i < pw_option_count; i++) {
        if (pw_options[i].section == section && strcmp(pw_options[i].key, key) == 0)
            return &pw_options[i];
    }
    return NULL;
}

size_t pw_option_index(const struct pw_option *option)
{
    return (size_t)(option - pw_options);
}

const struct pw_option *pw_option_nearest(enum pw_option_section section, const char *key)
{
    const struct pw_option *best = NULL;
    unsigned best_distance = PW_NEAREST_MAX + 1;

    for (size_t i = 0; i < pw_option_count; i++) {
        unsigned distance;

        if (pw_options[i].section != section)
            continue;
        distance = pw_edit_distance(key, pw_options[i].key);
        if (distance < best_distance) {
            best = &pw_options[i];
            best_distance = distance;
        }
    }
    return best;
}

const char *pw_option_choice_name(const struct pw_option *option, int value)
{
    for (const struct pw_choice *c = option->choices; c != NULL && c->name != NULL; c++) {
        if (c->value == value)
            return c->name;
    }
    return "";
}

const char *pw_filter_name(enum pw_filter filter)
{
    static const size_t prefix = sizeof "filter." - 1;
    size_t offset = offsetof(struct pw_source_config, filter) + (size_t)filter * sizeof(char *);

    for (size_t i = 0; i < pw_option_count; i++) {
        if (pw_options[i].section == PW_SECTION_SOURCE && pw_options[i].offset == offset)
            return pw_options[i].key + prefix;
    }
    return "";
}

void pw_config_each_option(void (*each)(void *context, const char *section, const char *key,
                                        const char *default_text, const char *help),
                           void *context)
{
    for (size_t i = 0; i < pw_option_count; i++) {
        const struct pw_option *o = &pw_options[i];

        each(context, o->section == PW_SECTION_DAEMON ? "daemon" : "source", o->key,
             o->default_text, o->help);
    }
}

/* The sections of alerts.yaml, from YAML nodes to what alerts.h describes. What is wrong goes to
 * the problems of yaml; a section with an error may be left half read, since it is then thrown
 * away. PW_ENOMEM is the only status beside PW_OK. */
#ifndef PW_ALERT_PARSE_H
#define PW_ALERT_PARSE_H

#include "alert/alerts.h"
#include "alert/rules.h"
#include "alert/yaml_file.h"

PW_MUST_CHECK enum pw_status pw_parse_hooks(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_alerts *alerts);
/* What a hook owns, not the struct itself. */
void pw_hook_config_free(struct pw_hook_config *hook);

/* How a kind of hook is read: one such struct a kind, listed in parse_hooks.c. */
struct pw_hook_parser {
    const char *name; /* the value of `type` */
    enum pw_hook_type type;
    const char *const *keys; /* those that are the kind's own, NULL-terminated */
    /* Reads them; mapping is checked, hook has its name and line. What is there is freed by free,
     * whatever it returns. */
    enum pw_status (*parse)(struct pw_yaml *yaml, yaml_node_t *mapping,
                            struct pw_hook_config *hook);
    void (*free)(struct pw_hook_config *hook);
};
/* The duration at key, where it is given, within [min_ms, max_ms]; else a problem. */
void pw_parse_hook_duration(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key,
                            int64_t min_ms, int64_t max_ms, int64_t *out_ms);
extern const struct pw_hook_parser pw_parser_exec, pw_parser_webhook, pw_parser_alertmanager,
    pw_parser_email, pw_parser_journal;

/* After the hooks, since rules name them. */
PW_MUST_CHECK enum pw_status pw_parse_rules(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_alerts *alerts);
PW_MUST_CHECK enum pw_status pw_parse_mutes(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_alerts *alerts);
/* match may be half filled even on error; pw_match_free frees it. node NULL: match everything. */
PW_MUST_CHECK enum pw_status pw_parse_match(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_match *match);

#endif

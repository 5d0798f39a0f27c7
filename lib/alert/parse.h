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
/* After the hooks, since rules name them. */
PW_MUST_CHECK enum pw_status pw_parse_rules(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_alerts *alerts);
PW_MUST_CHECK enum pw_status pw_parse_mutes(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_alerts *alerts);
/* match may be half filled even on error; pw_match_free frees it. node NULL: match everything. */
PW_MUST_CHECK enum pw_status pw_parse_match(struct pw_yaml *yaml, yaml_node_t *node,
                                            struct pw_match *match);

#endif

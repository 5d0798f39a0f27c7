/* The SQL behind store/query.h. Private to lib/store. */
#ifndef PW_STORE_QUERY_SQL_H
#define PW_STORE_QUERY_SQL_H

extern const char pw_sql_sources[];
extern const char pw_sql_totals[];
extern const char pw_sql_problems[];
extern const char pw_sql_backlog[];
extern const char pw_sql_hooks_off[];
extern const char pw_sql_told[];
extern const char pw_sql_nodes[];
extern const char pw_sql_at[];
extern const char pw_sql_span[];
extern const char pw_sql_find_key[];
extern const char pw_sql_find_instance[];
extern const char pw_sql_find_name[];
extern const char pw_sql_node[];
extern const char pw_sql_reports[];
extern const char pw_sql_timeline_length[];
extern const char pw_sql_timeline[];
extern const char pw_sql_node_told[];
extern const char pw_sql_events_since[];
extern const char pw_sql_events_after[];
extern const char pw_sql_events_of_node[];
extern const char pw_sql_last_event[];
extern const char pw_sql_sweeps[];
extern const char pw_sql_sweeps_of_source[];
extern const char pw_sql_pending[];
extern const char pw_sql_dead[];
extern const char pw_sql_deliveries[];
extern const char pw_sql_hook_known[];

#endif

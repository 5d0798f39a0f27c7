/* Reports as columns: binding them in the order that PW_REPORT_COLUMNS (store/snapshot.h) reads. */
#ifndef PW_STORE_COLUMNS_H
#define PW_STORE_COLUMNS_H

#include "compliance/report.h"
#include "store/db.h"

/* The fields of the node are strings 0 to 10, those of the report 11 to 17 (pw_report_string). */
enum { PW_NODE_STRING_COUNT = 11, PW_REPORT_OWN_STRING_COUNT = 7 };

/* Binds strings `from` to `to` - 1 of the report to parameters from `first` on. Returns the next
 * free parameter. */
int pw_bind_report_strings(sqlite3_stmt *statement, int first, const struct pw_report *report,
                           int from, int to);
/* Binds status, report_time and the fourteen counts. Returns the next free parameter. */
int pw_bind_report_numbers(sqlite3_stmt *statement, int first, const struct pw_report *report);

#endif

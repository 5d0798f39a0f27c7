/* Binding reports. */
#include "store/columns.h"

#include "compliance/batch.h"

int pw_bind_report_strings(sqlite3_stmt *statement, int first, const struct pw_report *report,
                           int from, int to)
{
    struct pw_report copy = *report; /* the field table is not const */

    for (int i = from; i < to; i++)
        pw_db_bind_str(statement, first++, *pw_report_string(&copy, i));
    return first;
}

static int bind_counts(sqlite3_stmt *statement, int first, const struct pw_patch_counts *counts)
{
    pw_db_bind_int_or_null(statement, first++, counts->total, PW_COUNT_NONE);
    for (int i = 0; i < PW_SEVERITY_COUNT; i++)
        pw_db_bind_int_or_null(statement, first++, counts->by_severity[i], PW_COUNT_NONE);
    return first;
}

int pw_bind_report_numbers(sqlite3_stmt *statement, int first, const struct pw_report *report)
{
    pw_db_bind_text(statement, first++, pw_compliance_name(report->status));
    pw_db_bind_int_or_null(statement, first++, report->report_time_ms, PW_TIME_NONE);
    first = bind_counts(statement, first, &report->compliant);
    return bind_counts(statement, first, &report->non_compliant);
}

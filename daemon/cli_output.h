/* Printing rows of the history: as a table for people, as JSON for programs. */
#ifndef PW_DAEMON_CLI_OUTPUT_H
#define PW_DAEMON_CLI_OUTPUT_H

#include "daemon/cli.h"
#include "store/query.h"

/* JSON ------------------------------------------------------------------------------------------
 */

/* A row as an object, the names of its columns as members. Those that are times (NAME_at,
 * NAME_since, …, Unix milliseconds) have their ISO 8601 text as NAME_utc behind them. */
void cli_json_row(struct cli *cli, const struct pw_rows *rows);
/* The members alone, for an object that has more of them. */
void cli_json_members(struct cli *cli, const struct pw_rows *rows);
void cli_json_time(struct cli *cli, const char *key, int64_t unix_ms);
bool cli_json_is_time(const char *name);
/* Sends what was written so far to stdout. */
void cli_json_flush(struct cli *cli);
/* "KEY": [every row]. */
enum pw_status cli_json_rows(struct cli *cli, const char *key, struct pw_rows *rows, size_t *count);
/* The end of a line, and the flush of stdout. false where nobody reads any more. */
bool cli_json_line(struct cli *cli);

/* Tables ----------------------------------------------------------------------------------------
 */

enum { CLI_COLUMNS_MAX = 16 };

enum cli_format {
    CLI_TEXT,
    CLI_NAME,     /* text; where it is null or empty, the row's node_key */
    CLI_NUMBER,   /* right-aligned; null is "-" */
    CLI_BYTES,    /* "1.2 MiB" */
    CLI_TIME,     /* local time */
    CLI_AGO,      /* "3h12m ago", "in 4m" */
    CLI_SPAN,     /* milliseconds as "3h12m" */
    CLI_TOOK,     /* milliseconds as "1.2 s" */
    CLI_STATUS_OF /* text, painted by what it says */
};

struct cli_column {
    const char *title;
    const char *name; /* of the row's column */
    enum cli_format format;
    unsigned expendable; /* as in base/table.h */
};

/* A table of all rows. Gives how many there were. */
enum pw_status cli_table(struct cli *cli, const struct cli_column *columns, size_t column_count,
                         size_t indent, struct pw_rows *rows, size_t *count);
/* A table row by row. */
struct pw_table *cli_table_begin(struct cli *cli, const struct cli_column *columns,
                                 size_t column_count, size_t indent,
                                 struct pw_table_column *titles);
enum pw_status cli_table_row(struct cli *cli, struct pw_table *table,
                             const struct cli_column *columns, size_t column_count,
                             const struct pw_rows *rows);

/* Text ------------------------------------------------------------------------------------------
 */

enum pw_paint cli_paint_of(struct pw_str word);
/* "printf" to stdout, painted where colour is on. Text from outside goes through cli_printable. */
void cli_print(const struct cli *cli, enum pw_paint paint, const char *format, ...) PW_PRINTF(3, 4);
/* A copy for the terminal, which the caller frees; "-" for null. Never NULL: "?" without memory. */
struct cli_text {
    char *text;
};
const char *cli_printable(struct cli_text *hold, struct pw_str text);
void cli_text_free(struct cli_text *hold);

/* Waits so long; false where nobody reads stdout any more. */
bool cli_is_read(int timeout_ms);
/* Flushes stdout: EX_OK, EX_IOERR with a message, and EX_OK without one for a closed pipe. */
int cli_finish(struct cli *cli, int code);

#endif

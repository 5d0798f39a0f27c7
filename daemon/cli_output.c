/* Printing rows of the history: as a table for people, as JSON for programs. */
#include "daemon/cli_output.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/when.h"

/* JSON ---------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);

    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

bool cli_json_is_time(const char *name)
{
    return strcmp(name, "at") == 0 || ends_with(name, "_at") || ends_with(name, "_since") ||
           strcmp(name, "report_time") == 0 || strcmp(name, "valid_from") == 0 ||
           strcmp(name, "valid_to") == 0;
}

void cli_json_time(struct cli *cli, const char *key, int64_t unix_ms)
{
    char text[PW_ISO8601_SIZE], name[64];

    pw_json_key(&cli->json, key);
    if (unix_ms == PW_TIME_NONE)
        pw_json_null(&cli->json);
    else
        pw_json_int(&cli->json, unix_ms);
    (void)snprintf(name, sizeof name, "%s_utc", key);
    pw_json_key(&cli->json, name);
    pw_json_text(&cli->json, unix_ms == PW_TIME_NONE ? NULL : pw_iso8601(text, unix_ms));
}

/* SQLite takes any bytes for text, those of a string in JSON too: what is no UTF-8 becomes U+FFFD,
 * as everywhere else. */
static void add_raw(struct pw_json *json, struct pw_str text)
{
    size_t start = 0;

    pw_json_raw(json, (struct pw_str){text.data, 0});
    for (size_t i = 0; i < text.len;) {
        size_t n = pw_utf8_length(text.data + i, text.len - i);

        i += n;
        if (n > 0)
            continue;
        (void)pw_buffer_append(json->out, text.data + start, i - start);
        (void)pw_buffer_append_text(json->out, "\xEF\xBF\xBD");
        start = ++i;
    }
    (void)pw_buffer_append(json->out, text.data + start, text.len - start);
}

void cli_json_members(struct cli *cli, const struct pw_rows *rows)
{
    struct pw_json *json = &cli->json;

    for (int i = 0; i < pw_rows_columns(rows); i++) {
        const char *name = pw_rows_name(rows, i);
        int type = sqlite3_column_type(rows->statement, i);

        if (cli_json_is_time(name)) {
            cli_json_time(cli, name, pw_db_column_int_or(rows->statement, i, PW_TIME_NONE));
            continue;
        }
        if (strcmp(name, "node_id") == 0) /* this file's own number, of no use to anybody */
            continue;
        pw_json_key(json, name);
        if (type == SQLITE_NULL)
            pw_json_null(json);
        else if (type == SQLITE_INTEGER)
            pw_json_int(json, sqlite3_column_int64(rows->statement, i));
        else if (strcmp(name, "cloudevent") == 0) /* json() made it */
            add_raw(json, pw_db_column_str(rows->statement, i));
        else
            pw_json_str(json, pw_db_column_str(rows->statement, i));
    }
}

void cli_json_row(struct cli *cli, const struct pw_rows *rows)
{
    pw_json_object_begin(&cli->json);
    cli_json_members(cli, rows);
    pw_json_object_end(&cli->json);
}

void cli_json_flush(struct cli *cli)
{
    if (cli->buffer.failed != PW_OK)
        cli->has_failed = true;
    else if (cli->buffer.len > 0)
        (void)fwrite(cli->buffer.data, 1, cli->buffer.len, stdout);
    pw_buffer_clear(&cli->buffer);
}

enum pw_status cli_json_rows(struct cli *cli, const char *key, struct pw_rows *rows, size_t *count)
{
    bool row = true;
    size_t seen = 0;
    enum pw_status status;

    pw_json_key(&cli->json, key);
    pw_json_array_begin(&cli->json);
    while ((status = pw_rows_next(rows, &row, &cli->err)) == PW_OK && row) {
        cli_json_row(cli, rows);
        cli_json_flush(cli);
        seen++;
        if (ferror(stdout)) {
            pw_rows_stop(rows);
            break;
        }
    }
    pw_json_array_end(&cli->json);
    if (count != NULL)
        *count = seen;
    return status;
}

bool cli_json_line(struct cli *cli)
{
    cli_json_flush(cli);
    cli->json.need_comma = false;
    (void)fputc('\n', stdout);
    if (fflush(stdout) != 0 && cli->write_errno == 0)
        cli->write_errno = errno;
    return !ferror(stdout) && !cli->has_failed;
}

/* Text ---------------------------------------------------------------------------------------- */

enum pw_paint cli_paint_of(struct pw_str word)
{
    static const struct {
        const char *word;
        enum pw_paint paint;
    } known[] = {
        {"compliant", PW_PAINT_GOOD},    {"complete", PW_PAINT_GOOD}, {"delivered", PW_PAINT_GOOD},
        {"non_compliant", PW_PAINT_BAD}, {"failed", PW_PAINT_BAD},    {"dead", PW_PAINT_BAD},
        {"incomplete", PW_PAINT_WARN},   {"missing", PW_PAINT_WARN},  {"unknown", PW_PAINT_WARN},
        {"pending", PW_PAINT_WARN},      {"muted", PW_PAINT_DIM},     {"dropped", PW_PAINT_DIM},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (pw_str_is(word, known[i].word))
            return known[i].paint;
    }
    return PW_PAINT_NONE;
}

void cli_print(const struct cli *cli, enum pw_paint paint, const char *format, ...)
{
    va_list arguments;

    if (cli->colour)
        (void)fputs(pw_paint_begin(paint), stdout);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    if (cli->colour)
        (void)fputs(pw_paint_end(paint), stdout);
}

const char *cli_printable(struct cli_text *hold, struct pw_str text)
{
    hold->text = text.data == NULL ? NULL : pw_display_escape(text);
    return text.data == NULL ? "-" : hold->text == NULL ? "?" : hold->text;
}

void cli_text_free(struct cli_text *hold)
{
    free(hold->text);
    hold->text = NULL;
}

/* Tables -------------------------------------------------------------------------------------- */

static enum pw_status add_cell(struct cli *cli, struct pw_table *table,
                               const struct cli_column *column, const struct pw_rows *rows)
{
    struct pw_str text;
    int64_t number;
    char out[PW_WHEN_SIZE] = "-";
    enum pw_paint paint = PW_PAINT_NONE;

    if (column->format == CLI_TEXT || column->format == CLI_STATUS_OF ||
        column->format == CLI_NAME) {
        text = pw_rows_str(rows, column->name);
        if (column->format == CLI_NAME && pw_str_empty(text))
            text = pw_rows_str(rows, "node_key");
        if (column->format == CLI_STATUS_OF)
            paint = cli_paint_of(text);
        return pw_table_cell(table, text, paint);
    }
    number = pw_rows_int(rows, column->name, PW_TIME_NONE);
    if (number == PW_TIME_NONE)
        return pw_table_text(table, "-", PW_PAINT_DIM);
    switch (column->format) {
    case CLI_NUMBER:
        (void)snprintf(out, sizeof out, "%" PRId64, number);
        break;
    case CLI_BYTES:
        if (number < 1024 * 1024)
            (void)snprintf(out, sizeof out, "%.1f KiB", (double)number / 1024);
        else
            (void)snprintf(out, sizeof out, "%.1f MiB", (double)number / (1024 * 1024));
        break;
    case CLI_TIME:
        (void)pw_when_text(out, number);
        break;
    case CLI_AGO:
        (void)pw_when_relative(out, number, cli->now_ms);
        break;
    case CLI_SPAN:
        (void)pw_when_span(out, number);
        break;
    case CLI_TOOK:
        (void)snprintf(out, sizeof out, "%.1f s", (double)number / 1000);
        break;
    case CLI_TEXT:
    case CLI_NAME:
    case CLI_STATUS_OF:
        break;
    }
    return pw_table_text(table, out, paint);
}

struct pw_table *cli_table_begin(struct cli *cli, const struct cli_column *columns,
                                 size_t column_count, size_t indent, struct pw_table_column *titles)
{
    struct pw_table_style style = {cli->width, cli->colour, indent};

    for (size_t i = 0; i < column_count; i++) {
        enum cli_format format = columns[i].format;

        titles[i] = (struct pw_table_column){
            columns[i].title, format == CLI_NUMBER || format == CLI_BYTES || format == CLI_TOOK,
            columns[i].expendable};
    }
    return pw_table_new(stdout, titles, column_count, &style);
}

enum pw_status cli_table_row(struct cli *cli, struct pw_table *table,
                             const struct cli_column *columns, size_t column_count,
                             const struct pw_rows *rows)
{
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < column_count && status == PW_OK; i++)
        status = add_cell(cli, table, &columns[i], rows);
    return status == PW_OK ? PW_OK : pw_fail_nomem(&cli->err);
}

enum pw_status cli_table(struct cli *cli, const struct cli_column *columns, size_t column_count,
                         size_t indent, struct pw_rows *rows, size_t *count)
{
    struct pw_table_column titles[CLI_COLUMNS_MAX];
    struct pw_table *table = cli_table_begin(cli, columns, column_count, indent, titles);
    bool row = true;
    enum pw_status status = PW_OK;

    *count = 0;
    if (table == NULL)
        return pw_fail_nomem(&cli->err);
    while (status == PW_OK && (status = pw_rows_next(rows, &row, &cli->err)) == PW_OK && row) {
        status = cli_table_row(cli, table, columns, column_count, rows);
        if (ferror(stdout))
            break;
    }
    pw_rows_stop(rows);
    *count = pw_table_rows(table);
    if (pw_table_end(table) != PW_OK && status == PW_OK)
        status = pw_fail_nomem(&cli->err);
    return status;
}

/* The end ------------------------------------------------------------------------------------- */

bool cli_is_read(int timeout_ms)
{
    struct pollfd out = {STDOUT_FILENO, 0, 0};

    return poll(&out, 1, timeout_ms) <= 0 || (out.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

int cli_finish(struct cli *cli, int code)
{
    int problem = 0;

    cli_json_flush(cli);
    if (cli->has_failed) {
        (void)fputs("patchwatch: no memory for the output\n", stderr);
        return EX_OSERR;
    }
    errno = 0;
    if (fflush(stdout) != 0)
        problem = errno;
    /* Whoever closed the pipe has seen enough. */
    if (!ferror(stdout) || problem == EPIPE || !cli_is_read(0))
        return code;
    (void)fprintf(stderr, "patchwatch: writing the output: %s\n",
                  strerror(problem != 0            ? problem
                           : cli->write_errno != 0 ? cli->write_errno
                                                   : EIO));
    return EX_IOERR;
}

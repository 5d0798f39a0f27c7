/* Reading what is given to the commands that change something. */
#include "daemon/cli_given.h"

#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/when.h"
#include "daemon/cli_commands.h"

bool cli_only_options(const struct cli *cli, const char *what, const enum cli_option *allowed)
{
    for (int option = CLI_SOURCE; option < CLI_OPTION_COUNT; option++) {
        const enum cli_option *each = allowed;

        if (cli->options[option] == NULL)
            continue;
        while (*each != CLI_OPTION_COUNT && (int)*each != option)
            each++;
        if (*each == CLI_OPTION_COUNT) {
            (void)cli_usage("%s takes no --%s", what, cli_option_table[option].name);
            return false;
        }
    }
    return true;
}

bool cli_read_id(const struct cli *cli, const char *what, int64_t *out)
{
    struct pw_error err = {PW_OK, ""};

    if (cli->operand_count != 2) {
        (void)cli_usage("%s needs an ID", what);
        return false;
    }
    if (pw_parse_int(cli->operands[1], 1, INT64_MAX, out, &err) == PW_OK)
        return true;
    (void)cli_usage("%s: %s", what, err.message);
    return false;
}

bool cli_no_operand(const struct cli *cli, const char *what)
{
    if (cli->operand_count == 1)
        return true;
    (void)cli_usage("%s takes no argument", what);
    return false;
}

bool cli_read_end(const struct cli *cli, int64_t from_ms, int64_t *until_ms)
{
    struct pw_error err = {PW_OK, ""};
    const char *span = cli->options[CLI_FOR], *until = cli->options[CLI_UNTIL];
    int64_t span_ms;

    *until_ms = PW_TIME_NONE;
    if (span != NULL && until != NULL) {
        (void)cli_usage("--for or --until, not both");
        return false;
    }
    if (span != NULL) {
        if (pw_parse_duration_ms(span, &span_ms, &err) != PW_OK) {
            (void)cli_usage("--for: %s", err.message);
            return false;
        }
        if (span_ms <= 0 || span_ms > INT64_C(36500) * PW_DAY_MS) {
            (void)cli_usage("--for: it must be more than nothing and at most 100 years");
            return false;
        }
        *until_ms = from_ms + span_ms;
    }
    if (until != NULL) {
        if (!cli_time(cli, until, until_ms))
            return false;
        if (*until_ms <= from_ms) {
            (void)cli_usage("--until: that is not later than its beginning; --for 2h means two "
                            "hours from then on");
            return false;
        }
    }
    return true;
}

void cli_print_until(const char *what, const struct cli_answer *answer)
{
    int64_t until_ms;
    char text[PW_WHEN_SIZE];

    if (pw_json_reader_number(answer->reader, "until_at", &until_ms))
        (void)printf("%s until %s\n", what, pw_when_text(text, until_ms));
    else
        (void)printf("%s\n", what);
}

enum pw_status cli_read_node(struct cli *cli, int64_t node_id, struct pw_rows *rows)
{
    bool row = false;
    enum pw_status status = pw_query_node(cli->db, node_id, rows, &cli->err);

    if (status == PW_OK)
        status = pw_rows_next(rows, &row, &cli->err);
    if (status == PW_OK && !row)
        status = pw_fail(&cli->err, PW_ENOTFOUND, "the machine is gone");
    return status;
}

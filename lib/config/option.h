/* The option table: what may stand in a section, how it is read, what it is when absent. Parsing,
 * defaults, the documentation tests and pw_config_each_option all come from it. It is constant. */
#ifndef PW_CONFIG_OPTION_H
#define PW_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pw_option_section { PW_SECTION_DAEMON, PW_SECTION_SOURCE };

enum pw_option_type {
    PW_OPTION_INT,         /* int64_t within [min, max] */
    PW_OPTION_PERCENT,     /* int64_t within [min, max], "%" may follow */
    PW_OPTION_DURATION,    /* int64_t milliseconds within [min, max] */
    PW_OPTION_RATE,        /* two int64_t: count at offset, period in ms at period_offset */
    PW_OPTION_CHOICE,      /* an enum: one of choices */
    PW_OPTION_FLAG,        /* a bool: one of choices */
    PW_OPTION_STRING,      /* char *; where there are choices, one of them */
    PW_OPTION_PATH,        /* char *, made absolute beside the ini file */
    PW_OPTION_ABSOLUTE,    /* char *, must be an absolute path */
    PW_OPTION_SOCKET,      /* PATH that fits into a Unix socket address */
    PW_OPTION_SECRET_FILE, /* char *, see config/secret.h */
    PW_OPTION_CA_FILE,     /* PATH of a file that exists */
    PW_OPTION_URL,         /* char *, see config/url.h */
    PW_OPTION_PROXY,       /* char * */
    PW_OPTION_LISTEN       /* char *, HOST:PORT */
};

struct pw_choice {
    const char *name; /* NULL ends the list */
    int value;
};

struct pw_option {
    enum pw_option_section section;
    const char *key;
    enum pw_option_type type;
    bool may_be_empty; /* "KEY =" means none; elsewhere it is an error */
    size_t offset;     /* into pw_daemon_config or pw_source_config */
    size_t period_offset;
    const char *default_text; /* "" = none */
    int64_t min, max;
    const struct pw_choice *choices;
    const char *help;
};

extern const struct pw_option pw_options[];
extern const size_t pw_option_count;

/* The option of that name, or NULL. */
const struct pw_option *pw_option_find(enum pw_option_section section, const char *key);
/* Its place in pw_options. */
size_t pw_option_index(const struct pw_option *option);
/* The option of the section whose key is at most two slips of the finger away, or NULL. */
const struct pw_option *pw_option_nearest(enum pw_option_section section, const char *key);
/* The name that stands in the file for a value of a PW_OPTION_CHOICE; "" where there is none. */
const char *pw_option_choice_name(const struct pw_option *option, int value);

#endif

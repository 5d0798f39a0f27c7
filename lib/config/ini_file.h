/* One ini file, line by line, through inih 55 as Debian packages it, with its traps closed: there
 * a line of more than 198 bytes is cut and the stump delivered, an indented line continues the
 * value before it, a section's name is cut at 49 bytes, and nobody is told the line's number. */
#ifndef PW_CONFIG_INI_FILE_H
#define PW_CONFIG_INI_FILE_H

#include "base/error.h"
#include "base/problems.h"

struct pw_ini_sink {
    void *context;
    /* "[name]" stands at line. name NULL: a header that cannot be read; what follows belongs
     * nowhere. Both return PW_OK or PW_ENOMEM, which ends the reading. */
    enum pw_status (*section)(void *context, const char *name, int line);
    enum pw_status (*entry)(void *context, const char *key, const char *value, int line);
};

/* Reads the file and hands out its lines in order. What is wrong with it goes to problems and is
 * skipped; PW_ENOMEM is the only failure. */
PW_MUST_CHECK enum pw_status pw_ini_read(const char *path, const struct pw_ini_sink *sink,
                                         struct pw_problems *problems);

#endif

/* Prints every option as "section key default": for tests/documented, which must know the table
 * that the program itself goes by. */
#include <stdio.h>

#include "config/config.h"

static void print(void *context, const char *section, const char *key, const char *default_text,
                  const char *help)
{
    (void)context;
    (void)help;
    (void)printf("%s\t%s\t%s\n", section, key, default_text);
}

int main(void)
{
    pw_config_each_option(print, NULL);
    return 0;
}

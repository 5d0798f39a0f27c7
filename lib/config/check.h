/* Checks across the keys of a section, once all are read: what is missing, what does not go
 * together, what this version cannot do. */
#ifndef PW_CONFIG_CHECK_H
#define PW_CONFIG_CHECK_H

#include "base/problems.h"
#include "config/config.h"
#include "config/document.h"

/* defaults: the [defaults] section, whose keys the source inherits. */
void pw_check_source(const struct pw_source_config *source, const struct pw_doc_section *own,
                     const struct pw_doc_section *defaults, struct pw_problems *problems);
void pw_check_daemon(const struct pw_daemon_config *daemon, const struct pw_doc_section *own,
                     struct pw_problems *problems);

#endif

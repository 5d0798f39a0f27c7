/* All files put together: for each section and option the text that counts and where it stands.
 * Nothing is interpreted yet. */
#ifndef PW_CONFIG_DOCUMENT_H
#define PW_CONFIG_DOCUMENT_H

#include <stddef.h>

#include "base/error.h"
#include "base/problems.h"
#include "config/option.h"

struct pw_place {
    const char *file;
    int line; /* 0 = no line */
};

struct pw_doc_value {
    char *text; /* owned; NULL = the key does not stand there, "" = it has no value */
    struct pw_place place;
};

/* [daemon], [defaults] or a [source NAME]. */
struct pw_doc_section {
    enum pw_option_section kind;
    char *name;             /* owned; of the source, NULL for the other two */
    struct pw_place first;  /* the header, in the file that has it first; file NULL = nowhere */
    struct pw_place latest; /* the header that was read last */
    struct pw_doc_value *values; /* owned; one for each of pw_options */
};

enum { PW_DOC_DAEMON, PW_DOC_DEFAULTS, PW_DOC_FIRST_SOURCE }; /* sections[0], [1], the sources */

struct pw_document {
    struct pw_doc_section *sections;
    size_t section_count;
    char **files; /* owned, with the strings; places point to them */
    size_t file_count;
};

/* Reads path and conf.d beside it. What is wrong goes to problems; PW_ENOMEM is the only failure.
 * The document is freed with pw_document_free in any case. */
PW_MUST_CHECK enum pw_status pw_document_read(struct pw_document *document, const char *path,
                                              struct pw_problems *problems);
void pw_document_free(struct pw_document *document);

#endif

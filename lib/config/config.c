/* Loading: read all files, interpret each option, check what belongs together. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "config/check.h"
#include "config/document.h"
#include "config/option.h"
#include "config/value.h"

/* One option of a section into target. own and inherited may lack it; the default then counts.
 * An inherited value was interpreted with its own section: what is wrong with it has been said. */
static enum pw_status apply_option(const struct pw_option *option, const struct pw_doc_value *own,
                                   const struct pw_doc_value *inherited, const char *main_file,
                                   void *target, struct pw_problems *problems)
{
    const struct pw_doc_value *value = own->text != NULL                              ? own
                                       : inherited != NULL && inherited->text != NULL ? inherited
                                                                                      : NULL;
    const char *text = value != NULL ? value->text : option->default_text;
    struct pw_error err = {0};
    enum pw_status status;

    if (text[0] == '\0') {
        if (value != NULL && value == own && !option->may_be_empty)
            pw_problem_error(problems, value->place.file, value->place.line, "%s needs a value%s%s",
                             option->key,
                             option->default_text[0] != '\0' ? "; without the line it is " : "",
                             option->default_text);
        return PW_OK;
    }
    status =
        pw_value_set(option, target, text, value != NULL ? value->place.file : main_file, &err);
    if (status == PW_ENOMEM)
        return status;
    if (status != PW_OK && value != inherited)
        pw_problem_error(problems, value != NULL ? value->place.file : main_file,
                         value != NULL ? value->place.line : 0, "%s: %s", option->key, err.message);
    return PW_OK;
}

static enum pw_status apply_section(const struct pw_doc_section *own,
                                    const struct pw_doc_section *inherited, const char *main_file,
                                    void *target, struct pw_problems *problems)
{
    enum pw_status status = PW_OK;

    for (size_t i = 0; i < pw_option_count && status == PW_OK; i++) {
        if (pw_options[i].section == own->kind)
            status = apply_option(&pw_options[i], &own->values[i],
                                  inherited != NULL ? &inherited->values[i] : NULL, main_file,
                                  target, problems);
    }
    return status;
}

static enum pw_status build_sources(struct pw_config *config, const struct pw_document *document,
                                    struct pw_problems *problems)
{
    const struct pw_doc_section *defaults = &document->sections[PW_DOC_DEFAULTS];
    size_t count = document->section_count - PW_DOC_FIRST_SOURCE;
    struct pw_source_config scratch = {0};
    enum pw_status status;

    /* [defaults] alone first, so that what is wrong there is said once. */
    status = apply_section(defaults, NULL, config->path, &scratch, problems);
    pw_value_free_all(PW_SECTION_SOURCE, &scratch);
    if (status != PW_OK || count == 0)
        return status;
    config->sources = calloc(count, sizeof *config->sources);
    if (config->sources == NULL)
        return PW_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct pw_doc_section *own = &document->sections[PW_DOC_FIRST_SOURCE + i];
        struct pw_source_config *source = &config->sources[config->source_count++];

        source->file = own->first.file;
        source->line = own->first.line;
        source->name = pw_str_dup(pw_str_of(own->name));
        if (source->name == NULL)
            return PW_ENOMEM;
        status = apply_section(own, defaults, config->path, source, problems);
        if (status != PW_OK)
            return status;
        pw_check_source(source, own, defaults, problems);
    }
    return PW_OK;
}

enum pw_status pw_config_load(const char *path, struct pw_config **out,
                              struct pw_problems *problems)
{
    const size_t errors_before = problems->errors;
    struct pw_document document = {0};
    struct pw_config *config;
    enum pw_status status = PW_ENOMEM;

    *out = NULL;
    config = calloc(1, sizeof *config);
    if (config == NULL)
        goto out;
    config->path = pw_str_dup(pw_str_of(path));
    if (config->path == NULL)
        goto out;
    status = pw_document_read(&document, path, problems);
    if (status != PW_OK)
        goto out;
    /* Where a file or header could not be read, the source may be in there. */
    if (document.section_count == PW_DOC_FIRST_SOURCE && problems->errors == errors_before)
        pw_problem_error(problems, path, 0,
                         "there is no source to poll: add a section [source NAME] with endpoint = "
                         "https://HOST");
    status = apply_section(&document.sections[PW_DOC_DAEMON], NULL, config->path, &config->daemon,
                           problems);
    if (status != PW_OK)
        goto out;
    pw_check_daemon(&config->daemon, &document.sections[PW_DOC_DAEMON], problems);
    status = build_sources(config, &document, problems);
    if (status != PW_OK)
        goto out;
    if (problems->errors != errors_before) {
        status = PW_EINVAL;
        goto out;
    }
    config->files = document.files;
    config->file_count = document.file_count;
    document.files = NULL;
    document.file_count = 0;
    *out = config;
    config = NULL;
out:
    pw_config_free(config);
    pw_document_free(&document);
    return status;
}

char *pw_config_alerts_path(const char *path)
{
    struct pw_document document = {0};
    struct pw_daemon_config daemon = {0};
    struct pw_problems known; /* by pw_config_load already */
    char *alerts = NULL;

    pw_problems_init(&known);
    if (pw_document_read(&document, path, &known) == PW_OK &&
        apply_section(&document.sections[PW_DOC_DAEMON], NULL, path, &daemon, &known) == PW_OK &&
        daemon.alerts != NULL) {
        alerts = daemon.alerts;
        daemon.alerts = NULL;
    }
    pw_value_free_all(PW_SECTION_DAEMON, &daemon);
    pw_document_free(&document);
    pw_problems_free(&known);
    return alerts;
}

enum pw_status pw_config_peek(const char *path, struct pw_config **out,
                              struct pw_problems *problems)
{
    struct pw_document document = {0};
    struct pw_config *config = calloc(1, sizeof *config);
    struct pw_problems ignored; /* the daemon's affair: --check tells of them */
    enum pw_status status = PW_ENOMEM;

    *out = NULL;
    pw_problems_init(&ignored);
    if (config == NULL)
        goto out;
    config->path = pw_str_dup(pw_str_of(path));
    if (config->path == NULL)
        goto out;
    status = pw_document_read(&document, path, problems);
    if (status == PW_OK)
        status = apply_section(&document.sections[PW_DOC_DAEMON], NULL, config->path,
                               &config->daemon, problems);
    if (status == PW_OK)
        status = build_sources(config, &document, &ignored);
    if (status != PW_OK)
        goto out;
    /* Without its file a configuration would be all defaults: another database than the one meant.
     */
    if (config->daemon.database == NULL || access(path, R_OK) != 0) {
        status = PW_EINVAL;
        goto out;
    }
    config->files = document.files;
    config->file_count = document.file_count;
    document.files = NULL;
    document.file_count = 0;
    *out = config;
    config = NULL;
out:
    pw_problems_free(&ignored);
    pw_config_free(config);
    pw_document_free(&document);
    return status;
}

void pw_config_free(struct pw_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->source_count; i++) {
        pw_value_free_all(PW_SECTION_SOURCE, &config->sources[i]);
        free(config->sources[i].name);
    }
    free(config->sources);
    pw_value_free_all(PW_SECTION_DAEMON, &config->daemon);
    for (size_t i = 0; i < config->file_count; i++)
        free(config->files[i]);
    free(config->files);
    free(config->path);
    free(config);
}

/* Merging: within a file a key stands once; across files the later one wins, key by key. */
#include "config/document.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/nearest.h"
#include "base/text.h"
#include "config/ini_file.h"

enum { SOURCE_NAME_MAX_BYTES = 64, SOURCES_MAX = 4096, NOWHERE = -1, UNKNOWN = -2 };

struct merge {
    struct pw_document *document;
    struct pw_problems *problems;
    const char *file;
    long current; /* index of the section, NOWHERE before the first, UNKNOWN in a refused one */
};

#define COMPLAIN(merge, line, ...)                                                                 \
    pw_problem_error((merge)->problems, (merge)->file, (line), __VA_ARGS__)

static enum pw_status add_section(struct pw_document *document, enum pw_option_section kind,
                                  const char *name)
{
    struct pw_doc_section section = {.kind = kind};
    struct pw_doc_section *sections =
        realloc(document->sections, (document->section_count + 1) * sizeof *sections);

    if (sections == NULL)
        return PW_ENOMEM;
    document->sections = sections;
    section.values = calloc(pw_option_count, sizeof *section.values);
    if (name != NULL)
        section.name = pw_str_dup(pw_str_of(name));
    if (section.values == NULL || (name != NULL && section.name == NULL)) {
        free(section.values);
        free(section.name);
        return PW_ENOMEM;
    }
    sections[document->section_count++] = section;
    return PW_OK;
}

static bool valid_source_name(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= SOURCE_NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static void complain_unknown_section(struct merge *merge, const char *name, int line)
{
    static const char *const known[] = {"daemon", "defaults", "source"};
    char word[SOURCE_NAME_MAX_BYTES];
    size_t len = strcspn(name, " \t");

    if (len < sizeof word) {
        memcpy(word, name, len);
        word[len] = '\0';
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (pw_edit_distance(word, known[i]) <= PW_NEAREST_MAX) {
                COMPLAIN(merge, line, "unknown section [%s]; did you mean [%s%s]?", name, known[i],
                         i == 2 ? " NAME" : "");
                return;
            }
        }
    }
    COMPLAIN(merge, line, "unknown section [%s]: there are [daemon], [defaults] and [source NAME]",
             name);
}

/* The section of that header, made where it is a new source; UNKNOWN after a complaint. */
static enum pw_status find_section(struct merge *merge, const char *name, int line, long *out)
{
    struct pw_document *document = merge->document;
    const char *source;

    *out = UNKNOWN;
    if (strcmp(name, "daemon") == 0) {
        *out = PW_DOC_DAEMON;
        return PW_OK;
    }
    if (strcmp(name, "defaults") == 0) {
        *out = PW_DOC_DEFAULTS;
        return PW_OK;
    }
    if (strncmp(name, "source", 6) != 0 || strchr(" \t", name[6]) == NULL) {
        complain_unknown_section(merge, name, line);
        return PW_OK;
    }
    source = name + 6 + strspn(name + 6, " \t");
    if (source[0] == '\0') {
        COMPLAIN(merge, line, "the source has no name: write [source NAME]");
        return PW_OK;
    }
    if (!valid_source_name(source)) {
        COMPLAIN(merge, line,
                 "'%s' cannot be the name of a source: use up to %d letters, digits, '.', '_', '-'",
                 source, SOURCE_NAME_MAX_BYTES);
        return PW_OK;
    }
    for (size_t i = PW_DOC_FIRST_SOURCE; i < document->section_count; i++) {
        if (strcmp(document->sections[i].name, source) == 0) {
            *out = (long)i;
            return PW_OK;
        }
    }
    if (document->section_count >= SOURCES_MAX + PW_DOC_FIRST_SOURCE) {
        COMPLAIN(merge, line, "there are more than %d sources", SOURCES_MAX);
        return PW_OK;
    }
    if (add_section(document, PW_SECTION_SOURCE, source) != PW_OK)
        return PW_ENOMEM;
    *out = (long)document->section_count - 1;
    return PW_OK;
}

static enum pw_status on_section(void *context, const char *name, int line)
{
    struct merge *merge = context;
    struct pw_doc_section *section;
    enum pw_status status;

    merge->current = UNKNOWN;
    if (name == NULL)
        return PW_OK;
    status = find_section(merge, name, line, &merge->current);
    if (status != PW_OK || merge->current == UNKNOWN)
        return status;
    section = &merge->document->sections[merge->current];
    if (section->latest.file == merge->file)
        COMPLAIN(merge, line, "section [%s] stands here again; it is at line %d already", name,
                 section->latest.line);
    section->latest = (struct pw_place){merge->file, line};
    if (section->first.file == NULL)
        section->first = section->latest;
    return PW_OK;
}

/* Keys under which people would write a secret, and the key that takes the file with it. */
static const char *file_key_of_secret(const char *key)
{
    static const char *const secrets[][2] = {
        {"access_key", "access_key_file"},         {"ak", "access_key_file"},
        {"secret_key", "secret_key_file"},         {"sk", "secret_key_file"},
        {"security_token", "security_token_file"}, {"token", "token_file"},
        {"password", "iam_password_file"},         {"iam_password", "iam_password_file"},
    };

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (strcmp(secrets[i][0], key) == 0)
            return secrets[i][1];
    }
    return NULL;
}

static void complain_unknown_key(struct merge *merge, enum pw_option_section kind, const char *key,
                                 int line)
{
    enum pw_option_section other =
        kind == PW_SECTION_DAEMON ? PW_SECTION_SOURCE : PW_SECTION_DAEMON;
    const char *file_key = file_key_of_secret(key);
    const struct pw_option *nearest;

    if (file_key != NULL) {
        COMPLAIN(merge, line,
                 "a secret stands in no ini file: put it into a file of its own (mode 0600) and "
                 "name that with %s",
                 file_key);
        return;
    }
    if (pw_option_find(other, key) != NULL) {
        COMPLAIN(merge, line, "'%s' belongs into %s", key,
                 other == PW_SECTION_DAEMON ? "[daemon]" : "a [source NAME] or [defaults]");
        return;
    }
    nearest = pw_option_nearest(kind, key);
    if (nearest != NULL)
        COMPLAIN(merge, line, "unknown key '%s'; did you mean '%s'?", key, nearest->key);
    else
        COMPLAIN(merge, line, "unknown key '%s'", key);
}

static enum pw_status on_entry(void *context, const char *key, const char *text, int line)
{
    struct merge *merge = context;
    struct pw_doc_section *section;
    const struct pw_option *option;
    struct pw_doc_value *value;
    char *own;

    if (merge->current == UNKNOWN)
        return PW_OK;
    if (merge->current == NOWHERE) {
        COMPLAIN(merge, line,
                 "'%s' stands before any section: write [daemon], [defaults] or [source NAME] "
                 "above it",
                 key);
        return PW_OK;
    }
    section = &merge->document->sections[merge->current];
    option = pw_option_find(section->kind, key);
    if (option == NULL) {
        complain_unknown_key(merge, section->kind, key, line);
        return PW_OK;
    }
    value = &section->values[pw_option_index(option)];
    if (value->text != NULL && value->place.file == merge->file) {
        COMPLAIN(merge, line, "'%s' stands here again; it is at line %d already", key,
                 value->place.line);
        return PW_OK;
    }
    own = pw_str_dup(pw_str_of(text));
    if (own == NULL)
        return PW_ENOMEM;
    free(value->text);
    value->text = own;
    value->place = (struct pw_place){merge->file, line};
    return PW_OK;
}

/* Takes path over. */
static enum pw_status read_file(struct pw_document *document, char *path,
                                struct pw_problems *problems)
{
    struct merge merge = {document, problems, path, NOWHERE};
    struct pw_ini_sink sink = {&merge, on_section, on_entry};
    char **files = NULL;

    if (path != NULL)
        files = realloc(document->files, (document->file_count + 1) * sizeof *files);
    if (files == NULL) {
        free(path);
        return PW_ENOMEM;
    }
    document->files = files;
    files[document->file_count++] = path;
    return pw_ini_read(path, &sink, problems);
}

static int wanted(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".ini") == 0;
}

/* Byte order, whatever the locale: the same files give the same result everywhere. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static char *join(const char *directory, const char *name)
{
    struct pw_buffer path;

    pw_buffer_init(&path, 65536);
    (void)pw_buffer_printf(&path, "%s/%s", directory, name);
    return pw_buffer_take(&path);
}

/* Reads the *.ini of a directory that need not exist. */
static enum pw_status read_directory(struct pw_document *document, const char *directory,
                                     struct pw_problems *problems)
{
    struct dirent **names = NULL;
    int count = scandir(directory, &names, wanted, by_name);
    enum pw_status status = PW_OK;

    if (count < 0 && errno == ENOMEM)
        return PW_ENOMEM;
    if (count < 0 && errno != ENOENT)
        pw_problem_error(problems, directory, 0, "cannot read the directory: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = status == PW_OK ? join(directory, names[i]->d_name) : NULL;
        struct stat st;

        if (status == PW_OK && path == NULL)
            status = PW_ENOMEM;
        /* A directory or socket is none of ours; what cannot be looked at is for read_file to say.
         */
        if (path != NULL && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
            free(path);
            path = NULL;
        }
        if (path != NULL)
            status = read_file(document, path, problems);
        free(names[i]);
    }
    free(names);
    return status;
}

enum pw_status pw_document_read(struct pw_document *document, const char *path,
                                struct pw_problems *problems)
{
    const char *slash = strrchr(path, '/');
    struct pw_buffer directory;
    enum pw_status status;

    *document = (struct pw_document){0};
    pw_buffer_init(&directory, 65536);
    status = add_section(document, PW_SECTION_DAEMON, NULL);
    if (status == PW_OK)
        status = add_section(document, PW_SECTION_SOURCE, NULL);
    if (status == PW_OK)
        status = read_file(document, pw_str_dup(pw_str_of(path)), problems);
    if (status != PW_OK)
        goto out;
    if (slash != NULL)
        (void)pw_buffer_append(&directory, path, (size_t)(slash + 1 - path));
    (void)pw_buffer_append_text(&directory, "conf.d");
    status =
        directory.failed == PW_OK ? read_directory(document, directory.data, problems) : PW_ENOMEM;
out:
    pw_buffer_free(&directory);
    return status;
}

void pw_document_free(struct pw_document *document)
{
    for (size_t i = 0; i < document->section_count; i++) {
        for (size_t j = 0; j < pw_option_count; j++)
            free(document->sections[i].values[j].text);
        free(document->sections[i].values);
        free(document->sections[i].name);
    }
    free(document->sections);
    for (size_t i = 0; i < document->file_count; i++)
        free(document->files[i]);
    free(document->files);
    *document = (struct pw_document){0};
}

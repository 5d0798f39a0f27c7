/* One YAML file, read whole into a document of bounded size, and the look-ups that alerts.yaml
 * needs. Stricter than YAML: one document, no anchors, aliases or tags, no duplicate keys, UTF-8
 * only. Every scalar is text: `no` is the word "no". */
#ifndef PW_ALERT_YAML_FILE_H
#define PW_ALERT_YAML_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "base/error.h"
#include "base/problems.h"
#include "base/text.h"

struct pw_yaml {
    const char *path;             /* borrowed */
    struct pw_problems *problems; /* borrowed */
    yaml_document_t document;
    bool loaded;
};

/* Reads path. PW_ENOTFOUND: no such file (no problem is noted); PW_EINVAL: it cannot be read or is
 * not such a YAML file, and problems says why; PW_ENOMEM. Whatever the status, pw_yaml_close frees.
 * path and problems must outlive it. */
PW_MUST_CHECK enum pw_status pw_yaml_open(struct pw_yaml *yaml, const char *path,
                                          struct pw_problems *problems);
/* The same for a text in memory (JSON of plain texts and lists is YAML, too), which problems call
 * `what`. */
PW_MUST_CHECK enum pw_status pw_yaml_open_text(struct pw_yaml *yaml, const char *what,
                                               struct pw_str text, struct pw_problems *problems);
void pw_yaml_close(struct pw_yaml *yaml);

/* The root node; NULL where the file holds no document. Nodes live as long as yaml. */
yaml_node_t *pw_yaml_root(struct pw_yaml *yaml);
int pw_yaml_line(const yaml_node_t *node); /* 1 is the first */
/* Whether nothing was written: `key:`, `key: ~`, `key: null`. */
bool pw_yaml_is_null(const yaml_node_t *node);
/* The text of a scalar; NULL, and a problem that begins with what, where it is none or holds a NUL.
 */
const char *pw_yaml_text(struct pw_yaml *yaml, const yaml_node_t *node, const char *what);

/* Whether node is a mapping with distinct scalar keys; otherwise problems says what is wrong. */
bool pw_yaml_check_mapping(struct pw_yaml *yaml, const yaml_node_t *node, const char *what);
size_t pw_yaml_pair_count(const yaml_node_t *mapping);
/* Key and value of the pair at index, of a mapping that was checked. */
yaml_node_t *pw_yaml_key(struct pw_yaml *yaml, const yaml_node_t *mapping, size_t index);
yaml_node_t *pw_yaml_value(struct pw_yaml *yaml, const yaml_node_t *mapping, size_t index);
/* The value of key, or NULL. */
yaml_node_t *pw_yaml_get(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *key);
/* Notes a problem for each key that is not in known; those in later (may be NULL) are told apart as
 * not supported by this version. Both lists end with NULL. */
void pw_yaml_check_keys(struct pw_yaml *yaml, const yaml_node_t *mapping, const char *what,
                        const char *const *known, const char *const *later);

/* A sequence's items; a scalar is a list of one. */
size_t pw_yaml_item_count(const yaml_node_t *node);
yaml_node_t *pw_yaml_item(struct pw_yaml *yaml, yaml_node_t *node, size_t index);

#endif

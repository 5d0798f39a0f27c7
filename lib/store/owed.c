/* Lists of hooks with the rules on whose behalf they are told. */
#include "store/owed.h"

#include <stdlib.h>

static enum pw_status add(struct pw_owed_list *owed, sqlite3_stmt *statement, struct pw_error *err)
{
    char *hook, *rule;

    if (owed->count == owed->capacity) {
        size_t capacity = owed->capacity == 0 ? 8 : owed->capacity * 2;
        struct pw_hook_of_rule *items = realloc(owed->items, capacity * sizeof *items);

        if (items == NULL)
            return pw_fail_nomem(err);
        owed->items = items;
        owed->capacity = capacity;
    }
    hook = pw_str_dup(pw_db_column_str(statement, 0));
    rule = pw_str_dup(pw_db_column_str(statement, 1));
    if (hook == NULL || rule == NULL) {
        free(hook);
        free(rule);
        return pw_fail_nomem(err);
    }
    owed->items[owed->count++] = (struct pw_hook_of_rule){
        .hook = hook, .rule = rule, .after_ms = sqlite3_column_int64(statement, 2)};
    return PW_OK;
}

enum pw_status pw_owed_read(struct pw_owed_list *owed, struct pw_db *db, sqlite3_stmt *statement,
                            struct pw_error *err)
{
    enum pw_status status;
    bool row;

    while ((status = pw_db_step(db, statement, &row, err)) == PW_OK && row) {
        status = add(owed, statement, err);
        if (status != PW_OK)
            break;
    }
    (void)sqlite3_reset(statement);
    return status;
}

void pw_owed_free(struct pw_owed_list *owed)
{
    for (size_t i = 0; i < owed->count; i++) {
        free((char *)owed->items[i].hook);
        free((char *)owed->items[i].rule);
    }
    free(owed->items);
    *owed = (struct pw_owed_list){0};
}

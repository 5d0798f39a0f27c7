/* Configurations: loading them, and swapping a new one in while everything runs. A bad file changes
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/serving.h"

/* Loading -------------------------------------------------------------------------------------- */

bool pw_service_load(const char *path, struct pw_config **config, struct pw_alerts **alerts,
                     struct pw_problems *problems)
{
    char *found_path = NULL;
    bool loaded;

    *config = NULL;
    *alerts = NULL;
    loaded = pw_config_load(path, config, problems) == PW_OK;
    if (!loaded)
        found_path = pw_config_alerts_path(path);
    if (loaded || found_path != NULL)
        loaded = pw_alerts_load(loaded ? (*config)->daemon.alerts : found_path, alerts, problems) ==
                     PW_OK &&
                 loaded;
    free(found_path);
    if (!loaded) {
        pw_config_free(*config);
        pw_alerts_free(*alerts);
        *config = NULL;
        *alerts = NULL;
    }
    return loaded;
}

/* What is in use ------------------------------------------------------------------------------- */

bool pw_serving_adopt_config(struct pw_service *service, struct pw_config *config)
{
    struct pw_generation_of_config *generation = malloc(sizeof *generation);

    if (generation == NULL) {
        pw_config_free(config);
        return false;
    }
    *generation = (struct pw_generation_of_config){config, service->configs};
    service->configs = generation;
    return true;
}

void pw_serving_free_configs(struct pw_service *service)
{
    while (service->configs != NULL) {
        struct pw_generation_of_config *older = service->configs->older;

        pw_config_free(service->configs->config);
        free(service->configs);
        service->configs = older;
    }
}

static bool is_in(const struct pw_config *config, const struct pw_source_config *source)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (&config->sources[i] == source)
            return true;
    }
    return false;
}

void pw_serving_free_old_configs(struct pw_service *service)
{
    struct pw_generation_of_config *older;

    if (service->open_collectors != service->collector_count)
        return; /* one that closes may still read its own */
    for (size_t i = 0; i < service->collector_count; i++) {
        if (!pw_collector_is_settled(service->collectors[i]) ||
            !is_in(pw_serving_config(service), pw_collector_source(service->collectors[i])))
            return;
    }
    while ((older = service->configs->older) != NULL) {
        service->configs->older = older->older;
        pw_config_free(older->config);
        free(older);
    }
}

struct pw_alerts_in_use *pw_alerts_use_new(struct pw_alerts *alerts)
{
    struct pw_alerts_in_use *use = malloc(sizeof *use);

    if (use != NULL)
        *use = (struct pw_alerts_in_use){alerts, 1};
    return use;
}

void pw_alerts_use_release(struct pw_alerts_in_use *use)
{
    if (use == NULL || --use->users > 0)
        return;
    pw_alerts_free(use->alerts);
    free(use);
}

static void on_alerts_released(void *context)
{
    pw_alerts_use_release(context);
}

/* Swapping ------------------------------------------------------------------------------------- */

static const struct pw_source_config *find_source(const struct pw_config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    }
    return NULL;
}

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void tell_what_needs_a_restart(const struct pw_config *old, const struct pw_config *new,
                                      struct pw_problems *problems)
{
    if (!is_same(old->daemon.database, new->daemon.database))
        pw_problem_warning(problems, new->path, 0, "database stays %s until a restart",
                           old->daemon.database);
    if (!is_same(old->daemon.control, new->daemon.control))
        pw_problem_warning(problems, new->path, 0, "control stays %s until a restart",
                           old->daemon.control != NULL ? old->daemon.control : "off");
}

/* Sources come, change and go; a sweep that runs ends by its old configuration. */
static void swap_sources(struct pw_service *service)
{
    const struct pw_config *config = pw_serving_config(service);

    for (size_t i = 0; i < service->collector_count;) {
        struct pw_collector *collector = service->collectors[i];
        const struct pw_source_config *source = find_source(config, pw_collector_name(collector));

        if (source != NULL) {
            pw_collector_use(collector, source);
            i++;
            continue;
        }
        pw_log_notice("reload: source %s is gone; its history stays", pw_collector_name(collector));
        service->collectors[i] = service->collectors[--service->collector_count];
        pw_operator_source_gone(service, collector);
        pw_collector_close(collector, pw_serving_collector_closed, service);
    }
    pw_serving_add_new_sources(service);
}

static bool refuse(struct pw_problems *problems, struct pw_config *config, struct pw_alerts *alerts)
{
    pw_problem_error(problems, config->path, 0, "out of memory");
    pw_config_free(config);
    pw_alerts_free(alerts);
    return false;
}

static bool swap(struct pw_service *service, struct pw_problems *problems)
{
    struct pw_config *config;
    struct pw_alerts *alerts;
    struct pw_alerts_in_use *old = service->alerts, *use;

    if (!pw_service_load(pw_serving_config(service)->path, &config, &alerts, problems))
        return false;
    use = pw_alerts_use_new(alerts);
    if (use == NULL)
        return refuse(problems, config, alerts);
    tell_what_needs_a_restart(pw_serving_config(service), config, problems);
    if (pw_dispatch_use(service->dispatch, alerts, on_alerts_released, old) != PW_OK) {
        free(use);
        return refuse(problems, config, alerts);
    }
    service->alerts = use;
    if (!pw_serving_adopt_config(service, config)) {
        pw_problem_error(problems, pw_serving_config(service)->path, 0,
                         "out of memory: only the alerts were reloaded");
        return false;
    }
    pw_log_set_level(config->daemon.log_level);
    pw_caretaker_set_retention(service->caretaker, config->daemon.retention_ms);
    swap_sources(service);
    pw_serving_free_old_configs(service);
    pw_log_notice("reloaded: %zu sources, %zu hooks, %zu rules", config->source_count,
                  alerts->hook_count, alerts->rule_count);
    return true;
}

bool pw_serving_reload(struct pw_service *service, struct pw_problems *problems)
{
    bool is_swapped = swap(service, problems);

    pw_problems_print(problems, stderr);
    if (!is_swapped)
        pw_log_err("reload refused: the configuration in use stays");
    return is_swapped;
}

/* Building the queries. */
#include "coc/query.h"

#include <inttypes.h>
#include <string.h>

#define PATH "/v1/patch/instance/compliant"

static void append_encoded(struct pw_buffer *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

    for (const char *p = text; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL)
            (void)pw_buffer_append(out, p, 1);
        else
            (void)pw_buffer_printf(out, "%%%02X", (unsigned char)*p);
    }
}

static void append_filter(struct pw_buffer *out, const struct pw_source_config *source,
                          enum pw_filter filter)
{
    const char *value = source->filter[filter];

    if (value == NULL || value[0] == '\0')
        return;
    (void)pw_buffer_printf(out, "%s=", pw_filter_name(filter));
    append_encoded(out, value);
    (void)pw_buffer_append_text(out, "&");
}

enum pw_status pw_query_url(const struct pw_source_config *source, int64_t offset,
                            struct pw_buffer *out)
{
    /* The names in order, as signatures want them; offset, limit and sort stand between. */
    static const enum pw_filter before_limit[] = {
        PW_FILTER_CCE_INFO_ID, PW_FILTER_COMPLIANT_STATUS,
        PW_FILTER_EIP,         PW_FILTER_ENTERPRISE_PROJECT_ID,
        PW_FILTER_GROUP,       PW_FILTER_INSTANCE_ID,
        PW_FILTER_IP};
    static const enum pw_filter before_sort[] = {PW_FILTER_OPERATING_SYSTEM, PW_FILTER_ORDER_ID,
                                                 PW_FILTER_REGION, PW_FILTER_REPORT_SCENE};

    pw_buffer_clear(out);
    (void)pw_buffer_printf(out, "%s" PATH "?", source->endpoint);
    for (size_t i = 0; i < sizeof before_limit / sizeof before_limit[0]; i++)
        append_filter(out, source, before_limit[i]);
    (void)pw_buffer_printf(out, "limit=%" PRId64 "&", source->page_size);
    append_filter(out, source, PW_FILTER_NAME);
    (void)pw_buffer_printf(out, "offset=%" PRId64 "&", offset);
    for (size_t i = 0; i < sizeof before_sort / sizeof before_sort[0]; i++)
        append_filter(out, source, before_sort[i]);
    /* Newest first: a report that is renewed while we read moves to the front and pushes rows
     * towards us, so that what it costs us shows as a missing record and not as nothing. */
    if (source->sort_by_report_time)
        (void)pw_buffer_append_text(out, "sort_dir=desc&sort_key=report_time&");
    if (out->failed == PW_OK)
        out->data[--out->len] = '\0'; /* the last & */
    return out->failed;
}

enum pw_status pw_query_patches_url(const struct pw_source_config *source, const char *report_id,
                                    const char *patch_status, int64_t offset, struct pw_buffer *out)
{
    pw_buffer_clear(out);
    (void)pw_buffer_printf(out, "%s" PATH "/", source->endpoint);
    append_encoded(out, report_id);
    (void)pw_buffer_printf(
        out, "?limit=%" PRId64 "&offset=%" PRId64 "&patch_status=", source->page_size, offset);
    append_encoded(out, patch_status);
    return out->failed;
}

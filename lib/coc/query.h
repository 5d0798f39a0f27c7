/* The queries: of ListInstanceCompliant, GET /v1/patch/instance/compliant, and of
 * ShowInstancePatchItems below it (API document, "URI" and "Parameters"). */
#ifndef PW_COC_QUERY_H
#define PW_COC_QUERY_H

#include <stdint.h>

#include "base/buffer.h"
#include "config/config.h"

/* The URL of the page at offset into out (cleared first): parameters in the order of their names,
 * percent-encoded by RFC 3986. Returns the buffer's sticky state. */
enum pw_status pw_query_url(const struct pw_source_config *source, int64_t offset,
                            struct pw_buffer *out);

/* The URL of a page of the patches of one report that have this patch_status. report_id: one that
 * pw_report_id_is_askable. Otherwise as above. */
enum pw_status pw_query_patches_url(const struct pw_source_config *source, const char *report_id,
                                    const char *patch_status, int64_t offset,
                                    struct pw_buffer *out);

#endif

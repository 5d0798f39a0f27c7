/* The query of ListInstanceCompliant: GET /v1/patch/instance/compliant (API document, "URI" and
 * "Parameters"). */
#ifndef PW_COC_QUERY_H
#define PW_COC_QUERY_H

#include <stdint.h>

#include "base/buffer.h"
#include "config/config.h"

/* The URL of the page at offset into out (cleared first): parameters in the order of their names,
 * percent-encoded by RFC 3986. Returns the buffer's sticky state. */
enum pw_status pw_query_url(const struct pw_source_config *source, int64_t offset,
                            struct pw_buffer *out);

#endif

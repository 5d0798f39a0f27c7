/* libcurl's memory, wiped when it is freed: it copies headers and small bodies, secrets among them,
 * and offers no other way to get rid of those copies. Internal to this room. */
#ifndef PW_HTTP_WIPING_H
#define PW_HTTP_WIPING_H

#include <curl/curl.h>

/* curl_global_init with an allocator that wipes. It has no say where libcurl was initialised
 * before. */
CURLcode pw_wiping_curl_init(void);
/* free(3) of memory that is overwritten before. */
void pw_wiping_free(void *memory);

#endif

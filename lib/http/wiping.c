/* An allocator that wipes. The pages that it hands out are malloc's own, so that memory may be
 * freed by either. */
#include "http/wiping.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void pw_wiping_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

/* realloc(3) would leave the old copy as it is. */
static void *wiping_realloc(void *memory, size_t size_bytes)
{
    size_t old_bytes = memory != NULL ? malloc_usable_size(memory) : 0;
    void *larger = malloc(size_bytes);

    if (larger == NULL)
        return NULL;
    if (old_bytes > 0)
        memcpy(larger, memory, old_bytes < size_bytes ? old_bytes : size_bytes);
    pw_wiping_free(memory);
    return larger;
}

CURLcode pw_wiping_curl_init(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, pw_wiping_free, wiping_realloc, strdup,
                                calloc);
}

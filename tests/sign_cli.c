/* Signs one request, for the comparison with the vendor's own signer:
 *
 *     sign-cli METHOD URL ACCESS_KEY SECRET_KEY DATE [BODY] < header lines
 *
 * Each line of stdin is a header to sign, "Name: value"; x-sdk-date is added with DATE. Prints the
 * value of Authorization; with PW_SIGN_CANONICAL set, the canonical request before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cloud/sign.h"

enum { LINE_MAX_BYTES = 8192 };

/* Splits "Name: value" in place. */
static int read_headers(char lines[][LINE_MAX_BYTES], struct pw_sign_header *headers)
{
    int count = 0;

    while (count < PW_SIGN_MAX_HEADERS - 1 && fgets(lines[count], LINE_MAX_BYTES, stdin) != NULL) {
        char *colon = strchr(lines[count], ':');

        lines[count][strcspn(lines[count], "\r\n")] = '\0';
        if (colon == NULL)
            continue;
        *colon = '\0';
        headers[count] = (struct pw_sign_header){lines[count], colon + 1};
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    static char lines[PW_SIGN_MAX_HEADERS][LINE_MAX_BYTES];
    struct pw_sign_header headers[PW_SIGN_MAX_HEADERS];
    struct pw_sign_request request;
    struct pw_buffer out;
    struct pw_error err;
    int count, exit_code = EX_DATAERR;

    if (argc < 6 || argc > 7) {
        (void)fprintf(stderr, "usage: sign-cli METHOD URL ACCESS_KEY SECRET_KEY DATE [BODY]\n");
        return EX_USAGE;
    }
    count = read_headers(lines, headers);
    headers[count++] = (struct pw_sign_header){"X-Sdk-Date", argv[5]};
    request = (struct pw_sign_request){.method = argv[1],
                                       .url = argv[2],
                                       .body = pw_str_of(argc == 7 ? argv[6] : ""),
                                       .headers = headers,
                                       .header_count = (size_t)count};
    pw_buffer_init(&out, 65536);
    if (getenv("PW_SIGN_CANONICAL") != NULL) {
        if (pw_sign_canonical(&request, &out, &err) != PW_OK)
            goto failed;
        (void)printf("%s\n", out.data);
    }
    if (pw_sign_authorization(&request, argv[5], argv[3], pw_str_of(argv[4]), &out, &err) != PW_OK)
        goto failed;
    (void)printf("%s\n", out.data);
    exit_code = EX_OK;
failed:
    if (exit_code != EX_OK)
        (void)fprintf(stderr, "sign-cli: %s\n", err.message);
    pw_buffer_free(&out);
    return exit_code;
}

/* Our reader stands between the file and inih: it hands over clean lines only and knows where they
 * stand. inih calls the handler before it asks for the next line, so the reader's line is the
 * handler's line. */
#include "config/ini_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"

enum {
    FILE_MAX_BYTES = 1 << 20,
    LINE_MAX_BYTES = 198, /* INI_MAX_LINE 200 less a line end and the NUL */
};

struct reader {
    const char *path;
    const struct pw_ini_sink *sink;
    struct pw_problems *problems;
    struct pw_str rest; /* of the file */
    int line;           /* number of the line handed out last */
    enum pw_status status;
};

#define COMPLAIN(reader, ...) pw_problem_error((reader)->problems, (reader)->path, __VA_ARGS__)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct pw_str trim(struct pw_str s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* The next line without its end (LF or CRLF). false at the end of the file. */
static bool next_line(struct reader *reader, struct pw_str *out)
{
    const char *end;
    size_t len;

    if (reader->rest.len == 0)
        return false;
    end = memchr(reader->rest.data, '\n', reader->rest.len);
    len = end != NULL ? (size_t)(end - reader->rest.data) : reader->rest.len;
    *out = (struct pw_str){reader->rest.data, len};
    if (end != NULL)
        len++;
    reader->rest.data += len;
    reader->rest.len -= len;
    reader->line++;
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    return true;
}

/* Text people can see: valid UTF-8, no control characters but tab. */
static bool check_characters(struct reader *reader, struct pw_str line)
{
    for (size_t i = 0; i < line.len;) {
        unsigned char c = (unsigned char)line.data[i];
        size_t len = pw_utf8_length(line.data + i, line.len - i);

        if (len == 0) {
            COMPLAIN(reader, reader->line, "byte %zu (0x%02x) is not UTF-8", i + 1, c);
            return false;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            COMPLAIN(reader, reader->line, "byte %zu (0x%02x) is a control character", i + 1, c);
            return false;
        }
        i += len;
    }
    return true;
}

/* "[name]", maybe with a comment behind it. Tells the sink. */
static void read_header(struct reader *reader, struct pw_str line)
{
    const char *end = memchr(line.data, ']', line.len);
    char name[LINE_MAX_BYTES + 1];
    const char *complaint = NULL;
    struct pw_str inside, after;

    if (end == NULL) {
        complaint = "the section header has no ']': write [daemon], [defaults] or [source NAME]";
    } else {
        inside = (struct pw_str){line.data + 1, (size_t)(end - line.data) - 1};
        after = (struct pw_str){end + 1, line.len - inside.len - 2};
        if (trim(inside).len == 0)
            complaint = "the section header is empty: write [daemon], [defaults] or [source NAME]";
        else if (trim(inside).len != inside.len)
            complaint = "the section header has a space beside a bracket";
        else if (trim(after).len > 0 && !(is_blank(after.data[0]) && trim(after).data[0] == ';'))
            complaint = "text stands behind the section header; a comment there begins with ' ;'";
    }
    if (complaint != NULL) {
        COMPLAIN(reader, reader->line, "%s", complaint);
        reader->status = reader->sink->section(reader->sink->context, NULL, reader->line);
        return;
    }
    memcpy(name, inside.data, inside.len);
    name[inside.len] = '\0';
    reader->status = reader->sink->section(reader->sink->context, name, reader->line);
}

/* KEY = VALUE. inih takes ':' for '=' too; here it is most likely a slip ("listen :8080"). */
static bool check_entry(struct reader *reader, struct pw_str line)
{
    size_t key_len = 0;

    while (key_len < line.len && line.data[key_len] != '=' && line.data[key_len] != ':' &&
           !(line.data[key_len] == ';' && key_len > 0 && is_blank(line.data[key_len - 1])))
        key_len++;
    if (key_len == line.len || line.data[key_len] != '=') {
        COMPLAIN(reader, reader->line,
                 "this line is neither KEY = VALUE nor [SECTION] nor a comment");
        return false;
    }
    if (key_len == 0) {
        COMPLAIN(reader, reader->line, "there is no key before the '='");
        return false;
    }
    return true;
}

/* ini_reader: the next line for inih, or an empty one for what it shall not see. */
static char *read_line(char *out, int size, void *stream)
{
    struct reader *reader = stream;
    struct pw_str raw, line;

    if (reader->status != PW_OK || size <= 1 || !next_line(reader, &raw))
        return NULL;
    out[0] = '\0';
    line = trim(raw);
    if (line.len == 0 || line.data[0] == ';' || line.data[0] == '#')
        return out;
    /* A header is cut by nothing and inih has no say in it; all else must fit. */
    if (raw.len > LINE_MAX_BYTES || line.len >= (size_t)size) {
        COMPLAIN(reader, reader->line,
                 "this line has %zu bytes, and no more than %d can be read: put what is long into "
                 "a file named by a *_file key, or use a shorter path or value",
                 raw.len, LINE_MAX_BYTES);
        if (line.data[0] == '[')
            reader->status = reader->sink->section(reader->sink->context, NULL, reader->line);
        return out;
    }
    if (!check_characters(reader, line))
        return out;
    if (line.data[0] == '[') {
        read_header(reader, line);
        return out;
    }
    if (check_entry(reader, line)) {
        memcpy(out, line.data, line.len);
        out[line.len] = '\0';
    }
    return out;
}

/* ini_handler. The section that inih would name is unused: it never saw a header. */
static int take_entry(void *context, const char *section, const char *key, const char *value)
{
    struct reader *reader = context;

    (void)section;
    if (reader->status == PW_OK)
        reader->status = reader->sink->entry(reader->sink->context, key, value, reader->line);
    return 1;
}

/* The whole file into content. false: a problem was reported, or status is PW_ENOMEM. */
static bool slurp(struct reader *reader, struct pw_buffer *content)
{
    /* Not to hang on a FIFO that nobody writes to. */
    int fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = false;
    struct stat st;
    ssize_t got;

    if (fd < 0 || fstat(fd, &st) != 0) {
        COMPLAIN(reader, 0, "cannot open: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        COMPLAIN(reader, 0, "is not a regular file");
        goto out;
    }
    do {
        char block[16384];

        got = read(fd, block, sizeof block);
        if (got > 0)
            (void)pw_buffer_append(content, block, (size_t)got);
    } while ((got > 0 && content->failed == PW_OK) || (got < 0 && errno == EINTR));
    if (got < 0)
        COMPLAIN(reader, 0, "cannot read: %s", strerror(errno));
    else if (content->failed == PW_ELIMIT)
        COMPLAIN(reader, 0, "is larger than %d bytes, which no configuration is", FILE_MAX_BYTES);
    else if (content->failed != PW_OK)
        reader->status = PW_ENOMEM;
    else
        ok = true;
out:
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

enum pw_status pw_ini_read(const char *path, const struct pw_ini_sink *sink,
                           struct pw_problems *problems)
{
    struct reader reader = {.path = path, .sink = sink, .problems = problems};
    struct pw_buffer content;
    struct pw_str bytes;
    const char *nul;
    int bad_line;

    pw_buffer_init(&content, FILE_MAX_BYTES);
    if (!slurp(&reader, &content))
        goto out;
    bytes = pw_buffer_str(&content);
    nul = bytes.len > 0 ? memchr(bytes.data, '\0', bytes.len) : NULL;
    if (nul != NULL) {
        int line = 1;

        for (const char *p = bytes.data; (p = memchr(p, '\n', (size_t)(nul - p))) != NULL; p++)
            line++;
        COMPLAIN(&reader, line, "there is a NUL byte: this is no text (save it as UTF-8)");
        goto out;
    }
    if (bytes.len >= 3 && memcmp(bytes.data, "\xef\xbb\xbf", 3) == 0) {
        bytes.data += 3;
        bytes.len -= 3;
    }
    reader.rest = bytes;
    bad_line = ini_parse_stream(read_line, &reader, take_entry, &reader);
    if (bad_line == -2)
        reader.status = PW_ENOMEM;
    else if (bad_line != 0)
        COMPLAIN(&reader, bad_line, "this line cannot be read");
out:
    pw_buffer_free(&content);
    return reader.status;
}

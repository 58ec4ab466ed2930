/*
 * Text as JSON strings (RFC 8259). What goes in may hold any bytes: what is no
 * UTF-8 becomes U+FFFD, control characters are escaped, those of C1 and DEL
 * too, so that the output is valid, on one line, and harmless on a terminal.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>

struct strbuf;

/* Append `text` as a string, with its quotes. */
void json_put_string(struct strbuf *sb, const char *text);
void json_put_bytes(struct strbuf *sb, const char *bytes, size_t len);

/*
 * For who has no memory to ask for: the first character of `bytes` (len > 0) as
 * it stands within a string. Writes at most JSON_CHAR_MAX bytes, *ret_len of
 * them, without a NUL, and returns how many bytes of the input that was.
 */
#define JSON_CHAR_MAX 6
size_t json_escape_char(const char *bytes, size_t len,
    char ret_text[JSON_CHAR_MAX], size_t *ret_len);

#endif

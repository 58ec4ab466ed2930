/* UTF-8, for what is shown or quoted and may be any bytes. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The length of the well-formed sequence at `bytes`, as Unicode's table 3-7 has
 * them, and its code point; or, negative, the length of the longest beginning
 * of one, which is what one U+FFFD replaces. `len` is not 0.
 */
int utf8_sequence(const char *bytes, size_t len, uint32_t *ret_point);

/*
 * The length of the sequence that `s` begins with, and its code point; 0: it
 * is none (overlong, a surrogate, beyond U+10FFFF, cut off). A NUL ends what
 * may be read.
 */
size_t utf8_decode(const char *s, uint32_t *ret_point);

/* Columns of a terminal that a code point takes, about: 1 or 2. */
unsigned utf8_columns(uint32_t point);

#endif

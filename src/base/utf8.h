/* UTF-8, for what is shown or quoted and may be any bytes. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * The length of the sequence that `s` begins with, and its code point; 0: it
 * is none (overlong, a surrogate, beyond U+10FFFF, cut off). A NUL ends what
 * may be read.
 */
size_t utf8_decode(const char *s, uint32_t *ret_point);

/* Columns of a terminal that a code point takes, about: 1 or 2. */
unsigned utf8_columns(uint32_t point);

#endif

/* The one strict parser of numbers; nothing in the project uses atoi(). */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Decimal digits only (no sign, no space, no leading '+'), the whole string,
 * min <= value <= max. *ret_value is untouched on failure.
 */
bool num_parse(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value);

/* The same in base 8, as for file modes: "0660" and "660" are equal. */
bool num_parse_octal(const char *s, uint64_t max, uint64_t *ret_value);

#endif

#include <stddef.h>

#include "base/num.h"

static bool
parse_base(const char *s, unsigned base, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (*s < '0' || digit >= base)
			return false;
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value) ||
		    value > max)
			return false;
	}
	*ret_value = value;
	return true;
}

bool
num_parse(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	uint64_t value;

	if (!parse_base(s, 10, max, &value) || value < min)
		return false;
	*ret_value = value;
	return true;
}

bool
num_parse_octal(const char *s, uint64_t max, uint64_t *ret_value)
{
	return parse_base(s, 8, max, ret_value);
}

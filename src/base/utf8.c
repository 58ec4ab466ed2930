#include <string.h>

#include "base/utf8.h"

#define SEQUENCE_MAX 4

int
utf8_sequence(const char *bytes, size_t len, uint32_t *ret_point)
{
	const unsigned char *p = (const unsigned char *)bytes;
	unsigned char low = 0x80, high = 0xbf;
	uint32_t point;
	int more;

	if (p[0] < 0x80) {
		*ret_point = p[0];
		return 1;
	} else if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		more = 1;
		point = p[0] & 0x1fu;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		more = 2;
		point = p[0] & 0x0fu;
		if (p[0] == 0xe0)
			low = 0xa0;	/* else overlong */
		else if (p[0] == 0xed)
			high = 0x9f;	/* else a surrogate */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		more = 3;
		point = p[0] & 0x07u;
		if (p[0] == 0xf0)
			low = 0x90;
		else if (p[0] == 0xf4)
			high = 0x8f;	/* up to U+10FFFF */
	} else {
		return -1;
	}
	for (int i = 1; i <= more; i++) {
		if ((size_t)i >= len || p[i] < low || p[i] > high)
			return -i;
		point = point << 6 | (p[i] & 0x3fu);
		low = 0x80;
		high = 0xbf;
	}
	*ret_point = point;
	return more + 1;
}

size_t
utf8_decode(const char *s, uint32_t *ret_point)
{
	/* Its end is looked for no further than a sequence may reach. */
	size_t len = *s != '\0' ? strnlen(s, SEQUENCE_MAX) : 1;
	int n = utf8_sequence(s, len, ret_point);

	return n > 0 ? (size_t)n : 0;
}

unsigned
utf8_columns(uint32_t point)
{
	static const struct {
		uint32_t from, to;
	} wide[] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xac00, 0xd7a3 },
		{ 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 },
		{ 0x1f300, 0x1faff }, { 0x20000, 0x3fffd },
	};

	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (point >= wide[i].from && point <= wide[i].to)
			return 2;
	return 1;
}

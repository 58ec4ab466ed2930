#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

/*
 * The length of the well-formed UTF-8 sequence at `p`, as Unicode's table 3-7
 * has them; or, negative, that of the longest beginning of one, which is what
 * one U+FFFD replaces.
 */
static int
sequence(const unsigned char *p, size_t len, uint32_t *ret_point)
{
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

static bool
is_control(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

/* The letter of the short escape of `c`, or 0. */
static char
short_escape(uint32_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

size_t
json_escape_char(const char *bytes, size_t len, char ret_text[JSON_CHAR_MAX],
    size_t *ret_len)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t point = 0;
	int n = sequence((const unsigned char *)bytes, len, &point);
	char letter = n > 0 ? short_escape(point) : 0;

	if (n < 0) {
		memcpy(ret_text, "\xef\xbf\xbd", 3);
		*ret_len = 3;
		return (size_t)-n;
	}
	if (letter != 0) {
		ret_text[0] = '\\';
		ret_text[1] = letter;
		*ret_len = 2;
	} else if (is_control(point)) {
		memcpy(ret_text, "\\u00", 4);
		ret_text[4] = digits[point >> 4];
		ret_text[5] = digits[point & 0xf];
		*ret_len = 6;
	} else {
		memcpy(ret_text, bytes, (size_t)n);
		*ret_len = (size_t)n;
	}
	return (size_t)n;
}

void
json_put_bytes(struct strbuf *sb, const char *bytes, size_t len)
{
	strbuf_putc(sb, '"');
	while (len > 0) {
		char text[JSON_CHAR_MAX];
		size_t text_len;
		size_t n = json_escape_char(bytes, len, text, &text_len);

		strbuf_add(sb, text, text_len);
		bytes += n;
		len -= n;
	}
	strbuf_putc(sb, '"');
}

void
json_put_string(struct strbuf *sb, const char *text)
{
	json_put_bytes(sb, text, strlen(text));
}

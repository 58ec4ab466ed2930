#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/utf8.h"

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
	int n = utf8_sequence(bytes, len, &point);
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

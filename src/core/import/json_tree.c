#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/import/json_tree.h"

struct reader {
	const char *at;
	const char *end;
	unsigned line;
	unsigned depth;
	size_t values;
	struct error *err;
};

static int read_value(struct reader *rd, struct json_value *ret);

static int
refuse(struct reader *rd, const char *words)
{
	return error_set(rd->err, -EINVAL, "line %u: %s", rd->line, words);
}

void
json_tree_free(struct json_value *value)
{
	for (size_t i = 0; i < value->n; i++)
		json_tree_free(&value->v[i]);
	free(value->v);
	free(value->key);
	free(value->text);
	*value = (struct json_value){ .v = NULL };
}

struct json_value *
json_get(const struct json_value *object, const char *key)
{
	for (size_t i = object->kind == JSON_OBJECT ? object->n : 0; i > 0; i--)
		if (strcmp(object->v[i - 1].key, key) == 0)
			return &object->v[i - 1];
	return NULL;
}

/* ---- between values ---- */

static bool
starts(const struct reader *rd, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(rd->end - rd->at) >= len &&
	    memcmp(rd->at, word, len) == 0;
}

/* False: a comment has no end. */
static bool
skip_comment(struct reader *rd)
{
	bool block = rd->at[1] == '*';

	for (rd->at += 2; rd->at < rd->end; rd->at++) {
		if (block && starts(rd, "*/")) {
			rd->at += 2;
			return true;
		}
		if (*rd->at != '\n')
			continue;
		if (!block)
			return true;
		rd->line++;
	}
	return !block;
}

static int
skip(struct reader *rd)
{
	while (rd->at < rd->end) {
		if (starts(rd, "//") || starts(rd, "/*")) {
			if (!skip_comment(rd))
				return refuse(rd, "a comment without an end");
			continue;
		}
		if (memchr(" \t\r\n", *rd->at, 4) == NULL)
			break;
		rd->line += *rd->at++ == '\n';
	}
	return 0;
}

/* ---- strings ---- */

static bool
read_hex(struct reader *rd, uint32_t *ret)
{
	uint32_t point = 0;

	if (rd->end - rd->at < 4)
		return false;
	for (int i = 0; i < 4; i++, rd->at++) {
		static const char digits[] = "0123456789abcdef";
		char c = *rd->at >= 'A' && *rd->at <= 'F' ?
		    (char)(*rd->at - 'A' + 'a') : *rd->at;
		const char *digit = c != '\0' ? strchr(digits, c) : NULL;

		if (digit == NULL)
			return false;
		point = point * 16 + (uint32_t)(digit - digits);
	}
	*ret = point;
	return true;
}

static void
put_point(struct strbuf *sb, uint32_t point)
{
	if (point < 0x80) {
		strbuf_putc(sb, (char)point);
	} else if (point < 0x800) {
		strbuf_putc(sb, (char)(0xc0 | point >> 6));
		strbuf_putc(sb, (char)(0x80 | (point & 0x3f)));
	} else if (point < 0x10000) {
		strbuf_putc(sb, (char)(0xe0 | point >> 12));
		strbuf_putc(sb, (char)(0x80 | (point >> 6 & 0x3f)));
		strbuf_putc(sb, (char)(0x80 | (point & 0x3f)));
	} else {
		strbuf_putc(sb, (char)(0xf0 | point >> 18));
		strbuf_putc(sb, (char)(0x80 | (point >> 12 & 0x3f)));
		strbuf_putc(sb, (char)(0x80 | (point >> 6 & 0x3f)));
		strbuf_putc(sb, (char)(0x80 | (point & 0x3f)));
	}
}

/* Behind \u; of a pair both. */
static int
read_unicode(struct reader *rd, struct strbuf *sb)
{
	uint32_t point, low;

	if (!read_hex(rd, &point))
		return refuse(rd, "\\u takes four hexadecimal digits");
	if (point >= 0xd800 && point < 0xdc00 && starts(rd, "\\u")) {
		rd->at += 2;
		if (!read_hex(rd, &low) || low < 0xdc00 || low > 0xdfff)
			return refuse(rd, "half a character");
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
	}
	if (point == 0 || (point >= 0xd800 && point < 0xe000))
		return refuse(rd, "a character that no text may have");
	put_point(sb, point);
	return 0;
}

static int
read_escape(struct reader *rd, struct strbuf *sb)
{
	static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
	const char *found;
	char c = rd->at < rd->end ? *rd->at++ : '\0';

	if (c == 'u')
		return read_unicode(rd, sb);
	found = c != '\0' ? strchr(from, c) : NULL;
	if (found == NULL)
		return refuse(rd, "an unknown escape");
	strbuf_putc(sb, to[found - from]);
	return 0;
}

static int
read_string(struct reader *rd, char **ret_text)
{
	struct strbuf sb = STRBUF_INIT;
	char quote = *rd->at;
	int r = 0;

	for (rd->at++; r == 0; ) {
		char c;

		if (rd->at >= rd->end || (unsigned char)*rd->at < ' ') {
			r = refuse(rd, "a string without an end on its line");
			break;
		}
		c = *rd->at++;
		if (c == quote)
			break;
		if (c == '\\')
			r = read_escape(rd, &sb);
		else
			strbuf_putc(&sb, c);
	}
	if (r == 0) {
		*ret_text = strbuf_take(&sb);
		r = *ret_text != NULL ? 0 : -ENOMEM;
	}
	strbuf_free(&sb);
	return r;
}

/* ---- arrays and objects ---- */

static struct json_value *
add(struct json_value *to)
{
	struct json_value *v = to->v;

	/* Twice as many at the powers of two. */
	if ((to->n & (to->n - 1)) == 0)
		v = reallocarray(v, to->n > 0 ? 2 * to->n : 1, sizeof(*v));
	if (v == NULL)
		return NULL;
	to->v = v;
	v[to->n] = (struct json_value){ .v = NULL };
	return &v[to->n++];
}

static bool
is_quote(char c)
{
	return c == '"' || c == '\'';
}

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* As JavaScript has it, without quotes. */
static int
read_name(struct reader *rd, char **ret_name)
{
	const char *from = rd->at;

	while (rd->at < rd->end && is_name_byte(*rd->at))
		rd->at++;
	if (rd->at == from || (*from >= '0' && *from <= '9'))
		return refuse(rd, "a name is needed here");
	*ret_name = strndup(from, (size_t)(rd->at - from));
	return *ret_name != NULL ? 0 : -ENOMEM;
}

static int
read_key(struct reader *rd, char **ret_key)
{
	int r;

	r = is_quote(*rd->at) ? read_string(rd, ret_key) :
	    read_name(rd, ret_key);
	if (r == 0)
		r = skip(rd);
	if (r < 0)
		return r;
	if (rd->at >= rd->end || *rd->at != ':')
		return refuse(rd, "a colon is missing");
	rd->at++;
	return skip(rd);
}

static int
read_members(struct reader *rd, struct json_value *ret, char close)
{
	int r;

	for (rd->at++;; rd->at++) {
		struct json_value *member;

		r = skip(rd);
		if (r < 0)
			return r;
		if (rd->at >= rd->end)
			return refuse(rd, close == '}' ? "a } is missing" :
			    "a ] is missing");
		if (*rd->at == close)	/* also behind a comma */
			break;
		member = add(ret);
		if (member == NULL)
			return -ENOMEM;
		r = close == '}' ? read_key(rd, &member->key) : 0;
		if (r == 0)
			r = read_value(rd, member);
		if (r == 0)
			r = skip(rd);
		if (r < 0)
			return r;
		if (rd->at >= rd->end || *rd->at != ',')
			break;
	}
	if (rd->at >= rd->end || *rd->at != close)
		return refuse(rd, close == '}' ? "a comma or } is missing" :
		    "a comma or ] is missing");
	rd->at++;
	return 0;
}

/* ---- the rest ---- */

static bool
is_number(const char *s)
{
	static const char digits[] = "0123456789";

	s += *s == '-';
	if (strspn(s, digits) == 0 || (*s == '0' && strspn(s, digits) > 1))
		return false;
	s += strspn(s, digits);
	if (*s == '.') {
		if (strspn(++s, digits) == 0)
			return false;
		s += strspn(s, digits);
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (strspn(s, digits) == 0)
			return false;
		s += strspn(s, digits);
	}
	return *s == '\0';
}

static int
read_word(struct reader *rd, struct json_value *ret)
{
	const char *from = rd->at;

	while (rd->at < rd->end && memchr(" \t\r\n,:]}/\"'[{", *rd->at, 13) ==
	    NULL && *rd->at != '\0')
		rd->at++;
	ret->text = strndup(from, (size_t)(rd->at - from));
	if (ret->text == NULL)
		return -ENOMEM;
	if (strcmp(ret->text, "null") == 0)
		ret->kind = JSON_NULL;
	else if (strcmp(ret->text, "true") == 0)
		ret->kind = JSON_TRUE;
	else if (strcmp(ret->text, "false") == 0)
		ret->kind = JSON_FALSE;
	else if (is_number(ret->text))
		ret->kind = JSON_NUMBER;
	else
		return refuse(rd, "a value is needed: text stands in quotes");
	return 0;
}

static int
read_value(struct reader *rd, struct json_value *ret)
{
	int r;

	ret->line = rd->line;
	if (rd->at >= rd->end)
		return refuse(rd, "a value is missing");
	if (++rd->values > JSON_VALUES_MAX)
		return refuse(rd, "too many values");
	if (is_quote(*rd->at)) {
		ret->kind = JSON_STRING;
		return read_string(rd, &ret->text);
	}
	if (*rd->at != '[' && *rd->at != '{')
		return read_word(rd, ret);
	if (rd->depth >= JSON_DEPTH_MAX)
		return refuse(rd, "too deep");
	ret->kind = *rd->at == '[' ? JSON_ARRAY : JSON_OBJECT;
	rd->depth++;
	r = read_members(rd, ret, *rd->at == '[' ? ']' : '}');
	rd->depth--;
	return r;
}

int
json_tree_read(const char *text, size_t len, struct json_value *ret_value,
    struct error *err)
{
	struct reader rd = {
		.at = text, .end = text + len, .line = 1, .err = err,
	};
	struct json_value value = { .v = NULL };
	int r;

	if (starts(&rd, "\xef\xbb\xbf"))
		rd.at += 3;
	r = skip(&rd);
	if (r == 0)
		r = read_value(&rd, &value);
	if (r == 0)
		r = skip(&rd);
	if (r == 0 && rd.at < rd.end)
		r = refuse(&rd, "there is more behind the end");
	if (r < 0)
		json_tree_free(&value);
	else
		*ret_value = value;
	return r;
}

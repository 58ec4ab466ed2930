#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/control/answer.h"

/* ---- printing ---- */

void
answer_begin(struct strbuf *sb, enum answer_kind kind, const char *word)
{
	if (kind == ANSWER_GREETING)
		strbuf_printf(sb, "clusterd %d", ANSWER_PROTOCOL);
	else
		strbuf_printf(sb, "%c %s",
		    kind == ANSWER_PROGRESS ? '*' : '+', word);
}

static bool
is_plain(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && c != '%';
}

void
answer_put_bytes(struct strbuf *sb, const char *key, const char *bytes,
    size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t done = 0;

	strbuf_printf(sb, " %s=", key);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		const char escape[] = { '%', hex[c >> 4], hex[c & 15] };

		if (is_plain(bytes[i]))
			continue;
		strbuf_add(sb, bytes + done, i - done);
		strbuf_add(sb, escape, sizeof(escape));
		done = i + 1;
	}
	strbuf_add(sb, bytes + done, len - done);
}

void
answer_put(struct strbuf *sb, const char *key, const char *value)
{
	answer_put_bytes(sb, key, value, strlen(value));
}

void
answer_put_number(struct strbuf *sb, const char *key, uint64_t value)
{
	strbuf_printf(sb, " %s=%llu", key, (unsigned long long)value);
}

void
answer_end(struct strbuf *sb)
{
	strbuf_putc(sb, '\n');
}

static void
put_text(struct strbuf *sb, const char *text)
{
	if (text == NULL || *text == '\0')
		return;
	strbuf_putc(sb, ' ');
	for (; *text != '\0'; text++)
		strbuf_putc(sb, (unsigned char)*text < ' ' ||
		    *text == 0x7f ? '?' : *text);
}

void
answer_put_ok(struct strbuf *sb, const char *text)
{
	strbuf_puts(sb, "ok");
	put_text(sb, text);
	strbuf_putc(sb, '\n');
}

void
answer_put_error(struct strbuf *sb, const char *why, const char *text)
{
	strbuf_printf(sb, "error %s", why);
	put_text(sb, text);
	strbuf_putc(sb, '\n');
}

/* ---- parsing ---- */

/* Cut the next word off; NULL: there is none. */
static char *
next_word(char **rest)
{
	char *word;

	do
		word = strsep(rest, " ");
	while (word != NULL && *word == '\0');
	return word;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* In place. An escape that is none stays as it is. */
static size_t
unescape(char *value)
{
	char *to = value;

	for (const char *from = value; *from != '\0'; from++) {
		int high, low;

		if (*from == '%' && (high = hex_digit(from[1])) >= 0 &&
		    (low = hex_digit(from[2])) >= 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - value);
}

static int
parse_fields(char *rest, struct answer_line *line)
{
	char *word, *equals;

	while ((word = next_word(&rest)) != NULL) {
		equals = strchr(word, '=');
		if (equals == NULL || equals == word)
			return -EPROTO;
		if (line->n_fields == ANSWER_FIELDS_MAX)
			continue;
		*equals = '\0';
		line->fields[line->n_fields++] = (struct answer_field){
			.key = word, .value = equals + 1,
			.len = unescape(equals + 1),
		};
	}
	return 0;
}

static int
parse_greeting(char *rest, struct answer_line *line)
{
	char *word = next_word(&rest);
	uint64_t version;

	if (word == NULL || !num_parse(word, 1, 1000000, &version))
		return -EPROTO;
	line->version = (unsigned)version;
	return parse_fields(rest, line);
}

int
answer_line_parse(char *text, size_t len, struct answer_line *line)
{
	char *rest = text, *kind;

	if (memchr(text, '\0', len) != NULL)
		return -EPROTO;
	line->word = line->text = "";
	line->version = 0;
	line->n_fields = 0;
	kind = next_word(&rest);
	if (kind == NULL)
		return -EPROTO;
	if (strcmp(kind, "clusterd") == 0) {
		line->kind = ANSWER_GREETING;
		return parse_greeting(rest, line);
	}
	if (strcmp(kind, "ok") == 0) {
		line->kind = ANSWER_OK;
		line->text = rest != NULL ? rest : "";
		return 0;
	}
	if (strcmp(kind, "error") == 0)
		line->kind = ANSWER_ERROR;
	else if (strcmp(kind, "+") == 0)
		line->kind = ANSWER_RECORD;
	else if (strcmp(kind, "*") == 0)
		line->kind = ANSWER_PROGRESS;
	else
		return -EPROTO;
	line->word = next_word(&rest);
	if (line->word == NULL)
		return -EPROTO;
	if (line->kind != ANSWER_ERROR)
		return parse_fields(rest, line);
	line->text = rest != NULL ? rest : "";
	return 0;
}

const char *
answer_line_get(const struct answer_line *line, const char *key)
{
	for (size_t i = 0; i < line->n_fields; i++)
		if (strcmp(line->fields[i].key, key) == 0)
			return line->fields[i].value;
	return NULL;
}

bool
answer_line_number(const struct answer_line *line, const char *key,
    uint64_t *ret_value)
{
	const char *value = answer_line_get(line, key);

	return value != NULL && num_parse(value, 0, UINT64_MAX, ret_value);
}

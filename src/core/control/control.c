#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_schema.h"
#include "core/control/control.h"

_Static_assert(sizeof(((struct control_request *)0)->app) ==
    CONF_NAME_MAX + 1, "a name fits");

/* ---- requests ---- */

enum arguments {
	ARGUMENTS_NONE,
	ARGUMENTS_APP_OR_NONE,
	ARGUMENTS_APP,
	ARGUMENTS_SEAT,		/* APP[:N] */
	ARGUMENTS_SEAT_OR_NONE,
	ARGUMENTS_SCALE,	/* APP N|+N|-N */
};

static const struct {
	const char *name;
	enum arguments arguments;
	const char *usage;
} verbs[CONTROL_VERBS] = {
	[CONTROL_STATUS] = { "status", ARGUMENTS_NONE, "status" },
	[CONTROL_RELOAD] = { "reload", ARGUMENTS_APP_OR_NONE,
	    "reload [APP]" },
	[CONTROL_RESTART] = { "restart", ARGUMENTS_SEAT, "restart APP[:N]" },
	[CONTROL_SCALE] = { "scale", ARGUMENTS_SCALE, "scale APP N|+N|-N" },
	[CONTROL_STOP] = { "stop", ARGUMENTS_APP_OR_NONE, "stop [APP]" },
	[CONTROL_START] = { "start", ARGUMENTS_APP, "start APP" },
	[CONTROL_LOGS] = { "logs", ARGUMENTS_SEAT_OR_NONE,
	    "logs [APP[:N]]" },
	[CONTROL_FOLLOW] = { "follow", ARGUMENTS_SEAT_OR_NONE,
	    "follow [APP[:N]]" },
	[CONTROL_WAIT] = { "wait", ARGUMENTS_NONE, "wait" },
};

const char *
control_verb_name(enum control_verb verb)
{
	return verbs[verb].name;
}

static int
parse_app(const char *word, size_t len, struct control_request *r,
    struct error *err)
{
	if (!conf_name_valid(word, len))
		return error_set(err, -EINVAL, "\"%.*s\" is not the name of "
		    "an app", (int)(len > 64 ? 64 : len), word);
	memcpy(r->app, word, len);
	r->app[len] = '\0';
	return 0;
}

/* APP, or APP:N. */
static int
parse_seat(const char *word, struct control_request *r, struct error *err)
{
	const char *colon = strchr(word, ':');
	uint64_t n;
	int code;

	if (colon == NULL)
		return parse_app(word, strlen(word), r, err);
	code = parse_app(word, (size_t)(colon - word), r, err);
	if (code < 0)
		return code;
	if (!num_parse(colon + 1, 0, CONF_INSTANCES_MAX - 1, &n))
		return error_set(err, -EINVAL, "\"%.64s\" is not the number "
		    "of an instance, which is from 0 to %d", colon + 1,
		    CONF_INSTANCES_MAX - 1);
	r->instance = (int)n;
	return 0;
}

static int
parse_scale(const char *word, struct control_request *r, struct error *err)
{
	const char *digits = word;
	uint64_t n;

	r->scale = CONTROL_SCALE_TO;
	if (*word == '+' || *word == '-') {
		r->scale = *word == '+' ? CONTROL_SCALE_UP :
		    CONTROL_SCALE_DOWN;
		digits++;
	}
	if (r->scale == CONTROL_SCALE_TO && strcmp(word, "0") == 0)
		return error_set(err, -EINVAL, "an app has 1 instance at "
		    "least: \"stop APP\" stops it");
	if (!num_parse(digits, 1, CONF_INSTANCES_MAX, &n))
		return error_set(err, -EINVAL, "\"%.64s\" is not N, +N or -N "
		    "with a number from 1 to %d", word, CONF_INSTANCES_MAX);
	r->amount = (unsigned)n;
	return 0;
}

static int
parse_arguments(const char *const *words, size_t n,
    struct control_request *r, struct error *err)
{
	enum arguments want = verbs[r->verb].arguments;
	size_t least = want == ARGUMENTS_SCALE ? 2 :
	    want == ARGUMENTS_APP || want == ARGUMENTS_SEAT ? 1 : 0;
	size_t most = want == ARGUMENTS_SCALE ? 2 :
	    want == ARGUMENTS_NONE ? 0 : 1;
	int code;

	if (n < least || n > most)
		return error_set(err, -EINVAL, "%s, usage: %s",
		    n < least ? "an argument is missing" :
		    "too many arguments", verbs[r->verb].usage);
	if (n == 0)
		return 0;
	if (want == ARGUMENTS_SEAT || want == ARGUMENTS_SEAT_OR_NONE)
		return parse_seat(words[0], r, err);
	code = parse_app(words[0], strlen(words[0]), r, err);
	if (code == 0 && want == ARGUMENTS_SCALE)
		code = parse_scale(words[1], r, err);
	return code;
}

int
control_request_from_words(const char *const *words, size_t n,
    struct control_request *ret_request, struct error *err)
{
	struct control_request r = { .instance = -1 };
	const char *best = NULL;
	unsigned distance = CONF_NEAR_INIT;
	int code;

	if (n == 0)
		return error_set(err, -EINVAL, "no command");
	for (size_t i = 0; i < CONTROL_VERBS; i++) {
		conf_near(words[0], verbs[i].name, &best, &distance);
		if (strcmp(words[0], verbs[i].name) != 0)
			continue;
		r.verb = (enum control_verb)i;
		code = parse_arguments(words + 1, n - 1, &r, err);
		if (code == 0)
			*ret_request = r;
		return code;
	}
	return error_set(err, -EINVAL, "\"%.64s\" is not a command%s%s%s",
	    words[0], best != NULL ? ", did you mean " : "",
	    best != NULL ? best : "", best != NULL ? "?" : "");
}

int
control_request_parse(const char *line, size_t len,
    struct control_request *ret_request, struct error *err)
{
	char text[CONTROL_REQUEST_MAX], *rest = text, *word;
	const char *words[4];
	size_t n = 0;

	if (len >= sizeof(text))
		return error_set(err, -EINVAL, "a request has %d bytes at "
		    "most", CONTROL_REQUEST_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' ||
		    (unsigned char)line[i] >= 0x7f)
			return error_set(err, -EINVAL, "a request is "
			    "printable ASCII and ends in a newline");
	memcpy(text, line, len);
	text[len] = '\0';
	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		words[n++] = word;
		/* One more than any verb takes is too many all the same. */
		if (n == sizeof(words) / sizeof(words[0]))
			break;
	}
	return control_request_from_words(words, n, ret_request, err);
}

void
control_request_print(struct strbuf *sb, const struct control_request *r)
{
	static const char *const signs[] = {
		[CONTROL_SCALE_TO] = "",
		[CONTROL_SCALE_UP] = "+",
		[CONTROL_SCALE_DOWN] = "-",
	};

	strbuf_puts(sb, verbs[r->verb].name);
	if (r->app[0] != '\0')
		strbuf_printf(sb, " %s", r->app);
	if (r->instance >= 0)
		strbuf_printf(sb, ":%d", r->instance);
	if (r->verb == CONTROL_SCALE)
		strbuf_printf(sb, " %s%u", signs[r->scale], r->amount);
	strbuf_putc(sb, '\n');
}

/* ---- answers: printing ---- */

void
control_begin(struct strbuf *sb, enum control_kind kind, const char *word)
{
	if (kind == CONTROL_GREETING)
		strbuf_printf(sb, "clusterd %d", CONTROL_VERSION);
	else
		strbuf_printf(sb, "%c %s",
		    kind == CONTROL_PROGRESS ? '*' : '+', word);
}

static bool
is_plain(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && c != '%';
}

void
control_put_bytes(struct strbuf *sb, const char *key, const char *bytes,
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
control_put(struct strbuf *sb, const char *key, const char *value)
{
	control_put_bytes(sb, key, value, strlen(value));
}

void
control_put_number(struct strbuf *sb, const char *key, uint64_t value)
{
	strbuf_printf(sb, " %s=%llu", key, (unsigned long long)value);
}

void
control_end(struct strbuf *sb)
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
control_put_ok(struct strbuf *sb, const char *text)
{
	strbuf_puts(sb, "ok");
	put_text(sb, text);
	strbuf_putc(sb, '\n');
}

void
control_put_error(struct strbuf *sb, const char *why, const char *text)
{
	strbuf_printf(sb, "error %s", why);
	put_text(sb, text);
	strbuf_putc(sb, '\n');
}

/* ---- answers: parsing ---- */

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
parse_fields(char *rest, struct control_line *line)
{
	char *word, *equals;

	while ((word = next_word(&rest)) != NULL) {
		equals = strchr(word, '=');
		if (equals == NULL || equals == word)
			return -EPROTO;
		if (line->n_fields == CONTROL_FIELDS_MAX)
			continue;
		*equals = '\0';
		line->fields[line->n_fields++] = (struct control_field){
			.key = word, .value = equals + 1,
			.len = unescape(equals + 1),
		};
	}
	return 0;
}

static int
parse_greeting(char *rest, struct control_line *line)
{
	char *word = next_word(&rest);
	uint64_t version;

	if (word == NULL || !num_parse(word, 1, 1000000, &version))
		return -EPROTO;
	line->version = (unsigned)version;
	return parse_fields(rest, line);
}

int
control_line_parse(char *text, size_t len, struct control_line *line)
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
		line->kind = CONTROL_GREETING;
		return parse_greeting(rest, line);
	}
	if (strcmp(kind, "ok") == 0) {
		line->kind = CONTROL_OK;
		line->text = rest != NULL ? rest : "";
		return 0;
	}
	if (strcmp(kind, "error") == 0)
		line->kind = CONTROL_ERROR;
	else if (strcmp(kind, "+") == 0)
		line->kind = CONTROL_RECORD;
	else if (strcmp(kind, "*") == 0)
		line->kind = CONTROL_PROGRESS;
	else
		return -EPROTO;
	line->word = next_word(&rest);
	if (line->word == NULL)
		return -EPROTO;
	if (line->kind != CONTROL_ERROR)
		return parse_fields(rest, line);
	line->text = rest != NULL ? rest : "";
	return 0;
}

const char *
control_line_get(const struct control_line *line, const char *key)
{
	for (size_t i = 0; i < line->n_fields; i++)
		if (strcmp(line->fields[i].key, key) == 0)
			return line->fields[i].value;
	return NULL;
}

bool
control_line_number(const struct control_line *line, const char *key,
    uint64_t *ret_value)
{
	const char *value = control_line_get(line, key);

	return value != NULL && num_parse(value, 0, UINT64_MAX, ret_value);
}

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf.h"
#include "core/conf_schema.h"
#include "core/conf_value.h"
#include "core/signal_name.h"
#include "core/words.h"

#define PATH_MAX_BYTES	4095	/* the kernel takes no more */
#define ACCOUNT_MAX	256

/* Add an error about line `i` of the value; returns -EINVAL. */
static int refuse(const struct conf_value *v, size_t i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(const struct conf_value *v, size_t i, const char *fmt, ...)
{
	char *words = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&words, fmt, ap) < 0)
		words = NULL;
	va_end(ap);
	if (words == NULL)
		v->errors->dropped++;
	else
		conf_error_add(v->errors, v->numbers[i], v->key->name, "%s",
		    words);
	free(words);
	return -EINVAL;
}

static int
refuse_text(const struct conf_value *v, size_t i, const char *text)
{
	return refuse(v, i, "\"%.60s\" is not valid, %s is allowed",
	    text, v->key->allowed);
}

static bool
is_nothing(const struct conf_value *v)
{
	return v->n == 1 && v->key->nothing != NULL &&
	    strcmp(v->lines[0], v->key->nothing) == 0;
}

static void *
field(const struct conf_value *v, void *target)
{
	return (char *)target + v->key->offset;
}

/*
 * The words of a list, cut at any byte of `separators`, over all lines. The
 * caller starts with a zeroed struct and frees `text` at the end.
 */
struct items {
	size_t line;	/* index of the line that the item stands on */
	char *text;
	char *rest;
};

/* 1 with *ret_item, 0 at the end, -ENOMEM. */
static int
next_item(const struct conf_value *v, const char *separators, struct items *it,
    char **ret_item)
{
	for (;;) {
		if (it->text == NULL) {
			if (it->line >= v->n)
				return 0;
			it->text = strdup(v->lines[it->line]);
			if (it->text == NULL)
				return -ENOMEM;
			it->rest = it->text;
		}
		if (it->rest != NULL) {
			*ret_item = strsep(&it->rest, separators);
			return 1;
		}
		free(it->text);
		it->text = NULL;
		it->line++;
	}
}

static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, " \t");
	len = strlen(s);
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		s[--len] = '\0';
	return s;
}

/* Words of the table that may be used, as "a, b or c". */
static void
add_words(struct strbuf *sb, const struct conf_word *words)
{
	size_t n = 0, left = 0;

	for (size_t i = 0; words[i].word != NULL; i++)
		left += words[i].later ? 0 : 1;
	for (size_t i = 0; words[i].word != NULL; i++) {
		if (words[i].later)
			continue;
		left--;
		if (n++ > 0)
			strbuf_puts(sb, left == 0 ? " or " : ", ");
		strbuf_puts(sb, words[i].word);
	}
}

static int
refuse_word(const struct conf_value *v, size_t i, const char *text,
    bool later)
{
	struct strbuf allowed = STRBUF_INIT;
	const char *near = NULL;
	unsigned distance = CONF_NEAR_INIT;
	int r = -ENOMEM;

	if (v->key->allowed != NULL)
		strbuf_puts(&allowed, v->key->allowed);
	else
		add_words(&allowed, v->key->words);
	if (allowed.failed)
		goto out;

	for (size_t j = 0; v->key->words[j].word != NULL; j++)
		conf_near(text, v->key->words[j].word, &near, &distance);
	if (later)
		r = refuse(v, i, "\"%.60s\" is not supported yet, %s is "
		    "allowed", text, allowed.text);
	else if (near != NULL)
		r = refuse(v, i, "\"%.60s\" is not known, did you mean %s? "
		    "%s is allowed", text, near, allowed.text);
	else
		r = refuse(v, i, "\"%.60s\" is not known, %s is allowed",
		    text, allowed.text);
out:
	strbuf_free(&allowed);
	return r;
}

static int
find_word(const struct conf_value *v, size_t i, const char *text,
    unsigned *ret_value)
{
	const struct conf_word *w;

	for (w = v->key->words; w->word != NULL; w++) {
		if (strcmp(w->word, text) == 0)
			break;
	}
	if (w->word == NULL)
		return refuse_word(v, i, text, v->key->path_later &&
		    strchr(text, '/') != NULL);
	if (w->later)
		return refuse_word(v, i, text, true);
	*ret_value = w->value;
	return 0;
}

static int
parse_enum(const struct conf_value *v, void *target)
{
	unsigned value;
	int r = find_word(v, 0, v->lines[0], &value);

	/* The enums that rows point at have no negative member. */
	if (r == 0 && v->key->offset != CONF_NOWHERE)
		memcpy(field(v, target), &value, sizeof(value));
	return r;
}

static int
parse_count(const struct conf_value *v, void *target)
{
	uint64_t number;

	if (!num_parse(v->lines[0], v->key->min, v->key->max, &number))
		return refuse_text(v, 0, v->lines[0]);
	*(unsigned *)field(v, target) = (unsigned)number;
	return 0;
}

static int
parse_limit(const struct conf_value *v, void *target)
{
	uint64_t number;
	int64_t limit = -1;

	if (!is_nothing(v)) {
		if (!num_parse(v->lines[0], v->key->min, v->key->max, &number))
			return refuse_text(v, 0, v->lines[0]);
		limit = (int64_t)number;
	}
	*(int64_t *)field(v, target) = limit;
	return 0;
}

static int
parse_mode(const struct conf_value *v, void *target)
{
	uint64_t mode;

	if (!num_parse_octal(v->lines[0], v->key->max, &mode))
		return refuse_text(v, 0, v->lines[0]);
	*(uint32_t *)field(v, target) = (uint32_t)mode;
	return 0;
}

static int
parse_umask(const struct conf_value *v, void *target)
{
	uint64_t mask;
	int32_t value = -1;

	if (!is_nothing(v)) {
		if (!num_parse_octal(v->lines[0], v->key->max, &mask))
			return refuse_text(v, 0, v->lines[0]);
		value = (int32_t)mask;
	}
	*(int32_t *)field(v, target) = value;
	return 0;
}

bool
conf_duration_parse(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "", 1000 },
	};
	char digits[24];
	size_t len = strspn(text, "0123456789");
	uint64_t number;

	if (len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!num_parse(digits, 0, INT64_MAX, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + len, units[i].suffix) != 0)
			continue;
		if (number > INT64_MAX / units[i].ms)
			return false;
		*ret_ms = (int64_t)(number * units[i].ms);
		return true;
	}
	return false;
}

static int
parse_duration_text(const struct conf_value *v, const char *text, int64_t min,
    int64_t max, int64_t *ret_ms)
{
	int64_t ms;

	if (!conf_duration_parse(text, &ms))
		return refuse(v, 0, "\"%.60s\" is not a duration, a number "
		    "with ms, s, m or h behind it is allowed, such as 500ms "
		    "or 10s", text);
	if (ms < min)
		return refuse(v, 0, "\"%.60s\" is too short, at least %lldms "
		    "is allowed", text, (long long)min);
	if (ms > max)
		return refuse(v, 0, "\"%.60s\" is too long, at most %lldh is "
		    "allowed", text, (long long)(max / 3600000));
	*ret_ms = ms;
	return 0;
}

static int
parse_duration(const struct conf_value *v, void *target)
{
	return parse_duration_text(v, v->lines[0], (int64_t)v->key->min,
	    (int64_t)v->key->max, field(v, target));
}

static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++) {
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return true;
	}
	return false;
}

/* Put a relative path behind the file's directory. */
static int
absolute(const struct conf_value *v, const char *path, char **ret_path)
{
	const char *base = v->host->base_dir;
	const char *slash = strcmp(base, "/") == 0 ? "" : "/";
	char *full;

	if (*path == '\0')
		return refuse(v, 0, "the path is empty, %s is needed",
		    v->key->allowed);
	if (*path == '/') {
		full = strdup(path);
	} else {
		while (path[0] == '.' && path[1] == '/') {
			for (path += 2; *path == '/';)
				path++;
		}
		if (strcmp(path, ".") == 0)
			path = "";
		if (asprintf(&full, "%s%s%s", base, *path == '\0' ? "" : slash,
			path) < 0)
			full = NULL;
	}
	if (full == NULL)
		return -ENOMEM;
	if (strlen(full) <= PATH_MAX_BYTES && !has_control(full)) {
		*ret_path = full;
		return 0;
	}
	if (has_control(full))
		refuse(v, 0, "\"%.60s\" holds a control byte, a path without "
		    "is allowed", full);
	else
		refuse(v, 0, "\"%.60s\" and so on is too long, a path of %d "
		    "bytes is allowed", full, PATH_MAX_BYTES);
	free(full);
	return -EINVAL;
}

static void
replace(char **at, char *owned)
{
	free(*at);
	*at = owned;
}

static int
parse_path(const struct conf_value *v, void *target)
{
	char *path = NULL;
	int r = 0;

	if (!is_nothing(v))
		r = absolute(v, v->lines[0], &path);
	if (r == 0)
		replace(field(v, target), path);
	return r;
}

static int
parse_account(const struct conf_value *v, void *target)
{
	const char *name = v->lines[0];
	char *copy = NULL;

	if (!is_nothing(v)) {
		/* What neither passwd(5) nor a directory can hold. */
		if (*name == '\0' || strpbrk(name, " \t:/,") != NULL ||
		    strlen(name) > ACCOUNT_MAX)
			return refuse_text(v, 0, name);
		copy = strdup(name);
		if (copy == NULL)
			return -ENOMEM;
	}
	replace(field(v, target), copy);
	return 0;
}

/*
 * A word of its own per indented line, verbatim, so that `sh -c` and its
 * script need no quotes. But one that reads like another key has slipped to
 * the right.
 */
static int
add_command_line(const struct conf_value *v, size_t i, struct strlist *words)
{
	const char *line = v->lines[i];
	char key[40];
	size_t len = strcspn(line, "=: \t");
	const char *behind = line + len + strspn(line + len, " \t");

	if (len < sizeof(key) && (*behind == '=' || *behind == ':')) {
		memcpy(key, line, len);
		key[len] = '\0';
		if (conf_schema_find(CONF_SCOPE_APP, key) != NULL)
			return refuse(v, i, "the indented line \"%.60s\" is "
			    "one more word of the command but reads like the "
			    "key %s: a key starts its line; if it is a word, "
			    "write it in the line of command", line, key);
	}
	strlist_add(words, line);
	return 0;
}

static int
locate_program(const struct conf_value *v, struct strlist *words)
{
	char *program = words->v[0];
	char *full;
	int r;

	if (*program == '\0')
		return refuse(v, 0, "the program's name is empty, %s is "
		    "needed", v->key->allowed);
	if (*program == '/' || strchr(program, '/') == NULL)
		return 0;
	r = absolute(v, program, &full);
	if (r == 0)
		replace(&words->v[0], full);
	return r;
}

/* Quotes can grow a command in the dump, which must be read back. */
static int
judge_command_length(const struct conf_value *v, const struct strlist *words)
{
	struct strbuf sb = STRBUF_INIT;
	int r = 0;

	for (size_t i = 0; i < words->n; i++) {
		words_quote(&sb, words->v[i]);
		strbuf_putc(&sb, ' ');
	}
	if (sb.failed)
		r = -ENOMEM;
	else if (sb.len > CONF_VALUE_MAX)
		r = refuse(v, 0, "the command is too long, %d bytes with its "
		    "quotes are allowed", CONF_VALUE_MAX);
	strbuf_free(&sb);
	return r;
}

static int
parse_command(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct strlist words = STRLIST_INIT;
	struct error err = ERROR_INIT;
	int r;

	r = words_split(v->lines[0], &words, &err);
	if (r == -EINVAL)
		refuse(v, 0, "%s", error_text(&err));
	error_clear(&err);
	for (size_t i = 1; i < v->n && r != -ENOMEM; i++) {
		if (add_command_line(v, i, &words) < 0)
			r = -EINVAL;
	}
	if (words.failed)
		r = -ENOMEM;
	if (r == 0 && words.n == 0)
		r = refuse(v, 0, "is empty, %s is needed", v->key->allowed);
	if (r == 0)
		r = locate_program(v, &words);
	if (r == 0)
		r = judge_command_length(v, &words);
	if (r < 0) {
		strlist_free(&words);
		return r;
	}
	strlist_free(&app->command);
	app->command = words;
	return 0;
}

/* Takes the address over, also on failure. */
static int
add_listen(const struct conf_value *v, size_t i, struct conf_app *app,
    struct address *a)
{
	struct address *listens;

	if (app->n_listens >= CONF_LISTENS_MAX) {
		address_free(a);
		return refuse(v, i, "more than %d listeners, fewer are "
		    "allowed", CONF_LISTENS_MAX);
	}
	listens = realloc(app->listens,
	    (app->n_listens + 1) * sizeof(*listens));
	if (listens == NULL) {
		address_free(a);
		return -ENOMEM;
	}
	app->listens = listens;
	if (v->listen_lines != NULL)
		v->listen_lines[app->n_listens] = v->numbers[i];
	listens[app->n_listens++] = *a;
	return 0;
}

static int
parse_port(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct address a = { .kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY };
	uint64_t port;
	int r;

	if (is_nothing(v))
		return 0;
	if (!num_parse(v->lines[0], 0, v->key->max, &port))
		return refuse(v, 0, "\"%.60s\" is not a port, %s is allowed",
		    v->lines[0], v->key->allowed);
	a.port = (uint16_t)port;
	r = add_listen(v, 0, app, &a);
	if (r == 0)
		app->has_port = true;
	return r;
}

static int
parse_listen_item(const struct conf_value *v, size_t i, const char *item,
    struct conf_app *app)
{
	struct error err = ERROR_INIT;
	struct address a;
	int r;

	r = address_parse(item, v->host->base_dir, &a, &err);
	if (r == -EINVAL)
		refuse(v, i, "%s", error_text(&err));
	error_clear(&err);
	return r < 0 ? r : add_listen(v, i, app, &a);
}

static int
parse_listen(const struct conf_value *v, void *target)
{
	struct items it = { .line = 0 };
	size_t n = 0;
	char *item;
	int r = 0, more, one;

	if (is_nothing(v))
		return 0;
	while ((more = next_item(v, ",", &it, &item)) > 0) {
		item = trim(item);
		/* A line may be empty or end in a comma, others follow it. */
		if (*item == '\0' && it.rest == NULL)
			continue;
		n++;
		one = *item == '\0' ?
		    refuse(v, it.line, "an entry is empty, %s is allowed",
			v->key->allowed) :
		    parse_listen_item(v, it.line, item, target);
		if (one < 0)
			r = one;
		if (one == -ENOMEM)
			break;
	}
	free(it.text);
	if (more < 0)
		return more;
	return n > 0 ? r : refuse(v, 0, "is empty, none or %s is allowed",
	    v->key->allowed);
}

static int
parse_instances(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0];
	size_t len = strspn(text, "0123456789");
	char digits[8];
	uint64_t n;

	if (strcmp(text, "auto") == 0) {
		app->instances_kind = CONF_INSTANCES_AUTO;
		app->instances = 0;
	} else if (num_parse(text, v->key->min, v->key->max, &n)) {
		app->instances_kind = CONF_INSTANCES_NUMBER;
		app->instances = (unsigned)n;
	} else if (strcmp(text + len, "%") == 0 && len < sizeof(digits)) {
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (!num_parse(digits, 1, 1000, &n))
			return refuse_text(v, 0, text);
		app->instances_kind = CONF_INSTANCES_PERCENT;
		app->instances = (unsigned)n;
	} else {
		return refuse_text(v, 0, text);
	}
	return 0;
}

static int
parse_fd_protocol(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct items it = { .line = 0 };
	unsigned bits = 0, bit;
	char *item;
	int r = 0, more, one;

	while ((more = next_item(v, " \t,", &it, &item)) > 0) {
		if (*item == '\0')
			continue;
		one = find_word(v, it.line, item, &bit);
		if (one == 0)
			bits |= bit;
		else
			r = one;
		if (one == -ENOMEM)
			break;
	}
	free(it.text);
	if (more < 0)
		return more;
	if (r == 0 && bits == 0)
		r = refuse(v, 0, "is empty, one or more of clusterd, systemd, "
		    "server-starter, einhorn, nginx and php-fpm are allowed");
	/* A worker can always rely on the CLUSTERD_ variables. */
	if (r == 0)
		app->fd_protocols = bits | CONF_FDP_CLUSTERD;
	return r;
}

const char *
conf_env_problem(const char *entry)
{
	static const char *const reserved[] = {
		"LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=",
		"NOTIFY_SOCKET=", "NGINX=", "FPM_SOCKETS=",
		"CLUSTERD_", "SERVER_STARTER_", "EINHORN_",
	};
	const char *s = entry;

	while ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
	    *s == '_' || (*s >= '0' && *s <= '9' && s > entry))
		s++;
	if (*s != '=' || s == entry)
		return "is not NAME=value with a name of letters, digits and "
		       "_, no digit first";
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (str_starts(entry, reserved[i]))
			return "is set by clusterd itself, another name is "
			       "allowed";
	}
	return NULL;
}

/* For "%.*s": what may be shown of NAME=value, where value may be secret. */
static int
name_len(const char *entry)
{
	size_t len = strcspn(entry, "=");

	return len < 60 ? (int)len : 60;
}

static int
parse_env(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct strlist env = STRLIST_INIT;
	int r = 0;

	for (size_t i = 0; i < v->n && !is_nothing(v); i++) {
		const char *line = v->lines[i];
		const char *problem = conf_env_problem(line);

		if (i == 0 && *line == '\0' && v->n > 1)
			continue;
		if (problem != NULL)
			r = refuse(v, i, "\"%.*s\" %s", name_len(line), line,
			    problem);
		else
			strlist_add(&env, line);
	}
	if (env.failed)
		r = -ENOMEM;
	if (r < 0) {
		strlist_free(&env);
		return r;
	}
	strlist_free(&app->env);
	app->env = env;
	return 0;
}

static int
parse_restart_limit(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0];
	size_t len = strcspn(text, "/");
	char digits[8];
	uint64_t deaths = 0;
	int64_t ms = 0;
	int r;

	if (!is_nothing(v)) {
		if (text[len] != '/' || len >= sizeof(digits))
			return refuse_text(v, 0, text);
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (!num_parse(digits, v->key->min, v->key->max, &deaths))
			return refuse_text(v, 0, text);
		r = parse_duration_text(v, text + len + 1, 1,
		    INT64_C(365) * 86400 * 1000, &ms);
		if (r < 0)
			return r;
	}
	app->restart_limit = (unsigned)deaths;
	app->restart_limit_ms = ms;
	return 0;
}

/* `3` or `10-12`. */
static bool
set_codes(char *item, uint8_t codes[32])
{
	char *dash = strchr(item, '-');
	uint64_t from, to;

	if (dash != NULL)
		*dash = '\0';
	if (!num_parse(item, 0, 255, &from) ||
	    !num_parse(dash != NULL ? dash + 1 : item, from, 255, &to)) {
		if (dash != NULL)
			*dash = '-';
		return false;
	}
	for (uint64_t code = from; code <= to; code++)
		codes[code / 8] |= (uint8_t)(1u << (code % 8));
	return true;
}

static int
parse_codes(const struct conf_value *v, void *target)
{
	struct items it = { .line = 0 };
	uint8_t codes[32] = { 0 };
	size_t n = 0;
	char *item;
	int r = 0, more;

	while ((more = next_item(v, " \t,", &it, &item)) > 0) {
		if (*item == '\0')
			continue;
		n++;
		if (!set_codes(item, codes))
			r = refuse_text(v, it.line, item);
	}
	free(it.text);
	if (more < 0)
		return more;
	if (n == 0)
		return refuse(v, 0, "is empty, %s is allowed",
		    v->key->allowed);
	if (r == 0)
		memcpy(field(v, target), codes, sizeof(codes));
	return r;
}

static int
parse_ready(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0];
	unsigned kind;
	int64_t ms;
	int r;

	if (str_starts(text, "alive:")) {
		r = parse_duration_text(v, text + strlen("alive:"), 0,
		    INT64_C(365) * 86400 * 1000, &ms);
		if (r < 0)
			return r;
		app->ready = CONF_READY_ALIVE;
		app->ready_alive_ms = ms;
		return 0;
	}
	r = find_word(v, 0, text, &kind);
	if (r < 0)
		return r;
	app->ready = (enum conf_ready)kind;
	app->ready_alive_ms = kind == CONF_READY_AUTO ? 1000 : 0;
	return 0;
}

static int
parse_signal(const struct conf_value *v, void *target)
{
	const char *text = v->lines[0];
	int signo;

	if (!signal_parse(text, &signo))
		return refuse(v, 0, "\"%.60s\" is not a signal, %s is allowed",
		    text, v->key->allowed);
	if (signo == SIGSTOP || signo == SIGCONT || signo == SIGCHLD)
		return refuse(v, 0, "%.60s ends no process, a signal such as "
		    "TERM, INT, QUIT or USR1 is allowed", text);
	*(int *)field(v, target) = signo;
	return 0;
}

int
conf_value_parse(const struct conf_value *value, void *target)
{
	static int (*const parsers[])(const struct conf_value *, void *) = {
		[CONF_TYPE_ENUM] = parse_enum,
		[CONF_TYPE_COUNT] = parse_count,
		[CONF_TYPE_LIMIT] = parse_limit,
		[CONF_TYPE_MODE] = parse_mode,
		[CONF_TYPE_UMASK] = parse_umask,
		[CONF_TYPE_DURATION] = parse_duration,
		[CONF_TYPE_PATH] = parse_path,
		[CONF_TYPE_ACCOUNT] = parse_account,
		[CONF_TYPE_COMMAND] = parse_command,
		[CONF_TYPE_PORT] = parse_port,
		[CONF_TYPE_LISTEN] = parse_listen,
		[CONF_TYPE_INSTANCES] = parse_instances,
		[CONF_TYPE_FD_PROTOCOL] = parse_fd_protocol,
		[CONF_TYPE_ENV] = parse_env,
		[CONF_TYPE_RESTART_LIMIT] = parse_restart_limit,
		[CONF_TYPE_CODES] = parse_codes,
		[CONF_TYPE_READY] = parse_ready,
		[CONF_TYPE_SIGNAL] = parse_signal,
	};

	static_assert(sizeof(parsers) / sizeof(parsers[0]) == CONF_TYPE_N,
	    "a parser for each type");
	assert(parsers[value->key->type] != NULL && value->n > 0);
	if (value->n > 1 && !value->key->list)
		return refuse(value, 1, "takes one value, but this indented "
		    "line continues it; a key starts its line");
	return parsers[value->key->type](value, target);
}

/* Without a matching pair of quotes around it; NULL when one is open. */
static char *
unquote(char *value)
{
	size_t len = strlen(value);
	char quote = value[0];

	if (quote != '"' && quote != '\'')
		return value;
	/* The next one must be the last byte. */
	if (len < 2 || strchr(value + 1, quote) != value + len - 1)
		return NULL;
	value[len - 1] = '\0';
	return value + 1;
}

/* One line of an env file, which it may change. What the entry is, or NULL. */
static const char *
read_env_line(char *line, struct strlist *entries)
{
	const char *problem;
	char *value;

	line = trim(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return NULL;
	if (has_control(line))
		return "holds a control byte, text and tabs are allowed";
	if (str_starts(line, "export ") || str_starts(line, "export\t"))
		line = trim(line + strlen("export "));
	problem = conf_env_problem(line);
	if (problem != NULL)
		return problem;
	value = strchr(line, '=');
	*value++ = '\0';
	value = unquote(trim(value));
	if (value == NULL)
		return "has a quote that is not closed at the end of the "
		       "line, one pair around the value is allowed";
	strlist_printf(entries, "%s=%s", line, value);
	return NULL;
}

int
conf_env_file_parse(const struct conf_value *value, const char *path,
    const char *text, size_t len, struct strlist *entries)
{
	const char *end = text + len;
	unsigned number = 0;
	int r = 0;

	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((lf != NULL ? lf : end) - text);
		size_t used = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
		const char *problem = NULL;
		char *line;

		number++;
		line = strndup(text, used);
		if (line == NULL)
			return -ENOMEM;
		if (strlen(line) < used)
			problem = "holds a NUL byte, text and tabs are "
				  "allowed";
		else
			problem = read_env_line(line, entries);
		free(line);
		if (problem != NULL)
			r = refuse(value, 0, "%s:%u: the entry %s", path,
			    number, problem);
		text += lf != NULL ? n + 1 : n;
	}
	return entries->failed ? -ENOMEM : r;
}

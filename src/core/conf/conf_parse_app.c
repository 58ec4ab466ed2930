#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_items.h"
#include "core/conf/conf_parse_app.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/names/signal_name.h"
#include "core/names/words.h"

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
		if (conf_schema_find(v->key->scope, key) != NULL)
			return conf_refuse(v, i, "the indented line \"%.60s\" "
			    "is one more word of the command but reads like "
			    "the key %s: a key starts its line; if it is a "
			    "word, write it in the line of command", line, key);
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
		return conf_refuse(v, 0, "the program's name is empty, %s is "
		    "needed", v->key->allowed);
	if (*program == '/' || strchr(program, '/') == NULL)
		return 0;
	r = conf_value_absolute(v, program, &full);
	if (r == 0) {
		free(program);
		words->v[0] = full;
	}
	return r;
}

/* Quotes can grow a command in the dump, which must be read back. */
static int
judge_command_length(const struct conf_value *v, const struct strlist *words)
{
	struct strbuf sb = STRBUF_INIT;
	int r = 0;

	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			strbuf_putc(&sb, ' ');
		words_quote(&sb, words->v[i]);
	}
	if (sb.failed)
		r = -ENOMEM;
	else if (sb.len > CONF_VALUE_MAX)
		r = conf_refuse(v, 0, "the command is too long, %d bytes with "
		    "its quotes are allowed", CONF_VALUE_MAX);
	strbuf_free(&sb);
	return r;
}

int
conf_parse_command(const struct conf_value *v, void *target)
{
	struct strlist *command = conf_value_field(v, target);
	struct strlist words = STRLIST_INIT;
	struct error err = ERROR_INIT;
	int r;

	if (conf_value_is_nothing(v)) {
		strlist_free(command);
		return 0;
	}
	r = words_split(v->lines[0], &words, &err);
	if (r == -EINVAL)
		conf_refuse(v, 0, "%s", error_text(&err));
	error_clear(&err);
	for (size_t i = 1; i < v->n && r != -ENOMEM; i++) {
		if (add_command_line(v, i, &words) < 0)
			r = -EINVAL;
	}
	if (words.failed)
		r = -ENOMEM;
	if (r == 0 && words.n == 0)
		r = conf_refuse(v, 0, "is empty, %s is needed",
		    v->key->allowed);
	if (r == 0)
		r = locate_program(v, &words);
	if (r == 0)
		r = judge_command_length(v, &words);
	if (r < 0) {
		strlist_free(&words);
		return r;
	}
	strlist_free(command);
	*command = words;
	return 0;
}

/* `auto`, a number or a percentage. */
static bool
parse_count(const struct conf_value *v, const char *text,
    enum conf_instances *ret_kind, unsigned *ret_n)
{
	size_t len = strspn(text, "0123456789");
	char digits[8];
	uint64_t n = 0;

	if (strcmp(text, "auto") == 0) {
		*ret_kind = CONF_INSTANCES_AUTO;
	} else if (num_parse(text, v->key->min, v->key->max, &n)) {
		*ret_kind = CONF_INSTANCES_NUMBER;
	} else if (strcmp(text + len, "%") == 0 && len < sizeof(digits)) {
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (!num_parse(digits, 1, 1000, &n))
			return false;
		*ret_kind = CONF_INSTANCES_PERCENT;
	} else {
		return false;
	}
	*ret_n = (unsigned)n;
	return true;
}

int
conf_parse_instances(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0], *dots = strstr(text, "..");
	size_t len = dots != NULL ? (size_t)(dots - text) : strlen(text);
	char least[16];

	if (len >= sizeof(least))
		return conf_refuse_text(v, 0, text);
	memcpy(least, text, len);
	least[len] = '\0';
	if (!parse_count(v, least, &app->instances_kind, &app->instances) ||
	    (dots != NULL && !parse_count(v, dots + 2, &app->most_kind,
		&app->most)))
		return conf_refuse_text(v, 0, text);
	app->scales = dots != NULL;
	/* Of two kinds, it depends on the machine. */
	if (app->scales && app->instances_kind == app->most_kind &&
	    app->instances > app->most)
		return conf_refuse(v, 0, "is a range that ends below its "
		    "beginning: \"%s\"", text);
	return 0;
}

int
conf_parse_fd_protocol(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct conf_items it = { .line = 0 };
	unsigned bits = 0, bit;
	char *item;
	int r = 0, more, one;

	if (v->n == 1 && strcmp(v->lines[0], v->key->preset) == 0) {
		app->fd_protocols = 0;
		return 0;
	}
	while ((more = conf_items_word(v, &it, &item)) > 0) {
		one = strcmp(item, v->key->preset) == 0 ?
		    conf_refuse(v, it.line, "\"%s\" stands alone, and the "
			"others together", item) :
		    conf_value_word(v, it.line, item, &bit);
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
		r = conf_refuse(v, 0, "is empty, %s is allowed",
		    v->key->allowed);
	/* A worker can always rely on the CLUSTERD_ variables. */
	if (r == 0)
		app->fd_protocols = bits | CONF_FDP_CLUSTERD;
	return r;
}

int
conf_parse_restart_limit(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0];
	size_t len = strcspn(text, "/");
	char digits[8];
	uint64_t deaths = 0;
	int64_t ms = 0;
	int r;

	if (!conf_value_is_nothing(v)) {
		if (text[len] != '/' || len >= sizeof(digits))
			return conf_refuse_text(v, 0, text);
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (!num_parse(digits, v->key->min, v->key->max, &deaths))
			return conf_refuse_text(v, 0, text);
		r = conf_value_duration(v, text + len + 1, 1,
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

int
conf_parse_codes(const struct conf_value *v, void *target)
{
	struct conf_items it = { .line = 0 };
	uint8_t codes[32] = { 0 };
	size_t n = 0;
	char *item;
	int r = 0, more;

	while ((more = conf_items_word(v, &it, &item)) > 0) {
		n++;
		if (!set_codes(item, codes))
			r = conf_refuse_text(v, it.line, item);
	}
	free(it.text);
	if (more < 0)
		return more;
	if (n == 0)
		return conf_refuse(v, 0, "is empty, %s is allowed",
		    v->key->allowed);
	if (r == 0)
		memcpy(conf_value_field(v, target), codes, sizeof(codes));
	return r;
}

static bool
has_name(const struct strlist *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return true;
	return false;
}

/* Whether there are such apps is known when all have been read. */
int
conf_parse_apps(const struct conf_value *v, void *target)
{
	struct strlist *field = conf_value_field(v, target);
	struct strlist names = STRLIST_INIT;
	struct conf_items it = { .line = 0 };
	bool nothing = v->n == 1 && conf_value_is_nothing(v);
	char *item;
	int r = 0, more = 0;

	while (!nothing && (more = conf_items_word(v, &it, &item)) > 0) {
		if (!conf_name_valid(item, strlen(item)))
			r = conf_refuse_text(v, it.line, item);
		else if (!has_name(&names, item))
			strlist_add(&names, item);
	}
	free(it.text);
	if (more < 0 || names.failed)
		r = -ENOMEM;
	if (r == 0 && !nothing && names.n == 0)
		r = conf_refuse(v, 0, "is empty, %s is allowed",
		    v->key->allowed);
	if (r < 0) {
		strlist_free(&names);
		return r;
	}
	strlist_free(field);
	*field = names;
	return 0;
}

int
conf_parse_ready(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	const char *text = v->lines[0];
	unsigned kind;
	int64_t ms;
	int r;

	if (str_starts(text, "alive:")) {
		r = conf_value_duration(v, text + strlen("alive:"), 0,
		    INT64_C(365) * 86400 * 1000, &ms);
		if (r < 0)
			return r;
		app->ready = CONF_READY_ALIVE;
		app->ready_alive_ms = ms;
		return 0;
	}
	r = conf_value_word(v, 0, text, &kind);
	if (r < 0)
		return r;
	app->ready = (enum conf_ready)kind;
	app->ready_alive_ms = kind == CONF_READY_AUTO ? 1000 : 0;
	return 0;
}

int
conf_parse_signal(const struct conf_value *v, void *target)
{
	const char *text = v->lines[0];
	int signo = 0;

	if (!conf_value_is_nothing(v) && !signal_parse(text, &signo))
		return conf_refuse(v, 0, "\"%.60s\" is not a signal, %s is "
		    "allowed", text, v->key->allowed);
	/* Where none is needed, it is to tell something. */
	if (v->key->nothing != NULL && (signo == SIGSTOP || signo == SIGCONT ||
	    signo == SIGCHLD || signo == SIGKILL))
		return conf_refuse(v, 0, "%.60s tells a program nothing, %s is "
		    "allowed", text, v->key->allowed);
	if (signo == SIGSTOP || signo == SIGCONT || signo == SIGCHLD)
		return conf_refuse(v, 0, "%.60s ends no process, a signal such "
		    "as TERM, INT, QUIT or USR1 is allowed", text);
	*(int *)conf_value_field(v, target) = signo;
	return 0;
}

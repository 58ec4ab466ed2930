#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_parse_app.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_value.h"
#include "core/names/signal_name.h"
#include "core/names/words.h"

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

/* The same for a list in which several separators are as good as one. */
static int
next_word(const struct conf_value *v, struct items *it, char **ret_word)
{
	int r;

	do
		r = next_item(v, " \t,", it, ret_word);
	while (r > 0 && **ret_word == '\0');
	return r;
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
	struct conf_app *app = target;
	struct strlist words = STRLIST_INIT;
	struct error err = ERROR_INIT;
	int r;

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
	strlist_free(&app->command);
	app->command = words;
	return 0;
}

/* Room for one more. */
static int
grow_listens(struct conf_app *app)
{
	size_t n = app->n_listens + 1;
	struct address *listens = realloc(app->listens, n * sizeof(*listens));
	char **names;

	if (listens == NULL)
		return -ENOMEM;
	app->listens = listens;
	names = realloc(app->listen_names, n * sizeof(char *));
	if (names == NULL)
		return -ENOMEM;
	app->listen_names = names;
	return 0;
}

/* Takes the address and the name, or NULL, over, also on failure. */
static int
add_listen(const struct conf_value *v, size_t i, struct conf_app *app,
    struct address *a, char *name)
{
	int r = 0;

	if (app->n_listens >= CONF_LISTENS_MAX)
		r = conf_refuse(v, i, "more than %d listeners, fewer are "
		    "allowed", CONF_LISTENS_MAX);
	if (r == 0)
		r = grow_listens(app);
	if (r < 0) {
		address_free(a);
		free(name);
		return r;
	}
	if (v->listen_lines != NULL)
		v->listen_lines[app->n_listens] = v->numbers[i];
	app->listen_names[app->n_listens] = name;
	app->listens[app->n_listens++] = *a;
	return 0;
}

int
conf_parse_port(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct address a = { .kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY };
	uint64_t port;
	int r;

	if (conf_value_is_nothing(v))
		return 0;
	if (!num_parse(v->lines[0], 0, v->key->max, &port))
		return conf_refuse(v, 0, "\"%.60s\" is not a port, %s is "
		    "allowed", v->lines[0], v->key->allowed);
	a.port = (uint16_t)port;
	r = add_listen(v, 0, app, &a, NULL);
	if (r == 0)
		app->has_port = true;
	return r;
}

static bool
is_listen_name(const char *text, size_t len)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";

	return len > 0 && strspn(text, allowed) >= len &&
	    strspn(text, "0123456789") < len;
}

/*
 * The bytes of a name and its `=` before an address: 0 where there is none. The
 * path of a Unix socket may have a `=` too, behind `unix:`, and so may options,
 * behind an address and a blank. -EINVAL (added).
 */
static ssize_t
listen_name_len(const struct conf_value *v, size_t i, const char *item)
{
	size_t len = strcspn(item, "=/"), word = strcspn(item, " \t");

	if (item[len] != '=' || str_starts(item, "unix:") ||
	    (word < len && !is_listen_name(item, word)))
		return 0;
	if (len > CONF_LISTEN_NAME_MAX)
		return conf_refuse(v, i, "\"%.40s\" and so on is too long for "
		    "the name of a listener, %d bytes are allowed", item,
		    CONF_LISTEN_NAME_MAX);
	if (!is_listen_name(item, len))
		return conf_refuse(v, i, "\"%.*s\" is not a name for a "
		    "listener, letters, digits, _, . and - are allowed, and "
		    "not digits alone", (int)(len < 60 ? len : 60), item);
	return (ssize_t)len + 1;
}

/* [NAME=]ADDRESS */
static int
parse_listen_item(const struct conf_value *v, size_t i, const char *item,
    struct conf_app *app)
{
	ssize_t len = listen_name_len(v, i, item);
	struct error err = ERROR_INIT;
	struct address a;
	char *name = NULL;
	int r;

	if (len < 0)
		return (int)len;
	r = address_parse(item + len, v->base_dir, &a, &err);
	if (r == -EINVAL)
		conf_refuse(v, i, "%s", error_text(&err));
	error_clear(&err);
	if (r < 0)
		return r;
	if (len > 0) {
		name = strndup(item, (size_t)len - 1);
		if (name == NULL) {
			address_free(&a);
			return -ENOMEM;
		}
	}
	return add_listen(v, i, app, &a, name);
}

int
conf_parse_listen(const struct conf_value *v, void *target)
{
	struct items it = { .line = 0 };
	size_t n = 0;
	char *item;
	int r = 0, more, one;

	if (conf_value_is_nothing(v))
		return 0;
	while ((more = next_item(v, ",", &it, &item)) > 0) {
		item = conf_value_trim(item);
		/* A line may be empty or end in a comma, others follow it. */
		if (*item == '\0' && it.rest == NULL)
			continue;
		n++;
		one = *item == '\0' ?
		    conf_refuse(v, it.line, "an entry is empty, %s is allowed",
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
	return n > 0 ? r : conf_refuse(v, 0, "is empty, none or %s is allowed",
	    v->key->allowed);
}

int
conf_parse_instances(const struct conf_value *v, void *target)
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
			return conf_refuse_text(v, 0, text);
		app->instances_kind = CONF_INSTANCES_PERCENT;
		app->instances = (unsigned)n;
	} else {
		return conf_refuse_text(v, 0, text);
	}
	return 0;
}

int
conf_parse_fd_protocol(const struct conf_value *v, void *target)
{
	struct conf_app *app = target;
	struct items it = { .line = 0 };
	unsigned bits = 0, bit;
	char *item;
	int r = 0, more, one;

	if (v->n == 1 && strcmp(v->lines[0], v->key->preset) == 0) {
		app->fd_protocols = 0;
		return 0;
	}
	while ((more = next_word(v, &it, &item)) > 0) {
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
	struct items it = { .line = 0 };
	uint8_t codes[32] = { 0 };
	size_t n = 0;
	char *item;
	int r = 0, more;

	while ((more = next_word(v, &it, &item)) > 0) {
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

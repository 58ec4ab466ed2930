/*
 * What supervisord 4.2 makes of its file, where that is not what it looks like, in
 * supervisord_file.c and here: in `environment` what stands without quotes is of few
 * letters, and ends where another begins.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf_foreign.h"
#include "core/import/draft.h"
#include "core/import/supervisord.h"
#include "core/import/supervisord_file.h"

#define PROGRAM "program:"
/* ---- one program ---- */

struct program {
	struct draft *d;
	struct supervisord_file *f;
	const char *section;
	const char *name;
	bool unknown;		/* an expansion that was not carried over */
};

/* What %(...)s comes to here, and how long it is; NULL: none of these. */
static const char *
expansion(struct program *p, const char *s, size_t *ret_len,
    struct strbuf *own)
{
	const char *close = strchr(s, ')');
	size_t len = close != NULL ? (size_t)(close - s) - 2 : 0;
	const char *name = s + 2, *kind = close != NULL ? close + 1 : "";

	*ret_len = close != NULL ? (size_t)(kind - s) +
	    strspn(kind, "0123456789") + 1 : strlen(s);
	if (len == 11 && memcmp(name, "process_num", 11) == 0)
		return *kind == 'd' || *kind == 's' ? "{instance}" : NULL;
	if (close == NULL || *kind != 's')
		return NULL;
	if (len == 12 && memcmp(name, "program_name", 12) == 0)
		return "{app}";
	if (len == 10 && memcmp(name, "group_name", 10) == 0)
		return "{app}";
	if (len == 4 && memcmp(name, "here", 4) == 0)
		return p->d->host->dir;
	if (len > 4 && memcmp(name, "ENV_", 4) == 0) {
		strbuf_printf(own, "{env:%.*s}", (int)len - 4, name + 4);
		return own->failed ? NULL : own->text;
	}
	return NULL;
}

/* As supervisord replaces it, in words of ours. The caller frees. */
static char *
expanded(struct program *p, const char *text)
{
	struct strbuf sb = STRBUF_INIT;
	char *out;

	p->unknown = false;
	while (*text != '\0') {
		struct strbuf own = STRBUF_INIT;
		const char *with = NULL;
		size_t len = 1;

		if (text[0] == '%' && text[1] == '%') {
			with = "%";
			len = 2;
		} else if (text[0] == '%' && text[1] == '(') {
			with = expansion(p, text, &len, &own);
			p->unknown |= with == NULL;
		}
		if (len > strlen(text))
			len = strlen(text);
		if (with != NULL)
			strbuf_puts(&sb, with);
		else
			strbuf_add(&sb, text, len);
		strbuf_free(&own);
		text += len;
	}
	out = strbuf_take(&sb);
	strbuf_free(&sb);
	if (out == NULL)
		p->d->text.failed = true;
	return out;
}

/* The value as it is written, or NULL. */
static const char *
take(struct program *p, const char *key)
{
	struct supervisord_pair *pair = supervisord_file_find(p->f, p->section, key);

	if (pair == NULL)
		return NULL;
	pair->used = true;
	return pair->value.text != NULL ? pair->value.text : "";
}

static bool
is_yes(const char *text)
{
	static const char *const words[] = {
		"true", "True", "TRUE", "yes", "on", "1", NULL,
	};

	return text != NULL && str_is_one_of(text, words);
}

/* shlex.split(), but that an open quote ends at the end. */
static void
split(const char *text, struct strlist *words)
{
	while (*text != '\0') {
		struct strbuf word = STRBUF_INIT;
		char quote = '\0';
		bool any = false;

		text += strspn(text, " \t\r\n");
		for (; *text != '\0' && (quote != '\0' ||
		    strchr(" \t\r\n", *text) == NULL); text++) {
			any = true;
			if (*text == quote) {
				quote = '\0';
			} else if (quote == '\0' &&
			    (*text == '"' || *text == '\'')) {
				quote = *text;
			} else if (*text == '\\' && text[1] != '\0' &&
			    (quote == '\0' || (quote == '"' &&
			    (text[1] == '"' || text[1] == '\\')))) {
				strbuf_putc(&word, *++text);
			} else {
				strbuf_putc(&word, *text);
			}
		}
		if (any)
			strlist_take(words, strbuf_take(&word));
		strbuf_free(&word);
	}
}

#define UNKNOWN "it has an expansion that there is not here"

static void
put_command(struct program *p)
{
	const char *text = take(p, "command");
	char *command = text != NULL ? expanded(p, text) : NULL;
	struct strlist words = STRLIST_INIT;

	if (text == NULL)
		draft_say(p->d, "There is no command: command = PROGRAM is "
		    "needed.");
	if (command == NULL)
		return;
	if (p->unknown)
		draft_note(p->d, "command", text, UNKNOWN);
	split(command, &words);
	draft_set_command(p->d, &words, NULL);
	strlist_free(&words);
	free(command);
}

static void
put_path(struct program *p, const char *key, const char *ours)
{
	const char *text = take(p, key);
	char *path = text != NULL ? expanded(p, text) : NULL;

	if (path == NULL)
		return;
	if (p->unknown)
		draft_note(p->d, ours, text, UNKNOWN);
	else if (*path == '~')
		draft_note(p->d, ours, text, "~ is none here: write the "
		    "directory");
	else
		draft_set_path(p->d, ours, path);
	free(path);
}

/* ---- environment ---- */

static bool
is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' &&
	    strchr("_./:-+()", c) != NULL);
}

static void
put_variable(struct program *p, const char *name, const char *value)
{
	char *whole = expanded(p, value);

	if (whole == NULL)
		return;
	if (p->unknown)
		draft_note(p->d, name, value, UNKNOWN);
	else
		draft_set_env(p->d, name, whole);
	free(whole);
}

/* NAME=value or NAME="value", by commas. */
static void
put_environment(struct program *p)
{
	const char *s = take(p, "environment");

	while (s != NULL && *(s += strspn(s, ", \t")) != '\0') {
		size_t name_len = strcspn(s, "="), len = 0;
		const char *value = s + name_len + (s[name_len] == '=');
		char quote, *name = supervisord_trimmed(s, name_len), *text;

		value += strspn(value, " \t");
		quote = *value == '"' || *value == '\'' ? *value++ : '\0';
		if (quote != '\0')
			len = strcspn(value, quote == '"' ? "\"" : "'");
		while (quote == '\0' && (is_bare(value[len]) ||
		    (value[len] == '%' && value[len + 1] == '(')))
			len++;
		text = strndup(value, len);
		if (name == NULL || text == NULL)
			p->d->text.failed = true;
		else
			put_variable(p, name, text);
		free(name);
		free(text);
		s = value + len + (quote != '\0' && value[len] == quote);
		/* What supervisord drops without a word. */
		s += strcspn(s, ",");
	}
}

/* ---- the rest ---- */

static void
put_seconds(struct program *p, const char *key, const char *ours,
    const char *prefix)
{
	const char *text = take(p, key);
	struct strbuf value = STRBUF_INIT;
	uint64_t n;

	if (text == NULL)
		return;
	if (!num_parse(text, 0, 1000000000, &n)) {
		draft_note(p->d, key, text, "supervisord takes whole seconds "
		    "alone");
		return;
	}
	strbuf_printf(&value, "%s%ss", prefix, text);
	if (!value.failed)
		draft_set(p->d, ours, value.text);
	strbuf_free(&value);
}

static void
put_restart(struct program *p)
{
	const char *again = take(p, "autorestart");
	const char *codes = take(p, "exitcodes");
	struct strbuf list = STRBUF_INIT;

	if (is_yes(again))
		draft_set(p->d, "restart", "always");
	else if (again != NULL && strcmp(again, "unexpected") != 0)
		draft_set(p->d, "restart", "never");
	else
		draft_set(p->d, "restart", "on-failure");
	for (; codes != NULL && *codes != '\0'; codes++)
		strbuf_putc(&list, *codes == ',' ? ' ' : *codes);
	if (list.len > 0 && !list.failed)
		draft_set(p->d, "success_codes", list.text);
	strbuf_free(&list);
}

/* 10MB, 10 kb, or bytes, by 1024. */
static void
put_size(struct program *p, const char *key)
{
	const char *text = take(p, key);
	size_t len = text != NULL ? strspn(text, "0123456789") : 0;
	const char *unit = text != NULL ? text + len +
	    strspn(text + len, " ") : "";
	struct strbuf value = STRBUF_INIT;

	if (text == NULL)
		return;
	strbuf_add(&value, text, len);
	if (strspn(text, "0") == len)
		strbuf_free(&value);
	else if (*unit != '\0')
		strbuf_putc(&value, *unit >= 'a' ? (char)(*unit - 'a' + 'A') :
		    *unit);
	draft_set(p->d, "log_max_size", value.len > 0 && !value.failed ?
	    value.text : "none");
	strbuf_free(&value);
}

static void
put_output(struct program *p, const char *key, const char *ours)
{
	static const char *const own[] = {
		"/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "AUTO",
		NULL,
	};
	const char *text = take(p, key);

	if (text == NULL || strcmp(text, "AUTO") == 0) {
		draft_say(p->d, "supervisord makes a file of its own; here "
		    "output goes where clusterd's goes:");
		draft_set(p->d, ours, "prefix");
	} else if (strcmp(text, "NONE") == 0 || strcmp(text, "none") == 0 ||
	    strcmp(text, "/dev/null") == 0) {
		draft_set(p->d, ours, "null");
	} else if (str_is_one_of(text, own)) {
		draft_set(p->d, ours, text);
	} else {
		put_path(p, key, ours);
	}
}

static void
put_outputs(struct program *p)
{
	bool one = is_yes(take(p, "redirect_stderr"));

	put_output(p, "stdout_logfile", "stdout");
	(void)take(p, "stderr_logfile");
	put_output(p, one ? "stdout_logfile" : "stderr_logfile", "stderr");
	put_size(p, "stdout_logfile_maxbytes");
	if (supervisord_file_find(p->f, p->section, "stdout_logfile_backups") != NULL)
		draft_set(p->d, "log_keep", take(p, "stdout_logfile_backups"));
}

static void
put_as_it_is(struct program *p, const char *key, const char *ours)
{
	const char *text = take(p, key);

	if (text != NULL)
		draft_set(p->d, ours, text);
}

static void
note_rest(struct program *p)
{
	static const struct {
		const char *key, *why;
	} known[] = {
		{ "startretries", "supervisord gives up after so many starts "
		    "that fail; restart_limit = N/60s counts deaths within a "
		    "time" },
		{ "serverurl", "clusterctl finds clusterd by its file" },
		{ "process_name", "instances have numbers: NAME.0, NAME.1" },
		{ "stderr_logfile_maxbytes", "log_max_size is for both" },
		{ "stderr_logfile_backups", "log_keep is for both" },
	};

	for (size_t i = 0; i < p->f->n; i++) {
		struct supervisord_pair *pair = &p->f->v[i];
		const char *why;

		if (pair->key == NULL || pair->used ||
		    strcmp(pair->section, p->section) != 0)
			continue;
		why = conf_foreign(pair->key);
		for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
			if (strcmp(known[k].key, pair->key) == 0)
				why = known[k].why;
		draft_note(p->d, pair->key, pair->value.text, why != NULL ?
		    why : "there is no such thing here");
	}
}

static void
put_program(struct draft *d, struct supervisord_file *f, const char *section)
{
	struct program p = {
		.d = d, .f = f, .section = section,
		.name = section + strlen(PROGRAM),
	};
	const char *n;

	draft_begin_app(d, p.name);
	put_command(&p);
	put_path(&p, "directory", "directory");
	n = take(&p, "numprocs");
	draft_set(d, "instances", n != NULL ? n : "1");
	draft_say(d, "port = 8080: where it listens, if it does; its workers "
	    "then share it.");
	put_as_it_is(&p, "user", "user");
	put_as_it_is(&p, "umask", "umask");
	put_restart(&p);
	/* 1 is the default of both; without a listener that is what ready says. */
	if (supervisord_file_find(f, section, "startsecs") != NULL &&
	    strcmp(take(&p, "startsecs"), "0") != 0)
		put_seconds(&p, "startsecs", "ready", "alive:");
	put_as_it_is(&p, "stopsignal", "stop_signal");
	put_seconds(&p, "stopwaitsecs", "stop_timeout", "");
	if (is_yes(take(&p, "stopasgroup")))
		draft_set(d, "stop_to", "group");
	/* Which is so here, in any case. */
	(void)take(&p, "killasgroup");
	put_outputs(&p);
	put_environment(&p);
	note_rest(&p);
	draft_end_app(d);
}

static const char *
why_not(const char *section)
{
	if (strcmp(section, "include") == 0)
		return "import each of those files, and name the results in "
		    "include of [clusterd]";
	if (str_starts(section, "group:"))
		return "there are no groups of apps here";
	if (str_starts(section, "eventlistener:"))
		return "clusterctl events -f tells what happens";
	if (str_starts(section, "fcgi-program:"))
		return "its programs take their socket as descriptor 0, which "
		    "no fd_protocol does; those that bind one need nothing";
	return "the control socket and clusterctl are clusterd's own";
}

static void
note_own(struct draft *d, const struct supervisord_pair *pair)
{
	const char *why = conf_foreign(pair->key);
	struct strbuf name = STRBUF_INIT;

	strbuf_printf(&name, "[supervisord] %s", pair->key);
	if (!name.failed)
		draft_note(d, name.text, pair->value.text, why != NULL ? why :
		    "it is supervisord's own");
	strbuf_free(&name);
}

static int
no_program(const struct supervisord_file *f, struct error *err)
{
	const struct supervisord_pair *files =
	    supervisord_file_find(f, "include", "files");

	if (files == NULL)
		return error_set(err, -EINVAL, "there is no [program:NAME]");
	return error_set(err, -EINVAL, "there is no [program:NAME] but in the "
	    "files of [include]: import each of them: %s", files->value.text);
}

int
import_supervisord(struct draft *d, const char *text, size_t len,
    struct error *err)
{
	struct supervisord_file f = { .n = 0 };
	size_t n = 0;
	int r = supervisord_file_read(&f, text, len, err);

	for (size_t i = 0; r == 0 && i < f.n; i++) {
		const char *section = f.v[i].section;

		if (str_starts(section, PROGRAM))
			continue;
		if (f.v[i].key == NULL) {
			struct strbuf name = STRBUF_INIT;

			strbuf_printf(&name, "[%s]", section);
			if (!name.failed && strcmp(section, "supervisord") != 0)
				draft_note(d, name.text, NULL,
				    why_not(section));
			strbuf_free(&name);
		} else if (strcmp(section, "supervisord") == 0) {
			note_own(d, &f.v[i]);
		}
	}
	for (size_t i = 0; r == 0 && i < f.n; i++)
		if (f.v[i].key == NULL && str_starts(f.v[i].section, PROGRAM)) {
			put_program(d, &f, f.v[i].section);
			n++;
		}
	if (r == 0 && n == 0)
		r = no_program(&f, err);
	supervisord_file_free(&f);
	return r;
}

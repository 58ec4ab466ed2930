#include <string.h>

#include "base/str.h"
#include "core/conf/advice_command.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_source.h"
#include "core/conf/raw_word.h"
#include "core/names/address.h"

#define SHELL "sh -c '...' is one"

/* Programs that hand their words to a shell, here or elsewhere: what means
   something to a shell means it there. */
static bool
has_shell_behind(const struct conf_app *app)
{
	static const char *const programs[] = {
		"ssh", "autossh", "rsh", "mosh", "watch", "parallel", "eval",
		"entr", "dbclient", "sshpass", NULL,
	};

	for (size_t i = 0; i < app->command.n; i++)
		if (str_is_one_of(str_base_name(app->command.v[i]), programs))
			return true;
	return false;
}

/* What stands behind these is a script, or code: no variable of clusterd's. */
static bool
announces_code(const struct raw_word *w)
{
	static const char *const options[] = {
		"-c", "-ec", "-lc", "-xc", "-euc", "-ic", "-lic", "-e", "-E",
		"-r", "-S", "--eval", "--command", "--exec", NULL,
	};

	for (size_t i = 0; options[i] != NULL; i++)
		if (raw_word_is(w, options[i]))
			return true;
	return false;
}

/* ... or within the same word. */
static bool
has_code(const struct raw_word *w)
{
	static const char *const begin[] = {
		"--eval=", "--exec=", "--command=", NULL,
	};

	for (size_t i = 0; begin[i] != NULL; i++)
		if (w->len > strlen(begin[i]) &&
		    memcmp(w->at, begin[i], strlen(begin[i])) == 0)
			return true;
	return false;
}

/* Behind `node -p`, which to others is a port. */
static bool
prints_code(const struct conf_app *app, const struct raw_word *first)
{
	static const char *const programs[] = {
		"node", "nodejs", "bun", NULL,
	};

	return str_is_one_of(str_base_name(app->command.v[0]), programs) &&
	    (raw_word_is(first, "-p") || raw_word_is(first, "-pe"));
}

/* A shell, or a language in whose scripts a $ stands for itself. */
static bool
expands_itself(const struct conf_app *app)
{
	static const char *const programs[] = {
		"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish",
		"busybox", "awk", "gawk", "mawk", "perl", "envsubst", NULL,
	};

	for (size_t i = 0; i < app->command.n; i++)
		if (str_is_one_of(str_base_name(app->command.v[i]), programs))
			return true;
	return false;
}

static bool
is_upper_name_byte(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || c == '_' ||
	    (!first && c >= '0' && c <= '9');
}

static bool
is_name_byte(char c, bool first)
{
	return is_upper_name_byte(c, first) || (c >= 'a' && c <= 'z');
}

/* NAME=..., before any slash. */
static bool
is_assignment(const char *word)
{
	const char *s = word;

	while (is_name_byte(*s, s == word))
		s++;
	return s > word && *s == '=';
}

const char *
advice_program(const char *program)
{
	static const char *const words[] = {
		"export", "source", "set", "ulimit", "umask", "eval", "if",
		"while", "for", "trap", "wait", ".", "{", "(", "!", "&&", "||",
		NULL,
	};

	if (is_assignment(program))
		return "a variable goes into env, and no shell runs this";
	if (strcmp(program, "cd") == 0)
		return "a word of a shell, and no shell runs this: "
		       "directory = DIR, or " SHELL;
	if (strcmp(program, "exec") == 0)
		return "a word of a shell, and no shell runs this: leave it "
		       "out";
	if (str_is_one_of(program, words))
		return "a word of a shell, and no shell runs this: " SHELL;
	if (strpbrk(program, " \t") != NULL)
		return "one word, with its blanks: without the quotes it is a "
		       "program and its arguments";
	return NULL;
}

/* ---- words that a shell would have taken ---- */

struct look {
	const struct conf_keys *keys;
	const struct conf_app *app;
	struct conf_errors *warnings;
	bool code;		/* its words are none of clusterd's */
	bool runs_words;	/* find -exec, see below */
};

static unsigned
line_of(const struct look *l)
{
	return conf_keys_line(l->keys, CONF_KEY_COMMAND);
}

static void
tell_plain(const struct look *l, const char *at, size_t len, const char *what)
{
	conf_error_add(l->warnings, line_of(l), "command", "\"%.*s\" is plain "
	    "text, as no shell runs this: %s", (int)(len < 40 ? len : 40), at,
	    what);
}

static bool
is_redirection(const struct raw_word *w)
{
	static const char *const whole[] = {
		">", ">>", "<", "<<", "2>", "2>>", "&>", "&>>", NULL,
	};
	static const char *const begin[] = {
		">/", ">>/", "2>/", "2>>/", "&>/", "</", "2>&", "1>&", ">&",
		">./", ">>./", "2>./", NULL,
	};

	for (size_t i = 0; whole[i] != NULL; i++)
		if (raw_word_is(w, whole[i]))
			return true;
	for (size_t i = 0; begin[i] != NULL; i++)
		if (raw_word_starts(w, begin[i]))
			return true;
	return false;
}

/* `>out.log`, `2>logs/err`; and not `>=1.2`, `<tag>`. */
static bool
is_redirection_to_name(const struct raw_word *w)
{
	static const char *const begin[] = {
		"2>>", "2>", "&>>", "&>", ">>", ">", NULL,
	};

	for (size_t i = 0; w->plain && begin[i] != NULL; i++) {
		size_t len = strlen(begin[i]);
		const char *name = w->at + len;

		if (raw_word_starts(w, begin[i]))
			return w->len > len && is_name_byte(*name, true) &&
			    (memchr(name, '.', w->len - len) != NULL ||
			    memchr(name, '/', w->len - len) != NULL);
	}
	return false;
}

/* `./migrate; node app.js` */
static bool
ends_command(const struct raw_word *w)
{
	return w->plain && w->len > 1 && w->at[w->len - 1] == ';' &&
	    memchr(w->at, '=', w->len) == NULL;
}

/* find(1) and its like take it so. */
static bool
runs_words(const struct conf_app *app)
{
	static const char *const options[] = {
		"-exec", "-execdir", "-ok", "-okdir", NULL,
	};

	for (size_t i = 1; i < app->command.n; i++)
		if (str_is_one_of(app->command.v[i], options))
			return true;
	return false;
}

/* `cut -d |`: what stands behind it may be its value. */
static bool
is_short_option(const struct raw_word *w)
{
	return w->plain && w->len == 2 && w->at[0] == '-' &&
	    ((w->at[1] >= 'a' && w->at[1] <= 'z') ||
	    (w->at[1] >= 'A' && w->at[1] <= 'Z'));
}

/* An operator; true: told. */
static bool
look_operator(const struct look *l, const struct raw_word *before,
    const struct raw_word *w, bool last)
{
	bool value = is_short_option(before);

	if (is_redirection(w) || is_redirection_to_name(w)) {
		tell_plain(l, w->at, w->len, "stdout and stderr say where "
		    "output goes; or " SHELL);
	} else if (raw_word_is(w, "&") && last) {
		tell_plain(l, w->at, w->len, "leave it out, a worker stays in "
		    "the foreground");
	} else if (raw_word_is(w, "&&") || raw_word_is(w, "||") ||
	    (raw_word_is(w, "|") && !value) || raw_word_is(w, "|&") ||
	    (raw_word_is(w, ";") && !value && !last && !l->runs_words)) {
		tell_plain(l, w->at, w->len, SHELL);
	} else if (ends_command(w) && !last && !l->runs_words && !l->code) {
		tell_plain(l, w->at + w->len - 1, 1, SHELL);
	} else {
		return false;
	}
	return true;
}

static bool
has_port(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++)
		if (app->listens[i].kind != ADDRESS_UNIX)
			return true;
	return false;
}

/* $NAME, ${NAME} and $(NAME) of capital letters, as people name variables; in
   code and patterns a $ is rarely before those. How much of it, or 0. */
static size_t
variable_len(const char *at, const char *end, const char **ret_name,
    size_t *ret_len)
{
	const char *s = at + 1, *name;
	char close = '\0';

	if (s < end && (*s == '{' || *s == '('))
		close = *s++ == '{' ? '}' : ')';
	name = s;
	while (s < end && is_upper_name_byte(*s, s == name))
		s++;
	if (s == name || (s < end && is_name_byte(*s, false)))
		return 0;
	*ret_name = name;
	*ret_len = (size_t)(s - name);
	if (close == '\0')
		return s < end && strchr("{[(", *s) != NULL ? 0 :
		    (size_t)(s - at);
	/* ${PORT:-8080}, and not $ENV{PORT}. Not as far as another one: many may
	   be open. */
	if (s < end && close == '}' && *s == ':')
		while (s < end && *s != close && *s != '$')
			s++;
	return s < end && *s == close ? (size_t)(s - at) + 1 : 0;
}

static void
tell_variable(const struct look *l, const char *at, size_t whole,
    const char *name, size_t len)
{
	struct strbuf remedy = STRBUF_INIT;

	if (len == strlen("PORT") && memcmp(name, "PORT", len) == 0 &&
	    has_port(l->app))
		strbuf_puts(&remedy, "{port} is the port");
	else
		strbuf_printf(&remedy, "{env:%.*s} is replaced",
		    (int)(len < 40 ? len : 40), name);
	tell_plain(l, at, whole, remedy.failed ? "{env:NAME} is replaced" :
	    remedy.text);
	strbuf_free(&remedy);
}

/* A variable, a home, or a command whose output was to stand here; true: told. */
static bool
look_substitution(const struct look *l, const struct raw_word *w)
{
	const char *end = w->at + w->len, *s, *name = NULL;
	struct raw_scan scan = RAW_SCAN_INIT;
	size_t len = 0, whole;

	/* What has blanks within its quotes is text, or code. */
	if (memchr(w->at, ' ', w->len) != NULL)
		return false;
	while ((s = raw_word_live(w, &scan, '$')) != NULL) {
		/* A pattern, or the hash of a password: $6$SALT$... */
		if (s + 1 < end && s[1] >= '0' && s[1] <= '9')
			return false;
		whole = variable_len(s, end, &name, &len);
		if (whole > 0) {
			tell_variable(l, s, whole, name, len);
			return true;
		}
		if (s + 2 < end && s[1] == '(' && s[2] >= 'a' &&
		    s[2] <= 'z' && (s == w->at || s[-1] == '=')) {
			tell_plain(l, s, (size_t)(end - s), SHELL);
			return true;
		}
	}
	if (raw_word_is(w, "~") || raw_word_starts(w, "~/")) {
		tell_plain(l, w->at, w->len, "{env:HOME} is replaced");
		return true;
	}
	if (w->plain && w->at[0] == '`') {
		tell_plain(l, w->at, w->len, SHELL);
		return true;
	}
	return false;
}

static void
tell_comment(const struct look *l)
{
	conf_error_add(l->warnings, line_of(l), "command", "\"#\" and what "
	    "follows are words of it: a comment stands on a line of its own");
}

static bool
is_last(const char *rest)
{
	struct raw_word w;

	return !raw_word_next(&rest, &w) || raw_word_is(&w, "#");
}

/* One thing of each kind is told: what is behind the first most likely follows
   from it. */
static void
look_at_words(const struct look *l, const char *text, bool told)
{
	struct raw_word w, before = { .len = 0 };

	for (size_t i = 0; raw_word_next(&text, &w); i++, before = w) {
		bool code = l->code || has_code(&w) ||
		    announces_code(&before) ||
		    (i == 2 && prints_code(l->app, &before));

		if (before.len > 0 && raw_word_is(&w, "#") &&
		    !is_short_option(&before)) {
			tell_comment(l);
			return;
		}
		if (!told)
			told = look_operator(l, &before, &w, is_last(text)) ||
			    (!code && look_substitution(l, &w));
	}
}

void
advice_command(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings)
{
	const struct look l = {
		.keys = keys, .app = app, .warnings = warnings,
		.code = expands_itself(app), .runs_words = runs_words(app),
	};
	const struct conf_entry *entry = keys->seen[CONF_KEY_COMMAND].entry;
	const char *program = app->command.v[0];
	const char *why = advice_program(program);
	bool blanks = strpbrk(program, " \t") != NULL;
	size_t len = is_assignment(program) ? strcspn(program, "=") + 1 :
	    strlen(program);

	if (entry == NULL || has_shell_behind(app))
		return;
	/* There may be a file of such a name: whoever looks tells that. */
	if (blanks && !is_assignment(program))
		why = NULL;
	if (why != NULL)
		conf_error_add(warnings, line_of(&l), "command", "\"%.*s%s\" "
		    "is no program: %s", (int)(len < 40 ? len : 40), program,
		    is_assignment(program) ? "..." : "", why);
	look_at_words(&l, entry->lines.v[0], why != NULL);
}

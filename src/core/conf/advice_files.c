#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/advice_command.h"
#include "core/conf/advice_files.h"
#include "core/conf/advice_value.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/names/address.h"

struct look {
	const struct conf_keys *keys;
	const struct conf_host *host;
	const struct conf_app *app;
	struct conf_errors *warnings;
};

static unsigned
line_of(const struct look *l, enum conf_key_id id)
{
	return conf_keys_line(l->keys, id);
}

/* What is at `name` as of `dir`; enum conf_look. */
static int
look_at(const struct look *l, const char *name, const char *dir)
{
	char *path = address_path(name, dir);
	int found = path != NULL ? l->host->look(l->host->ctx, path) :
	    CONF_LOOK_UNKNOWN;

	free(path);
	return found;
}

static bool
has_braces(const char *s)
{
	return strchr(s, '{') != NULL;
}

/* ---- the program ---- */

/* As the worker gets it; NULL: that cannot be said here. */
static const char *
path_of(const struct look *l)
{
	const char *path = conf_env_said(l->app, "PATH");

	for (char *const *e = l->host->environ;
	     path == NULL && e != NULL && *e != NULL; e++)
		if (str_starts(*e, "PATH="))
			path = *e + strlen("PATH=");
	return path != NULL && !has_braces(path) ? path : NULL;
}

/* With the rights of its user; the words are of the first one that is not allowed. */
static bool
may_execute(const struct look *l, const char *path, const char *what,
    struct error *err)
{
	struct error why = ERROR_INIT;
	bool may = l->host->may_execute == NULL || l->host->may_execute(
	    l->host->ctx, path, what, &l->app->creds, &why) == 0;

	if (!may && err->text == NULL)
		error_set(err, -EACCES, "%s", error_text(&why));
	error_clear(&why);
	return may;
}

/* In one directory of PATH. */
static int
search_in(const struct look *l, const char *program, const char *dir,
    struct error *err)
{
	char *path = *dir == '/' ? address_path(program, dir) : NULL;
	int found = path != NULL ? l->host->look(l->host->ctx, path) :
	    CONF_LOOK_UNKNOWN;

	if (found == CONF_LOOK_PROGRAM && !may_execute(l, path, "execute", err))
		found = CONF_LOOK_NOTHING;
	free(path);
	return found;
}

/* CONF_LOOK_PROGRAM, 0 where it is nowhere, or CONF_LOOK_UNKNOWN; as execvp(3), which
   goes on behind one that is not allowed: such a one is in `err`. */
static int
search(const struct look *l, const char *program, struct error *err)
{
	const char *path = path_of(l);

	for (; path != NULL; path++) {
		size_t len = strcspn(path, ":");
		char *dir = strndup(path, len);
		int found = dir != NULL ? search_in(l, program, dir, err) :
		    CONF_LOOK_UNKNOWN;

		free(dir);
		if (found == CONF_LOOK_PROGRAM || found == CONF_LOOK_UNKNOWN)
			return found;
		path += len;
		if (*path == '\0')
			return 0;
	}
	return CONF_LOOK_UNKNOWN;
}

static void
tell_program(const struct look *l, const char *before, const char *program,
    const char *behind)
{
	conf_error_add(l->warnings, line_of(l, CONF_KEY_COMMAND), "command",
	    "%s%.200s%s", before, program, behind);
}

/* A bare name that is not in PATH. */
static void
tell_not_in_path(const struct look *l, const char *program)
{
	int beside = look_at(l, program, l->host->base_dir);

	if (beside != CONF_LOOK_FILE && beside != CONF_LOOK_PROGRAM)
		tell_program(l, "there is no ", program, " in PATH");
	else
		conf_error_add(l->warnings, line_of(l, CONF_KEY_COMMAND),
		    "command", "a name without a / is looked up in PATH, and "
		    "%.60s is not there: ./%.60s is the file beside this one%s",
		    program, program, beside == CONF_LOOK_PROGRAM ? "" :
		    ", which is not executable: its interpreter stands before "
		    "it");
}

static void
tell_missing(const struct look *l, const char *program)
{
	const char *why = advice_program(program);

	/* Of other words advice_command() has told. */
	if (why != NULL && strpbrk(program, " \t") != NULL)
		conf_error_add(l->warnings, line_of(l, CONF_KEY_COMMAND),
		    "command", "there is no program \"%.60s\": %s", program,
		    why);
	else if (why == NULL && *program == '/')
		tell_program(l, "there is no ", program, "");
	else if (why == NULL)
		tell_not_in_path(l, program);
}

static void
look_at_program(const struct look *l)
{
	const char *program = l->app->command.v[0];
	struct error err = ERROR_INIT;
	int found;

	if (has_braces(program))
		return;
	found = *program == '/' ? l->host->look(l->host->ctx, program) :
	    search(l, program, &err);
	if (*program == '/' && found == CONF_LOOK_PROGRAM)
		(void)may_execute(l, program, "execute", &err);
	if (found == 0 && err.text == NULL)
		tell_missing(l, program);
	else if (err.text != NULL && (found == 0 || *program == '/'))
		tell_program(l, "", error_text(&err), "");
	else if (found == CONF_LOOK_DIRECTORY)
		tell_program(l, "", program, " is a directory");
	else if (found == CONF_LOOK_FILE)
		tell_program(l, "", program, " is not executable: chmod +x "
		    "makes it so, or its interpreter stands before it");
	error_clear(&err);
}

/* ---- directories ---- */

static void
look_at_directory(const struct look *l)
{
	const char *dir = l->app->directory;
	const char *behind = "";
	struct error err = ERROR_INIT;
	int found;

	if (dir == NULL || has_braces(dir))
		return;
	found = l->host->look(l->host->ctx, dir);
	if (found == CONF_LOOK_DIRECTORY && !may_execute(l, dir, "enter", &err))
		conf_error_add(l->warnings, line_of(l, CONF_KEY_DIRECTORY),
		    "directory", "%s", error_text(&err));
	error_clear(&err);
	if (found == CONF_LOOK_DIRECTORY || found == CONF_LOOK_UNKNOWN)
		return;
	if (advice_value_comment(dir))
		behind = "; a comment stands on a line of its own";
	conf_error_add(l->warnings, line_of(l, CONF_KEY_DIRECTORY),
	    "directory", found == 0 ? "there is no %.200s%s" :
	    "%.200s is no directory%s", dir, behind);
}

static void
look_at_output(const struct look *l, enum conf_key_id id,
    const struct conf_output *output)
{
	struct error err = ERROR_INIT;

	if (output->kind != CONF_OUTPUT_FILE || has_braces(output->path) ||
	    l->host->may_write == NULL)
		return;
	if (l->host->may_write(l->host->ctx, output->path, &l->app->creds,
	    &err) < 0)
		conf_error_add(l->warnings, line_of(l, id), conf_key_name(id),
		    "[%s] %s", l->app->name, error_text(&err));
	error_clear(&err);
}

/* ---- files among the arguments ---- */

/* `app.js`, `dist/main.js`; not an option, and not `name=value`. */
static bool
is_file_name(const char *word)
{
	return *word != '\0' && *word != '-' && *word != '/' &&
	    strpbrk(word, "={}:$*? \t\n") == NULL &&
	    strpbrk(word, "./") != NULL && strcmp(word, ".") != 0 &&
	    strcmp(word, "..") != 0;
}

/* Another word may be what a program changes to: `nginx -p /srv`, `--chdir=/srv`.
   So many are looked at. */
#define LOOKED_MAX 32

static bool
names_directory(const struct look *l)
{
	size_t looked = 0;

	for (size_t i = 1; i < l->app->command.n && looked < LOOKED_MAX; i++) {
		const char *word = l->app->command.v[i];
		const char *value = strstr(word, "=/");

		if (*word != '/')
			word = value != NULL ? value + 1 : NULL;
		if (word == NULL || has_braces(word))
			continue;
		looked++;
		if (l->host->look(l->host->ctx, word) == CONF_LOOK_DIRECTORY)
			return true;
	}
	return false;
}

static bool
is_beside(const struct look *l, const char *word)
{
	int beside = look_at(l, word, l->host->base_dir);

	return beside == CONF_LOOK_FILE || beside == CONF_LOOK_PROGRAM;
}

/* True: told. */
static bool
look_elsewhere(const struct look *l, const char *word)
{
	const char *cwd = l->host->cwd;

	if (look_at(l, word, cwd) != 0 || !is_beside(l, word) ||
	    names_directory(l))
		return false;
	conf_error_add(l->warnings, line_of(l, CONF_KEY_COMMAND),
	    "command", "%.60s is looked for in the directory that "
	    "clusterd is started in, now %.200s, and is not there: "
	    "directory = . is that of this file, where it is", word, cwd);
	return true;
}

/* `npm start`; what is told of another directory is not known here. A directory
   above is looked in as well. */
static bool
wants_package(const struct look *l)
{
	static const char *const programs[] = { "npm", "pnpm", "yarn", NULL };
	static const char *const elsewhere[] = {
		"--prefix", "--dir", "--cwd", "-C", NULL,
	};
	const struct strlist *command = &l->app->command;
	const char *base = l->host->base_dir;

	for (size_t i = 1; i < command->n; i++)
		for (size_t j = 0; elsewhere[j] != NULL; j++)
			if (str_starts(command->v[i], elsewhere[j]))
				return false;
	return str_is_one_of(str_base_name(command->v[0]), programs) &&
	    !str_starts(l->host->cwd, base);
}

/*
 * Relative to the working directory, which is clusterd's own where none is set,
 * and that is another one each time. It is told where it is seen to be wrong.
 */
static void
look_at_arguments(const struct look *l)
{
	const struct strlist *command = &l->app->command;
	const char *cwd = l->host->cwd, *base = l->host->base_dir;
	size_t looked = 0;

	if (l->app->directory != NULL || cwd == NULL || strcmp(cwd, base) == 0)
		return;
	if (wants_package(l) && look_elsewhere(l, "package.json"))
		return;
	for (size_t i = 1; i < command->n && looked < LOOKED_MAX; i++) {
		if (!is_file_name(command->v[i]))
			continue;
		looked++;
		if (look_elsewhere(l, command->v[i]))
			return;
	}
}

static bool
is_script_name(const char *word)
{
	static const char *const ends[] = {
		".js", ".mjs", ".cjs", ".ts", ".py", ".rb", ".php", ".pl",
		NULL,
	};
	const char *dot = strrchr(str_base_name(word), '.');

	return dot != NULL && strpbrk(word, "={}:$*? \t\n") == NULL &&
	    str_is_one_of(dot, ends);
}

/* `node app.js`: of other words it is not known what they are to the program. */
static bool
names_script(const struct conf_app *app)
{
	static const char *const programs[] = {
		"node", "nodejs", "bun", "python", "python3", "ruby", "php",
		"perl", NULL,
	};

	return app->command.n > 1 && is_script_name(app->command.v[1]) &&
	    str_is_one_of(str_base_name(app->command.v[0]), programs);
}

static void
look_at_script(const struct look *l)
{
	const char *dir = l->app->directory, *base = l->host->base_dir;
	const char *script = l->app->command.v[1];
	const char *from = dir != NULL ? dir : l->host->cwd;

	if (!names_script(l->app) || from == NULL || has_braces(from) ||
	    l->host->look(l->host->ctx, from) != CONF_LOOK_DIRECTORY ||
	    look_at(l, script, from) != 0)
		return;
	/* Of one that is there look_at_arguments() has told. */
	if (dir == NULL && strcmp(from, base) != 0 &&
	    look_at(l, script, base) != 0)
		return;
	if (*script == '/')
		tell_program(l, "there is no ", script, "");
	else
		conf_error_add(l->warnings, line_of(l, CONF_KEY_COMMAND),
		    "command", "there is no %.200s in %.200s%s", script, from,
		    dir != NULL ? "" : ", where clusterd is started now");
}

void
advice_files(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings)
{
	const struct look l = {
		.keys = keys, .host = host, .app = app, .warnings = warnings,
	};

	if (host->look == NULL)
		return;
	look_at_arguments(&l);
	if (!host->testing)
		return;
	look_at_program(&l);
	look_at_script(&l);
	look_at_directory(&l);
	look_at_output(&l, CONF_KEY_STDOUT, &app->out);
	if (app->err.kind != CONF_OUTPUT_FILE || app->out.kind !=
	    CONF_OUTPUT_FILE || strcmp(app->err.path, app->out.path) != 0)
		look_at_output(&l, CONF_KEY_STDERR, &app->err);
}

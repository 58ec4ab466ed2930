#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_include.h"
#include "core/conf/conf_source.h"

#define WEB "[web]\ncommand = x\n"

/* A world of files, sorted; the first is /srv/a/app.ini. */
struct file {
	const char *path;
	const char *text;	/* NULL: it cannot be read */
	const char *id;		/* NULL: its path */
};

struct world {
	const struct file *files;
	size_t n;
	unsigned reads;
};

static const struct file *
find(const struct world *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->files[i].path, path) == 0)
			return &w->files[i];
	return NULL;
}

static int
list(void *ctx, const char *pattern, struct strlist *ret_paths,
    struct error *err)
{
	const struct world *w = ctx;

	if (strstr(pattern, "secret") != NULL)
		return error_set(err, -EACCES, "cannot look for %s: no",
		    pattern);
	for (size_t i = 0; i < w->n; i++)
		if (fnmatch(pattern, w->files[i].path, FNM_PATHNAME) == 0)
			strlist_add(ret_paths, w->files[i].path);
	return 0;
}

static char *
identify(void *ctx, const char *path)
{
	const struct file *f = find(ctx, path);

	return strdup(f != NULL && f->id != NULL ? f->id : path);
}

static int
read_one(void *ctx, const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err)
{
	struct world *w = ctx;
	const struct file *f = find(w, path);

	w->reads++;
	if (f == NULL || f->text == NULL)
		return error_set(err, -EIO, "cannot read %s: no", path);
	if (strlen(f->text) > max)
		return error_set(err, -EFBIG, "too long");
	*ret_text = strdup(f->text);
	*ret_len = strlen(f->text);
	return *ret_text != NULL ? 0 : -ENOMEM;
}

static int
no_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)user;
	(void)group;
	(void)ret_creds;
	return error_set(err, -ENOENT, "nobody is known here");
}

/* What it comes to; `text` gets all errors, or warnings, a line each. */
static struct config *
load(struct world *w, struct strbuf *text)
{
	const struct conf_include_host include = {
		.ctx = w, .list = list, .identify = identify,
		.read = read_one,
	};
	const struct conf_host host = {
		.base_dir = "/srv/a", .find_creds = no_creds, .testing = true,
	};
	struct conf_errors errors = { .file = "a/app.ini" };
	const struct conf_errors *told = &errors;
	struct conf_source source;
	struct config *config = NULL;

	assert_int_equal(conf_include_read(w->files[0].text,
	    strlen(w->files[0].text), w->files[0].path, "/srv/a", &include,
	    &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	conf_errors_sort(&errors);
	conf_source_free(&source);
	assert_true((config == NULL) == (errors.n > 0));
	if (config != NULL)
		told = &config->warnings;
	for (size_t i = 0; i < told->n; i++)
		strbuf_printf(text, "%s\n", told->v[i].text);
	assert_false(text->failed);
	conf_errors_free(&errors);
	return config;
}

#define WORLD(files) { (files), sizeof(files) / sizeof(*(files)), 0 }

static void
expect_errors(const struct file *files, size_t n, const char *words)
{
	struct world w = { files, n, 0 };
	struct strbuf text = STRBUF_INIT;
	struct config *config = load(&w, &text);

	assert_null(config);
	assert_string_equal(text.text, words);
	strbuf_free(&text);
}

#define EXPECT_ERRORS(files, words) \
	expect_errors((files), sizeof(files) / sizeof(*(files)), (words))

/* ---- tests ---- */

static void
apps_come_in_the_order_of_patterns_and_names(void **state)
{
	static const struct file files[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = conf.d/*.ini\n"
		    "\t../b/last.ini\n" WEB, NULL },
		{ "/srv/a/../b/last.ini", "[last]\ncommand = x\n", NULL },
		{ "/srv/a/conf.d/10.ini", "[ten]\ncommand = x\n", NULL },
		{ "/srv/a/conf.d/9.ini", "[nine]\ncommand = x\n", NULL },
		{ "/srv/a/conf.d/9.txt", "rubbish", NULL },
	};
	static const char *const names[] = { "web", "ten", "nine", "last" };
	struct world w = WORLD(files);
	struct strbuf text = STRBUF_INIT;
	struct config *config = load(&w, &text);

	(void)state;
	assert_non_null(config);
	assert_int_equal(text.len, 0);
	assert_int_equal(config->n_apps, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(config->apps[i].name, names[i]);
	assert_int_equal(w.reads, 3);
	config_unref(config);
}

static void
paths_are_relative_to_their_file(void **state)
{
	static const struct file files[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = conf.d/*.ini\n"
		    "log = x.log\n" WEB "directory = .\n", NULL },
		{ "/srv/a/conf.d/b.ini", "\n[b]\ncommand = x\ndirectory = d\n"
		    "stdout = o\nlisten = unix:s\n", NULL },
	};
	struct world w = WORLD(files);
	struct strbuf text = STRBUF_INIT;
	struct config *config = load(&w, &text);
	const struct conf_app *b;
	unsigned line;

	(void)state;
	assert_non_null(config);
	b = config_find_app(config, "b");
	assert_string_equal(config->log, "/srv/a/x.log");
	assert_string_equal(config->apps[0].directory, "/srv/a");
	assert_string_equal(b->directory, "/srv/a/conf.d/d");
	assert_string_equal(b->out.path, "/srv/a/conf.d/o");
	assert_string_equal(b->listens[0].path, "/srv/a/conf.d/s");
	assert_string_equal(config_app_dir(config, b), "/srv/a/conf.d");
	assert_string_equal(config_app_dir(config, &config->apps[0]),
	    "/srv/a");
	assert_string_equal(config_file_of(config, b->out.line, &line),
	    "a/conf.d/b.ini");
	assert_int_equal(line, 5);
	assert_string_equal(config_file_of(config, config->apps[0].line,
	    &line), "a/app.ini");
	assert_int_equal(line, 4);
	config_unref(config);
}

static void
errors_name_file_and_line(void **state)
{
	static const struct file files[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = c/*.ini\n"
		    "[web]\ncommand = x\nlisten = 80\nstdout = /o\n", NULL },
		{ "/srv/a/c/1.ini", "foo = 1\n[api]\ncommand = x\nport = 80\n"
		    "log_max_size = 1M\nstdout = /o\nport = 81\nbad = 1", NULL },
		{ "/srv/a/c/2.ini", "[api]\ncommand = x\n[web]\n"
		    "command = x\n", NULL },
	};

	(void)state;
	EXPECT_ERRORS(files,
	    "a/c/1.ini:1: foo: stands before any section, a [NAME] is needed "
	    "above it\n"
	    "a/c/1.ini:4: port: 80 is served already, by [web] in "
	    "a/app.ini:5\n"
	    "a/c/1.ini:6: stdout: \"/o\" is the stdout of [web] in a/app.ini:6 "
	    "too, but with another log_max_size; the same, or another path, is "
	    "allowed\n"
	    "a/c/1.ini:7: port: duplicate key, the first is on line 4\n"
	    "a/c/1.ini:8: bad: unknown key, see clusterd.ini(5) for those that "
	    "are allowed\n"
	    "a/c/2.ini:1: [api] is a duplicate section, the first is in "
	    "a/c/1.ini:2\n"
	    "a/c/2.ini:3: [web] is a duplicate section, the first is in "
	    "a/app.ini:3\n");
}

static void
a_missing_name_is_an_error_and_an_empty_pattern_is_not(void **state)
{
	static const struct file missing[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude =\n\tgone.ini\n"
		    "\tsecret/*\n\tbad.ini\n" WEB, NULL },
		{ "/srv/a/bad.ini", NULL, NULL },
	};
	static const struct file nothing[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = d/*.ini\n" WEB,
		    NULL },
	};
	static const struct file alone[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = d/*.ini e/*.ini\n",
		    NULL },
	};
	static const struct file empty[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude =\n" WEB, NULL },
	};
	static const struct file none[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = none\n" WEB, NULL },
	};
	struct world w = WORLD(nothing), w2 = WORLD(none);
	struct strbuf text = STRBUF_INIT;
	struct config *config = load(&w, &text);

	(void)state;
	EXPECT_ERRORS(missing,
	    "a/app.ini:3: include: there is no gone.ini\n"
	    "a/app.ini:4: include: cannot look for /srv/a/secret/*: no\n"
	    "a/app.ini:5: include: cannot read /srv/a/bad.ini: no\n");
	assert_non_null(config);
	assert_string_equal(text.text, "a/app.ini:2: include: no file matches "
	    "d/*.ini\n");
	strbuf_free(&text);
	config_unref(config);
	EXPECT_ERRORS(alone, "a/app.ini: no app is configured: a section such "
	    "as [web] with a command is needed\n"
	    "a/app.ini:2: include: no file matches d/*.ini e/*.ini\n");
	EXPECT_ERRORS(empty, "a/app.ini:2: include: \"\" is not valid, files, "
	    "by paths or patterns such as conf.d/*.ini is allowed\n");
	config = load(&w2, &text);
	assert_non_null(config);
	assert_int_equal(text.len, 0);
	config_unref(config);
}

static void
only_the_first_file_has_settings_of_clusterd(void **state)
{
	static const struct file files[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = b.ini\n" WEB,
		    NULL },
		{ "/srv/a/b.ini", "[clusterd]\nlog = x\ninclude = d/c.ini\n"
		    "rubbish = 1\n[b]\ncommand = x\n[clusterd]\n", NULL },
		{ "/srv/a/d/c.ini", "[c]\ncommand = x\nfoo = 1\n", NULL },
	};

	(void)state;
	EXPECT_ERRORS(files,
	    "a/b.ini:2: log: stands in an included file: what is clusterd's "
	    "own stands in a/app.ini, and here [clusterd] may have include "
	    "alone\n"
	    "a/b.ini:4: rubbish: stands in an included file: what is "
	    "clusterd's own stands in a/app.ini, and here [clusterd] may have "
	    "include alone\n"
	    "a/b.ini:7: [clusterd] is a duplicate section, the first is on "
	    "line 1\n"
	    "a/d/c.ini:3: foo: unknown key, see clusterd.ini(5) for those that "
	    "are allowed\n");
}

static void
a_file_is_read_once_and_never_by_itself(void **state)
{
	static const struct file twice[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = d/*.ini\n\td/b.ini\n"
		    WEB, NULL },
		{ "/srv/a/d/b.ini", "[b]\ncommand = x\n", NULL },
		{ "/srv/a/d/link.ini", "[b]\ncommand = x\n", "/srv/a/d/b.ini" },
	};
	static const struct file cycle[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = b.ini\n" WEB, NULL },
		{ "/srv/a/b.ini", "[clusterd]\ninclude = ./x/../app.ini\n"
		    "\tb.ini\n", NULL },
		{ "/srv/a/x/../app.ini", "", "/srv/a/app.ini" },
	};
	struct world w = WORLD(twice);
	struct strbuf text = STRBUF_INIT;
	struct config *config = load(&w, &text);

	(void)state;
	assert_non_null(config);
	assert_int_equal(config->n_apps, 2);
	assert_int_equal(w.reads, 1);
	config_unref(config);
	EXPECT_ERRORS(cycle,
	    "a/b.ini:2: include: /srv/a/x/../app.ini includes itself\n"
	    "a/b.ini:3: include: /srv/a/b.ini includes itself\n");
}

static void
depth_number_and_size_are_bounded(void **state)
{
	struct file files[CONF_INCLUDE_FILES + 2];
	struct strlist texts = STRLIST_INIT;
	char *huge = malloc(CONF_FILE_MAX);

	(void)state;
	assert_non_null(huge);
	for (unsigned i = 0; i < CONF_INCLUDE_DEPTH + 1; i++) {
		strlist_printf(&texts, i == 0 ? "/srv/a/app.ini" :
		    "/srv/a/%u.ini", i);
		strlist_printf(&texts, "[clusterd]\ninclude = %u.ini\n[w%u]\n"
		    "command = x\n", i + 1, i);
	}
	for (size_t i = 0; i < texts.n / 2; i++)
		files[i] = (struct file){ texts.v[2 * i], texts.v[2 * i + 1],
		    NULL };
	expect_errors(files, texts.n / 2, "a/7.ini:2: include: /srv/a/8.ini is "
	    "included 8 deep, which is too deep\n");
	strlist_free(&texts);

	for (unsigned i = 0; i < CONF_INCLUDE_FILES + 2; i++) {
		strlist_printf(&texts, "/srv/a/d/%u.ini", i);
		files[i] = (struct file){ texts.v[i], "# nothing\n", NULL };
	}
	files[0] = (struct file){ "/srv/a/app.ini", "[clusterd]\n"
	    "include = d/*.ini\n" WEB, NULL };
	expect_errors(files, CONF_INCLUDE_FILES + 2, "a/app.ini:2: include: "
	    "more than 256 files, the rest is not read\n");
	strlist_free(&texts);

	memset(huge, '#', CONF_FILE_MAX - 1);
	huge[CONF_FILE_MAX - 1] = '\0';
	files[1] = (struct file){ "/srv/a/d/1.ini", huge, NULL };
	expect_errors(files, 2, "a/app.ini:2: include: with /srv/a/d/1.ini the "
	    "files are too long, 4194304 bytes are allowed for all together\n");
	free(huge);
}

static void
a_directory_of_any_name_is_no_pattern(void **state)
{
	static const struct file files[] = {
		{ "/srv/a/app.ini", "[clusterd]\ninclude = b.ini\n" WEB, NULL },
		{ "/srv/[x]*/b.ini", "[b]\ncommand = x\n", NULL },
		{ "/srv/xx/b.ini", "[c]\ncommand = x\n", NULL },
	};
	struct world w = WORLD(files);
	const struct conf_include_host host = {
		.ctx = &w, .list = list, .identify = identify,
		.read = read_one,
	};
	struct conf_errors errors = { .file = "app.ini" };
	struct conf_source source;

	(void)state;
	assert_int_equal(conf_include_read(files[0].text,
	    strlen(files[0].text), files[0].path, "/srv/[x]*", &host,
	    &source, &errors), 0);
	assert_int_equal(errors.n, 0);
	assert_int_equal(source.n_sections, 3);
	assert_string_equal(source.sections[2].name, "b");
	conf_source_free(&source);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apps_come_in_the_order_of_patterns_and_names),
		cmocka_unit_test(paths_are_relative_to_their_file),
		cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(
		    a_missing_name_is_an_error_and_an_empty_pattern_is_not),
		cmocka_unit_test(only_the_first_file_has_settings_of_clusterd),
		cmocka_unit_test(a_file_is_read_once_and_never_by_itself),
		cmocka_unit_test(depth_number_and_size_are_bounded),
		cmocka_unit_test(a_directory_of_any_name_is_no_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Any bytes as a configuration: no crash, errors that are one printable line
 * each, and what is accepted dumps to a text that reads back to the same dump
 * and serves the same addresses.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_diff.h"
#include "fuzz.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_include.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"

struct bytes {
	const char *text;
	size_t len;
	const char *base_dir;
};

/* .../env is a good file, any other path is the input itself. */
static int
fake_read_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	static const char good[] = "# env\nA=1\nexport B=\"2 3\"\n";
	const struct bytes *input = ctx;
	struct bytes from = { .text = good, .len = sizeof(good) - 1 };
	const char *name = strrchr(path, '/');

	CHECK(path[0] == '/' && name != NULL);
	CHECK(strstr(path, "//") == NULL && strstr(path, "/./") == NULL);
	if (strcmp(name, "/none") == 0)
		return error_set(err, -ENOENT, "cannot read %s", path);
	if (strcmp(name, "/env") != 0)
		from = *input;
	*ret_text = malloc(from.len + 1);
	if (*ret_text == NULL)
		return -ENOMEM;
	memcpy(*ret_text, from.text, from.len);
	(*ret_text)[from.len] = '\0';
	*ret_len = from.len;
	return 0;
}

static int
fake_find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	struct conf_creds creds = { .set = true, .uid = 1, .gid = 2 };

	(void)ctx;
	CHECK(user != NULL || group != NULL);
	if (user != NULL && user[0] == 'x')
		return error_set(err, -ENOENT, "no user \"%s\"", user);
	if (group != NULL && group[0] == 'x')
		return error_set(err, -ENOENT, "no group \"%s\"", group);
	if (user != NULL && user[0] == 'l')
		return -EAGAIN;
	if (user != NULL) {
		creds.name = strdup(user);
		creds.home = strdup("/");
		CHECK(creds.name != NULL && creds.home != NULL);
	}
	*ret_creds = creds;
	return 0;
}

/* Every path is there, and a pattern is two more; the files hold the input from
   each of its lines on, so that they are not the same. */
static int
fake_list(void *ctx, const char *pattern, struct strlist *ret_paths,
    struct error *err)
{
	(void)ctx;
	CHECK(pattern[0] == '/');
	if (strchr(pattern, '?') != NULL)
		return error_set(err, -EACCES, "cannot look for %s", pattern);
	if (strchr(pattern, '[') == NULL)
		strlist_add(ret_paths, pattern);
	if (strchr(pattern, '*') != NULL)
		strlist_printf(ret_paths, "%s.b", pattern);
	return 0;
}

static char *
fake_identify(void *ctx, const char *path)
{
	(void)ctx;
	return strdup(path);
}

static int
fake_read_included(void *ctx, const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err)
{
	const struct bytes *input = ctx;
	size_t from = input->len > 0 ? strlen(path) % input->len : 0;

	CHECK(path[0] == '/');
	if (input->len - from > max)
		return error_set(err, -EFBIG, "too long");
	*ret_len = input->len - from;
	*ret_text = malloc(*ret_len + 1);
	if (*ret_text == NULL)
		return -ENOMEM;
	if (*ret_len > 0)
		memcpy(*ret_text, input->text + from, *ret_len);
	(*ret_text)[*ret_len] = '\0';
	return 0;
}

/* All files of it, whatever is in them. */
static void
check_include(const struct bytes *input)
{
	struct bytes ctx = *input;
	const struct conf_include_host include = {
		.ctx = &ctx, .list = fake_list, .identify = fake_identify,
		.read = fake_read_included,
	};
	const struct conf_host host = {
		.ctx = &ctx, .base_dir = input->base_dir, .testing = true,
		.read_file = fake_read_file, .find_creds = fake_find_creds,
	};
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config = NULL;

	CHECK(conf_include_read(input->text, input->len, "/app.ini",
	    input->base_dir, &include, &source, &errors) == 0);
	CHECK(conf_check(&source, &host, &config, &errors) == 0);
	conf_errors_sort(&errors);
	CHECK((config == NULL) == (errors.n > 0));
	for (size_t i = 0; i < errors.n; i++)
		for (const char *s = errors.v[i].text; *s != '\0'; s++)
			CHECK((unsigned char)*s >= ' ' && *s != 0x7f);
	config_unref(config);
	conf_errors_free(&errors);
	conf_source_free(&source);
}

static void
check_errors(const struct conf_errors *errors)
{
	CHECK(errors->n <= CONF_ERRORS_MAX);
	for (size_t i = 0; i < errors->n; i++) {
		const char *s = errors->v[i].text;

		CHECK(strncmp(s, "app.ini:", 8) == 0);
		for (; *s != '\0'; s++)
			CHECK((unsigned char)*s >= ' ' && *s != 0x7f);
		CHECK(i == 0 || errors->v[i - 1].line <= errors->v[i].line);
	}
}

/* The config of the text, or NULL where it has errors. */
static struct config *
load(const char *text, size_t len, const struct bytes *input)
{
	struct bytes ctx = *input;
	const struct conf_host host = {
		.ctx = &ctx,
		.base_dir = input->base_dir,
		.read_file = fake_read_file,
		.find_creds = fake_find_creds,
	};
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config = NULL;

	CHECK(conf_read(text, len, &source, &errors) == 0);
	CHECK(conf_check(&source, &host, &config, &errors) == 0);
	conf_errors_sort(&errors);
	CHECK((config == NULL) == (errors.n > 0));
	check_errors(&errors);
	conf_errors_free(&errors);
	conf_source_free(&source);
	return config;
}

static void
check_round_trip(struct config *config, const struct bytes *input)
{
	char *once = conf_print(config, &(struct conf_here){ 2, NULL }), *twice;
	struct config *again;
	struct conf_diff diff;

	CHECK(once != NULL);
	again = load(once, strlen(once), input);
	CHECK(again != NULL);
	twice = conf_print(again, &(struct conf_here){ 2, NULL });
	CHECK(twice != NULL);
	CHECK(strcmp(once, twice) == 0);

	CHECK(conf_diff(config, again, &diff) == 0);
	CHECK(diff.n_open == 0 && diff.n_close == 0);
	CHECK(diff.n_apps == config->n_apps);
	for (size_t i = 0; i < diff.n_apps; i++) {
		CHECK(diff.apps[i].what == CONF_DIFF_ROLL);
		CHECK(diff.apps[i].old_app == i && diff.apps[i].new_app == i);
	}
	conf_diff_free(&diff);
	config_unref(again);
	free(once);
	free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const base_dirs[] = { "/base", "/", "/b, c " };
	char *copy = fuzz_place(size);

	if (size > 0)
		memcpy(copy, data, size);
	for (size_t i = 0; i < N(base_dirs); i++) {
		struct bytes input = { copy, size, base_dirs[i] };
		struct config *config = load(copy, size, &input);

		if (config != NULL)
			check_round_trip(config, &input);
		config_unref(config);
		/* Which may be read 256 times. */
		if (size <= 4096)
			check_include(&input);
	}
	free(copy);
	return 0;
}

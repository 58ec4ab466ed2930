#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/file/place.h"

static char root[PATH_MAX];

/* DIR/a/b, and DIR/link, which leads to a/b. */
static int
make_dirs(void **state)
{
	char template[] = "/tmp/place.XXXXXX";

	(void)state;
	return mkdtemp(template) == NULL || realpath(template, root) == NULL ||
	    chdir(root) < 0 || mkdir("a", 0700) < 0 ||
	    mkdir("a/b", 0700) < 0 || symlink("a/b", "link") < 0;
}

static int
remove_dirs(void **state)
{
	(void)state;
	return chdir(root) < 0 || unlink("link") < 0 || rmdir("a/b") < 0 ||
	    rmdir("a") < 0 || rmdir(root) < 0;
}

static const char *
below(const char *path)
{
	static char text[2][PATH_MAX + 64];
	static int turn;

	turn = !turn;
	snprintf(text[turn], sizeof(text[turn]), "%s%s", root, path);
	return text[turn];
}

static void
expect_plain(const char *path, const char *plain)
{
	char *got = place_plain(path);

	assert_string_equal(got, plain);
	free(got);
}

static void
plain_paths(void **state)
{
	(void)state;
	expect_plain("/", "/");
	expect_plain("//", "/");
	expect_plain("/..", "/");
	expect_plain("/../x", "/x");
	expect_plain("/.", "/");
	expect_plain("/x/./y//z/", "/x/y/z");
	expect_plain("/.x/..y/...", "/.x/..y/...");
	expect_plain(below("/a/b/.."), below("/a"));
	expect_plain(below("/a/b/../../a"), below("/a"));
	/* Back from where the link leads, not from where it is. */
	expect_plain(below("/link/.."), below("/link/.."));
	expect_plain(below("/link/../b/../x"), below("/link/../x"));
	/* Nobody knows. */
	expect_plain(below("/nowhere/../x"), below("/nowhere/../x"));
	expect_plain(below("/nowhere/../.."), below("/nowhere/../.."));
}

static void
expect_cwd(const char *pwd, const char *shell, const char *any)
{
	char *got;

	if (pwd != NULL)
		assert_int_equal(setenv("PWD", pwd, 1), 0);
	else
		unsetenv("PWD");
	got = place_shell_cwd();
	if (shell != NULL)
		assert_string_equal(got, shell);
	else
		assert_null(got);
	free(got);
	got = place_cwd();
	assert_string_equal(got, any);
	free(got);
}

static void
the_shells_directory(void **state)
{
	char link[PATH_MAX], real[PATH_MAX], text[PATH_MAX + 16];

	(void)state;
	strcpy(link, below("/link"));
	strcpy(real, below("/a/b"));
	assert_int_equal(chdir(link), 0);
	expect_cwd(link, link, link);
	expect_cwd(real, real, real);
	expect_cwd(NULL, NULL, real);
	expect_cwd("", NULL, real);
	expect_cwd("link", NULL, real);
	expect_cwd("/", NULL, real);
	expect_cwd("/nowhere", NULL, real);
	snprintf(text, sizeof(text), "%s/.", link);
	expect_cwd(text, NULL, real);
	snprintf(text, sizeof(text), "%s/../b", link);
	expect_cwd(text, NULL, real);
	snprintf(text, sizeof(text), "%s/./link", root);
	expect_cwd(text, NULL, real);
}

static void
absolute_names(void **state)
{
	char *got;

	(void)state;
	assert_int_equal(chdir(below("/link")), 0);
	assert_int_equal(setenv("PWD", below("/link"), 1), 0);
	got = place_absolute("x.ini");
	assert_string_equal(got, below("/link/x.ini"));
	free(got);
	got = place_absolute("../x.ini");
	assert_string_equal(got, below("/link/../x.ini"));
	free(got);
	got = place_absolute("/x/../y");
	assert_string_equal(got, "/x/../y");
	free(got);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(setenv("PWD", "/", 1), 0);
	got = place_absolute("x");
	assert_string_equal(got, "/x");
	free(got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_paths),
		cmocka_unit_test(the_shells_directory),
		cmocka_unit_test(absolute_names),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}

/* What is said beforehand of a place for output. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "linux/file/log_file.h"

static char root[] = "/tmp/log-file.XXXXXX";

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(root) == NULL || chdir(root) < 0 ||
	    mkdir("dir", 0700) < 0 || symlink("dir", "link") < 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	return rmdir("dir") < 0 || unlink("link") < 0 || chdir("/") < 0 ||
	    rmdir(root) < 0;
}

static void
expect(const char *name, int code, const char *words)
{
	const struct conf_creds creds = { .set = false };
	struct error err = ERROR_INIT;
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", root, name) > 0);
	assert_int_equal(log_file_may_open(path, &creds, &err), code);
	if (code < 0)
		assert_non_null(strstr(error_text(&err), words));
	error_clear(&err);
	free(path);
}

static void
places(void **state)
{
	(void)state;
	expect("new", 0, NULL);
	assert_int_equal(access("new", F_OK), -1);
	expect("dir", -EISDIR, "/dir as you: Is a directory");
	expect("link", -ELOOP, "/link as you: it is a symbolic link");
	expect("gone/x", -ENOENT, "/gone/x as you: No such");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests_name("log_file", tests, make_dir,
	    remove_dir);
}

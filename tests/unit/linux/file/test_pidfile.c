/* Whose the pid file is, where two come at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "linux/file/pidfile.h"

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);

static char dir[] = "/tmp/clusterd-test-XXXXXX";
static char path[64];
static struct pidfile other = PIDFILE_INIT;
static bool comes;	/* another one, when we have looked and are ready */

int
__wrap_fchmod(int fd, mode_t mode)
{
	struct error err = ERROR_INIT;

	if (comes) {
		comes = false;
		assert_int_equal(pidfile_create(path, 12, &other, &err), 0);
	}
	return __real_fchmod(fd, mode);
}

static void
expect_file(const char *text)
{
	char there[32] = "";
	FILE *f = fopen(path, "r");
	struct stat st;

	assert_non_null(f);
	assert_non_null(fgets(there, sizeof(there), f));
	fclose(f);
	assert_string_equal(there, text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void
two_at_once(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	comes = true;
	assert_int_equal(pidfile_create(path, 11, &p, &err), -EBUSY);
	assert_non_null(strstr(error_text(&err), "already running, pid 12 ("));
	error_clear(&err);
	assert_int_equal(p.fd, -1);
	expect_file("12\n");
	assert_true(pidfile_is_there(&other));
	pidfile_remove(&other);
}

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
two_at_once_after_one_that_was_killed(void **state)
{
	put("4711\n");
	two_at_once(state);
}

static void
what_was_left_behind_is_replaced(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	put("4711\n");
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	expect_file("11\n");
	pidfile_remove(&p);
	assert_int_not_equal(access(path, F_OK), 0);
}

static int
begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/run.pid", dir);
	return 0;
}

/* Nothing is left, temporary files neither. */
static int
end(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_at_once),
		cmocka_unit_test(two_at_once_after_one_that_was_killed),
		cmocka_unit_test(what_was_left_behind_is_replaced),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

/* Whose the pid file is, where two come at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "linux/file/pidfile.h"

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
struct mono __wrap_mono_now(void);

static char dir[] = "/tmp/clusterd-test-XXXXXX";
static char path[64];
static struct pidfile other = PIDFILE_INIT;
static bool comes;	/* another one, when we have looked and are ready */
static bool comes_late;	/* … when we are about to replace what was left behind */
static struct mono now;

/* A second is a few looks. */
struct mono
__wrap_mono_now(void)
{
	now = mono_add_ms(now, 100);
	return now;
}

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

int
__wrap_rename(const char *from, const char *to)
{
	struct error err = ERROR_INIT;

	if (comes_late) {
		comes_late = false;
		assert_int_equal(pidfile_create(path, 12, &other, &err),
		    -EBUSY);
		assert_int_equal(other.fd, -1);
		error_clear(&err);
	}
	return __real_rename(from, to);
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

static void
one_that_comes_as_it_is_replaced_is_refused(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	put("2147483647\n");
	comes_late = true;
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	assert_false(comes_late);
	expect_file("11\n");
	assert_true(pidfile_is_there(&p));
	pidfile_remove(&p);
}

/* Who may read the file may have one. */
static void
a_lock_for_reading_prevents_no_start(void **state)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;
	int fd;

	(void)state;
	put("4711\n");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	expect_file("11\n");
	fd_close(&fd);
	pidfile_remove(&p);
}

/* It has taken no file's place, and was killed before it removed the first name. */
static void
both_names_that_were_left_behind_go(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;
	char second[80];

	(void)state;
	put("4711\n");
	snprintf(second, sizeof(second), "%s.4711", path);
	assert_int_equal(link(path, second), 0);
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	assert_int_not_equal(access(second, F_OK), 0);
	pidfile_remove(&p);
}

/* Somebody else's, whatever it is for. */
static void
another_file_of_such_a_name_stays(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;
	char second[80];

	(void)state;
	put("4711\n");
	snprintf(second, sizeof(second), "%s.4711", path);
	assert_int_equal(rename(path, second), 0);
	put("4711\n");
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	assert_int_equal(unlink(second), 0);
	pidfile_remove(&p);
}

static void
a_link_that_leads_nowhere_is_replaced(void **state)
{
	struct pidfile p = PIDFILE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(symlink("nowhere", path), 0);
	assert_int_equal(pidfile_create(path, 11, &p, &err), 0);
	expect_file("11\n");
	pidfile_remove(&p);
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
		cmocka_unit_test(one_that_comes_as_it_is_replaced_is_refused),
		cmocka_unit_test(a_lock_for_reading_prevents_no_start),
		cmocka_unit_test(both_names_that_were_left_behind_go),
		cmocka_unit_test(another_file_of_such_a_name_stays),
		cmocka_unit_test(a_link_that_leads_nowhere_is_replaced),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

/* Whose symbolic links are followed. The test owns all of its own; a stranger's
   take root to make. */
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/open_trusted.h"

#define STRANGER	65534

static char dir[] = "/tmp/open-trusted-XXXXXX";

static char *
in(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static int
setup(void **state)
{
	int fd;

	(void)state;
	if (mkdtemp(dir) == NULL || mkdir(in("d"), 0755) < 0 ||
	    mkdir(in("d/e"), 0755) < 0)
		return -1;
	fd = open(in("d/e/file"), O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return -1;
	close(fd);
	return symlink("d/e/file", in("relative")) |
	    symlink(in("d/e/file"), in("absolute")) |
	    symlink("d", in("directory")) |
	    symlink("../../relative", in("d/e/up")) |
	    symlink("loop", in("loop")) | symlink("nowhere", in("new")) |
	    symlink("d//e/./", in("odd")) | symlink("/proc/self", in("self"));
}

static int
teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void
reads(const char *path)
{
	char byte = 0;
	struct error err = ERROR_INIT;
	int fd = open_trusted(path, O_RDONLY, 0, &err);

	if (fd < 0)
		fail_msg("%s: %s", path, error_text(&err));
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(fd);
}

static void
own_links(void **state)
{
	static const char *const names[] = {
		"d/e/file", "relative", "absolute", "directory/e/file",
		"directory/e/up", "odd/file", "d/../d/./e//file",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		reads(in(names[i]));
}

static void
no_files(void **state)
{
	char name[NAME_MAX + 2], path[PATH_MAX + 2];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[NAME_MAX + 1] = '\0';
	memset(path, '/', sizeof(path));
	path[PATH_MAX + 1] = '\0';
	assert_int_equal(open_trusted(in("loop"), O_RDONLY, 0, NULL), -ELOOP);
	assert_int_equal(open_trusted(in("nothing"), O_RDONLY, 0, NULL), -ENOENT);
	assert_int_equal(open_trusted(in("no/file"), O_RDONLY, 0, NULL), -ENOENT);
	assert_int_equal(open_trusted(in("d/e/file/x"), O_RDONLY, 0, NULL),
	    -ENOTDIR);
	assert_int_equal(open_trusted(in(name), O_RDONLY, 0, NULL), -ENAMETOOLONG);
	assert_int_equal(open_trusted(path, O_RDONLY, 0, NULL), -ENAMETOOLONG);
	assert_int_equal(open_trusted("/", O_RDONLY, 0, NULL), -EISDIR);
}

static void
makes(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	fd = open_trusted(in("new"), O_WRONLY | O_CREAT, 0640, NULL);
	assert_return_code(fd, errno);
	close(fd);
	assert_int_equal(lstat(in("nowhere"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

/* /dev/stdout is such a one. */
static void
magic(void **state)
{
	char path[PATH_MAX], byte;
	int pipes[2], fd;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	snprintf(path, sizeof(path), "%s/fd/%d", in("self"), pipes[1]);
	fd = open_trusted(path, O_WRONLY, 0, NULL);
	assert_return_code(fd, errno);
	assert_int_equal(write(fd, "y", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void
strangers_links(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(lchown(in("relative"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("relative"), O_RDONLY, 0, NULL), -ELOOP);
	assert_int_equal(open_trusted(in("directory/e/up"), O_RDONLY, 0, NULL),
	    -ELOOP);
	assert_int_equal(lchown(in("directory"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("directory/e/file"), O_RDONLY, 0, NULL),
	    -ELOOP);
	assert_int_equal(lchown(in("new"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("new"), O_WRONLY | O_CREAT, 0600, NULL),
	    -ELOOP);
	/* The file itself may be anybody's. */
	assert_int_equal(chown(in("d/e/file"), STRANGER, STRANGER), 0);
	reads(in("absolute"));
}

static void
words(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(open_trusted(in("nothing"), O_RDONLY, 0, &err),
	    -ENOENT);
	assert_string_equal(error_text(&err), "No such file or directory");
	error_clear(&err);
	if (geteuid() != 0)
		return;
	assert_int_equal(lchown(in("d/e/up"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("d/../d/e/up"), O_RDONLY, 0, &err),
	    -ELOOP);
	assert_non_null(strstr(error_text(&err), in("d/e/up")));
	assert_non_null(strstr(error_text(&err), "belongs to user 65534"));
	error_clear(&err);
	assert_int_equal(lchown(in("d/e/up"), 0, 0), 0);
}

/* What was named is followed, whoever its links belong to; what is behind it is
   not, and no other directory is named by the same letters. */
static void
named(void **state)
{
	static char below[PATH_MAX];

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(lchown(in("directory"), STRANGER, STRANGER), 0);
	strcpy(below, in("directory"));
	open_trusted_below(below);
	reads(in("directory/e/file"));
	reads(in("directory/../d/e/file"));
	assert_int_equal(symlink(in("d"), in("directory2")), 0);
	assert_int_equal(lchown(in("directory2"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("directory2/e/file"), O_RDONLY, 0,
	    NULL), -ELOOP);
	assert_int_equal(symlink("e", in("d/inner")), 0);
	reads(in("directory/inner/file"));
	assert_int_equal(lchown(in("d/inner"), STRANGER, STRANGER), 0);
	assert_int_equal(open_trusted(in("directory/inner/file"), O_RDONLY, 0,
	    NULL), -ELOOP);
	open_trusted_below("/");
	reads(in("d/e/file"));
	open_trusted_below(NULL);
	assert_int_equal(lchown(in("directory"), 0, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_links),
		cmocka_unit_test(no_files),
		cmocka_unit_test(makes),
		cmocka_unit_test(magic),
		cmocka_unit_test(words),
		cmocka_unit_test(named),
		cmocka_unit_test(strangers_links),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* Who gets the place of a control socket, where several come at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "linux/control/control_socket.h"

int __real_bind(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *to, socklen_t len);
struct mono __wrap_mono_now(void);

static char dir[] = "/tmp/clusterd-test-XXXXXX";
static char path[64], lock_path[80];
static bool stops;	/* who has looked, and is about to have it */
static struct mono now;

/* A second is a few looks. */
struct mono
__wrap_mono_now(void)
{
	now = mono_add_ms(now, 100);
	return now;
}

int
__wrap_bind(int fd, const struct sockaddr *to, socklen_t len)
{
	if (stops)
		raise(SIGSTOP);
	return __real_bind(fd, to, len);
}

static int
open_place(struct control_socket *s, struct error *err)
{
	return control_socket_open(path, NULL, UINT32_MAX, true, s, err);
}

static void
expect_nothing_left(void)
{
	struct stat st;

	assert_int_not_equal(stat(lock_path, &st), 0);
	assert_int_not_equal(stat(path, &st), 0);
}

/* A child that begins to listen there, and stands still. */
static pid_t
first_one(void)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct control_socket s = CONTROL_SOCKET_INIT;
		struct error err = ERROR_INIT;

		stops = true;
		if (open_place(&s, &err) < 0)
			_exit(1);
		raise(SIGSTOP);
		control_socket_close(&s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static void
expect_refused(pid_t whose, const char *why)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;
	char words[200];

	assert_int_equal(open_place(&s, &err), -EBUSY);
	assert_int_equal(s.fd, -1);
	snprintf(words, sizeof(words), "already running, pid %d (%s", (int)whose,
	    why);
	assert_memory_equal(error_text(&err), words, strlen(words));
	error_clear(&err);
}

static void
one_that_stands_still_was_there_first(void **state)
{
	pid_t pid = first_one();
	int status;

	(void)state;
	expect_refused(pid, "it begins, and holds ");
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	expect_refused(pid, "it answers at ");
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_nothing_left();
}

static void
one_that_is_killed_leaves_the_place(void **state)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;
	pid_t pid = first_one();

	(void)state;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(open_place(&s, &err), 0);
	control_socket_close(&s);
	expect_nothing_left();
}

/* Whatever the lock of a program that is none of ours may be for: the file is one
   that was left behind. */
static void
a_lock_of_nobody_who_begins_holds_nobody_up(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;
	pid_t pid = fork();
	char text[16];
	int fd;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(open_place(&s, &err), 0);
	control_socket_close(&s);
	fd_close(&fd);
	assert_int_equal(unlink(lock_path), 0);
	expect_nothing_left();
}

static int
begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	return 0;
}

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
		cmocka_unit_test(one_that_stands_still_was_there_first),
		cmocka_unit_test(one_that_is_killed_leaves_the_place),
		cmocka_unit_test(a_lock_of_nobody_who_begins_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

/* Who gets the place of a control socket, where several come at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/prctl.h>
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
ssize_t __real_pwrite(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t at);
unsigned __wrap_keeper_supervisor(void);
struct mono __wrap_mono_now(void);

static char dir[] = "/tmp/clusterd-test-XXXXXX";
static char path[64], lock_path[80];
static bool stops;	/* who has looked, and is about to have it */
static bool stops_early;	/* who has the lock, and is about to say so */
static bool is_full;	/* the disk */
static unsigned supervisor;
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

ssize_t
__wrap_pwrite(int fd, const void *from, size_t n, off_t at)
{
	if (stops_early)
		raise(SIGSTOP);
	if (is_full) {
		errno = ENOSPC;
		return -1;
	}
	return __real_pwrite(fd, from, n, at);
}

unsigned
__wrap_keeper_supervisor(void)
{
	return supervisor;
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

/* A child that stands still after `fn`, and that ends with us. */
static pid_t
child_at(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* As the stopped one would stay where a check fails. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			_exit(1);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static void
listen_there(void)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;

	if (open_place(&s, &err) < 0)
		_exit(1);
	raise(SIGSTOP);
	control_socket_close(&s);
}

/* It begins to listen there. */
static pid_t
first_one(void)
{
	pid_t pid;

	stops = true;
	pid = child_at(listen_there);
	stops = false;
	return pid;
}

static void
end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Of nobody but it: a copy of a parent's is the parent's, too. */
static int
lock_with(const char *text)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	bool done = fd >= 0 && ftruncate(fd, 0) == 0 &&
	    __real_pwrite(fd, text, strlen(text), 0) ==
	    (ssize_t)strlen(text) && fcntl(fd, F_OFD_SETLK, &lock) == 0;

	return done ? fd : -1;
}

static void
expect_words(const char *words)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;

	assert_int_equal(open_place(&s, &err), -EBUSY);
	assert_int_equal(s.fd, -1);
	assert_memory_equal(error_text(&err), words, strlen(words));
	error_clear(&err);
}

static void
expect_refused(pid_t whose, const char *why)
{
	char words[200];

	snprintf(words, sizeof(words), "already running, pid %d (%s", (int)whose,
	    why);
	expect_words(words);
}

static void
expect_free(void)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;

	assert_int_equal(open_place(&s, &err), 0);
	control_socket_close(&s);
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
	(void)state;
	end_child(first_one());
	expect_free();
	expect_nothing_left();
}

static void
one_that_has_not_said_who_it_is_was_there_first(void **state)
{
	pid_t pid;

	(void)state;
	stops_early = true;
	pid = child_at(listen_there);
	stops_early = false;
	expect_words("already running (another one begins, and holds ");
	end_child(pid);
	expect_free();
	expect_nothing_left();
}

static void
one_that_cannot_say_who_it_is_was_there_first(void **state)
{
	pid_t pid;

	(void)state;
	is_full = true;
	pid = first_one();
	is_full = false;
	expect_words("already running (another one begins, and holds ");
	end_child(pid);
	expect_free();
	expect_nothing_left();
}

/* Whatever the lock of a program that is none of ours may be for: the file is one
   that was left behind, or none of ours. */
static void
expect_in_the_way_of_nobody(const char *text)
{
	int fd = lock_with(text);

	assert_true(fd >= 0);
	expect_free();
	fd_close(&fd);
	assert_int_equal(unlink(lock_path), 0);
	expect_nothing_left();
}

static void
a_lock_of_nobody_who_begins_holds_nobody_up(void **state)
{
	pid_t pid = fork();
	char text[16];

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	expect_in_the_way_of_nobody(text);
	expect_in_the_way_of_nobody("what it is for\n");
}

/* Its descriptor is in the table of the one that follows. */
static void
the_lock_of_a_killed_supervisor_is_ours(void **state)
{
	int fd;

	(void)state;
	fd = lock_with("1\n");
	assert_true(fd >= 0);
	supervisor = 1;
	expect_free();
	supervisor = 0;
	fd_close(&fd);
	expect_nothing_left();
}

static pid_t parent;

static void
lock_with_the_same_number(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", (int)parent);
	if (lock_with(text) >= 0)
		raise(SIGSTOP);
}

/* As in two containers, in each of which it is 1. */
static void
the_lock_of_another_one_of_our_number_is_not(void **state)
{
	pid_t pid;

	(void)state;
	parent = getpid();
	pid = child_at(lock_with_the_same_number);
	supervisor = 1;
	expect_free();
	supervisor = 0;
	assert_int_equal(access(lock_path, F_OK), 0);
	end_child(pid);
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
		cmocka_unit_test(one_that_has_not_said_who_it_is_was_there_first),
		cmocka_unit_test(one_that_cannot_say_who_it_is_was_there_first),
		cmocka_unit_test(a_lock_of_nobody_who_begins_holds_nobody_up),
		cmocka_unit_test(the_lock_of_a_killed_supervisor_is_ours),
		cmocka_unit_test(the_lock_of_another_one_of_our_number_is_not),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

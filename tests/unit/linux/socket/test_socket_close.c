/* What others have sent, or set, cannot hold up who closes it. */
#include <sys/socket.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/helper.h"
#include "linux/socket/socket_close.h"
#include "lib/held_page.h"

/* Longer than the test may take, and no longer, lest a failure seems to hang. */
#define LINGER_S	20

struct lingering {
	int fd;		/* its last close waits */
	int peer;
};

static struct lingering
lingering_new(void)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = LINGER_S };
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	static const char bytes[65536];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct lingering l;

	assert_int_equal(bind(listener, (void *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&at, &len), 0);
	l.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(l.fd, (void *)&at, len), 0);
	l.peer = accept(listener, NULL, NULL);
	assert_return_code(l.peer, errno);
	close(listener);
	while (send(l.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	assert_int_equal(setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &linger,
	    sizeof(linger)), 0);
	return l;
}

static void
lingering_end(struct lingering *l)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(l->peer, SOL_SOCKET, SO_LINGER, &reset,
	    sizeof(reset));
	close(l->peer);
}

static void
pass(int to, int *fd, int flags)
{
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} m = { .room = { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = m.room, .msg_controllen = sizeof(m.room),
	};

	m.header.cmsg_level = SOL_SOCKET;
	m.header.cmsg_type = SCM_RIGHTS;
	m.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&m.header), fd, sizeof(int));
	assert_int_equal(sendmsg(to, &msg, flags), 1);
	close(*fd);
	*fd = -1;
}

static void
await_helpers(void)
{
	while (wait(NULL) > 0)
		continue;
}

static void
assert_quick(struct mono since)
{
	assert_true(mono_ms_between(since, mono_now()) < LINGER_S * 500);
}

static void
lingering_socket(void **state)
{
	struct lingering l = lingering_new();
	struct mono since = mono_now();

	(void)state;
	socket_close(&l.fd);
	assert_int_equal(l.fd, -1);
	assert_quick(since);
	lingering_end(&l);
	await_helpers();
}

/* It has hung up, as one that was never connected has. */
static void
lingering_and_shut(void **state)
{
	struct lingering l = lingering_new();
	struct mono since = mono_now();

	(void)state;
	assert_int_equal(shutdown(l.fd, SHUT_RDWR), 0);
	socket_close(&l.fd);
	assert_quick(since);
	lingering_end(&l);
	await_helpers();
}

/* Nobody is started for one that cannot wait. */
static void
lingering_and_idle(void **state)
{
	const struct linger on = { .l_onoff = 1, .l_linger = LINGER_S };
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &on,
		    sizeof(on)), 0);
		if (i > 0)
			assert_int_equal(bind(fd, (void *)&at, sizeof(at)), 0);
		if (i > 1)
			assert_int_equal(listen(fd, 1), 0);
		socket_close(&fd);
		assert_int_equal(wait(NULL), -1);
	}
}

/* The server of this connection has its lock: a filter that does not come. */
static pid_t
locking(int fd)
{
	int said[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct sock_fprog of = { .len = 1, .filter = held_page() };

		/* If it comes to the worst. */
		(void)alarm(LINGER_S);
		(void)!write(said[1], of.filter == NULL ? "n" : "y", 1);
		if (of.filter != NULL)
			(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER,
			    &of, sizeof(of));
		_exit(0);
	}
	assert_int_equal(read(said[0], &c, 1), 1);
	close(said[0]);
	close(said[1]);
	if (c == 'y')
		return pid;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return 0;
}

/* As long as that is so, getsockname(2) does not return. */
static void
await_lock(int fd)
{
	struct mono end = mono_add_ms(mono_now(), 10000);

	for (int code = 1; code > 0;) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		assert_true(mono_before(mono_now(), end));
		if (pid == 0) {
			struct sockaddr_storage name;
			socklen_t len = sizeof(name);

			_exit(getsockname(fd, (void *)&name, &len) != 0);
		}
		poll(NULL, 0, 20);
		code = waitpid(pid, &status, WNOHANG);
	}
}

static void
lingering_and_locked(void **state)
{
	struct lingering l = lingering_new();
	struct mono since;
	pid_t pid = locking(l.fd);

	(void)state;
	if (pid == 0) {
		print_message(HELD_PAGE_NEEDS);
		skip();
	}
	await_lock(l.fd);
	since = mono_now();
	socket_close(&l.fd);
	assert_quick(since);
	assert_int_equal(kill(pid, SIGKILL), 0);
	lingering_end(&l);
	await_helpers();
}

/* Who goes on to use it finds it as it was. */
static void
copy_leaves_option(void **state)
{
	const struct linger on = { .l_onoff = 1, .l_linger = 7 };
	struct linger now;
	socklen_t len = sizeof(now);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	(void)state;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &on, sizeof(on));
	socket_close(&copy);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &now, &len), 0);
	assert_int_equal(now.l_onoff, 1);
	assert_int_equal(now.l_linger, 7);
	close(fd);
}

static void
queued(void **state)
{
	int pair[2];
	struct lingering l = lingering_new();
	struct mono since;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	pass(pair[1], &l.fd, 0);
	since = mono_now();
	socket_close(&pair[0]);
	assert_quick(since);
	assert_int_equal(pair[0], -1);
	await_helpers();
	assert_quick(since);
	close(pair[1]);
	lingering_end(&l);
}

static void
received(void **state)
{
	int pair[2];
	char buf[16];
	struct lingering l = lingering_new();
	struct mono since = mono_now();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(write(pair[1], "ab", 2), 2);
	assert_int_equal(socket_receive(pair[0], buf, 1), 1);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), 1);
	assert_int_equal(buf[0], 'b');
	assert_int_equal(write(pair[1], "cd", 2), 2);
	pass(pair[1], &l.fd, 0);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), -EBADMSG);
	socket_close(&pair[0]);
	await_helpers();
	assert_quick(since);
	close(pair[1]);
	lingering_end(&l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	close(pair[1]);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), 0);
	socket_close(&pair[0]);
}

/* A peek passes an urgent byte over, and its descriptors with it, while poll(2)
   goes on telling that something is there. */
static void
urgent(void **state)
{
	int pair[2], ends[2];
	char buf[16];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	if (send(pair[1], "x", 1, MSG_OOB) < 0)
		skip();
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), -EBADMSG);
	close(pair[0]);
	close(pair[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	pass(pair[1], &ends[1], MSG_OOB);
	assert_int_equal(write(pair[1], "ab", 2), 2);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), -EBADMSG);
	/* It has not been closed by who received. */
	assert_int_equal(read(ends[0], buf, 1), -1);
	assert_int_equal(errno, EAGAIN);
	close(pair[0]);
	close(pair[1]);
	close(ends[0]);
}

/* Where no descriptors come, it is dropped, and what is behind it arrives. */
static void
urgent_alone(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int pair[2];
	char buf[16];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	if (socket_refuse_descriptors(pair[0]) < 0 ||
	    send(pair[1], "x", 1, MSG_OOB) < 0)
		skip();
	p.fd = pair[0];
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(send(pair[1], "x", 1, MSG_OOB), 1);
	assert_int_equal(write(pair[1], "ab", 2), 2);
	assert_int_equal(socket_receive(pair[0], buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "ab", 2);
	close(pair[0]);
	close(pair[1]);
}

static void
none(void **state)
{
	int fd = -1;

	(void)state;
	errno = EDOM;
	socket_close(&fd);
	socket_close(&fd);
	helper_close(&fd);
	assert_int_equal(errno, EDOM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lingering_socket),
		cmocka_unit_test(lingering_and_shut),
		cmocka_unit_test(lingering_and_idle),
		cmocka_unit_test(lingering_and_locked),
		cmocka_unit_test(copy_leaves_option),
		cmocka_unit_test(queued),
		cmocka_unit_test(received),
		cmocka_unit_test(urgent),
		cmocka_unit_test(urgent_alone),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

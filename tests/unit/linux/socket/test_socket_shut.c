/* What shutdown(2) does to listeners, on real ones. */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/socket/socket.h"
#include "linux/socket/socket_shut.h"

#define LIMIT_MS 5000

static struct sockaddr_in
address_of(int fd)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (void *)&at, &len), 0);
	return at;
}

static int
listener_new(void)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	}, bound;
	int any = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	/* By its number, as ours are: see bind_number(). */
	assert_int_equal(bind(any, (void *)&at, sizeof(at)), 0);
	bound = address_of(any);
	close(any);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&bound, sizeof(bound)), 0);
	assert_int_equal(socket_start_listening(fd, 8), 0);
	return fd;
}

static int
client_new(int listener)
{
	struct sockaddr_in at = address_of(listener);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (void *)&at, sizeof(at)), 0);
	return fd;
}

static void
assert_talk(int a, int b)
{
	char byte;

	assert_int_equal(send(a, "1", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(b, &byte, 1, 0), 1);
	assert_int_equal(send(b, "2", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(a, &byte, 1, 0), 1);
}

static void
assert_serves(int listener)
{
	int client = client_new(listener);
	int server = accept(listener, NULL, NULL);

	assert_return_code(server, errno);
	assert_talk(client, server);
	close(client);
	close(server);
}

static void
a_woken_one_listens_on(void **state)
{
	int l = listener_new();
	int client = client_new(l), waiting, server = accept(l, NULL, NULL);

	(void)state;
	waiting = client_new(l);
	socket_wake(l);
	assert_true(socket_is_listening(l));
	assert_talk(client, server);
	close(server);
	server = accept(l, NULL, NULL);
	assert_talk(waiting, server);
	close(server);
	close(waiting);
	close(client);
	assert_serves(l);
	close(l);
}

/* Told once of each change, as by EPOLLET, it looks again only when it is told
   again. */
static void
who_waits_for_news_is_woken(void **state)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int l = listener_new(), ep = epoll_create1(EPOLL_CLOEXEC), client;

	(void)state;
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e), 0);
	socket_wake(l);
	assert_int_equal(epoll_wait(ep, &e, 1, 0), 0);
	client = client_new(l);
	assert_int_equal(epoll_wait(ep, &e, 1, LIMIT_MS), 1);
	assert_int_equal(epoll_wait(ep, &e, 1, 0), 0);
	socket_wake(l);
	assert_int_equal(epoll_wait(ep, &e, 1, 0), 1);
	assert_int_equal(e.events, EPOLLIN);
	close(client);
	close(ep);
	close(l);
}

/* In accept(2) it sleeps on. */
static void
who_sleeps_in_accept_sleeps_on(void **state)
{
	int l = listener_new(), client, status;
	char byte;
	pid_t pid = fork();

	(void)state;
	assert_return_code(pid, errno);
	if (pid == 0) {
		int server;

		alarm(LIMIT_MS / 1000);
		server = accept(l, NULL, NULL);
		_exit(server >= 0 && send(server, "1", 1, 0) == 1 ? 0 : 1);
	}
	for (int i = 0; i < 100; i++) {
		socket_wake(l);
		sched_yield();
	}
	client = client_new(l);
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(client);
	close(l);
}

static void
one_that_does_not_listen_is_left_alone(void **state)
{
	int l = listener_new();

	(void)state;
	assert_int_equal(shutdown(l, SHUT_RDWR), 0);
	socket_wake(l);
	assert_int_equal(socket_start_listening(l, 8), 0);
	assert_serves(l);
	close(l);
}

/* Of workers that share it, each shuts it down. */
static void
one_that_was_shut_twice_serves_again(void **state)
{
	int l = listener_new(), window = 4096;

	(void)state;
	assert_int_equal(shutdown(l, SHUT_RDWR), 0);
	assert_int_equal(shutdown(l, SHUT_RDWR), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(socket_start_listening(l, 8), 0);
	assert_serves(l);

	/* After once nothing else of it is forgotten. */
	assert_int_equal(shutdown(l, SHUT_RDWR), 0);
	assert_int_equal(setsockopt(l, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window,
	    sizeof(window)), 0);
	assert_int_equal(socket_start_listening(l, 8), 0);
	assert_true(socket_has_note(l));
	assert_serves(l);
	close(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_woken_one_listens_on),
		cmocka_unit_test(who_waits_for_news_is_woken),
		cmocka_unit_test(who_sleeps_in_accept_sleeps_on),
		cmocka_unit_test(one_that_does_not_listen_is_left_alone),
		cmocka_unit_test(one_that_was_shut_twice_serves_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

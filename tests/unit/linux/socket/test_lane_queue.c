/* Who waits in a listener's queue, on a real one. */
#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"

#define CLIENTS 3

struct queue {
	int listener;
	int clients[CLIENTS];
};

static void
queue_begin(struct queue *q)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sin);

	q->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(q->listener, (void *)&sin, len), 0);
	assert_int_equal(listen(q->listener, 8), 0);
	assert_int_equal(getsockname(q->listener, (void *)&sin, &len), 0);
	for (int i = 0; i < CLIENTS; i++) {
		q->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(q->clients[i], (void *)&sin, len), 0);
	}
}

static void
queue_end(struct queue *q)
{
	for (int i = 0; i < CLIENTS; i++)
		close(q->clients[i]);
	close(q->listener);
}

/* Or soon: where the kernel has much to do, packets are handed on later. */
static void
expect_waiting(const struct queue *q, uint32_t expected)
{
	uint32_t n, max;

	assert_int_equal(lane_queue_tcp(q->listener, &n, &max), 0);
	for (int i = 0; i < 2000 && n != expected; i++) {
		usleep(5000);
		assert_int_equal(lane_queue_tcp(q->listener, &n, &max), 0);
	}
	assert_int_equal(n, expected);
	assert_int_equal(max, 8);
}

/* Within so long each. */
static int
count_reset(const struct queue *q, int ms)
{
	int n = 0;

	for (int i = 0; i < CLIENTS; i++) {
		struct pollfd p = { .fd = q->clients[i], .events = POLLIN };
		ssize_t got;
		char c;

		assert_true(poll(&p, 1, ms) >= 0);
		got = recv(q->clients[i], &c, 1, MSG_DONTWAIT);

		assert_int_equal(got, -1);
		assert_true(errno == ECONNRESET || errno == EAGAIN);
		n += errno == ECONNRESET;
	}
	return n;
}

static void
all_are_reset_and_counted(void **state)
{
	struct queue q;
	uint32_t n = 77;

	(void)state;
	queue_begin(&q);
	expect_waiting(&q, CLIENTS);
	assert_int_equal(lane_queue_reset_tcp(q.listener, &n), 0);
	assert_int_equal(n, CLIENTS);
	assert_int_equal(count_reset(&q, 10000), CLIENTS);
	/* It listens as before. */
	expect_waiting(&q, 0);
	assert_int_equal(lane_queue_reset_tcp(q.listener, &n), 0);
	assert_int_equal(n, 0);
	queue_end(&q);
}

/* No descriptor is to be had. */
static void
who_cannot_be_accepted_is_not_counted(void **state)
{
	struct rlimit was, few;
	struct queue q;
	uint32_t n = 77;

	(void)state;
	queue_begin(&q);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	few.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(lane_queue_reset_tcp(q.listener, &n), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(n, 0);
	assert_int_equal(count_reset(&q, 10), 0);
	expect_waiting(&q, CLIENTS);
	queue_end(&q);
}

static void
what_does_not_listen_has_no_queue(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t n = 77, max;

	(void)state;
	assert_int_equal(lane_queue_tcp(fd, &n, &max), -EINVAL);
	assert_int_equal(lane_queue_reset_tcp(fd, &n), -EINVAL);
	assert_int_equal(n, 0);
	close(fd);
}

/* Who has begun a handshake ends it later. */
static void
test_held_handshake_ends_later(void **state)
{
	int seconds = 30, late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	struct queue q;
	uint32_t n = 0, max;

	(void)state;
	queue_begin(&q);
	/* A handshake that ends when its client speaks. */
	assert_int_equal(setsockopt(q.listener, IPPROTO_TCP, TCP_DEFER_ACCEPT,
	    &seconds, sizeof(seconds)), 0);
	assert_int_equal(getsockname(q.listener, (void *)&sin, &len), 0);
	assert_int_equal(connect(late, (void *)&sin, len), 0);
	socket_hold_handshakes(q.listener);
	assert_int_equal(send(late, "x", 1, 0), 1);
	assert_int_equal(lane_queue_tcp(q.listener, &n, &max), 0);
	assert_int_equal(n, CLIENTS);
	assert_int_equal(max, 0);
	assert_true(socket_set_backlog(q.listener, 8));
	/* It says so again after 200 ms. */
	for (int i = 0; i < 2000 && n == CLIENTS; i++) {
		usleep(10000);
		assert_int_equal(lane_queue_tcp(q.listener, &n, &max), 0);
	}
	expect_waiting(&q, CLIENTS + 1);
	close(late);
	queue_end(&q);
}

/* Also one that does not listen (yet): it does not begin to. */
static void
test_backlog_is_of_one_that_listens(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_false(socket_set_backlog(fd, 8));
	socket_hold_handshakes(fd);
	assert_false(socket_is_listening(fd));
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_reset_and_counted),
		cmocka_unit_test(who_cannot_be_accepted_is_not_counted),
		cmocka_unit_test(what_does_not_listen_has_no_queue),
		cmocka_unit_test(test_held_handshake_ends_later),
		cmocka_unit_test(test_backlog_is_of_one_that_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/socket/socket_inherit.h"

static int
number(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void
set(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)),
	    0);
}

/* Numbers, a structure, the lock of a buffer, and a filter. */
static void
spoil(int fd)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	const struct sock_fprog program = { .len = 1, .filter = &all };
	const struct linger linger = { .l_onoff = 1, .l_linger = 7 };

	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 11);
	set(fd, IPPROTO_TCP, TCP_MAXSEG, 1000);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, SOL_SOCKET, SO_RCVBUF, 65536);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
	    sizeof(linger)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof(program)), 0);
}

static bool
has_filter(int fd)
{
	socklen_t n = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n),
	    0);
	return n > 0;
}

static void
assert_as_new(int fd, int like)
{
	struct linger linger = { .l_onoff = 9 };
	socklen_t len = sizeof(linger);

	assert_int_equal(number(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(number(fd, IPPROTO_TCP, TCP_KEEPIDLE),
	    number(like, IPPROTO_TCP, TCP_KEEPIDLE));
	assert_int_equal(number(fd, IPPROTO_TCP, TCP_MAXSEG),
	    number(like, IPPROTO_TCP, TCP_MAXSEG));
	assert_int_equal(number(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(number(fd, SOL_SOCKET, SO_RCVBUF),
	    number(like, SOL_SOCKET, SO_RCVBUF));
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len),
	    0);
	assert_int_equal(linger.l_onoff, 0);
	assert_false(has_filter(fd));
}

static void
lost(void *ctx, unsigned option, const char *name, int code)
{
	(void)ctx;
	fail_msg("option %u, %s: %d", option, name, code);
}

/* As a new one, of which only the values are there any more. */
static void
check_family(int domain)
{
	int like = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct socket_values *values = socket_values_of(like);

	assert_non_null(values);
	for (int i = 0; i < 2; i++) {
		spoil(fd);
		socket_inherit_values(values, fd, lost, NULL);
		assert_as_new(fd, like);
	}
	free(values);
	close(fd);
	close(like);
}

static void
test_values_of_a_new_one(void **state)
{
	(void)state;
	check_family(AF_INET);
	check_family(AF_INET6);
}

/* What one was set up with is carried over as it is. */
static void
test_options_of_another(void **state)
{
	int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	spoil(from);
	socket_inherit_options(from, to, lost, NULL);
	assert_int_equal(number(to, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(number(to, IPPROTO_TCP, TCP_KEEPIDLE), 11);
	assert_int_equal(number(to, SOL_SOCKET, SO_RCVBUF),
	    number(from, SOL_SOCKET, SO_RCVBUF));
	assert_true(has_filter(to));
	close(from);
	close(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_of_a_new_one),
		cmocka_unit_test(test_options_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A group of the kernel is asked who is where in it, and nobody notices. */
#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/sockets/lane_order.h"
#include "core/sockets/steering_cbpf.h"
#include "linux/socket/lane_ask.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

#define SOCKETS	9
#define ROUNDS	40

union any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct group {
	union any at;
	socklen_t len;
	int fds[SOCKETS];
	bool listens[SOCKETS];
	struct lane_order order;
	int old[SOCKETS];
};

static int
member(struct group *g)
{
	int fd = socket(g->at.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	socket_let_beside(fd, true);
	assert_int_equal(bind(fd, &g->at.sa, g->len), 0);
	assert_int_equal(getsockname(fd, &g->at.sa, &g->len), 0);
	return fd;
}

static void
start(struct group *g, unsigned i)
{
	assert_int_equal(socket_start_listening(g->fds[i], 16), 0);
	assert_int_equal(lane_order_reserve(&g->order), 0);
	lane_order_add(&g->order, i);
	g->listens[i] = true;
}

static void
stop(struct group *g, unsigned i)
{
	socket_refuse(g->fds[i]);
	lane_order_remove(&g->order, i);
	g->listens[i] = false;
}

/* IPv4 and IPv6; an address, or every one. */
static bool
group_open(struct group *g, unsigned kind)
{
	int first;

	memset(g, 0, sizeof(*g));
	if (kind < 2) {
		g->at.in.sin_family = AF_INET;
		g->at.in.sin_addr.s_addr = htonl(kind == 0 ? INADDR_LOOPBACK :
		    INADDR_ANY);
		g->len = sizeof(g->at.in);
	} else {
		int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

		g->at.in6.sin6_family = AF_INET6;
		g->at.in6.sin6_addr = in6addr_loopback;
		g->len = sizeof(g->at.in6);
		if (fd < 0 || bind(fd, &g->at.sa, g->len) < 0)
			return false;
		close(fd);
		if (kind == 3)
			g->at.in6.sin6_addr = in6addr_any;
	}
	first = member(g);
	for (unsigned i = 0; i < SOCKETS; i++)
		g->fds[i] = member(g);
	close(first);
	start(g, 0);
	start(g, 1);
	return true;
}

static void
group_close(struct group *g)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		close(g->fds[i]);
	lane_order_free(&g->order);
}

static void
attach(const struct group *g)
{
	const struct steering_cbpf_lane lane = { .index = 0 };
	struct steering_cbpf_program p;
	int fd = g->fds[g->order.v[0].slot];

	assert_int_equal(steering_cbpf_build_with(STEERING_CBPF_RANDOM,
	    &lane, 1, STEERING_CBPF_OPTMEM,
	    &(struct steering_cbpf_extras){ .positions = g->order.n }, &p), 0);
	assert_int_equal(socket_attach_cbpf(fd, p.code, p.n), 0);
	steering_cbpf_free(&p);
}

static void
begin(struct group *g)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		assert_int_equal(lane_ask_begin(g->fds[i], &g->old[i]), 0);
}

static void
end(struct group *g)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		lane_ask_end(g->fds[i], g->old[i]);
}

static unsigned
who_is_at(const struct group *g, size_t place)
{
	uint32_t before[SOCKETS], n = 0;
	unsigned who = SOCKETS;

	for (unsigned i = 0; i < SOCKETS; i++)
		assert_int_equal(lane_ask_dropped(g->fds[i], &before[i]), 0);
	assert_int_equal(lane_ask_send(g->fds[g->order.v[0].slot],
	    (unsigned)place), 0);
	for (unsigned turn = 0; who == SOCKETS && turn < 10000; turn++)
		for (unsigned i = 0; i < SOCKETS; i++) {
			assert_int_equal(lane_ask_dropped(g->fds[i], &n), 0);
			if (n != before[i]) {
				assert_int_equal(n, before[i] + 1);
				assert_int_equal(who, SOCKETS);
				who = i;
			}
		}
	return who;
}

static bool
is_somebody_there(const struct group *g)
{
	struct pollfd p[SOCKETS];

	for (unsigned i = 0; i < SOCKETS; i++)
		p[i] = (struct pollfd){ .events = POLLIN,
			.fd = g->listens[i] ? g->fds[i] : -1 };
	return poll(p, SOCKETS, 0) > 0;
}

static void
the_kernel_says_who_is_where(void **state)
{
	unsigned dice = 13, kinds = 0;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		struct group g;

		if (!group_open(&g, kind))
			continue;
		kinds++;
		for (unsigned round = 0; round < ROUNDS; round++) {
			unsigned i;

			dice = dice * 1103515245 + 12345;
			i = (dice >> 16) % SOCKETS;
			if (!g.listens[i])
				start(&g, i);
			else if (g.order.n > 2)
				stop(&g, i);
			attach(&g);
			begin(&g);
			for (size_t k = 0; k < g.order.n; k++)
				assert_int_equal(who_is_at(&g, k),
				    g.order.v[k].slot);
			end(&g);
			assert_false(is_somebody_there(&g));
		}
		group_close(&g);
	}
	assert_in_range(kinds, 2, 4);
}

/* Who asks is not taken for one by those who are not asked. */
static void
clients_go_where_they_went(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct group g;
	int client;

	(void)state;
	assert_true(group_open(&g, 0));
	attach(&g);
	begin(&g);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &g.at.sa, g.len), 0);
	p.fd = g.fds[0];
	assert_int_equal(poll(&p, 1, 10000), 1);
	end(&g);
	close(client);
	group_close(&g);
}

static int
ttl_min(int fd)
{
	socklen_t len = sizeof(int);
	int n = -1;

	assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_MINTTL, &n, &len), 0);
	return n;
}

static void
what_a_server_has_set_is_given_back(void **state)
{
	const int mine = 255;
	struct group g;

	(void)state;
	assert_true(group_open(&g, 1));
	assert_int_equal(setsockopt(g.fds[1], IPPROTO_IP, IP_MINTTL, &mine,
	    sizeof(mine)), 0);
	attach(&g);
	begin(&g);
	assert_int_equal(ttl_min(g.fds[0]), 2);
	assert_int_equal(who_is_at(&g, 1), 1);
	end(&g);
	assert_int_equal(ttl_min(g.fds[0]), 0);
	assert_int_equal(ttl_min(g.fds[1]), 255);
	group_close(&g);
}

/* Before they drop it, somebody would accept it: so it is said. */
static void
who_does_not_drop_it_answers(void **state)
{
	struct group g;

	(void)state;
	assert_true(group_open(&g, 0));
	attach(&g);
	assert_int_equal(lane_ask_send(g.fds[0], 1), -EISCONN);
	group_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_says_who_is_where),
		cmocka_unit_test(clients_go_where_they_went),
		cmocka_unit_test(what_a_server_has_set_is_given_back),
		cmocka_unit_test(who_does_not_drop_it_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

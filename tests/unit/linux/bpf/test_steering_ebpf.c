/*
 * eBPF steering, live: real connections over loopback, and over a slow way in a
 * network namespace. Needs root and a cgroup v2, and is skipped without.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mono.h"
#include "core/sockets/check_source.h"
#include "delay_net.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_hub.h"

#define LANES_MAX 1000
#define HELD_MAX 4096
#define LIMIT_MS 20000
#define GROUPS 64

static char why_skipped[512];
static struct conn_count *count;
static struct steering_hub *hub;

struct held {
	int fd[HELD_MAX];
	size_t n;
};

struct group {
	struct steering_ebpf *s;
	size_t n;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;
	socklen_t len;
	int lane[LANES_MAX];
	unsigned all[LANES_MAX];
	size_t accepted[LANES_MAX];
};

static struct group g;
static struct held clients, served;

#define NEED_EBPF() \
	do { \
		if (why_skipped[0] != '\0') { \
			print_message("skipped: %s\n", why_skipped); \
			skip(); \
		} \
	} while (0)

static void
must(int code, const struct error *err)
{
	if (code < 0)
		fail_msg("%s", error_text(err));
}

/* ---- lanes ---- */

static int
bound_socket(void)
{
	int fd = socket(g.address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	int on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
	    sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
	    sizeof(on)), 0);
	assert_int_equal(bind(fd, &g.address.sa, g.len), 0);
	assert_int_equal(getsockname(fd, &g.address.sa, &g.len), 0);
	return fd;
}

static void
open_group(enum steering_ebpf_mode mode, size_t n, const char *host)
{
	struct error err = ERROR_INIT;
	int first;

	memset(&g, 0, sizeof(g));
	g.n = n;
	if (strchr(host, ':') != NULL) {
		g.address.in6.sin6_family = AF_INET6;
		inet_pton(AF_INET6, host, &g.address.in6.sin6_addr);
		g.len = sizeof(g.address.in6);
	} else {
		g.address.in.sin_family = AF_INET;
		inet_pton(AF_INET, host, &g.address.in.sin_addr);
		g.len = sizeof(g.address.in);
	}
	must(steering_ebpf_new(mode, n + 3, hub, &g.s, &err), &err);
	/* A socket that was bound to port 0 forgets the port at a shutdown():
	   when it listens again, it is on another one. This one finds a free
	   port, and all lanes are bound to its number. */
	first = bound_socket();
	for (size_t i = 0; i < n; i++) {
		g.lane[i] = bound_socket();
		g.all[i] = (unsigned)i;
		must(steering_ebpf_mark_lane(g.s, i, g.lane[i]), NULL);
		assert_int_equal(listen(g.lane[i], 4096), 0);
		must(steering_ebpf_set_lane(g.s, i, g.lane[i], &err), &err);
		assert_true(steering_ebpf_lane_counted(g.s, i));
	}
	close(first);
	steering_ebpf_set_live(g.s, g.all, n);
	must(steering_ebpf_attach(g.s, g.lane[0], &err), &err);
}

static void
drop_all(struct held *h)
{
	while (h->n > 0)
		close(h->fd[--h->n]);
}

static void
close_group(void)
{
	drop_all(&clients);
	drop_all(&served);
	for (size_t i = 0; i < g.n; i++)
		close(g.lane[i]);
	steering_ebpf_free(g.s);
	g.n = 0;
}

static void
hold(struct held *h, int fd)
{
	assert_true(h->n < HELD_MAX);
	h->fd[h->n++] = fd;
}

/* A connection, or -errno. */
static int
connect_to(const struct group *to)
{
	int fd = socket(to->address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC,
	    0);

	assert_true(fd >= 0);
	if (connect(fd, &to->address.sa, to->len) < 0) {
		int code = -errno;

		close(fd);
		return code;
	}
	return fd;
}

static int
try_connect(void)
{
	return connect_to(&g);
}

static void
connect_held(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = try_connect();

		if (fd < 0)
			fail_msg("connect %zu: %s", i, strerror(-fd));
		hold(&clients, fd);
	}
}

static size_t
accept_lane(size_t lane)
{
	size_t n = 0;
	int fd;

	while ((fd = accept4(g.lane[lane], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		hold(&served, fd);
		n++;
	}
	g.accepted[lane] += n;
	return n;
}

/* Accept until there were `n` of them, all lanes together. */
static void
accept_total(size_t n)
{
	struct mono limit = mono_add_ms(mono_now(), LIMIT_MS);

	while (n > 0) {
		size_t more = 0;

		for (size_t i = 0; i < g.n; i++)
			more += accept_lane(i);
		assert_true(more <= n);
		n -= more;
		if (more == 0 && mono_before(limit, mono_now()))
			fail_msg("%zu connections do not arrive", n);
		if (more == 0)
			(void)poll(NULL, 0, 1);
	}
}

static uint64_t
open_of(size_t lane)
{
	uint64_t open = 0, total = 0;

	assert_true(steering_ebpf_counts(g.s, lane, &open, &total));
	return open;
}

static uint64_t
total_of(size_t lane)
{
	uint64_t open = 0, total = 0;

	assert_true(steering_ebpf_counts(g.s, lane, &open, &total));
	return total;
}

static void
expect_open(size_t lane, uint64_t n)
{
	struct mono limit = mono_add_ms(mono_now(), LIMIT_MS);

	while (open_of(lane) != n) {
		/* A stranger's may be among them, who has mistaken the port. */
		if (mono_before(limit, mono_now()))
			fail_msg("lane %zu: %lld open, not %llu, and %zu are "
			    "to be accepted", lane,
			    (long long)(int32_t)open_of(lane),
			    (unsigned long long)n, accept_lane(lane));
		(void)poll(NULL, 0, 1);
	}
}

static void
expect_all_zero(void)
{
	for (size_t i = 0; i < g.n; i++)
		expect_open(i, 0);
}

/* The most and the fewest open connections that any lane has. */
static double
spread(void)
{
	uint64_t most = 0, fewest = UINT64_MAX;

	for (size_t i = 0; i < g.n; i++) {
		uint64_t n = open_of(i);

		most = n > most ? n : most;
		fewest = n < fewest ? n : fewest;
	}
	return fewest == 0 ? 1e9 : (double)most / (double)fewest;
}

static void
reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* ---- evenness ---- */

static void
turns_are_exact(const char *host, size_t n)
{
	NEED_EBPF();
	open_group(STEERING_EBPF_TURNS, 8, host);
	for (size_t i = 0; i < n / 80; i++) {
		connect_held(80);
		accept_total(80);
		while (clients.n > 0)
			reset(clients.fd[--clients.n]);
		drop_all(&served);
	}
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(g.accepted[i], n / 8);
		assert_int_equal(total_of(i), n / 8);
	}
	expect_all_zero();
	close_group();
}

static void
test_turns_are_exact(void **state)
{
	(void)state;
	turns_are_exact("127.0.0.1", 8000);
}

static void
test_turns_are_exact_ipv6(void **state)
{
	(void)state;
	turns_are_exact("::1", 800);
}

/* Connections that end before the next one comes: all lanes are equal, and
   none is worn out. */
static void
test_least_takes_turns(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	for (size_t i = 0; i < 400; i++) {
		connect_held(1);
		accept_total(1);
		drop_all(&served);
		drop_all(&clients);
		expect_all_zero();
	}
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(g.accepted[i], 50);
	close_group();
}

static void
least_is_even(const char *host)
{
	const unsigned others[] = { 0, 1, 2, 4, 5, 6, 7 };

	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, host);
	connect_held(200);
	/* Lane 3 last, so that its connections are the last in `served`. */
	for (size_t i = 0; i < 7; i++)
		accept_lane(others[i]);
	accept_lane(3);
	assert_int_equal(served.n, 200);
	assert_true(spread() <= 1.05);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(g.accepted[i], open_of(i));

	/* Its worker dies, and comes back with nothing. */
	steering_ebpf_set_live(g.s, others, 7);
	for (size_t i = 0; i < g.accepted[3]; i++)
		reset(served.fd[--served.n]);
	expect_open(3, 0);
	connect_held(35);
	accept_total(35);
	expect_open(3, 0);
	steering_ebpf_set_live(g.s, g.all, 8);
	connect_held(30);
	accept_total(30);
	assert_true(spread() <= 1.05);
	close_group();
}

static void
test_least_is_even(void **state)
{
	(void)state;
	least_is_even("127.0.0.1");
}

static void
test_least_is_even_ipv6(void **state)
{
	(void)state;
	least_is_even("::1");
}

/* More lanes than a choice looks at. */
static void
test_least_of_many(void **state)
{
	size_t fewest = SIZE_MAX, most = 0;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 300, "127.0.0.1");
	connect_held(1500);
	for (size_t i = 0; i < g.n; i++) {
		size_t n = (size_t)open_of(i);

		fewest = n < fewest ? n : fewest;
		most = n > most ? n : most;
	}
	print_message("1500 on 300 lanes: %zu to %zu\n", fewest, most);
	assert_true(fewest >= 3 && most <= 6);
	close_group();
}

/* ---- slow start ---- */

#define HOUR_MS INT64_C(3600000)

/* So long that its weight stays as it is. */
static void
ramp(size_t slot, int percent)
{
	steering_ebpf_ramp(g.s, slot, (struct mono){
	    .ns = mono_now().ns - HOUR_MS * 10000 * percent }, HOUR_MS);
}

/* Each ends before the next one comes. */
static void
connect_one_by_one(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		connect_held(1);
		accept_total(1);
		drop_all(&served);
		drop_all(&clients);
		expect_all_zero();
	}
}

static void
print_accepted(const char *what)
{
	print_message("%s:", what);
	for (size_t i = 0; i < g.n; i++)
		print_message(" %zu", g.accepted[i]);
	print_message("\n");
}

static void
expect_accepted(size_t lane, size_t least, size_t most)
{
	if (g.accepted[lane] < least || g.accepted[lane] > most)
		fail_msg("lane %zu has got %zu, not %zu to %zu", lane,
		    g.accepted[lane], least, most);
}

/* Some 13 of 1000: the bounds are far from what chance may do. */
static void
test_slow_start_of_turns(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_TURNS, 8, "127.0.0.1");
	ramp(3, 10);
	connect_one_by_one(1000);
	print_accepted("turns, one at 10 %");
	expect_accepted(3, 1, 40);
	/* The others stay even. */
	for (size_t i = 0; i < 8; i++)
		if (i != 3)
			expect_accepted(i, (1000 - g.accepted[3]) / 7 - 1,
			    (1000 - g.accepted[3]) / 7 + 2);
	close_group();
}

static void
test_slow_start_of_idle_lanes(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	ramp(3, 10);
	connect_one_by_one(1000);
	print_accepted("least, idle, one at 10 %");
	expect_accepted(3, 1, 40);
	for (size_t i = 0; i < 8; i++)
		if (i != 3)
			expect_accepted(i, 80, 210);
	close_group();
}

/* It has as many as its weight is, and is then no better than others. */
static void
test_slow_start_of_busy_lanes(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 4, "127.0.0.1");
	ramp(3, 25);
	connect_held(325);
	accept_total(325);
	print_accepted("least, held, one at 25 %");
	expect_accepted(3, 23, 27);
	for (size_t i = 0; i < 3; i++)
		expect_accepted(i, 98, 102);
	/* It ends: those that come fill it up. */
	steering_ebpf_ramp(g.s, 3, mono_now(), 0);
	connect_held(75);
	accept_total(75);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(g.accepted[i], 100);
	close_group();
}

/* All have begun at once: it is as without. */
static void
test_slow_start_of_all(void **state)
{
	struct mono from = mono_now();

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_TURNS, 8, "127.0.0.1");
	for (size_t i = 0; i < 8; i++)
		steering_ebpf_ramp(g.s, i, from, HOUR_MS);
	connect_held(800);
	accept_total(800);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(g.accepted[i], 100);
	close_group();
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	for (size_t i = 0; i < 8; i++)
		steering_ebpf_ramp(g.s, i, from, HOUR_MS);
	connect_held(800);
	accept_total(800);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(g.accepted[i], 100);
	close_group();
}

/* One that was there, and many that have just begun: nobody is left out. */
static void
slow_start_beside_one(enum steering_ebpf_mode mode)
{
	open_group(mode, 16, "127.0.0.1");
	for (size_t i = 1; i < 16; i++)
		ramp(i, 0);
	connect_one_by_one(1500);
	print_accepted("one at 100 %, fifteen at 3 %");
	expect_accepted(0, 450, 1400);
	for (size_t i = 1; i < 16; i++)
		expect_accepted(i, 1, 150);
	close_group();
}

static void
test_slow_start_beside_one(void **state)
{
	(void)state;
	NEED_EBPF();
	slow_start_beside_one(STEERING_EBPF_TURNS);
	slow_start_beside_one(STEERING_EBPF_LEAST);
}

/* Nobody was told that it is over. */
static void
test_slow_start_ends(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_TURNS, 4, "127.0.0.1");
	steering_ebpf_ramp(g.s, 1, (struct mono){
	    .ns = mono_now().ns - 20000000 }, 15);
	connect_held(400);
	accept_total(400);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(g.accepted[i], 100);
	close_group();
}

/* ---- checks ---- */

/* A socket that is bound to the listener's own address, and where that is. */
static int
check_socket(struct check_source *ret_source)
{
	int fd = socket(g.address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 a;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a;
	socklen_t len = sizeof(a);

	memcpy(&a, &g.address, sizeof(a));
	a.sin6_port = 0;
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, g.len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_source = (struct check_source){
		.ipv6 = a.sin6_family == AF_INET6, .port = ntohs(a.sin6_port),
	};
	if (ret_source->ipv6)
		memcpy(ret_source->ip, &a.sin6_addr, 16);
	else
		memcpy(ret_source->ip, &in->sin_addr, 4);
	return fd;
}

/* Live or not; and who comes from elsewhere goes to those that are. */
static void
checks_reach_what_they_mean(enum steering_ebpf_mode mode, const char *host)
{
	const unsigned live[] = { 1, 2 };
	size_t strangers = 0;

	NEED_EBPF();
	open_group(mode, 8, host);
	steering_ebpf_set_live(g.s, live, 2);
	for (size_t i = 0; i < 400; i++) {
		struct check_source source;
		int fd = check_socket(&source);
		size_t lane = i % 8;

		if (steering_ebpf_check(g.s, lane, &source) == -EBUSY) {
			close(fd);
			continue;
		}
		assert_int_equal(steering_ebpf_check(g.s, lane, &source),
		    -EBUSY);
		assert_int_equal(connect(fd, &g.address.sa, g.len), 0);
		assert_int_equal(accept_lane(lane), 1);
		connect_held(1);
		strangers += accept_lane(1) + accept_lane(2);
		steering_hub_check_end(hub, &source);
		/* What is over is over. */
		steering_hub_check_end(hub, &source);
		reset(fd);
		drop_all(&served);
		drop_all(&clients);
	}
	assert_true(strangers >= 390);
	expect_all_zero();
	close_group();
}

static void
test_checks_reach_what_they_mean(void **state)
{
	(void)state;
	checks_reach_what_they_mean(STEERING_EBPF_TURNS, "127.0.0.1");
	checks_reach_what_they_mean(STEERING_EBPF_TURNS, "::1");
	checks_reach_what_they_mean(STEERING_EBPF_LEAST, "127.0.0.1");
	checks_reach_what_they_mean(STEERING_EBPF_LEAST, "::1");
}

/* Of another address, although the port is the same. */
static void
test_a_stranger_is_no_check(void **state)
{
	const unsigned live[] = { 2 };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct check_source source;
	int ours, theirs;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, "0.0.0.0");
	g.address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	steering_ebpf_set_live(g.s, live, 1);
	ours = check_socket(&source);
	assert_int_equal(steering_ebpf_check(g.s, 5, &source), 0);
	from.sin_port = htons(source.port);
	inet_pton(AF_INET, "127.0.0.2", &from.sin_addr);
	theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(theirs, (struct sockaddr *)&from, sizeof(from)),
	    0);
	assert_int_equal(connect(theirs, &g.address.sa, g.len), 0);
	assert_int_equal(accept_lane(2), 1);
	assert_int_equal(connect(ours, &g.address.sa, g.len), 0);
	assert_int_equal(accept_lane(5), 1);
	steering_hub_check_end(hub, &source);
	close(theirs);
	close(ours);
	close_group();
}

/* ---- counting ---- */

static void
test_counts_come_to_zero(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	for (int round = 0; round < 5; round++) {
		connect_held(100);
		/* Aborted and closed before they are accepted. */
		for (size_t i = 0; i < 25; i++) {
			reset(clients.fd[--clients.n]);
			close(clients.fd[--clients.n]);
		}
		for (size_t i = 0; i < 4; i++)
			accept_lane(i);
		/* Reset and closed by either side, in the midst of it. */
		for (size_t i = 0; served.n > 0; i++) {
			int fd = served.fd[--served.n];

			if (i % 3 == 0 && clients.n > 0)
				reset(clients.fd[--clients.n]);
			if (i % 2 == 0)
				reset(fd);
			else
				close(fd);
		}
		drop_all(&clients);
	}
	/* Lanes 4 to 7 were never accepted from; lane 4 is not to be. */
	assert_int_equal(shutdown(g.lane[4], SHUT_RDWR), 0);
	accept_lane(5);
	accept_lane(6);
	accept_lane(7);
	drop_all(&served);
	for (size_t i = 0; i < 4; i++)
		accept_lane(i);
	drop_all(&served);
	for (size_t i = 5; i < 8; i++)
		accept_lane(i);
	drop_all(&served);
	expect_all_zero();
	assert_int_equal(steering_ebpf_dropped(g.s), 0);
	close_group();
}

/* A listener's cells are used again only after its last connection. */
static void
test_cells_are_used_again(void **state)
{
	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	connect_held(16);
	accept_total(16);
	for (size_t i = 0; i < 8; i++)
		close(g.lane[i]);
	steering_ebpf_free(g.s);

	g.n = 0;
	open_group(STEERING_EBPF_LEAST, 8, "127.0.0.1");
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(total_of(i), 0);
	expect_all_zero();
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	close_group();
	for (size_t i = 0; i < 300; i++) {
		struct steering_ebpf *s = NULL;

		assert_int_equal(steering_ebpf_new(STEERING_EBPF_TURNS, 16,
		    hub, &s, NULL), 0);
		steering_ebpf_free(s);
	}
}

/* What the kernel had to look through of the programs that this process has
   open; 0: it does not say so (before Linux 5.16). */
static unsigned long
count_verified(void)
{
	unsigned long sum = 0, n;
	char name[64], line[128];
	FILE *f;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
		f = fopen(name, "re");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL)
			if (sscanf(line, "verified_insns: %lu", &n) == 1)
				sum += n;
		if (f != NULL)
			fclose(f);
	}
	return sum;
}

/* A group more takes no program: the kernel looks through all of them once. */
static void
test_many_groups(void **state)
{
	struct steering_ebpf *s[GROUPS];
	struct error err = ERROR_INIT;
	unsigned long one = 0;

	(void)state;
	NEED_EBPF();
	for (size_t i = 0; i < GROUPS; i++) {
		must(steering_ebpf_new(STEERING_EBPF_LEAST, 8, hub, &s[i],
		    &err), &err);
		if (i == 0)
			one = count_verified();
	}
	assert_int_equal(count_verified(), one);
	for (size_t i = 0; i < GROUPS; i++)
		steering_ebpf_free(s[i]);
}

/* Lanes are of one supply: who asks for too many gets none, and what was there
   stays. */
static void
test_no_room(void **state)
{
	struct steering_ebpf *small = NULL, *large = NULL, *none = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 2, "127.0.0.1");
	must(steering_ebpf_new(STEERING_EBPF_TURNS, 100, hub, &small, &err),
	    &err);
	must(steering_ebpf_new(STEERING_EBPF_TURNS, STEERING_EBPF_LANES_MAX,
	    hub, &large, &err), &err);
	assert_int_equal(steering_ebpf_new(STEERING_EBPF_TURNS,
	    STEERING_EBPF_LANES_MAX, hub, &none, &err), -ENOSPC);
	error_clear(&err);
	assert_null(none);
	assert_int_equal(steering_ebpf_grow(g.s, STEERING_EBPF_LANES_MAX,
	    &err), -ENOSPC);
	error_clear(&err);
	connect_held(20);
	accept_total(20);
	assert_int_equal(g.accepted[0], 10);
	steering_ebpf_free(large);
	must(steering_ebpf_grow(g.s, STEERING_EBPF_LANES_MAX, &err), &err);
	steering_ebpf_free(small);
	connect_held(20);
	accept_total(20);
	assert_int_equal(g.accepted[0], 20);
	close_group();
}

/* The kernel asks about the socket that it comes to first, which may be none of the
   lanes: nobody gets to that one. */
static void
expect_stranger_is_alone(const char *host)
{
	struct steering_ebpf *other = NULL;
	int stranger[2], fd;

	open_group(STEERING_EBPF_LEAST, 2, host);
	/* Another group has had the address for a while. */
	must(steering_ebpf_new(STEERING_EBPF_LEAST, 2, hub, &other, NULL),
	    NULL);
	must(steering_ebpf_attach(other, g.lane[0], NULL), NULL);
	steering_ebpf_free(other);
	must(steering_ebpf_attach(g.s, g.lane[0], NULL), NULL);
	for (int i = 0; i < 2; i++) {
		stranger[i] = bound_socket();
		assert_int_equal(listen(stranger[i], 4096), 0);
	}
	connect_held(40);
	accept_total(40);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(g.accepted[i], 20);
	for (int i = 0; i < 2; i++) {
		fd = accept(stranger[i], NULL, NULL);
		assert_true(fd < 0 && errno == EAGAIN);
		close(stranger[i]);
	}
	close_group();
}

static void
test_strangers(void **state)
{
	(void)state;
	NEED_EBPF();
	expect_stranger_is_alone("127.0.0.1");
	expect_stranger_is_alone("::1");
}

/* The program is there before the first socket listens, which gets what comes before
   it is the slot's; and then a second one joins. */
static void
test_found_before_listening(void **state)
{
	struct error err = ERROR_INIT;
	int on = 1, off = 0;

	(void)state;
	NEED_EBPF();
	memset(&g, 0, sizeof(g));
	g.address.in.sin_family = AF_INET;
	g.address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g.len = sizeof(g.address.in);
	must(steering_ebpf_new(STEERING_EBPF_LEAST, 2, hub, &g.s, &err),
	    &err);
	for (unsigned i = 0; i < 2; i++) {
		g.all[i] = i;
		g.lane[i] = bound_socket();
		g.n = i + 1;
		must(steering_ebpf_mark_lane(g.s, i, g.lane[i]), NULL);
		if (i == 0) {
			assert_int_equal(setsockopt(g.lane[0], SOL_SOCKET,
			    SO_REUSEPORT, &off, sizeof(off)), 0);
			must(steering_ebpf_found(g.s, 0, g.lane[0], &err),
			    &err);
		}
		assert_int_equal(listen(g.lane[i], 4096), 0);
		assert_int_equal(setsockopt(g.lane[i], SOL_SOCKET,
		    SO_REUSEPORT, &on, sizeof(on)), 0);
		connect_held(10);
		must(steering_ebpf_set_lane(g.s, i, g.lane[i], &err), &err);
		assert_true(steering_ebpf_lane_counted(g.s, i));
		connect_held(10);
	}
	accept_total(40);
	assert_int_equal(g.accepted[0], 40);
	expect_open(0, 40);
	steering_ebpf_set_live(g.s, g.all, 2);
	connect_held(20);
	accept_total(20);
	assert_int_equal(g.accepted[1], 20);
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	close_group();
}

/* Another socket for a slot, while the old one is in the group for a moment longer;
   what waits there moves. And so once more. */
static void
test_socket_is_replaced(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_TURNS, 2, "127.0.0.1");
	for (size_t i = 1; i <= 3; i++) {
		int old = g.lane[1];

		g.lane[1] = bound_socket();
		must(steering_ebpf_mark_lane(g.s, 1, g.lane[1]), NULL);
		connect_held(4);
		assert_int_equal(listen(g.lane[1], 4096), 0);
		connect_held(4);
		must(steering_ebpf_set_lane(g.s, 1, g.lane[1], &err), &err);
		assert_true(steering_ebpf_lane_counted(g.s, 1));
		connect_held(4);
		close(old);
		accept_total(12);
		assert_int_equal(g.accepted[0] + g.accepted[1], 12 * i);
		expect_open(0, g.accepted[0]);
		expect_open(1, g.accepted[1]);
	}
	assert_int_equal(steering_ebpf_dropped(g.s), 0);
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	close_group();
}

/* A place that was another group's: who asks by the old one's program gets none
   of the new one's lanes. */
static void
test_place_is_used_again(void **state)
{
	struct steering_ebpf *old;
	struct group was;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 4, "127.0.0.1");
	connect_held(4);
	accept_total(4);
	was = g;
	old = g.s;
	steering_ebpf_free(old);
	g.n = 0;
	open_group(STEERING_EBPF_LEAST, 4, "127.0.0.1");
	connect_held(40);
	accept_total(40);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(g.accepted[i], 10);
	assert_int_equal(connect_to(&was), -ECONNREFUSED);
	assert_int_equal(steering_ebpf_dropped(g.s), 0);
	for (size_t i = 0; i < 4; i++)
		close(was.lane[i]);
	close_group();
}

/* ---- the live set ---- */

static void
test_only_live_lanes(void **state)
{
	const unsigned some[] = { 1, 3 };
	size_t before;

	(void)state;
	NEED_EBPF();
	for (int mode = STEERING_EBPF_TURNS; mode <= STEERING_EBPF_LEAST;
	    mode++) {
		open_group((enum steering_ebpf_mode)mode, 4, "127.0.0.1");
		steering_ebpf_set_live(g.s, some, 2);
		connect_held(100);
		accept_total(100);
		assert_int_equal(g.accepted[0] + g.accepted[2], 0);
		assert_int_equal(g.accepted[1], 50);
		assert_int_equal(g.accepted[3], 50);

		steering_ebpf_set_live(g.s, some, 0);
		assert_int_equal(try_connect(), -ECONNREFUSED);
		steering_ebpf_set_live(g.s, g.all, 4);
		before = g.accepted[0] + g.accepted[2];
		connect_held(100);
		accept_total(100);
		assert_true(g.accepted[0] + g.accepted[2] >= before + 50);
		close_group();
	}
}

/* A worker that shuts its lane down hurts nobody but itself, and until it is
   put in order again. */
static void
test_lane_that_does_not_listen(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	for (int mode = STEERING_EBPF_TURNS; mode <= STEERING_EBPF_LEAST;
	    mode++) {
		open_group((enum steering_ebpf_mode)mode, 4, "127.0.0.1");
		assert_int_equal(shutdown(g.lane[1], SHUT_RDWR), 0);
		connect_held(120);
		accept_total(120);
		assert_int_equal(g.accepted[1], 0);
		assert_int_equal(steering_ebpf_dropped(g.s), 0);
		if (mode == STEERING_EBPF_LEAST)
			for (size_t i = 0; i < 4; i++)
				assert_int_equal(g.accepted[i],
				    i == 1 ? 0 : 40);

		assert_int_equal(steering_ebpf_set_lane(g.s, 1, g.lane[1],
		    &err), -EINVAL);
		assert_non_null(strstr(error_text(&err), "does not listen"));
		error_clear(&err);
		assert_int_equal(listen(g.lane[1], 4096), 0);
		must(steering_ebpf_set_lane(g.s, 1, g.lane[1], &err), &err);
		/* In order already. */
		must(steering_ebpf_set_lane(g.s, 1, g.lane[1], &err), &err);
		connect_held(40);
		accept_total(40);
		assert_int_equal(g.accepted[1],
		    mode == STEERING_EBPF_LEAST ? 40 : 10);
		close_group();
	}
}

/* ---- moving what waits ---- */

/* All clients that are left get one; `gone` is how many are not. */
static void
expect_answers(size_t gone)
{
	for (size_t i = 0; i < served.n; i++)
		if (send(served.fd[i], "x", 1, MSG_NOSIGNAL) != 1)
			assert_true(gone-- > 0);
	for (size_t i = 0; i < clients.n; i++) {
		char c = 0;

		assert_int_equal(recv(clients.fd[i], &c, 1, 0), 1);
	}
}

static void
test_queue_moves(void **state)
{
	const unsigned one[] = { 0 }, others[] = { 1, 2, 3 };
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	for (int mode = STEERING_EBPF_TURNS; mode <= STEERING_EBPF_LEAST;
	    mode++) {
		open_group((enum steering_ebpf_mode)mode, 4, "127.0.0.1");
		steering_ebpf_set_live(g.s, one, 1);
		connect_held(100);
		expect_open(0, 100);
		steering_ebpf_set_live(g.s, others, 3);
		assert_int_equal(shutdown(g.lane[0], SHUT_RDWR), 0);
		expect_open(0, 0);
		assert_int_equal(open_of(1) + open_of(2) + open_of(3), 100);
		assert_true(open_of(1) >= 33 && open_of(1) <= 34);
		/* And once more, some of them closed by their clients. */
		for (size_t i = 0; i < 10; i++)
			reset(clients.fd[--clients.n]);
		steering_ebpf_set_live(g.s, others + 1, 2);
		assert_int_equal(close(g.lane[1]), 0);
		expect_open(1, 0);
		assert_int_equal(open_of(2) + open_of(3), 90);

		assert_int_equal(listen(g.lane[0], 4096), 0);
		must(steering_ebpf_set_lane(g.s, 0, g.lane[0], &err), &err);
		g.lane[1] = g.lane[0];
		accept_total(100);	/* resets are accepted, too */
		assert_int_equal(g.accepted[2] + g.accepted[3], 100);
		expect_answers(10);
		drop_all(&served);
		drop_all(&clients);
		expect_all_zero();
		g.lane[1] = -1;
		close_group();
	}
}

/* Connections that nobody counted, because they were there before the mark,
   move as well and leave the counts alone. */
static void
test_uncounted_queue_moves(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 2, "127.0.0.1");
	close_group();
	memset(&g, 0, sizeof(g));
	g.address.in.sin_family = AF_INET;
	g.address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g.len = sizeof(g.address.in);
	g.n = 2;
	g.lane[0] = bound_socket();
	assert_int_equal(listen(g.lane[0], 4096), 0);
	connect_held(10);
	g.lane[1] = bound_socket();
	assert_int_equal(listen(g.lane[1], 4096), 0);
	must(steering_ebpf_new(STEERING_EBPF_LEAST, 2, hub, &g.s, &err),
	    &err);
	for (unsigned i = 0; i < 2; i++) {
		g.all[i] = i;
		must(steering_ebpf_set_lane(g.s, i, g.lane[i], &err), &err);
		assert_false(steering_ebpf_lane_counted(g.s, i));
	}
	must(steering_ebpf_attach(g.s, g.lane[0], &err), &err);
	steering_ebpf_set_live(g.s, g.all, 1);
	connect_held(10);
	expect_open(0, 10);
	steering_ebpf_set_live(g.s, g.all + 1, 1);
	assert_int_equal(shutdown(g.lane[0], SHUT_RDWR), 0);
	accept_total(20);
	assert_int_equal(g.accepted[1], 20);
	expect_answers(0);
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	close_group();
}

/*
 * A listener that becomes least-connections: its sockets listen already, and
 * connections are open. New ones are counted; from the next listen(2) on that
 * is known to be all.
 */
static void
test_marked_while_listening(void **state)
{
	struct error err = ERROR_INIT;

	int first;

	(void)state;
	NEED_EBPF();
	memset(&g, 0, sizeof(g));
	g.address.in.sin_family = AF_INET;
	g.address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g.len = sizeof(g.address.in);
	g.n = 2;
	first = bound_socket();
	for (unsigned i = 0; i < 2; i++) {
		g.all[i] = i;
		g.lane[i] = bound_socket();
		assert_int_equal(listen(g.lane[i], 4096), 0);
	}
	close(first);
	connect_held(10);
	accept_total(10);
	must(steering_ebpf_new(STEERING_EBPF_LEAST, 2, hub, &g.s, &err),
	    &err);
	for (unsigned i = 0; i < 2; i++) {
		must(steering_ebpf_set_lane(g.s, i, g.lane[i], &err), &err);
		assert_false(steering_ebpf_lane_counted(g.s, i));
	}
	steering_ebpf_set_live(g.s, g.all, 2);
	must(steering_ebpf_attach(g.s, g.lane[0], &err), &err);
	memset(g.accepted, 0, sizeof(g.accepted));
	connect_held(20);
	accept_total(20);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(g.accepted[i], 10);
		expect_open(i, 10);
	}
	assert_int_equal(shutdown(g.lane[0], SHUT_RDWR), 0);
	assert_int_equal(listen(g.lane[0], 4096), 0);
	must(steering_ebpf_set_lane(g.s, 0, g.lane[0], &err), &err);
	assert_true(steering_ebpf_lane_counted(g.s, 0));
	assert_false(steering_ebpf_lane_counted(g.s, 1));
	connect_held(20);
	accept_total(20);
	expect_open(0, 20);
	expect_open(1, 20);
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	close_group();
}

/* ---- growth ---- */

/* Somebody who connects all the time, to `clients`. */
struct arrivals {
	pthread_t thread;
	size_t n;
	int code;
	bool stop;
};

static void *
arrive(void *data)
{
	struct arrivals *a = data;

	while (!__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE) &&
	    clients.n < HELD_MAX) {
		int fd = try_connect();

		if (fd < 0) {
			a->code = fd;
			break;
		}
		hold(&clients, fd);
		if (__atomic_add_fetch(&a->n, 1, __ATOMIC_RELEASE) % 4 == 0)
			(void)poll(NULL, 0, 1);
	}
	return NULL;
}

static size_t
arrived(struct arrivals *a)
{
	return __atomic_load_n(&a->n, __ATOMIC_ACQUIRE);
}

/* Until some more have come, so that there is some before and after. */
static void
expect_arrivals(struct arrivals *a)
{
	struct mono limit = mono_add_ms(mono_now(), LIMIT_MS);
	size_t before = arrived(a);

	while (arrived(a) < before + 4) {
		assert_true(mono_before(mono_now(), limit));
		(void)poll(NULL, 0, 1);
	}
}

/* Only lane 0 is live: had the list been empty for a moment, there would be nobody
   to take a SYN, and had it been another one, lane 1 would be chosen. */
static size_t
grow_under_arrivals(void)
{
	static const size_t sizes[] = { 5, 6, 7, 8, 64, 65, 511, 513, 1000,
	    900, 3000 };
	struct arrivals a = { .n = 0 };
	struct error err = ERROR_INIT;
	struct mono start;

	assert_int_equal(pthread_create(&a.thread, NULL, arrive, &a), 0);
	expect_arrivals(&a);
	start = mono_now();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		must(steering_ebpf_grow(g.s, sizes[i], &err), &err);
		expect_arrivals(&a);
		accept_lane(0);
	}
	print_message("grown under %zu arrivals in %lldms\n", a.n,
	    (long long)mono_ms_between(start, mono_now()));
	__atomic_store_n(&a.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(a.thread, NULL), 0);
	assert_int_equal(a.code, 0);
	return a.n;
}

static void
add_lane(size_t slot)
{
	struct error err = ERROR_INIT;

	g.lane[slot] = bound_socket();
	must(steering_ebpf_mark_lane(g.s, slot, g.lane[slot]), NULL);
	assert_int_equal(listen(g.lane[slot], 4096), 0);
	must(steering_ebpf_set_lane(g.s, slot, g.lane[slot], &err), &err);
	assert_true(steering_ebpf_lane_counted(g.s, slot));
}

static void
growth(enum steering_ebpf_mode mode)
{
	const unsigned live[] = { 1, 900 };
	size_t n;

	open_group(mode, 2, "127.0.0.1");
	for (size_t i = 2; i < LANES_MAX; i++)
		g.lane[i] = -1;
	steering_ebpf_set_live(g.s, g.all, 1);
	connect_held(60);
	accept_total(60);
	connect_held(40);	/* which wait */
	n = 100 + grow_under_arrivals();
	expect_open(0, n);
	assert_int_equal(total_of(0), n);
	assert_int_equal(total_of(1), 0);
	assert_int_equal(steering_ebpf_dropped(g.s), 0);

	/* The old and a new one share what waits in the old one's queue. */
	while (accept_lane(0) > 0)
		;
	connect_held(50);
	add_lane(900);
	steering_ebpf_set_live(g.s, live, 2);
	assert_int_equal(shutdown(g.lane[0], SHUT_RDWR), 0);
	expect_open(0, n);
	assert_int_equal(open_of(1), 25);
	assert_int_equal(open_of(900), 25);
	connect_held(20);
	expect_open(1, 35);
	expect_open(900, 35);
	assert_true(accept_lane(1) == 35 && accept_lane(900) == 35);
	expect_answers(0);
	drop_all(&served);
	drop_all(&clients);
	expect_all_zero();
	expect_open(900, 0);
	close(g.lane[900]);
	close_group();
}

static void
test_growth(void **state)
{
	(void)state;
	NEED_EBPF();
	growth(STEERING_EBPF_TURNS);
	growth(STEERING_EBPF_LEAST);
}

/* What a lane has from before weighs after it. */
static void
test_growth_keeps_least(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	NEED_EBPF();
	open_group(STEERING_EBPF_LEAST, 4, "127.0.0.1");
	steering_ebpf_set_live(g.s, g.all, 2);
	connect_held(40);
	accept_total(40);
	connect_held(2);
	accept_total(2);
	must(steering_ebpf_grow(g.s, 600, &err), &err);
	steering_ebpf_set_live(g.s, g.all, 4);
	connect_held(42);
	accept_total(42);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(g.accepted[i], 21);
	assert_int_equal(open_of(599), 0);
	close_group();
}

/* ---- a slow way ---- */

/* `n` connections under way at once; wait until all are there. */
static void
start_connecting(size_t n)
{
	inet_pton(AF_INET, "10.77.0.2", &g.address.in.sin_addr);
	for (size_t i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);

		assert_true(fd >= 0);
		assert_int_equal(connect(fd, &g.address.sa, g.len), -1);
		assert_int_equal(errno, EINPROGRESS);
		hold(&clients, fd);
	}
}

static void
slow_burst(void)
{
	for (int burst = 1; burst <= 4; burst++) {
		start_connecting(50);
		accept_total(50);
	}
	for (size_t i = 0; i < 8; i++)
		print_message("%llu ", (unsigned long long)open_of(i));
	print_message("\n");
	assert_true(spread() <= 1.05);
	drop_all(&clients);
	drop_all(&served);
	expect_all_zero();
}

/* The SYNs are there, the handshakes are not over: the children belong to who
   takes them. */
static void
slow_move(void)
{
	const unsigned one[] = { 0 };

	memset(g.accepted, 0, sizeof(g.accepted));
	steering_ebpf_set_live(g.s, one, 1);
	start_connecting(80);
	(void)poll(NULL, 0, 35);	/* of 25 and 75 */
	steering_ebpf_set_live(g.s, g.all + 1, 7);
	assert_int_equal(shutdown(g.lane[0], SHUT_RDWR), 0);
	accept_total(80);
	assert_int_equal(g.accepted[0], 0);
	for (size_t i = 1; i < 8; i++)
		assert_int_equal(open_of(i), g.accepted[i]);
	print_message("half-open ones moved to: ");
	for (size_t i = 1; i < 8; i++)
		print_message("%zu ", g.accepted[i]);
	print_message("\n");
	drop_all(&clients);
	drop_all(&served);
	expect_all_zero();
}

static uint16_t
checksum(const void *bytes, size_t len, uint32_t sum)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* From an address to which there is no way: it is never answered. */
static void
send_lost_syn(int raw, uint16_t port)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} p;
	struct sockaddr_in to = { .sin_family = AF_INET };
	uint32_t sum = IPPROTO_TCP + sizeof(p.tcp);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(&p, 0, sizeof(p));
	p.ip.version = 4;
	p.ip.ihl = 5;
	p.ip.ttl = 64;
	p.ip.protocol = IPPROTO_TCP;
	p.ip.saddr = htonl(0xcb007105);	/* 203.0.113.5 */
	p.ip.daddr = to.sin_addr.s_addr;
	p.tcp.source = htons(port);
	p.tcp.dest = g.address.in.sin_port;
	p.tcp.doff = 5;
	p.tcp.syn = 1;
	p.tcp.window = htons(1000);
	sum += (ntohl(p.ip.saddr) >> 16) + (ntohl(p.ip.saddr) & 0xffff);
	sum += (ntohl(p.ip.daddr) >> 16) + (ntohl(p.ip.daddr) & 0xffff);
	p.tcp.check = checksum(&p.tcp, sizeof(p.tcp), sum);
	assert_int_equal(sendto(raw, &p, sizeof(p), 0, (struct sockaddr *)&to,
	    sizeof(to)), sizeof(p));
}

/* SYNs that lead to nothing weigh as connections, and for two seconds. */
static void
lost_syns(void)
{
	const unsigned one[] = { 0 };
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct mono start, limit;

	assert_true(raw >= 0);
	g.address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(g.accepted, 0, sizeof(g.accepted));
	steering_ebpf_set_live(g.s, one, 1);
	for (uint16_t i = 0; i < 40; i++)
		send_lost_syn(raw, (uint16_t)(2000 + i));
	close(raw);
	start = mono_now();
	steering_ebpf_set_live(g.s, g.all, 8);
	connect_held(70);
	accept_total(70);
	expect_open(0, 0);
	for (size_t i = 1; i < 8; i++)
		assert_int_equal(open_of(i), 10);
	limit = mono_add_ms(start, LIMIT_MS);
	while (g.accepted[0] == 0 && mono_before(mono_now(), limit)) {
		connect_held(1);
		accept_total(1);
		if (g.accepted[0] == 0)
			reset(clients.fd[--clients.n]);
		(void)poll(NULL, 0, 10);
	}
	print_message("lost SYNs were forgotten after %lldms\n",
	    (long long)mono_ms_between(start, mono_now()));
	assert_int_equal(g.accepted[0], 1);
	drop_all(&clients);
	drop_all(&served);
	expect_all_zero();
}

static void
in_slow_net(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(delay_net_start(25), 0);
	open_group(STEERING_EBPF_LEAST, 8, "0.0.0.0");
	slow_burst();
	lost_syns();
	slow_move();
	assert_int_equal(listen(g.lane[0], 4096), 0);
	must(steering_ebpf_set_lane(g.s, 0, g.lane[0], &err), &err);
	steering_ebpf_set_live(g.s, g.all, 8);
	slow_burst();
	close_group();
}

/* In a process and a network namespace of its own. */
static void
test_apart(CMUnitTestFunction test, const char *needs)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct CMUnitTest apart[] = {
			cmocka_unit_test(test),
		};
		int code = delay_net_enter();

		if (code < 0 || access(needs, R_OK) < 0) {
			print_message("no such network: %s\n",
			    strerror(code < 0 ? -code : errno));
			_exit(77);
		}
		code = cmocka_run_group_tests_name("apart", apart, NULL, NULL);
		fflush(NULL);
		_exit(code != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_slow_net(void **state)
{
	(void)state;
	NEED_EBPF();
	test_apart((CMUnitTestFunction)in_slow_net, "/dev/net/tun");
}

/* ---- SYN cookies ---- */

#define SYNCOOKIES "/proc/sys/net/ipv4/tcp_syncookies"
#define TIMESTAMPS "/proc/sys/net/ipv4/tcp_timestamps"

/* Of this network namespace. */
static void
set_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, 1), 1);
	close(fd);
}

static void
expect_equal_shares(size_t each)
{
	for (size_t i = 0; i < g.n; i++) {
		print_message("%zu ", g.accepted[i]);
		expect_open(i, each);
	}
	print_message("\n");
	for (size_t i = 0; i < g.n; i++)
		assert_int_equal(g.accepted[i], each);
}

/* Held ones, one by one, and some that wait: all lanes have the same. */
static void
cookies(size_t lanes)
{
	const unsigned others[] = { 1, 2, 3 };

	open_group(STEERING_EBPF_LEAST, lanes, "127.0.0.1");
	set_sysctl(SYNCOOKIES, "2");
	for (size_t i = 0; i < 10 * lanes; i++) {
		connect_held(1);
		accept_total(1);
	}
	connect_held(30 * lanes);
	accept_total(30 * lanes);
	expect_equal_shares(40);
	/* SYNs that nothing came of have left no charge. */
	set_sysctl(SYNCOOKIES, "1");
	connect_held(10 * lanes);
	accept_total(10 * lanes);
	expect_equal_shares(50);

	/* Who has fewest gets all that come. */
	set_sysctl(SYNCOOKIES, "2");
	steering_ebpf_set_live(g.s, others, 3);
	connect_held(30);
	accept_total(30);
	expect_open(0, 50);
	expect_open(1, 60);
	steering_ebpf_set_live(g.s, g.all, lanes);
	connect_held(10);
	accept_total(10);
	expect_open(0, 60);
	expect_open(1, 60);
	drop_all(&clients);
	drop_all(&served);
	expect_all_zero();
	set_sysctl(SYNCOOKIES, "1");
	assert_int_equal(steering_ebpf_dropped(g.s), 0);
	close_group();
}

/* Those that come and go take turns. */
static void
short_cookies(size_t lanes)
{
	open_group(STEERING_EBPF_LEAST, lanes, "127.0.0.1");
	set_sysctl(SYNCOOKIES, "2");
	for (size_t i = 0; i < 20 * lanes; i++) {
		connect_held(1);
		accept_total(1);
		drop_all(&served);
		drop_all(&clients);
		expect_all_zero();
	}
	for (size_t i = 0; i < lanes; i++)
		assert_int_equal(g.accepted[i], 20);
	/* A lane that has ceased to listen is nobody's first choice. */
	assert_int_equal(shutdown(g.lane[1], SHUT_RDWR), 0);
	connect_held(2 * lanes);
	accept_total(2 * lanes);
	assert_int_equal(g.accepted[1], 20);
	assert_int_equal(steering_ebpf_dropped(g.s), 0);
	set_sysctl(SYNCOOKIES, "1");
	close_group();
}

static void
with_cookies(void)
{
	for (const char *ts = "10"; *ts != '\0'; ts++) {
		set_sysctl(TIMESTAMPS, ts);
		cookies(4);
		short_cookies(4);
		short_cookies(5);
	}
}

static void
test_cookies(void **state)
{
	(void)state;
	NEED_EBPF();
	test_apart((CMUnitTestFunction)with_cookies, SYNCOOKIES);
}

/* ---- refusals ---- */

static void
test_refused_in_words(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct error err = ERROR_INIT;
		int code;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(2);
		code = conn_count_new(&count, &err);
		if (code == 0)
			code = steering_hub_new(count, &hub, &err);
		if (code == 0)
			code = steering_ebpf_probe(STEERING_EBPF_LEAST, hub,
			    &err);
		print_message("as nobody: %s\n", error_text(&err));
		fflush(NULL);
		/* Where the kernel lets anybody use BPF maps, counting is
		   still refused. */
		_exit(code == -EPERM &&
		    strstr(error_text(&err), "CAP_BPF") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* 0 or -errno: what the manual says that it takes, and nothing else. */
static int
keep_capabilities(void)
{
	const uint64_t some = UINT64_C(1) << CAP_BPF |
	    UINT64_C(1) << CAP_NET_ADMIN;
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)some, (uint32_t)some, 0 },
		{ (uint32_t)(some >> 32), (uint32_t)(some >> 32), 0 },
	};

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
	    setresuid(65534, 65534, 65534) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		return -errno;
	return 0;
}

/* The verifier is stricter with those who have no CAP_PERFMON. */
static void
test_few_capabilities_do(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	NEED_EBPF();
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct conn_count *own = NULL;
		struct steering_hub *own_hub = NULL;
		struct error err = ERROR_INIT;
		int code = keep_capabilities();

		if (code < 0)
			_exit(77);
		code = conn_count_new(&own, &err);
		if (code == 0)
			code = steering_hub_new(own, &own_hub, &err);
		if (code == 0)
			code = steering_ebpf_probe(STEERING_EBPF_TURNS, own_hub,
			    &err);
		if (code == 0)
			code = steering_ebpf_probe(STEERING_EBPF_LEAST, own_hub,
			    &err);
		print_message("with CAP_BPF and CAP_NET_ADMIN: %s\n",
		    code == 0 ? "granted" : error_text(&err));
		fflush(NULL);
		_exit(code != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int
copy_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	assert_true(copy >= 0);
	return copy;
}

static void
test_what_is_attached_is_found_again(void **state)
{
	struct steering_hub *stranger = NULL, *again = NULL;
	struct error err = ERROR_INIT;
	int fds[STEERING_HUB_FDS], attached, copy;

	(void)state;
	NEED_EBPF();
	attached = steering_hub_attached(hub);
	assert_true(attached >= 0);

	/* It goes by the maps of one hub. */
	must(steering_hub_new(count, &stranger, &err), &err);
	assert_int_equal(steering_hub_attached(stranger), -1);
	assert_false(steering_hub_attached_again(stranger, attached));
	assert_int_equal(steering_hub_attached(stranger), -1);
	steering_hub_free(stranger);

	steering_hub_fds(hub, fds);
	for (int i = 0; i < STEERING_HUB_FDS; i++)
		fds[i] = copy_of(fds[i]);
	must(steering_hub_again(fds, count, &again), &err);
	assert_false(steering_hub_attached_again(again, fds[0]));
	assert_false(steering_hub_attached_again(again, 0));
	copy = copy_of(attached);
	assert_true(steering_hub_attached_again(again, copy));
	assert_false(steering_hub_attached_again(again, attached));
	assert_int_equal(steering_hub_program(again, STEERING_EBPF_LEAST,
	    &err), copy);
	steering_hub_free(again);
}

static void
test_udp_is_not_for_this(void **state)
{
	struct error err = ERROR_INIT;
	struct steering_ebpf *s = NULL;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	NEED_EBPF();
	must(steering_ebpf_new(STEERING_EBPF_TURNS, 2, hub, &s, &err), &err);
	assert_int_equal(steering_ebpf_set_lane(s, 0, fd, &err),
	    -EPROTONOSUPPORT);
	error_clear(&err);
	close(fd);
	steering_ebpf_free(s);
}

static int
try_out(void **state)
{
	struct rlimit files;
	struct error err = ERROR_INIT;

	(void)state;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Where nobody else connects: who tries whether a port that was free for him
	   still refuses, as other tests do, would wait in a lane, and be counted. */
	(void)delay_net_enter();
	if (conn_count_new(&count, &err) < 0 ||
	    steering_hub_new(count, &hub, &err) < 0 ||
	    steering_ebpf_probe(STEERING_EBPF_LEAST, hub, &err) < 0)
		snprintf(why_skipped, sizeof(why_skipped), "%s",
		    error_text(&err));
	error_clear(&err);
	return 0;
}

static int
clean_up(void **state)
{
	(void)state;
	steering_hub_free(hub);
	conn_count_free(count);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns_are_exact),
		cmocka_unit_test(test_turns_are_exact_ipv6),
		cmocka_unit_test(test_least_takes_turns),
		cmocka_unit_test(test_least_is_even),
		cmocka_unit_test(test_least_is_even_ipv6),
		cmocka_unit_test(test_least_of_many),
		cmocka_unit_test(test_slow_start_of_turns),
		cmocka_unit_test(test_slow_start_of_idle_lanes),
		cmocka_unit_test(test_slow_start_of_busy_lanes),
		cmocka_unit_test(test_slow_start_of_all),
		cmocka_unit_test(test_slow_start_beside_one),
		cmocka_unit_test(test_slow_start_ends),
		cmocka_unit_test(test_checks_reach_what_they_mean),
		cmocka_unit_test(test_a_stranger_is_no_check),
		cmocka_unit_test(test_counts_come_to_zero),
		cmocka_unit_test(test_cells_are_used_again),
		cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_found_before_listening),
		cmocka_unit_test(test_socket_is_replaced),
		cmocka_unit_test(test_place_is_used_again),
		cmocka_unit_test(test_only_live_lanes),
		cmocka_unit_test(test_lane_that_does_not_listen),
		cmocka_unit_test(test_queue_moves),
		cmocka_unit_test(test_uncounted_queue_moves),
		cmocka_unit_test(test_marked_while_listening),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_keeps_least),
		cmocka_unit_test(test_slow_net),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_refused_in_words),
		cmocka_unit_test(test_few_capabilities_do),
		cmocka_unit_test(test_what_is_attached_is_found_again),
		cmocka_unit_test(test_udp_is_not_for_this),
	};

	return cmocka_run_group_tests(tests, try_out, clean_up);
}

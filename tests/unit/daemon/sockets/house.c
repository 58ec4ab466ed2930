#include <sys/socket.h>
#include <sys/un.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_live.h"
#include "house.h"
#include "linux/socket/lane_queue.h"

#define LIMIT_MS 5000

static char name[] = "web";

static void
too_late(void *ctx)
{
	(void)ctx;
	fail_msg("it did not come within %d ms", LIMIT_MS);
}

void
house_open(struct house *h, const char *address, enum conf_balance balance)
{
	struct error err = ERROR_INIT;

	*h = (struct house){
		.all = LISTENERS_INIT,
		.app = {
			.name = name,
			.listens = &h->written,
			.n_listens = 1,
			.balance = balance,
			.backlog = 64,
			.instances_kind = CONF_INSTANCES_NUMBER,
			.instances = 2,
			.socket_mode = 0660,
			.socket_uid = UINT32_MAX,
			.socket_gid = UINT32_MAX,
		},
	};
	assert_int_equal(loop_new(&h->loop, &err), 0);
	assert_int_equal(loop_timer_init(h->loop, &h->limit, too_late, h), 0);
	listeners_init(&h->all, h->loop);
	assert_int_equal(address_parse(address, "/", &h->written, &err), 0);
}

/* No listener is left. */
void
house_close(struct house *h)
{
	assert_null(h->all.first);
	listeners_fini(&h->all);
	loop_timer_fini(h->loop, &h->limit);
	loop_free(h->loop);
	address_free(&h->written);
}

struct listener *
house_acquire(struct house *h)
{
	struct error err = ERROR_INIT;
	struct listener *l = NULL;

	if (listeners_acquire(&h->all, &h->app, 0, &l, &err) < 0)
		fail_msg("%s", error_text(&err));
	return l;
}

void
house_turn_until(struct house *h, house_fn *fn, void *ctx)
{
	loop_timer_set(h->loop, &h->limit, mono_add_ms(mono_now(), LIMIT_MS));
	while (!fn(ctx))
		loop_turn(h->loop);
	loop_timer_set(h->loop, &h->limit, MONO_NEVER);
}

struct lane *
house_take(struct listener *l, const struct lane_holder *holder)
{
	struct error err = ERROR_INIT;
	struct lane *lane = NULL;

	if (lanes_take(l, holder, &lane, &err) < 0)
		fail_msg("%s", error_text(&err));
	return lane;
}

struct lane *
house_share(struct listener *l)
{
	static HOLDER(somebody, 0);
	struct error err = ERROR_INIT;
	struct lane *lane = NULL;

	if (lanes_share(l, &somebody, &lane, &err) < 0)
		fail_msg("%s", error_text(&err));
	return lane;
}

void
house_serve(struct listener *l, const struct lane *const *lanes, size_t n)
{
	for (size_t i = 0; i < l->lanes.n; i++) {
		bool wanted = false;

		for (size_t k = 0; k < n; k++)
			wanted |= lanes[k] == l->lanes.v[i];
		lanes_live_want(l->lanes.v[i], wanted);
	}
	assert_true(lanes_live_apply(l, mono_now()));
}

int
client_try(const struct address *a)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} to;
	socklen_t len = sizeof(to.in);
	int fd;

	memset(&to, 0, sizeof(to));
	if (a->kind == ADDRESS_UNIX) {
		to.un.sun_family = AF_UNIX;
		assert_true(strlen(a->path) < sizeof(to.un.sun_path));
		strcpy(to.un.sun_path, a->path);
		len = sizeof(to.un);
	} else {
		assert_int_equal(a->host, ADDRESS_HOST_IPV4);
		to.in.sin_family = AF_INET;
		memcpy(&to.in.sin_addr, a->ip, 4);
		to.in.sin_port = htons(a->port);
	}
	fd = socket(to.sa.sa_family, SOCK_CLOEXEC | SOCK_NONBLOCK |
	    (a->kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM), 0);
	assert_true(fd >= 0);
	if (connect(fd, &to.sa, len) < 0 && errno != EINPROGRESS) {
		int code = -errno;

		close(fd);
		return code;
	}
	return fd;
}

static void
await(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
}

static int
error_of(int fd)
{
	socklen_t len = sizeof(int);
	int code = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len), 0);
	return code;
}

void
client_await(int fd)
{
	await(fd, POLLOUT);
	assert_int_equal(error_of(fd), 0);
}

int
client_connect(const struct address *a)
{
	int fd = client_try(a);
	int code;

	if (fd < 0)
		return fd;
	await(fd, POLLOUT);
	code = error_of(fd);
	if (code == 0)
		return fd;
	close(fd);
	return -code;
}

int
client_end(int fd)
{
	char byte;
	ssize_t n;

	await(fd, POLLIN);
	n = read(fd, &byte, 1);
	assert_true(n <= 0);
	return n < 0 ? errno : 0;
}

void
serve(struct lane *const *lanes, size_t n_lanes, size_t n, size_t *counts)
{
	struct pollfd p[8];

	assert_true(n_lanes <= sizeof(p) / sizeof(p[0]));
	for (size_t i = 0; i < n_lanes; i++)
		p[i] = (struct pollfd){ .fd = lanes[i]->fd, .events = POLLIN };
	while (n > 0) {
		assert_true(poll(p, n_lanes, LIMIT_MS) > 0);
		for (size_t i = 0; i < n_lanes && n > 0; i++) {
			int fd;

			if ((p[i].revents & POLLIN) == 0)
				continue;
			fd = accept4(lanes[i]->fd, NULL, NULL, SOCK_CLOEXEC);
			assert_true(fd >= 0);
			close(fd);
			counts[i]++;
			n--;
		}
	}
}

unsigned
waiting_in(const struct lane *lane)
{
	uint32_t n, max;

	assert_int_equal(lane_queue_tcp(lane->fd, &n, &max), 0);
	return n;
}

void
worker_shuts(const struct lane *lane)
{
	int fd = fcntl(lane->fd, F_DUPFD_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
	close(fd);
}

/*
 * A connection of clusterd's own reaches the lane that it means.
 */
#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/sockets/check_source.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_check.h"
#include "house.h"
#include "linux/socket/socket.h"

#define ANY_PORT "127.0.0.1:0"

static struct house h;

static int
bind_client(struct check_source *ret_source)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	memset(ret_source, 0, sizeof(*ret_source));
	memcpy(ret_source->ip, &a.sin_addr, sizeof(a.sin_addr));
	ret_source->port = ntohs(a.sin_port);
	return fd;
}

static void
assert_reached(struct listener *l, struct lane *lane)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct pollfd p = { .fd = lane->fd, .events = POLLIN };
	const unsigned before = waiting_in(lane);
	struct error err = ERROR_INIT;
	struct check_source source;
	int fd = bind_client(&source);

	if (lanes_check_begin(lane, &source, mono_add_ms(mono_now(), 5000),
		&err) < 0)
		fail_msg("%s", error_text(&err));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons(l->bound.port);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(waiting_in(lane), before + 1);
	lanes_check_end(&h.all, l->serial, &source);
	close(fd);
}

/* Its holder has shut it down and let it listen again, of which nobody has heard yet:
   of eBPF's map the kernel has taken it out. */
static void
who_listens_again_unseen_is_reached(void **state)
{
	struct listener *l;
	struct lane *lanes[2];
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_ROUND_ROBIN);
	if (!balancing_can_count(&h.all.balancing, NULL)) {
		house_close(&h);
		skip();
	}
	l = house_acquire(&h);
	lanes[0] = house_take(l, &first);
	lanes[1] = house_take(l, &second);
	house_serve(l, (const struct lane *const *)lanes, 2);
	assert_reached(l, lanes[1]);
	worker_shuts(lanes[1]);
	assert_int_equal(socket_start_listening(lanes[1]->fd, l->backlog), 0);
	assert_reached(l, lanes[1]);
	assert_reached(l, lanes[0]);
	listeners_release(l);
	house_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_listens_again_unseen_is_reached),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

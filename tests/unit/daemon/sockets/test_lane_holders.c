/*
 * Lanes on real sockets: whose they are, which get new connections, and what
 * becomes of them when workers shut them down.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_order.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/lanes_watch.h"
#include "house.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"

#define ANY_PORT "127.0.0.1:0"

static struct house h;

/* ---- whose they are ---- */

static void
a_lane_is_kept_until_it_is_left(void **state)
{
	struct listener *l;
	struct lane *a, *b;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	a = house_take(l, &first);
	b = house_take(l, &second);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(a, listener_first_lane(l));
	assert_ptr_equal(house_take(l, &first), a);
	assert_ptr_equal(lanes_find(l, &second), b);
	assert_ptr_equal(lanes_find_inode(l, b->ino), b);
	assert_true(b->listening);

	/* Free, and not closed: the next one gets it. */
	lanes_leave(l, &second);
	assert_null(lanes_find(l, &second));
	assert_true(lane_is_free(b) && b->listening);
	assert_ptr_equal(house_take(l, &third), b);
	assert_int_equal(l->lanes.n, 2);
	lanes_leave(l, &second);	/* has none */
	assert_ptr_equal(b->holder, &third);

	listeners_release(l);
	house_close(&h);
}

/* Who holds the old one open keeps nobody from being refused, and its slot is
   used again. */
static void
one_is_exchanged_for_another(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *first, *other, *lane;
	size_t counts[2] = { 0 };
	uint64_t ino;
	int copy, client;
	HOLDER(w, 0);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	first = house_take(l, &w);
	house_serve(l, (const struct lane *[]){ first }, 1);
	copy = dup(first->fd);
	ino = first->ino;

	lanes_watch_heed(first, true);
	assert_int_equal(lanes_exchange(l, &w, &other, &err), 0);
	assert_ptr_not_equal(other, first);
	assert_true(other->heeded && other->awaited && !first->heeded);
	lanes_watch_heed(other, false);
	assert_ptr_equal(lanes_find(l, &w), other);
	assert_true(lane_is_free(first) && !first->listening);
	assert_false(socket_is_listening(copy));
	assert_true(other->live && other->listening);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	serve((struct lane *[]){ other }, 1, 1, counts);
	close(client);

	/* The other way round: as good as new. */
	assert_int_equal(lanes_exchange(l, &w, &lane, &err), 0);
	assert_ptr_equal(lane, first);
	assert_int_not_equal(first->ino, ino);
	assert_true(first->live && first->listening);
	assert_int_equal(l->lanes.n, 2);

	/* Whoever waits and cannot be moved is not lost. */
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	assert_int_equal(waiting_in(first), 1);
	assert_int_equal(lanes_exchange(l, &w, &lane, &err), 0);
	assert_ptr_equal(lane, first);
	assert_ptr_equal(lanes_find(l, &w), first);
	assert_true(first->live);
	assert_int_equal(waiting_in(first), 1);
	close(client);

	close(copy);
	listeners_release(l);
	house_close(&h);
}

/* New clients go to others from then on, not when the turn ends: the log says so.
   Where there is nobody else, nothing changes. */
static void
who_deserts_is_avoided_at_once(void **state)
{
	struct listener *l;
	struct lane *left, *other;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	left = house_take(l, &first);
	other = house_take(l, &second);
	lanes_live_want(left, true);
	lanes_live_want(other, true);
	assert_true(lanes_live_apply(l, mono_now()));
	assert_true(left->live && other->live);
	lanes_desert(left);
	assert_true(!left->live && other->live);
	lanes_desert(other);
	assert_true(other->live);
	listeners_release(l);
	house_close(&h);
}

/* It runs without it: another one's, or taken again, it counts as before. */
static void
one_is_deserted_until_it_is_taken_again(void **state)
{
	struct listener *l;
	struct lane *lane;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane = house_take(l, &first);
	lanes_desert(lane);
	assert_true(lane->deserted);
	assert_ptr_equal(house_take(l, &first), lane);
	assert_false(lane->deserted);
	lanes_desert(lane);
	lanes_leave(l, &first);
	assert_false(lane->deserted);
	assert_ptr_equal(house_take(l, &second), lane);
	assert_false(lane->deserted);
	listeners_release(l);
	house_close(&h);
}

/* Two are shut down at once; the first one's news have shown the second, whose
   holder lets it listen again before its own are taken. */
static void
who_listens_again_by_himself_is_counted(void **state)
{
	struct listener *l;
	struct lane *a, *b;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_LEAST_CONNECTIONS);
	if (!balancing_can_count(&h.all.balancing, NULL)) {
		house_close(&h);
		skip();
	}
	l = house_acquire(&h);
	a = house_take(l, &first);
	b = house_take(l, &second);
	assert_false(a->uncounted || b->uncounted);
	worker_shuts(a);
	worker_shuts(b);
	lanes_news_unwatch(a);
	assert_int_equal(lanes_sockets_revive(a), 0);
	assert_false(b->listening);
	assert_int_equal(socket_start_listening(b->fd, l->backlog), 0);
	lanes_news_unwatch(b);
	assert_int_equal(lanes_sockets_revive(b), 0);
	assert_true(b->listening);
	assert_false(b->uncounted);
	assert_int_equal(l->lanes.balance, BALANCE_LEAST_CONNECTIONS);

	listeners_release(l);
	house_close(&h);
}

static void
who_listens_again_by_himself_gets_clients(void **state)
{
	static struct lane_holder holders[80];
	struct lane *lanes[80];
	struct listener *l;
	struct lane *b;
	int c[800];

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_ROUND_ROBIN);
	if (!balancing_can_count(&h.all.balancing, NULL)) {
		house_close(&h);
		skip();
	}
	l = house_acquire(&h);
	for (int i = 0; i < 80; i++)
		lanes[i] = house_take(l, &holders[i]);
	house_serve(l, (const struct lane *const *)lanes, 80);
	b = lanes[40];
	worker_shuts(b);
	assert_int_equal(socket_start_listening(b->fd, l->backlog), 0);
	lanes_news_unwatch(b);
	assert_int_equal(lanes_sockets_revive(b), 0);
	assert_true(b->listening);
	house_serve(l, (const struct lane *const *)lanes, 80);
	for (int i = 0; i < 800; i++)
		c[i] = client_connect(&l->bound);
	assert_int_equal(waiting_in(b), 10);
	for (int i = 0; i < 800; i++)
		close(c[i]);
	listeners_release(l);
	house_close(&h);
}

static void
who_waits_is_served_first(void **state)
{
	const struct lane *only[1];
	struct listener *l;
	size_t served = 0;
	struct lane *b;
	int client;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	(void)house_take(l, &first);
	only[0] = b = house_take(l, &second);
	house_serve(l, only, 1);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	lanes_leave(l, &first);
	lanes_leave(l, &second);
	assert_ptr_equal(house_take(l, &third), b);
	serve(&b, 1, 1, &served);
	assert_int_equal(client_end(client), 0);
	close(client);
	listeners_release(l);
	house_close(&h);
}

static void
the_common_lane_is_everybodys(void **state)
{
	struct listener *l;
	struct lane *common, *own;
	size_t served = 0;
	int client;
	HOLDER(first, 0);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	common = house_share(l);
	assert_ptr_equal(common, listener_first_lane(l));
	assert_ptr_equal(house_share(l), common);
	assert_false(lane_is_free(common));
	client = client_connect(&l->bound);
	assert_true(client >= 0);

	/* Whoever wants its own does not get it, as long as it is shared. */
	own = house_take(l, &first);
	assert_ptr_not_equal(own, common);
	lanes_leave(l, &first);
	lanes_unshare(l);
	assert_true(lane_is_free(common));
	/* It is the next one's, with all that waits. */
	assert_ptr_equal(house_take(l, &first), common);
	serve(&common, 1, 1, &served);
	assert_int_equal(client_end(client), 0);
	close(client);
	listeners_release(l);
	house_close(&h);
}

/* ---- who gets new connections ---- */

static void
connect_some(const struct listener *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = client_connect(&l->bound);

		assert_true(fd >= 0);
		close(fd);
	}
}

/* False: not permitted here, which was said. */
static bool
open_with(enum conf_balance balance)
{
	const char *why;

	house_open(&h, ANY_PORT, balance);
	if (balance == CONF_BALANCE_RANDOM || balance == CONF_BALANCE_SOURCE ||
	    balancing_can_count(&h.all.balancing, &why))
		return true;
	print_message("skipped: %s\n", why);
	house_close(&h);
	return false;
}

static void
only_live_lanes_get_connections(enum conf_balance balance)
{
	const struct lane *live[2];
	struct lane *lane[3];
	size_t count[3] = { 0 };
	struct listener *l;
	uint64_t dropped;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	if (!open_with(balance))
		skip();
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	lane[2] = house_take(l, &third);

	live[0] = lane[1];
	live[1] = lane[2];
	house_serve(l, live, 2);
	assert_false(lane[0]->live);
	connect_some(l, 40);
	serve(lane, 3, 40, count);
	assert_int_equal(count[0], 0);
	assert_true(count[1] > 0 && count[2] > 0);

	live[0] = lane[0];
	house_serve(l, live, 1);
	connect_some(l, 10);
	serve(lane, 3, 10, count);
	assert_int_equal(count[0], 10);

	/* Nobody: then it stays as it was. */
	house_serve(l, NULL, 0);
	connect_some(l, 1);
	serve(lane, 3, 1, count);
	assert_int_equal(count[0], 11);

	assert_int_equal(lanes_figures_dropped(l, &dropped),
	    balance != CONF_BALANCE_RANDOM);
	listeners_release(l);
	house_close(&h);
}

static void
live_lanes_at_random(void **state)
{
	(void)state;
	only_live_lanes_get_connections(CONF_BALANCE_RANDOM);
}

static void
live_lanes_in_turn(void **state)
{
	(void)state;
	only_live_lanes_get_connections(CONF_BALANCE_ROUND_ROBIN);
}

/* With the last lane the kernel's group has gone, and the program with it. */
static void
a_group_gets_its_program_again(enum conf_balance balance)
{
	size_t count[2] = { 0 };
	struct lane *lane[2];
	const struct lane *live;
	struct listener *l;
	HOLDER(first, 0);
	HOLDER(second, 1);

	if (!open_with(balance))
		skip();
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	for (size_t i = 0; i < 2; i++) {
		live = lane[i];
		listener_suspend(l);
		assert_false(l->lanes.attached);
		assert_int_equal(l->lanes.order.n, 0);
		listener_enlist(l, &h.app, 0);
		house_serve(l, &live, 1);
		connect_some(l, 20);
		serve(lane, 2, 20, count);
		assert_int_equal(count[i], 20);
	}
	listeners_release(l);
	house_close(&h);
}

static void
a_group_gets_its_program_again_at_random(void **state)
{
	(void)state;
	a_group_gets_its_program_again(CONF_BALANCE_RANDOM);
}

static void
a_group_gets_its_program_again_in_turn(void **state)
{
	(void)state;
	a_group_gets_its_program_again(CONF_BALANCE_ROUND_ROBIN);
}

/* Returns a client that waits in the first lane, of two, which is live no
   more. */
static int
wait_in_first(struct listener *l, struct lane *lane[2])
{
	const struct lane *live;
	int client;

	live = lane[0];
	house_serve(l, &live, 1);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	live = lane[1];
	house_serve(l, &live, 1);
	assert_int_equal(waiting_in(lane[0]), 1);
	return client;
}

static void
who_waits_is_reset_or_left(void **state)
{
	size_t count[2] = { 0 };
	struct lane *lane[2];
	const struct lane *live;
	struct listener *l;
	int client;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	client = wait_in_first(l, lane);
	assert_false(lanes_can_move(lane[0]));
	lanes_move(lane[0]);
	assert_int_equal(waiting_in(lane[0]), 1);
	lanes_reset(lane[0]);
	assert_int_equal(client_end(client), ECONNRESET);
	close(client);

	/* It has listened all the time, and blocks as it did. */
	assert_true(lane[0]->listening);
	assert_int_equal(l->lanes.order.v[0].slot, 0);
	assert_int_equal(fcntl(lane[0]->fd, F_GETFL) & O_NONBLOCK, 0);
	connect_some(l, 10);
	serve(lane, 2, 10, count);
	assert_int_equal(count[1], 10);
	live = lane[0];
	house_serve(l, &live, 1);
	connect_some(l, 10);
	serve(lane, 2, 10, count);
	assert_int_equal(count[0], 10);
	listeners_release(l);
	house_close(&h);
}

static void
who_waits_is_moved(void **state)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	size_t count[2] = { 0 };
	struct lane *lane[2];
	struct listener *l;
	int client, ep;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	if (!open_with(CONF_BALANCE_ROUND_ROBIN))
		skip();
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	/* Who sleeps there is woken. */
	ep = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, lane[1]->fd, &e), 0);
	client = wait_in_first(l, lane);
	assert_true(lanes_can_move(lane[0]));
	lanes_move(lane[0]);
	assert_int_equal(epoll_wait(ep, &e, 1, 0), 1);
	close(ep);
	serve(lane, 2, 1, count);
	assert_int_equal(count[1], 1);
	assert_int_equal(client_end(client), 0);
	close(client);
	listeners_release(l);
	house_close(&h);
}

/* ---- those who wait where nobody comes ---- */

static void
count_news(void *ctx, struct listener *l)
{
	(void)l;
	(*(unsigned *)ctx)++;
}

static bool
has_news(void *ctx)
{
	return *(unsigned *)ctx > 0;
}

/* Two lanes, of which the first one's holder has gone; who connects now comes to
   it. */
static struct lane *
leave_first(struct listener *l, const struct lane_holder *first,
    const struct lane_holder *second, unsigned *news)
{
	struct lane *lane[2] = { house_take(l, first), house_take(l, second) };
	const struct lane *live = lane[0];

	house_serve(l, &live, 1);
	lanes_leave(l, first);
	assert_int_equal(*news, 1);
	*news = 0;
	return lane[0];
}

static const struct lane_facts nobody_comes = {
	.holding = LANE_FREE, .others = LANE_OTHERS_READY,
};

/* A handshake that ends in a lane that was just left is not forgotten there. */
static void
strays_are_reset(void **state)
{
	struct mono now = mono_now();
	struct listener *l;
	struct lane *a;
	const struct lane *live;
	unsigned news = 0;
	int client;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	listeners_on_news(&h.all, count_news, &news);
	a = leave_first(l, &first, &second, &news);
	assert_true(mono_is_never(lanes_watch(a, &nobody_comes, now)));
	/* Before the kernel is told. */
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	house_turn_until(&h, has_news, &news);
	/* Heard once, and not all the time. */
	assert_true(a->waits && !a->awaited);
	live = lanes_find(l, &second);
	house_serve(l, &live, 1);
	/* Somebody may take it, for a while. */
	assert_false(mono_is_never(lanes_watch(a, &nobody_comes, now)));
	assert_int_equal(waiting_in(a), 1);
	now = mono_add_ms(now, LANE_WATCH_TAKE_MS);
	assert_true(mono_is_never(lanes_watch(a, &nobody_comes, now)));
	assert_int_equal(client_end(client), ECONNRESET);
	close(client);
	/* And there may be more. */
	assert_true(a->awaited && !a->waits);
	listeners_release(l);
	house_close(&h);
}

static void
who_takes_a_lane_takes_those_who_wait(void **state)
{
	const struct lane_facts starting = {
		.holding = LANE_STARTING, .others = LANE_OTHERS_READY,
	};
	struct mono now = mono_now();
	struct listener *l;
	struct lane *a;
	unsigned news = 0;
	size_t served = 0;
	int client;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	listeners_on_news(&h.all, count_news, &news);
	a = leave_first(l, &first, &second, &news);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	(void)lanes_watch(a, &nobody_comes, now);
	house_turn_until(&h, has_news, &news);
	(void)lanes_watch(a, &nobody_comes, now);
	assert_ptr_equal(house_take(l, &third), a);
	/* Its time is its own. */
	now = mono_add_ms(now, LANE_WATCH_WAIT_MS);
	assert_int_equal(mono_ms_between(now, lanes_watch(a, &starting, now)),
	    LANE_WATCH_WAIT_MS);
	serve(&a, 1, 1, &served);
	assert_int_equal(client_end(client), 0);
	close(client);
	listeners_release(l);
	house_close(&h);
}

/* ---- what workers do to them ---- */

static bool
listens(void *ctx)
{
	const struct lane *lane = ctx;

	return lane->listening && socket_is_listening(lane->fd);
}

static void
a_shut_lane_listens_again(enum conf_balance balance)
{
	size_t count[3] = { 0 };
	struct lane *lane[3];
	const struct lane *live;
	struct listener *l;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	if (!open_with(balance))
		skip();
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	lane[2] = house_take(l, &third);
	/* One after the other, the first one among them; then all at once. */
	for (size_t round = 0; round < 4; round++) {
		for (size_t i = 0; i < 3; i++)
			if (i == round || round == 3)
				worker_shuts(lane[i]);
		for (size_t i = 0; i < 3; i++)
			house_turn_until(&h, listens, lane[i]);
		for (size_t i = 0; i < 3; i++) {
			size_t before = count[i];

			live = lane[i];
			house_serve(l, &live, 1);
			connect_some(l, 5);
			serve(lane, 3, 5, count);
			assert_int_equal(count[i], before + 5);
		}
	}
	listeners_release(l);
	house_close(&h);
}

static void
a_shut_lane_listens_again_at_random(void **state)
{
	(void)state;
	a_shut_lane_listens_again(CONF_BALANCE_RANDOM);
}

static void
a_shut_lane_listens_again_in_turn(void **state)
{
	(void)state;
	a_shut_lane_listens_again(CONF_BALANCE_ROUND_ROBIN);
}

/* It gets another socket later; until then it is listened to. */
static void
a_shut_lane_listens_again_that_is_spoilt(void **state)
{
	size_t count[2] = { 0 };
	struct lane *lane[2];
	struct listener *l;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	house_serve(l, (const struct lane *[]){ lane[1] }, 1);
	lanes_sockets_spoilt(lane[1]);
	worker_shuts(lane[1]);
	house_turn_until(&h, listens, lane[1]);
	assert_true(lane[1]->broken);
	connect_some(l, 5);
	serve(lane, 2, 5, count);
	assert_int_equal(count[1], 5);
	listeners_release(l);
	house_close(&h);
}

/* ---- in another one's place ---- */

/* Each in its place, and found there. */
static void
assert_order(struct listener *l, struct lane *const *lane)
{
	assert_int_equal(l->lanes.order.doubts, 0);
	for (size_t i = 0; i < 3; i++) {
		const struct lane *live = lane[i];
		size_t count[3] = { 0 };

		assert_int_equal(l->lanes.order.v[i].slot, live->slot);
		house_serve(l, &live, 1);
		connect_some(l, 5);
		serve(lane, 3, 5, count);
		assert_int_equal(count[i], 5);
	}
}

/* No descriptor is left to be had. */
static struct rlimit
limit_descriptors(void)
{
	struct rlimit old, none;
	int free = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)free;
	close(free);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return old;
}

static void
a_lane_is_replaced(void **state)
{
	struct error err = ERROR_INIT;
	struct lane *lane[3];
	struct listener *l;
	struct rlimit old;
	uint64_t ino;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	lane[2] = house_take(l, &third);
	ino = lane[1]->ino;

	/* It cannot be: then everything is as it was. */
	lanes_sockets_spoilt(lane[1]);
	old = limit_descriptors();
	assert_true(lanes_sockets_replace(lane[1], &err) < 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	error_clear(&err);
	assert_true(lane[1]->listening && lane[1]->ino == ino);
	assert_order(l, lane);
	assert_true(lane[1]->hangup != 0);

	assert_int_equal(lanes_sockets_replace(lane[1], &err), 0);
	assert_true(lane[1]->listening && lane[1]->ino != ino);
	assert_order(l, lane);
	listeners_release(l);
	house_close(&h);
}

/* ---- in an order that nobody knows ---- */

#define MANY	6

static struct lane *many[MANY];
static struct lane_holder holders[MANY];

static struct listener *
open_many(enum conf_balance balance)
{
	struct listener *l;

	house_open(&h, ANY_PORT, balance);
	l = house_acquire(&h);
	for (int i = 0; i < MANY; i++) {
		holders[i].about = (struct log_about){ .app = "web",
			.instance = i };
		many[i] = house_take(l, &holders[i]);
	}
	return l;
}

static bool
do_many_listen(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < MANY; i++)
		if (!many[i]->listening || !socket_is_listening(many[i]->fd))
			return false;
	return true;
}

/* Before anybody looks. */
static void
shut_many(unsigned which)
{
	for (unsigned i = 0; i < MANY; i++)
		if (which & 1u << i)
			worker_shuts(many[i]);
	house_turn_until(&h, do_many_listen, NULL);
}

/* Each lane gets what is meant for it. */
static void
check_many(struct listener *l)
{
	for (size_t i = 0; i < MANY; i++) {
		const struct lane *only[1] = { many[i] };
		size_t counts[MANY] = { 0 };
		int client;

		house_serve(l, only, 1);
		client = client_connect(&l->bound);
		assert_true(client >= 0);
		serve(many, MANY, 1, counts);
		assert_int_equal(counts[i], 1);
		close(client);
	}
}

static void
the_order_is_found_out(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_RANDOM);

	(void)state;
	for (unsigned which = 1; which < 1u << MANY; which++) {
		shut_many(which);
		assert_int_equal(l->lanes.order.doubts, 0);
		if (which % 7 == 0)
			check_many(l);
	}
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

/* Nobody sees it; the place of another one, of which it was said too late. */
static void
who_listened_again_unseen_is_found_out(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_SOURCE);

	(void)state;
	worker_shuts(many[1]);
	assert_int_equal(listen(many[1]->fd, 64), 0);
	shut_many(1u << 0);
	lanes_program_doubt(many[1]);
	assert_int_equal(l->lanes.order.doubts, 0);
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

/* Nobody is told, until a client comes where it should not. */
static void
who_listened_again_unseen_shows_by_a_stray(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_SOURCE);

	(void)state;
	worker_shuts(many[1]);
	assert_int_equal(listen(many[1]->fd, 64), 0);
	lanes_program_strayed(l);
	assert_int_equal(l->lanes.order.doubts, MANY);
	assert_true(lanes_live_apply(l, mono_now()));
	assert_int_equal(l->lanes.order.doubts, 0);
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

/* … and of which nobody hears, since somebody has been waiting there before. */
static void
a_stray_shows_beside_one_who_waits(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_RANDOM);
	const struct lane *first[1] = { many[0] }, *others[1] = { many[2] };
	const struct lane_facts facts = {
		.holding = LANE_DUE, .due = mono_add_ms(mono_now(), 3000),
		.others = LANE_OTHERS_READY,
	};
	struct mono now = mono_now();
	int clients[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		house_serve(l, first, 1);
		clients[i] = client_connect(&l->bound);
		assert_true(clients[i] >= 0);
		house_serve(l, others, 1);
		many[0]->watch = (struct lane_watch){ .counts = true,
			.since = now };
		many[0]->watched_turn = many[0]->turn;
		many[0]->waits = true;
		if (i == 1) {
			worker_shuts(many[1]);
			assert_int_equal(listen(many[1]->fd, 64), 0);
		}
		l->lanes.strayed = (struct mono){ .ns = 0 };
		(void)lanes_watch(many[0], &facts, now);
		assert_int_equal(l->lanes.order.doubts, i == 0 ? 0 : MANY);
	}
	assert_true(lanes_live_apply(l, mono_now()));
	assert_int_equal(l->lanes.order.doubts, 0);
	for (size_t i = 0; i < 2; i++)
		close(clients[i]);
	listeners_release(l);
	house_close(&h);
}

/* It was seen that it was shut down, but epoll never tells. */
static void
who_listens_again_before_the_news_is_there(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_RANDOM);

	(void)state;
	worker_shuts(many[2]);
	worker_shuts(many[0]);
	lanes_program_look(l);
	assert_false(many[2]->listening || many[0]->listening);
	assert_int_equal(l->lanes.order.n, MANY - 2);
	assert_int_equal(listen(many[2]->fd, 64), 0);
	assert_int_equal(listen(many[0]->fd, 64), 0);
	assert_true(lanes_live_apply(l, mono_now()));
	assert_true(many[2]->listening && many[0]->listening);
	assert_int_equal(l->lanes.order.doubts, 0);
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

static void
connect_many(const struct listener *l, size_t n, size_t *counts)
{
	for (size_t i = 0; i < n; i++) {
		int client = client_connect(&l->bound);

		assert_true(client >= 0);
		serve(many, MANY, 1, counts);
		close(client);
	}
}

static bool
has_found_out(void *ctx)
{
	struct listener *l = ctx;

	lanes_program_again(l);
	return l->lanes.order.doubts == 0;
}

/* Four and five have come to the places of zero and one, or the other way. */
static void
places_in_doubt_get_nothing(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_RANDOM);
	size_t counts[MANY] = { 0 };
	struct rlimit old;

	(void)state;
	house_serve(l, (const struct lane *const *)many, MANY);
	old = limit_descriptors();
	for (unsigned i = 0; i < 2; i++) {
		int fd = many[i]->fd;

		assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
	}
	house_turn_until(&h, do_many_listen, NULL);
	assert_int_equal(l->lanes.order.doubts, 2);

	/* Both are live: whichever gets it. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	connect_many(l, 200, counts);
	for (size_t i = 0; i < MANY; i++)
		assert_true(counts[i] > 0);

	/* One of them is not. */
	old = limit_descriptors();
	lanes_live_want(many[5], false);
	(void)lanes_live_apply(l, mono_now());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	memset(counts, 0, sizeof(counts));
	connect_many(l, 200, counts);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(counts[i] > 0, i < 4);

	/* Nobody else is left: never nobody. */
	old = limit_descriptors();
	for (size_t i = 0; i < 4; i++)
		lanes_live_want(many[i], false);
	(void)lanes_live_apply(l, mono_now());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	memset(counts, 0, sizeof(counts));
	connect_many(l, 10, counts);
	assert_int_equal(counts[4] + counts[5], 10);

	l->lanes.asked_in_vain = 0;	/* as after a while */
	house_turn_until(&h, has_found_out, l);
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

/* Programs longer than that are refused by the kernel. */
static unsigned short longest = UINT16_MAX;
static unsigned short attached_len;

int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && option == SO_ATTACH_REUSEPORT_CBPF) {
		attached_len = ((const struct sock_fprog *)value)->len;
		if (attached_len > longest) {
			errno = ENOMEM;
			return -1;
		}
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

/* The program that asks is longer: it counts as a question in vain, and so has
   an end. */
static void
a_program_that_cannot_ask_asks_in_vain(void **state)
{
	struct listener *l = open_many(CONF_BALANCE_RANDOM);

	(void)state;
	house_serve(l, (const struct lane *const *)many, 1);
	lanes_program_again(l);
	longest = attached_len;
	lanes_order_doubt_all(l);
	for (int i = 0; i < 20 && lanes_order_may_ask_again(l); i++)
		lanes_program_again(l);
	assert_int_equal(l->lanes.order.doubts, MANY);
	assert_false(lanes_order_may_ask_again(l));
	assert_false(lanes_order_is_question(l));
	assert_true(l->lanes.told_doubt);
	assert_true(lanes_live_apply(l, mono_now()));

	longest = UINT16_MAX;
	l->lanes.asked_in_vain = 0;	/* as after a while */
	house_turn_until(&h, has_found_out, l);
	check_many(l);
	listeners_release(l);
	house_close(&h);
}

/* The only one there is. */
static void
a_shut_listener_listens_again(void **state)
{
	struct listener *l;
	struct lane *common;
	size_t count = 0;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	common = house_share(l);
	for (size_t i = 0; i < 3; i++) {
		worker_shuts(common);
		house_turn_until(&h, listens, common);
		assert_true(l->listening);
		connect_some(l, 3);
		serve(&common, 1, 3, &count);
	}
	listeners_release(l);
	house_close(&h);
}

static bool
is_broken(void *ctx)
{
	return ((struct lane *)ctx)->broken;
}

static void
a_spoilt_datagram_lane_is_replaced(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	uint64_t ino;
	char byte;
	int client;
	HOLDER(first, 0);

	(void)state;
	house_open(&h, "udp:127.0.0.1:0", CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane = house_take(l, &first);
	ino = lane->ino;

	/* Connected to somebody; then, once more, shut down. */
	client = client_try(&l->bound);
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_storage to;
		socklen_t len = sizeof(to);

		assert_int_equal(getsockname(client, (void *)&to, &len), 0);
		assert_int_equal(connect(lane->fd, (void *)&to, len), 0);
		if (i == 1) {
			worker_shuts(lane);
			house_turn_until(&h, is_broken, lane);
		}
		assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
		assert_false(lane->broken);
		assert_int_not_equal(lane->ino, ino);
		assert_false(socket_is_connected(lane->fd));
		ino = lane->ino;
		assert_int_equal(send(client, "x", 1, 0), 1);
		assert_int_equal(recv(lane->fd, &byte, 1, 0), 1);
	}
	close(client);
	listeners_release(l);
	house_close(&h);
}

static void
backlog_and_mode_are_set_back(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	uint32_t n, max;
	HOLDER(first, 0);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane = house_take(l, &first);
	assert_int_equal(listen(lane->fd, 3), 0);
	lanes_heal_check(lane);
	assert_int_equal(lane_queue_tcp(lane->fd, &n, &max), 0);
	assert_int_equal(max, h.app.backlog);

	assert_int_equal(listen(lane->fd, 3), 0);
	assert_int_equal(fcntl(lane->fd, F_SETFL,
	    fcntl(lane->fd, F_GETFL) | O_NONBLOCK), 0);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	assert_int_equal(fcntl(lane->fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(lane_queue_tcp(lane->fd, &n, &max), 0);
	assert_int_equal(max, h.app.backlog);
	listeners_release(l);
	house_close(&h);
}

static int
option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

/* As its last holder left it, or as a new one. */
static void
check_left(int fd, bool as_left)
{
	struct timeval limit;
	socklen_t len = sizeof(limit);

	assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ASYNC),
	    as_left ? O_NONBLOCK | O_ASYNC : 0);
	assert_int_equal(fcntl(fd, F_GETOWN), as_left ? getpid() : 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len),
	    0);
	assert_int_equal(limit.tv_sec, as_left ? 7 : 0);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), as_left);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0,
	    as_left);
}

static void
what_the_last_holder_left_is_forgotten(void **state)
{
	const struct timeval limit = { .tv_sec = 7 };
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;
	HOLDER(first, 0);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lane = house_take(l, &first);
	assert_true(lane->unused);
	lanes_heal_used(lane);
	assert_int_equal(fcntl(lane->fd, F_SETOWN, getpid()), 0);
	assert_int_equal(fcntl(lane->fd, F_SETFL, O_NONBLOCK | O_ASYNC), 0);
	assert_int_equal(setsockopt(lane->fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
	    sizeof(limit)), 0);
	assert_int_equal(setsockopt(lane->fd, IPPROTO_TCP, TCP_NODELAY,
	    &(int){ 1 }, sizeof(int)), 0);
	assert_int_equal(setsockopt(lane->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
	    &(int){ 5 }, sizeof(int)), 0);

	/* Others have it too. */
	assert_int_equal(lanes_heal_renew(lane, false, &err), 0);
	check_left(lane->fd, true);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	check_left(lane->fd, false);
	listeners_release(l);
	house_close(&h);
}

/* ---- the moment at which a second one joins ---- */

/* As the second lane does, but nobody attaches anything then. */
static int
join(const struct listener *l)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	const int on = 1;
	const bool is_tcp = l->bound.kind == ADDRESS_TCP;
	int fd = socket(AF_INET, is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	if (is_tcp)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
		    sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on,
	    sizeof(on)), 0);
	assert_int_equal(getsockname(listener_first_lane(l)->fd, (void *)&at,
	    &len), 0);
	assert_int_equal(bind(fd, (void *)&at, len), 0);
	if (is_tcp)
		assert_int_equal(listen(fd, 100), 0);
	return fd;
}

static void
all_come_to_the_first(enum conf_balance balance)
{
	struct listener *l;
	struct lane *first;
	size_t served = 0;
	int other;

	if (!open_with(balance))
		skip();
	l = house_acquire(&h);
	first = listener_first_lane(l);
	/* Once more, when it has been shut down: its group has gone. */
	for (size_t i = 0; i < 2; i++) {
		other = join(l);
		connect_some(l, 30);
		assert_int_equal(waiting_in(first), 30);
		serve(&first, 1, 30, &served);
		close(other);
		worker_shuts(first);
		house_turn_until(&h, listens, first);
	}
	listeners_release(l);
	house_close(&h);
}

static void
until_there_is_a_choice_the_first_gets_all_at_random(void **state)
{
	(void)state;
	all_come_to_the_first(CONF_BALANCE_RANDOM);
}

/* Once more, when another socket has taken its place. `classic`: as it is without
   privileges, too. */
static void
all_datagrams_come_to_the_first(bool classic)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *first;
	HOLDER(holder, 0);

	house_open(&h, "udp:127.0.0.1:0", CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	first = house_take(l, &holder);
	if (classic)
		assert_int_equal(lanes_program_set_balance(l, BALANCE_RANDOM,
		    &err), 0);
	for (size_t i = 0; i < 2; i++) {
		int other;
		char byte;

		socket_let_beside(first->fd, true);
		other = join(l);
		for (size_t k = 0; k < 30; k++) {
			int client = client_try(&l->bound);

			assert_int_equal(send(client, "x", 1, 0), 1);
			assert_int_equal(recv(first->fd, &byte, 1,
			    MSG_DONTWAIT), 1);
			close(client);
		}
		close(other);
		lanes_sockets_spoilt(first);
		assert_int_equal(lanes_sockets_replace(first, &err), 0);
	}
	listeners_release(l);
	house_close(&h);
}

static void
until_there_is_a_choice_the_first_gets_all_datagrams(void **state)
{
	(void)state;
	all_datagrams_come_to_the_first(false);
	all_datagrams_come_to_the_first(true);
}

static void
until_there_is_a_choice_the_first_gets_all_by_source(void **state)
{
	(void)state;
	all_come_to_the_first(CONF_BALANCE_SOURCE);
}

static void
until_there_is_a_choice_the_first_gets_all_in_turn(void **state)
{
	(void)state;
	all_come_to_the_first(CONF_BALANCE_ROUND_ROBIN);
}

/* Who sits in accept(2) would wake up with an error. */
static void
a_backlog_is_set_back_under_a_lane_in_use(void **state)
{
	const int bound = 1 << 20;
	int found = 0;
	socklen_t len = sizeof(found);
	struct listener *l;
	const struct lane *live[1];
	struct lane *lane;
	uint32_t n, max;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	live[0] = house_take(l, &first);
	lane = house_take(l, &second);
	house_serve(l, live, 1);
	/* What shutdown(2) would take away. */
	assert_int_equal(setsockopt(lane->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP,
	    &bound, sizeof(bound)), 0);
	assert_int_equal(listen(lane->fd, 3), 0);
	lanes_heal_check(lane);
	assert_int_equal(lane_queue_tcp(lane->fd, &n, &max), 0);
	assert_int_equal(max, h.app.backlog);
	assert_int_equal(getsockopt(lane->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP,
	    &found, &len), 0);
	assert_int_equal(found, bound);
	listeners_release(l);
	house_close(&h);
}

/* Nothing of it comes by epoll. */
static void
a_lane_that_was_shut_and_listens_again_is_known_to_have_moved(void **state)
{
	const struct lane *live[1];
	struct listener *l;
	struct lane *lanes[3];
	size_t served;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	lanes[0] = house_take(l, &first);
	lanes[1] = house_take(l, &second);
	lanes[2] = house_take(l, &third);
	worker_shuts(lanes[0]);
	assert_int_equal(listen(lanes[0]->fd, 5), 0);
	lanes_heal_check(lanes[0]);
	for (size_t i = 0; i < 3; i++) {
		live[0] = lanes[i];
		house_serve(l, live, 1);
		connect_some(l, 5);
		served = 0;
		serve(&lanes[i], 1, 5, &served);
		assert_int_equal(served, 5);
	}
	listeners_release(l);
	house_close(&h);
}

/* ---- one for all ---- */

static void
one_for_all_is_nobodys_who_would_not_share(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *a, *b, *common, *again;
	int old = 0, new = 0;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 0);
	HOLDER(fourth, 1);

	(void)state;
	first.crowd = second.crowd = &old;
	third.crowd = fourth.crowd = &new;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	a = house_take(l, &first);
	b = house_take(l, &second);
	assert_int_equal(lanes_share(l, &third, &common, &err), 0);
	assert_ptr_not_equal(common, a);
	assert_ptr_not_equal(common, b);
	assert_null(common->holder);
	assert_false(lane_is_free(common));
	assert_int_equal(lanes_share(l, &fourth, &again, &err), 0);
	assert_ptr_equal(again, common);
	assert_ptr_equal(a->holder, &first);
	lanes_unshare(l);
	assert_true(lane_is_free(common));

	/* With its own kind, it is the first one: clients wait in it. */
	assert_int_equal(lanes_share(l, &second, &common, &err), 0);
	assert_ptr_equal(common, a);
	assert_null(common->holder);
	assert_true(lane_is_free(b));
	assert_null(lanes_find(l, &second));
	listeners_release(l);
	house_close(&h);
}

/* In classic BPF nothing moves. */
static void
who_waits_in_a_lane_that_is_left_to_share_is_told(void **state)
{
	const struct lane *live[1];
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *b, *common;
	int client, crowd = 0;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	first.crowd = second.crowd = &crowd;
	house_open(&h, ANY_PORT, CONF_BALANCE_RANDOM);
	l = house_acquire(&h);
	(void)house_take(l, &first);
	live[0] = b = house_take(l, &second);
	house_serve(l, live, 1);
	client = client_connect(&l->bound);
	assert_true(client >= 0);
	assert_int_equal(waiting_in(b), 1);
	assert_int_equal(lanes_share(l, &second, &common, &err), 0);
	assert_ptr_equal(common, listener_first_lane(l));
	assert_int_equal(client_end(client), ECONNRESET);
	close(client);
	listeners_release(l);
	house_close(&h);
}

/* An event loop would stand still in accept(2). */
static void
flags_of_a_lane_in_use_stay(void **state)
{
	struct error err = ERROR_INIT;
	struct listener *l;
	struct lane *lane;

	(void)state;
	house_open(&h, ANY_PORT, CONF_BALANCE_SHARED);
	l = house_acquire(&h);
	lane = house_share(l);
	assert_int_equal(fcntl(lane->fd, F_SETFL,
	    fcntl(lane->fd, F_GETFL) | O_NONBLOCK), 0);
	assert_int_equal(lanes_heal_renew(lane, false, &err), 0);
	assert_int_not_equal(fcntl(lane->fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(lanes_heal_renew(lane, true, &err), 0);
	assert_int_equal(fcntl(lane->fd, F_GETFL) & O_NONBLOCK, 0);
	listeners_release(l);
	house_close(&h);
}

/* ---- while a program takes another one's place ---- */

#define CLIENTS 12
#define CONNECTIONS 250		/* of each … */
#define DATAGRAMS 2500		/* … or datagrams, which are quick */

/* From 127.0.0.`n`, to the listener on all addresses or 127.0.0.1. */
static int
client_from(const struct address *a, unsigned n)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET };
	const struct linger reset = { .l_onoff = 1 };
	int fd = socket(AF_INET, (a->kind == ADDRESS_UDP ? SOCK_DGRAM :
	    SOCK_STREAM) | SOCK_CLOEXEC, 0);

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + n);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons(a->port);
	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Who gets the client, or its next datagram? */
static size_t
who_gets(struct lane *const *lanes, size_t n, int client)
{
	struct pollfd p[8];
	size_t who = 0;
	int fd;

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = lanes[i]->fd, .events = POLLIN };
	if (lanes[0]->listener->bound.kind == ADDRESS_UDP)
		assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(poll(p, n, 5000), 1);
	while ((p[who].revents & POLLIN) == 0)
		who++;
	if (lanes[0]->listener->bound.kind == ADDRESS_UDP) {
		char byte;

		assert_int_equal(recv(p[who].fd, &byte, 1, 0), 1);
		return who;
	}
	fd = accept4(p[who].fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	return who;
}

/* Of the clients, how many did not come to where they were the first time? */
static unsigned
count_strays(struct lane *const *lanes, size_t n)
{
	const struct address *a = &lanes[0]->listener->bound;
	unsigned times = a->kind == ADDRESS_TCP ? CONNECTIONS : DATAGRAMS;
	unsigned strays = 0;

	for (unsigned c = 0; c < CLIENTS; c++) {
		int fd = client_from(a, c);
		size_t first = who_gets(lanes, n, fd);

		for (unsigned i = 0; i < times; i++) {
			if (a->kind == ADDRESS_TCP) {
				close(fd);
				fd = client_from(a, c);
			}
			strays += who_gets(lanes, n, fd) != first;
		}
		close(fd);
	}
	print_message("astray: %u of %u\n", strays, CLIENTS * times);
	return strays;
}

/* Its clients are another process. */
static void
attach_all_the_time(struct listener *l, struct lane *const *lanes, size_t n)
{
	unsigned attached = 0;
	int status = 0;
	pid_t pid, done;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned strays;

		(void)alarm(60);
		strays = count_strays(lanes, n);
		fflush(NULL);
		_exit(strays > 0);
	}
	while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
		lanes_program_again(l);
		attached++;
	}
	print_message("attached %u times; ", attached);
	assert_int_equal(done, pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
nobody_goes_astray_on(const char *address)
{
	struct lane *lane[4];
	struct listener *l;
	HOLDER(first, 0);
	HOLDER(second, 1);
	HOLDER(third, 2);
	HOLDER(fourth, 3);

	house_open(&h, address, CONF_BALANCE_SOURCE);
	l = house_acquire(&h);
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	lane[2] = house_take(l, &third);
	lane[3] = house_take(l, &fourth);
	house_serve(l, (const struct lane *const *)lane, 4);
	attach_all_the_time(l, lane, 4);
	if (l->bound.kind == ADDRESS_TCP) {
		/* It is the last one to listen now, wherever that puts it. */
		lanes_sockets_list_again(lane[0]);
		attach_all_the_time(l, lane, 4);
	}
	listeners_release(l);
	house_close(&h);
}

static void
nobody_goes_astray(void **state)
{
	(void)state;
	nobody_goes_astray_on(ANY_PORT);
	nobody_goes_astray_on("0");
}

static void
no_datagram_goes_astray(void **state)
{
	(void)state;
	nobody_goes_astray_on("udp:" ANY_PORT);
	nobody_goes_astray_on("udp:0");
}

/* The program that is to take its place cannot be attached. */
static void
flows_go_on_if_the_next_balance_fails(void **state)
{
	struct error err = ERROR_INIT;
	struct lane *lane[2];
	struct listener *l;
	int kept[2], pipes[2], client;
	char byte;
	HOLDER(first, 0);
	HOLDER(second, 1);

	(void)state;
	house_open(&h, "udp:" ANY_PORT, CONF_BALANCE_AUTO);
	l = house_acquire(&h);
	if (l->lanes.flows == NULL) {
		listeners_release(l);
		house_close(&h);
		skip();
	}
	lane[0] = house_take(l, &first);
	lane[1] = house_take(l, &second);
	house_serve(l, (const struct lane *[]){ lane[1] }, 1);
	client = client_try(&l->bound);
	assert_int_equal(send(client, "1", 1, 0), 1);
	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < 2; i++) {
		kept[i] = dup(lane[i]->fd);
		assert_true(dup2(pipes[0], lane[i]->fd) >= 0);
	}
	assert_true(lanes_program_set_balance(l, BALANCE_RANDOM, &err) < 0);
	error_clear(&err);
	for (size_t i = 0; i < 2; i++) {
		assert_true(dup2(kept[i], lane[i]->fd) >= 0);
		close(kept[i]);
		close(pipes[i]);
	}
	assert_non_null(l->lanes.flows);
	assert_int_equal(send(client, "2", 1, 0), 1);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(recv(lane[1]->fd, &byte, 1, MSG_DONTWAIT), 1);
		assert_int_equal(byte, '1' + (int)i);
	}
	close(client);
	listeners_release(l);
	house_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_is_kept_until_it_is_left),
		cmocka_unit_test(one_is_exchanged_for_another),
		cmocka_unit_test(who_deserts_is_avoided_at_once),
		cmocka_unit_test(one_is_deserted_until_it_is_taken_again),
		cmocka_unit_test(who_listens_again_by_himself_is_counted),
		cmocka_unit_test(who_listens_again_by_himself_gets_clients),
		cmocka_unit_test(who_waits_is_served_first),
		cmocka_unit_test(the_common_lane_is_everybodys),
		cmocka_unit_test(live_lanes_at_random),
		cmocka_unit_test(live_lanes_in_turn),
		cmocka_unit_test(a_group_gets_its_program_again_at_random),
		cmocka_unit_test(a_group_gets_its_program_again_in_turn),
		cmocka_unit_test(who_waits_is_reset_or_left),
		cmocka_unit_test(who_waits_is_moved),
		cmocka_unit_test(strays_are_reset),
		cmocka_unit_test(who_takes_a_lane_takes_those_who_wait),
		cmocka_unit_test(a_shut_lane_listens_again_at_random),
		cmocka_unit_test(a_shut_lane_listens_again_in_turn),
		cmocka_unit_test(a_shut_lane_listens_again_that_is_spoilt),
		cmocka_unit_test(a_lane_is_replaced),
		cmocka_unit_test(the_order_is_found_out),
		cmocka_unit_test(who_listened_again_unseen_is_found_out),
		cmocka_unit_test(who_listened_again_unseen_shows_by_a_stray),
		cmocka_unit_test(a_stray_shows_beside_one_who_waits),
		cmocka_unit_test(who_listens_again_before_the_news_is_there),
		cmocka_unit_test(places_in_doubt_get_nothing),
		cmocka_unit_test(a_program_that_cannot_ask_asks_in_vain),
		cmocka_unit_test(a_shut_listener_listens_again),
		cmocka_unit_test(a_spoilt_datagram_lane_is_replaced),
		cmocka_unit_test(backlog_and_mode_are_set_back),
		cmocka_unit_test(what_the_last_holder_left_is_forgotten),
		cmocka_unit_test(a_backlog_is_set_back_under_a_lane_in_use),
		cmocka_unit_test(
		    a_lane_that_was_shut_and_listens_again_is_known_to_have_moved),
		cmocka_unit_test(one_for_all_is_nobodys_who_would_not_share),
		cmocka_unit_test(
		    who_waits_in_a_lane_that_is_left_to_share_is_told),
		cmocka_unit_test(flags_of_a_lane_in_use_stay),
		cmocka_unit_test(
		    until_there_is_a_choice_the_first_gets_all_at_random),
		cmocka_unit_test(
		    until_there_is_a_choice_the_first_gets_all_by_source),
		cmocka_unit_test(
		    until_there_is_a_choice_the_first_gets_all_datagrams),
		cmocka_unit_test(
		    until_there_is_a_choice_the_first_gets_all_in_turn),
		cmocka_unit_test(nobody_goes_astray),
		cmocka_unit_test(no_datagram_goes_astray),
		cmocka_unit_test(flows_go_on_if_the_next_balance_fails),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* lane_order against the kernel that it mirrors, and lane_rank. */
#include <sys/socket.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sockets/lane_order.h"
#include "core/sockets/lane_rank.h"
#include "lib/alloc_fail.h"

/* ---- the order ---- */

static void
add(struct lane_order *o, unsigned slot)
{
	assert_int_equal(lane_order_reserve(o), 0);
	lane_order_add(o, slot);
}

static void
expect(const struct lane_order *o, size_t n, const unsigned *slots)
{
	assert_int_equal(o->n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(o->v[i].slot, slots[i]);
		assert_false(o->v[i].doubt);
		assert_int_equal(lane_order_find(o, slots[i]), i);
	}
}

static void
who_comes_is_last(void **state)
{
	struct lane_order o = LANE_ORDER_INIT;

	(void)state;
	assert_int_equal(lane_order_find(&o, 0), LANE_ORDER_NONE);
	add(&o, 5);
	add(&o, 0);
	add(&o, 3);
	expect(&o, 3, (const unsigned[]){ 5, 0, 3 });
	assert_int_equal(lane_order_find(&o, 4), LANE_ORDER_NONE);
	lane_order_free(&o);
}

static void
the_last_one_takes_the_place_of_who_goes(void **state)
{
	struct lane_order o = LANE_ORDER_INIT;

	(void)state;
	for (unsigned slot = 0; slot < 5; slot++)
		add(&o, slot);
	lane_order_remove(&o, 1);
	expect(&o, 4, (const unsigned[]){ 0, 4, 2, 3 });
	lane_order_remove(&o, 3);
	expect(&o, 3, (const unsigned[]){ 0, 4, 2 });
	lane_order_remove(&o, 0);
	expect(&o, 2, (const unsigned[]){ 2, 4 });
	assert_int_equal(lane_order_find(&o, 0), LANE_ORDER_NONE);
	add(&o, 1);
	add(&o, 0);
	expect(&o, 4, (const unsigned[]){ 2, 4, 1, 0 });
	lane_order_free(&o);
}

static void
who_is_not_there_may_go(void **state)
{
	struct lane_order o = LANE_ORDER_INIT;

	(void)state;
	lane_order_remove(&o, 0);
	add(&o, 2);
	lane_order_remove(&o, 0);
	expect(&o, 1, (const unsigned[]){ 2 });
	lane_order_remove(&o, 2);
	lane_order_remove(&o, 2);
	assert_int_equal(o.n, 0);
	lane_order_free(&o);
	lane_order_free(&o);
}

static void
it_grows(void **state)
{
	struct lane_order o = LANE_ORDER_INIT;

	(void)state;
	for (unsigned slot = 0; slot < 5000; slot++)
		add(&o, slot);
	for (unsigned slot = 0; slot < 5000; slot++)
		assert_int_equal(o.v[slot].slot, slot);
	while (o.n > 0)
		lane_order_remove(&o, o.v[0].slot);
	lane_order_free(&o);
	assert_null(o.v);
}

static void
room_that_cannot_be_had_changes_nothing(void **state)
{
	struct lane_order o = LANE_ORDER_INIT;
	unsigned slot = 0;

	(void)state;
	alloc_fail(1, ALLOC_ALL);
	assert_int_equal(lane_order_reserve(&o), -ENOMEM);
	alloc_works();
	assert_int_equal(lane_order_reserve(&o), 0);
	alloc_fail(1, ALLOC_ALL);
	while (lane_order_reserve(&o) == 0)
		lane_order_add(&o, slot++);
	alloc_works();
	assert_in_range(slot, 1, 1000);
	for (unsigned i = 0; i < slot; i++)
		assert_int_equal(o.v[i].slot, i);
	add(&o, slot);
	assert_int_equal(lane_order_find(&o, slot), slot);
	lane_order_free(&o);
}

/* ---- every order of events, against all that the kernel may have ---- */

#define LANES_MAX	4
#define DEPTH		6
#define WORLDS_MAX	64	/* orders of up to four lanes: 1 + 4 + 12 + 24 + 24 */
#define STATES_MAX	200000

/* As the kernel has it: one of the orders that are possible. */
struct world {
	unsigned n;
	unsigned at[LANES_MAX];
};

/* What is believed, and all that may be. */
struct belief {
	unsigned n;
	struct lane_place at[LANES_MAX];
	unsigned n_worlds;
	struct world worlds[WORLDS_MAX];
};

static void
world_join(struct world *w, unsigned slot)
{
	w->at[w->n++] = slot;
}

static void
world_leave(struct world *w, unsigned slot)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->at[i] == slot) {
			w->at[i] = w->at[--w->n];
			w->at[w->n] = 0;
			return;
		}
	fail();
}

static void
put_world(struct belief *b, struct world w)
{
	for (unsigned i = 0; i < b->n_worlds; i++)
		if (memcmp(&b->worlds[i], &w, sizeof(w)) == 0)
			return;
	assert_true(b->n_worlds < WORLDS_MAX);
	b->worlds[b->n_worlds++] = w;
}

/* Those of `set` leave and, at any moment, `joins` comes; in every order. */
static void
put_worlds(struct belief *b, struct world w, unsigned set, int joins)
{
	if (set == 0 && joins < 0)
		put_world(b, w);
	for (unsigned i = 0; i < LANES_MAX; i++) {
		struct world next = w;

		if ((set & 1u << i) == 0)
			continue;
		world_leave(&next, i);
		put_worlds(b, next, set & ~(1u << i), joins);
	}
	if (joins >= 0) {
		world_join(&w, (unsigned)joins);
		put_worlds(b, w, set, -1);
	}
}

static void
to_order(struct lane_order *o, const struct belief *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		add(o, b->at[i].slot);
		o->v[i].doubt = b->at[i].doubt;
		o->doubts += b->at[i].doubt;
	}
}

static void
from_order(struct belief *b, struct lane_order *o)
{
	b->n = (unsigned)o->n;
	for (unsigned i = 0; i < o->n; i++) {
		b->at[i] = (struct lane_place){ .slot = o->v[i].slot };
		b->at[i].doubt = o->v[i].doubt;
		assert_false(o->v[i].leaving);
	}
}

static unsigned
doubts_of(const struct belief *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++)
		n += b->at[i].doubt;
	return n;
}

/* In every world all is as it is believed, where it is; and what is certain is
   believed, or `least` places are not. */
static void
check_belief(const struct belief *b, bool exact)
{
	bool same[LANES_MAX];

	assert_int_not_equal(doubts_of(b), 1);
	memset(same, true, sizeof(same));
	for (unsigned k = 0; k < b->n_worlds; k++) {
		const struct world *w = &b->worlds[k];
		unsigned in_doubt = 0, may = 0;

		assert_int_equal(w->n, b->n);
		for (unsigned i = 0; i < b->n; i++) {
			same[i] = same[i] && w->at[i] == b->worlds[0].at[i];
			if (!b->at[i].doubt) {
				assert_int_equal(w->at[i], b->at[i].slot);
				continue;
			}
			in_doubt |= 1u << b->at[i].slot;
			may |= 1u << w->at[i];
		}
		assert_int_equal(in_doubt, may);
	}
	for (unsigned i = 0; exact && i < b->n; i++)
		assert_int_equal(b->at[i].doubt, !same[i]);
}

static struct belief *seen;
static size_t n_seen;

static void
put_belief(const struct belief *b, bool exact)
{
	check_belief(b, exact);
	for (size_t i = 0; i < n_seen; i++)
		if (memcmp(&seen[i], b, sizeof(*b)) == 0)
			return;
	assert_true(n_seen < STATES_MAX);
	seen[n_seen++] = *b;
}

static int
compare_worlds(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct world));
}

/* The order of worlds is none of its state. */
static void
put_next(struct belief *next, struct lane_order *o, bool exact)
{
	from_order(next, o);
	qsort(next->worlds, next->n_worlds, sizeof(next->worlds[0]),
	    compare_worlds);
	put_belief(next, exact);
	lane_order_free(o);
}

static void
leave_or_join(const struct belief *b, unsigned set, int joins)
{
	struct lane_order o = LANE_ORDER_INIT;
	static struct belief next;

	memset(&next, 0, sizeof(next));
	for (unsigned k = 0; k < b->n_worlds; k++)
		put_worlds(&next, b->worlds[k], set, joins);
	to_order(&o, b);
	if (joins >= 0)
		add(&o, (unsigned)joins);
	for (unsigned i = 0; i < LANES_MAX; i++)
		if (set & 1u << i)
			lane_order_mark(&o, i);
	lane_order_remove_marked(&o, joins >= 0);
	put_next(&next, &o, doubts_of(b) == 0);
}

static void
leave_alone(const struct belief *b, unsigned slot)
{
	struct lane_order o = LANE_ORDER_INIT;
	static struct belief next;

	memset(&next, 0, sizeof(next));
	for (unsigned k = 0; k < b->n_worlds; k++)
		put_worlds(&next, b->worlds[k], 1u << slot, -1);
	to_order(&o, b);
	lane_order_remove(&o, slot);
	put_next(&next, &o, doubts_of(b) == 0);
}

static void
list_unseen(const struct belief *b, unsigned slot)
{
	struct lane_order o = LANE_ORDER_INIT;
	static struct belief next;

	memset(&next, 0, sizeof(next));
	for (unsigned k = 0; k < b->n_worlds; k++) {
		struct world w = b->worlds[k];

		put_world(&next, w);
		world_leave(&w, slot);
		world_join(&w, slot);
		put_world(&next, w);
	}
	to_order(&o, b);
	lane_order_doubt(&o, slot);
	put_next(&next, &o, doubts_of(b) == 0);
}

/* The kernel has told which one it is: other worlds are none any more. */
static void
find_out(const struct belief *b, unsigned place, unsigned slot)
{
	struct lane_order o = LANE_ORDER_INIT;
	static struct belief next;

	memset(&next, 0, sizeof(next));
	for (unsigned k = 0; k < b->n_worlds; k++)
		if (b->worlds[k].at[place] == slot)
			put_world(&next, b->worlds[k]);
	if (next.n_worlds == 0)
		return;
	to_order(&o, b);
	lane_order_found(&o, place, slot);
	put_next(&next, &o, false);
}

static void
go_on(const struct belief *b, unsigned lanes)
{
	unsigned there = 0, all = (1u << lanes) - 1;

	for (unsigned i = 0; i < b->n; i++)
		there |= 1u << b->at[i].slot;
	for (unsigned set = 0; set <= all; set++) {
		if ((set & ~there) != 0)
			continue;
		if (set != 0)
			leave_or_join(b, set, -1);
		for (unsigned i = 0; i < lanes; i++)
			if ((there & 1u << i) == 0)
				leave_or_join(b, set, (int)i);
	}
	for (unsigned i = 0; i < lanes; i++)
		if (there & 1u << i) {
			leave_alone(b, i);
			list_unseen(b, i);
		}
	for (unsigned p = 0; p < b->n; p++)
		for (unsigned i = 0; b->at[p].doubt && i < b->n; i++)
			if (b->at[i].doubt)
				find_out(b, p, b->at[i].slot);
}

static void
what_is_not_in_doubt_is_so(void **state)
{
	(void)state;
	seen = calloc(STATES_MAX, sizeof(*seen));
	assert_non_null(seen);
	for (unsigned lanes = 3; lanes <= LANES_MAX; lanes++) {
		struct belief none = { .n_worlds = 1 };
		size_t done = 0;

		n_seen = 0;
		put_belief(&none, true);
		for (unsigned depth = 0; depth < DEPTH; depth++) {
			size_t n = n_seen;

			while (done < n) {
				struct belief b = seen[done++];

				go_on(&b, lanes);
			}
		}
		assert_true(n_seen > lanes);
	}
	free(seen);
}

/* ---- the kernel ---- */

#define SOCKETS	7
#define ROUNDS	60

struct group {
	struct sockaddr_in sin;
	int fds[SOCKETS];
	bool listens[SOCKETS];
};

static int
member(struct group *g)
{
	socklen_t len = sizeof(g->sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	assert_int_not_equal(fd, -1);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one,
	    sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&g->sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&g->sin, &len), 0);
	return fd;
}

static void
always(int fd, size_t position)
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, (uint32_t)position);
	struct sock_fprog program = { .len = 1, .filter = &code };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
	    &program, sizeof(program)), 0);
}

/* Who gets a connection? Looked for in all of them. */
static unsigned
who_gets_it(const struct group *g)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger reset = { .l_onoff = 1 };
	struct pollfd p[SOCKETS];
	unsigned slot = SOCKETS;

	assert_int_equal(connect(client, (const struct sockaddr *)&g->sin,
	    sizeof(g->sin)), 0);
	for (unsigned i = 0; i < SOCKETS; i++)
		p[i] = (struct pollfd){ .events = POLLIN,
			.fd = g->listens[i] ? g->fds[i] : -1 };
	assert_int_equal(poll(p, SOCKETS, 10000), 1);
	for (unsigned i = 0; i < SOCKETS; i++) {
		if (p[i].revents == 0)
			continue;
		slot = i;
		close(accept(g->fds[i], NULL, NULL));
	}
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	return slot;
}

static void
check_each(const struct group *g, const struct lane_order *o)
{
	for (size_t i = 0; i < o->n; i++) {
		always(g->fds[o->v[0].slot], i);
		assert_int_equal(who_gets_it(g), o->v[i].slot);
	}
}

static void
the_kernel_has_the_same_order(void **state)
{
	struct group g = { .sin.sin_family = AF_INET };
	struct lane_order o = LANE_ORDER_INIT;
	unsigned dice = 20;
	int first;

	(void)state;
	g.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* One that got its port by asking for 0 has another one when it listens
	   again. */
	first = member(&g);
	for (unsigned i = 0; i < SOCKETS; i++)
		g.fds[i] = member(&g);
	close(first);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i;

		dice = dice * 1103515245 + 12345;
		i = (dice >> 16) % SOCKETS;
		if (g.listens[i]) {
			shutdown(g.fds[i], SHUT_RDWR);
			lane_order_remove(&o, i);
		} else {
			assert_int_equal(listen(g.fds[i], 8), 0);
			add(&o, i);
		}
		g.listens[i] = !g.listens[i];
		check_each(&g, &o);
	}
	for (unsigned i = 0; i < SOCKETS; i++)
		close(g.fds[i]);
	lane_order_free(&o);
}

/* ---- the rank ---- */

static void
who_serves_comes_first(void **state)
{
	(void)state;
	assert_true(LANE_RANK_NEVER < LANE_RANK_LATER &&
	    LANE_RANK_LATER < LANE_RANK_SOON &&
	    LANE_RANK_SOON < LANE_RANK_NOW);
	for (int was_ready = 0; was_ready < 2; was_ready++) {
		assert_int_equal(lane_rank(WORKER_READY, false, was_ready),
		    LANE_RANK_NOW);
		assert_int_equal(lane_rank(WORKER_IDLE, false, was_ready),
		    LANE_RANK_SOON);
		assert_int_equal(lane_rank(WORKER_EXECING, false, was_ready),
		    LANE_RANK_SOON);
		assert_int_equal(lane_rank(WORKER_STARTING, false, was_ready),
		    LANE_RANK_SOON);
		assert_int_equal(lane_rank(WORKER_BACKOFF, false, was_ready),
		    LANE_RANK_LATER);
	}
}

/* Those that go, and those whose process is only a matter of time. */
static void
who_never_accepts_again_gets_none(void **state)
{
	(void)state;
	for (int s = 0; s < WORKER_STATES; s++) {
		enum worker_state st = (enum worker_state)s;

		if (st == WORKER_READY || st == WORKER_IDLE ||
		    st == WORKER_EXECING || st == WORKER_STARTING ||
		    st == WORKER_BACKOFF)
			continue;
		for (int k = 0; k < 4; k++)
			assert_int_equal(lane_rank(st, k & 1, k & 2),
			    LANE_RANK_NEVER);
	}
	assert_int_equal(lane_rank(WORKER_PARKED, true, true),
	    LANE_RANK_NEVER);
}

static void
flows_stay_while_a_worker_starts_again(void **state)
{
	static const enum worker_state starts[] = {
		WORKER_IDLE, WORKER_EXECING, WORKER_STARTING,
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(lane_rank(starts[i], true, true),
		    LANE_RANK_NOW);
		/* It has no flows yet. */
		assert_int_equal(lane_rank(starts[i], true, false),
		    LANE_RANK_SOON);
	}
	assert_int_equal(lane_rank(WORKER_BACKOFF, true, true),
	    LANE_RANK_LATER);
	assert_int_equal(lane_rank(WORKER_READY, true, true), LANE_RANK_NOW);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_is_last),
		cmocka_unit_test(the_last_one_takes_the_place_of_who_goes),
		cmocka_unit_test(who_is_not_there_may_go),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(room_that_cannot_be_had_changes_nothing),
		cmocka_unit_test(what_is_not_in_doubt_is_so),
		cmocka_unit_test(the_kernel_has_the_same_order),
		cmocka_unit_test(who_serves_comes_first),
		cmocka_unit_test(who_never_accepts_again_gets_none),
		cmocka_unit_test(flows_stay_while_a_worker_starts_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

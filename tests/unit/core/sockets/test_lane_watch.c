/*
 * core/sockets/lane_watch: what is decided one by one, and its promises held
 * against all histories of three lanes, six events long.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/sockets/lane_rank.h"
#include "core/sockets/lane_watch.h"

static struct mono
at(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 86400 * INT64_C(1000000000) },
	    ms);
}

/* ---- one by one ---- */

static void
every_state_has_its_holding(void **state)
{
	(void)state;
	for (int s = 0; s < WORKER_STATES; s++) {
		enum lane_holding h = lane_holding((enum worker_state)s);

		if (s == WORKER_READY || s == WORKER_DRAINING)
			assert_int_equal(h, LANE_SERVED);
		else if (worker_state_final((enum worker_state)s))
			assert_int_equal(h, LANE_FREE);
		else if (s == WORKER_STARTING)
			assert_int_equal(h, LANE_STARTING);
		else if (s == WORKER_STOPPING)
			assert_int_equal(h, LANE_ENDING);
		else
			assert_int_equal(h, LANE_DUE);
	}
}

static void
expect(struct lane_watch *w, struct lane_facts f, int64_t now,
    enum lane_deed deed, int64_t until)
{
	struct lane_decision d = lane_watch_decide(w, &f, at(now));

	assert_int_equal(d.deed, deed);
	if (until < 0)
		assert_true(mono_is_never(d.until));
	else
		assert_int_equal(mono_ms_between(at(0), d.until), until);
}

#define FACTS(h, o, m, w) ((struct lane_facts){			\
	.holding = LANE_##h, .others = LANE_OTHERS_##o,			\
	.can_move = (m), .waits = (w), .due = at(0),			\
})

static void
who_is_served_is_left_alone(void **state)
{
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, FACTS(SERVED, READY, true, true), 0, LANE_LEAVE, -1);
	expect(&w, FACTS(SERVED, READY, false, true), 0, LANE_LEAVE, -1);
	expect(&w, FACTS(SERVED, NONE, false, false), 0, LANE_LEAVE, -1);
}

/* Nobody is to be woken for what cannot be helped. */
static void
without_others_nothing_is_heard(void **state)
{
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, FACTS(STARTING, NONE, true, false), 0, LANE_LEAVE, -1);
	expect(&w, FACTS(STARTING, COMING, true, false), 0, LANE_LEAVE, -1);
	expect(&w, FACTS(DUE, COMING, false, true), 0, LANE_WAIT, -1);
	expect(&w, FACTS(FREE, NONE, false, true), 0, LANE_WAIT, -1);
	expect(&w, FACTS(STARTING, READY, true, false), 0, LANE_LISTEN, -1);
}

static void
who_can_move_does_so_at_once_where_nothing_is_disturbed(void **state)
{
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, FACTS(FREE, READY, true, true), 0, LANE_MOVE, -1);
	expect(&w, FACTS(DUE, READY, true, true), 0, LANE_MOVE, -1);
	w.counts = false;
	expect(&w, FACTS(STARTING, READY, true, true), 100, LANE_WAIT, 1100);
	expect(&w, FACTS(STARTING, READY, true, true), 1099, LANE_WAIT, 1100);
	expect(&w, FACTS(STARTING, READY, true, true), 1100, LANE_MOVE, -1);
	w.counts = false;
	expect(&w, FACTS(ENDING, READY, true, true), 100, LANE_WAIT, 1100);
	expect(&w, FACTS(ENDING, READY, true, true), 1100, LANE_MOVE, -1);
}

/* It may serve them yet: they are not let go. */
static void
who_is_stuck_keeps_nobody_waiting(void **state)
{
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, FACTS(STUCK, READY, true, false), 0, LANE_LISTEN, -1);
	expect(&w, FACTS(STUCK, READY, true, true), 10, LANE_MOVE, -1);
	expect(&w, FACTS(STUCK, NONE, true, true), 20, LANE_LEAVE, -1);
	expect(&w, FACTS(STUCK, COMING, true, true), 20, LANE_LEAVE, -1);
	expect(&w, FACTS(STUCK, READY, false, true), 60000, LANE_LEAVE, -1);
	expect(&w, FACTS(STUCK, NONE, false, true), 60000, LANE_LEAVE, -1);
}

static struct lane_facts
with_queue(struct lane_facts f, uint32_t queue)
{
	f.queue = queue;
	return f;
}

/* The successor of a dead one is under way, and brings somebody for them. */
static void
who_has_an_heir_is_not_let_go(void **state)
{
	struct lane_facts f = FACTS(DUE, READY, false, true);
	struct lane_watch w = { .counts = false };

	(void)state;
	f.due = at(90000);
	f.heir = true;
	expect(&w, f, 0, LANE_WAIT, -1);
	f.holding = LANE_FREE;
	expect(&w, f, 60000, LANE_WAIT, -1);
	f.others = LANE_OTHERS_COMING;
	expect(&w, f, 60000, LANE_WAIT, -1);
	/* It comes to nothing: the time counts from then on. */
	expect(&w, FACTS(STARTING, READY, false, true), 60010, LANE_WAIT,
	    60010 + LANE_WATCH_WAIT_MS);
	f.holding = LANE_STARTING;
	f.others = LANE_OTHERS_READY;
	expect(&w, f, 60020, LANE_WAIT, -1);
	expect(&w, FACTS(STARTING, READY, false, true), 60030, LANE_WAIT,
	    60030 + LANE_WATCH_WAIT_MS);
	/* Who can move does not wait for it. */
	f.can_move = true;
	f.holding = LANE_DUE;
	expect(&w, f, 60040, LANE_MOVE, -1);
}

/* A handshake that ends while its lane ceases to listen would be reset. */
static void
nobody_is_moved_while_others_come(void **state)
{
	const struct lane_facts f = FACTS(FREE, READY, true, true);
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, with_queue(f, 1), 0, LANE_WAIT, LANE_WATCH_SETTLE_MS);
	expect(&w, with_queue(f, 2), 7, LANE_WAIT, 7 + LANE_WATCH_SETTLE_MS);
	expect(&w, with_queue(f, 2), 10, LANE_WAIT, 7 + LANE_WATCH_SETTLE_MS);
	expect(&w, with_queue(f, 2), 17, LANE_MOVE, -1);
	/* The next ones have their own time. */
	expect(&w, FACTS(FREE, READY, true, false), 17, LANE_LISTEN, -1);
	expect(&w, with_queue(f, 1), 400, LANE_WAIT,
	    400 + LANE_WATCH_SETTLE_MS);
	expect(&w, with_queue(f, 1), 410, LANE_MOVE, -1);
}

static void
an_endless_stream_is_moved_all_the_same(void **state)
{
	const struct lane_facts f = FACTS(FREE, READY, true, true);
	struct lane_watch w = { .counts = false };
	int64_t now = 0;

	(void)state;
	for (uint32_t n = 1; now < LANE_WATCH_SETTLE_MAX_MS - 5; n++, now += 5)
		expect(&w, with_queue(f, n), now, LANE_WAIT,
		    now + LANE_WATCH_SETTLE_MS < LANE_WATCH_SETTLE_MAX_MS ?
		    now + LANE_WATCH_SETTLE_MS : LANE_WATCH_SETTLE_MAX_MS);
	expect(&w, with_queue(f, 1000), LANE_WATCH_SETTLE_MAX_MS, LANE_MOVE,
	    -1);
}

/* It would be given its second to serve them. */
static void
who_waits_is_moved_before_a_program_starts(void **state)
{
	struct lane_facts f = FACTS(DUE, READY, true, true);
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, with_queue(f, 1), 0, LANE_MOVE, -1);
	w = (struct lane_watch){ .counts = false };
	f.due = at(15);
	expect(&w, with_queue(f, 1), 0, LANE_WAIT, LANE_WATCH_SETTLE_MS);
	expect(&w, with_queue(f, 2), 6, LANE_MOVE, -1);
}

static void
who_cannot_waits_for_the_restart_as_long_as_that_is_useful(void **state)
{
	struct lane_facts f = FACTS(DUE, READY, false, true);
	struct lane_watch w = { .counts = false };

	(void)state;
	f.due = at(5000);
	expect(&w, f, 0, LANE_WAIT, 5000);
	f.due = at(5001);
	expect(&w, f, 10, LANE_RESET, -1);
	/* It counts from the first death. */
	expect(&w, FACTS(STARTING, READY, false, true), 3000, LANE_WAIT, 5000);
	f.due = at(4900);
	expect(&w, f, 4800, LANE_WAIT, 5000);
	expect(&w, FACTS(STARTING, READY, false, true), 5000, LANE_RESET, -1);
	/* Until it was ready once more. */
	expect(&w, FACTS(SERVED, READY, false, true), 6000, LANE_LEAVE, -1);
	expect(&w, FACTS(STARTING, READY, false, true), 7000, LANE_WAIT, 12000);
	/* The stop has its own end. */
	expect(&w, FACTS(ENDING, READY, false, true), 90000, LANE_WAIT, -1);
}

static void
a_free_lane_may_be_taken_for_a_while(void **state)
{
	struct lane_watch w = { .counts = false };

	(void)state;
	expect(&w, FACTS(FREE, READY, false, true), 0, LANE_WAIT, 1000);
	expect(&w, FACTS(FREE, COMING, false, true), 1000, LANE_RESET, -1);
	/* A late handshake, or one that strayed, long after: the first one's
	   time is that of those who come behind. */
	expect(&w, FACTS(FREE, READY, false, false), 1000, LANE_LISTEN, -1);
	expect(&w, FACTS(FREE, READY, false, true), 60000, LANE_WAIT, 61000);
	expect(&w, FACTS(FREE, READY, false, true), 60900, LANE_WAIT, 61000);
	expect(&w, FACTS(FREE, READY, false, true), 61000, LANE_RESET, -1);
	/* Who comes behind a reset is not of the same time, though nobody has
	   looked in between. */
	expect(&w, FACTS(FREE, READY, false, true), 61000, LANE_WAIT, 62000);
	/* It moves at once, whenever it came. */
	expect(&w, FACTS(FREE, READY, true, true), 61500, LANE_MOVE, -1);
	/* It came when nothing could be done: it counts from when it could. */
	w = (struct lane_watch){ .counts = false };
	expect(&w, FACTS(FREE, NONE, false, true), 0, LANE_WAIT, -1);
	expect(&w, FACTS(FREE, READY, false, true), 5000, LANE_WAIT, 6000);
	expect(&w, FACTS(FREE, READY, false, true), 6000, LANE_RESET, -1);
}

/* ---- all histories ---- */

#define LANES	3
#define DEPTH	6
#define TICK_MS	100
#define QUEUE_MAX 2
#define FOREVER	(INT64_C(1) << 40)

/* A lane, its worker, and who waits; times in milliseconds. */
struct row {
	enum worker_state worker;	/* ENDED: nobody has the lane */
	bool stuck;
	int64_t due;			/* BACKOFF */
	struct lane_watch watch;
	int64_t since;			/* the same as in watch */
	uint32_t queue;			/* so many wait, … */
	int64_t came;			/* … the first of them for this holder */
	int64_t last;			/* … the last of them */
	int64_t exposed;	/* so long somebody has waited, while another
				   was ready, for this holder */
	bool heard, listens;
};

struct world {
	struct row rows[LANES];
	int64_t now;
	bool can_move;
};

static size_t n_moved, n_reset, n_steps, n_states;

static enum lane_holding
holding(const struct row *row)
{
	enum lane_holding h = lane_holding(row->worker);

	return h == LANE_SERVED && row->stuck ? LANE_STUCK : h;
}

/* New connections go to it, if it is not avoided, and are served. */
static bool
is_ready(const struct row *row)
{
	return row->worker == WORKER_READY && !row->stuck;
}

static bool
others_are(const struct world *w, int but, bool ready)
{
	for (int i = 0; i < LANES; i++) {
		enum lane_holding h = holding(&w->rows[i]);

		if (i != but && (ready ? is_ready(&w->rows[i]) :
		    h == LANE_DUE || h == LANE_STARTING))
			return true;
	}
	return false;
}

/* New connections go to those alone who are moved to: core/sockets/lane_rank
   and this module agree on who that is. */
static void
check_rank(const struct row *row)
{
	if (row->worker == WORKER_READY)
		assert_int_equal(lane_rank(row->worker, false, true),
		    LANE_RANK_NOW);
	else
		assert_true(lane_rank(row->worker, false, true) <
		    LANE_RANK_NOW);
}

static void
check_reset(const struct world *w, int i)
{
	const struct row *row = &w->rows[i];
	int64_t past = w->now - row->since;

	assert_false(w->can_move);
	assert_true(others_are(w, i, true) || others_are(w, i, false));
	switch (holding(row)) {
	case LANE_FREE:
		assert_true(past >= LANE_WATCH_TAKE_MS);
		assert_true(w->now - row->came >= LANE_WATCH_TAKE_MS);
		break;
	case LANE_DUE:
		assert_true(others_are(w, i, true));
		assert_true(past >= LANE_WATCH_WAIT_MS ||
		    row->due > row->since + LANE_WATCH_WAIT_MS);
		break;
	case LANE_STARTING:
		assert_true(others_are(w, i, true));
		assert_true(past >= LANE_WATCH_WAIT_MS);
		break;
	default:
		fail_msg("they could be served");
	}
}

/* A program that may be about to accept is given its time, and a handshake that
   may be ending now comes first. */
static void
check_move(const struct world *w, int i)
{
	const struct row *row = &w->rows[i];
	enum lane_holding h = holding(row);

	assert_true(w->can_move && others_are(w, i, true));
	assert_int_not_equal(h, LANE_SERVED);
	if (h == LANE_STARTING || h == LANE_ENDING)
		assert_true(w->now - row->since >= LANE_WATCH_START_MS);
	if (h != LANE_DUE || row->due > w->now + LANE_WATCH_SETTLE_MS)
		assert_true(w->now - row->last >= LANE_WATCH_SETTLE_MS ||
		    w->now - row->came >= LANE_WATCH_SETTLE_MAX_MS);
}

/* As daemon/steer does at the end of a turn. Returns when to come again, and
   whether somebody was heard meanwhile. */
static bool
turn(struct world *w, int64_t *ret_next)
{
	bool again = false;

	*ret_next = FOREVER;
	for (int i = 0; i < LANES; i++) {
		struct row *row = &w->rows[i];
		struct lane_facts f = {
			.holding = holding(row),
			.due = at(row->due),
			.others = others_are(w, i, true) ? LANE_OTHERS_READY :
			    others_are(w, i, false) ? LANE_OTHERS_COMING :
			    LANE_OTHERS_NONE,
			.can_move = w->can_move,
			.waits = row->heard,
			.queue = row->heard && w->can_move ? row->queue : 0,
		};
		struct lane_decision d;

		check_rank(row);
		if (f.holding == LANE_SERVED)
			row->queue = 0;
		d = lane_watch_decide(&row->watch, &f, at(w->now));
		row->since = row->watch.counts ?
		    mono_ms_between(at(0), row->watch.since) : w->now;
		if (d.deed == LANE_MOVE) {
			check_move(w, i);
			n_moved += row->queue;
		}
		if (d.deed == LANE_RESET && row->queue > 0) {
			check_reset(w, i);
			n_reset += row->queue;
		}
		if (d.deed == LANE_MOVE || d.deed == LANE_RESET) {
			row->queue = 0;
			d.deed = LANE_LISTEN;
		}
		if (d.deed != LANE_WAIT)
			row->heard = false;
		row->listens = d.deed == LANE_LISTEN;
		if (row->listens && row->queue > 0) {
			row->listens = false;
			row->heard = again = true;
		}
		if (!mono_is_never(d.until)) {
			int64_t until = mono_ms_between(at(0), d.until);

			assert_true(d.deed == LANE_WAIT && until > w->now);
			if (until < *ret_next)
				*ret_next = until;
		}
	}
	return again;
}

static int64_t
settle(struct world *w)
{
	int64_t next;
	int turns = 0;

	while (turn(w, &next))
		assert_true(++turns < 4);
	return next;
}

/* So long may those who wait there do so, while somebody else is ready; no more
   than that, or for ever. */
static int64_t
bound(const struct world *w, enum lane_holding h)
{
	if (w->can_move)
		return h == LANE_STARTING || h == LANE_ENDING ?
		    LANE_WATCH_START_MS : LANE_WATCH_SETTLE_MAX_MS;
	if (h == LANE_ENDING)
		return FOREVER;
	return h == LANE_FREE ? LANE_WATCH_TAKE_MS : LANE_WATCH_WAIT_MS;
}

/* Could another have those who wait there? Who is stuck may serve them yet, so
   that they are not let go. */
static bool
are_exposed(const struct world *w, int i)
{
	return w->rows[i].queue > 0 && others_are(w, i, true) &&
	    (w->can_move || holding(&w->rows[i]) != LANE_STUCK);
}

/* Nobody waits longer than was promised while somebody else is ready. */
static void
check_bounds(const struct world *w)
{
	for (int i = 0; i < LANES; i++) {
		const struct row *row = &w->rows[i];

		if (are_exposed(w, i))
			assert_true(row->exposed < bound(w, holding(row)));
	}
}

/* Time passes: no further than to what is due. */
static void
pass(struct world *w, int64_t ms)
{
	int64_t end = w->now + ms;

	while (w->now < end) {
		int64_t next = settle(w);

		check_bounds(w);
		if (next > end)
			next = end;
		for (int i = 0; i < LANES; i++)
			if (w->rows[i].worker == WORKER_BACKOFF &&
			    w->rows[i].due < next)
				next = w->rows[i].due;
		for (int i = 0; i < LANES; i++)
			if (are_exposed(w, i))
				w->rows[i].exposed += next - w->now;
		w->now = next;
		for (int i = 0; i < LANES; i++)
			if (w->rows[i].worker == WORKER_BACKOFF &&
			    w->rows[i].due <= next)
				w->rows[i].worker = WORKER_EXECING;
	}
}

enum event {
	DIES_AND_RESTARTS, DIES_FOR_A_MOMENT, DIES_FOR_LONG, DIES_FOR_GOOD,
	IS_EXECUTED, IS_READY, IS_STUCK, IS_WELL, IS_RETIRED, IS_STOPPED,
	IS_KILLED, IS_TAKEN, CLIENT_COMES,
	LANE_EVENTS,
	INSTANT_PASSES = LANE_EVENTS * LANES, MOMENT_PASSES, LONG_TIME_PASSES,
	BALANCE_CHANGES, EVENTS
};

static void
change_hands(struct world *w, struct row *row)
{
	row->watch = (struct lane_watch){ .counts = false };
	row->came = w->now;
	row->exposed = 0;
}

static bool
move_on(struct row *row, bool can_be, enum worker_state to)
{
	row->worker = to;
	if (lane_holding(to) != LANE_SERVED)
		row->stuck = false;
	return can_be;
}

static bool
become(struct world *w, struct row *row, bool stuck)
{
	bool can_be = lane_holding(row->worker) == LANE_SERVED &&
	    row->stuck != stuck;

	/* Its clients have waited for somebody who serves, so far. */
	row->stuck = stuck;
	row->came = w->now;
	row->exposed = 0;
	return can_be;
}

static bool
client_comes(struct world *w, struct row *row)
{
	if (row->queue == QUEUE_MAX)
		return false;
	row->last = w->now;
	if (row->queue++ == 0) {
		row->came = w->now;
		row->exposed = 0;
	}
	return true;
}

static bool
lane_event(struct world *w, struct row *row, enum event e)
{
	enum worker_state was = row->worker;
	bool lives = worker_state_alive(was);

	switch (e) {
	case DIES_AND_RESTARTS:
		return move_on(row, lives, WORKER_EXECING);
	case DIES_FOR_A_MOMENT:
		row->due = w->now + TICK_MS;
		return move_on(row, lives, WORKER_BACKOFF);
	case DIES_FOR_LONG:
		row->due = w->now + 30000;
		return move_on(row, lives, WORKER_BACKOFF);
	case DIES_FOR_GOOD:
		change_hands(w, row);
		return move_on(row, lives, WORKER_ENDED);
	case IS_EXECUTED:
		return move_on(row, was == WORKER_EXECING, WORKER_STARTING);
	case IS_READY:
		row->exposed = 0;
		return move_on(row, was == WORKER_STARTING, WORKER_READY);
	case IS_STUCK:
	case IS_WELL:
		return become(w, row, e == IS_STUCK);
	case IS_RETIRED:
		return move_on(row, was == WORKER_READY, WORKER_DRAINING);
	case IS_STOPPED:
		return move_on(row, was == WORKER_READY ||
		    was == WORKER_STARTING || was == WORKER_DRAINING,
		    WORKER_STOPPING);
	case IS_KILLED:
		return move_on(row, lives && was != WORKER_KILLED,
		    WORKER_KILLED);
	case IS_TAKEN:
		change_hands(w, row);
		return move_on(row, was == WORKER_ENDED, WORKER_EXECING);
	default:
		return client_comes(w, row);
	}
}

/* Who could not be moved can be from now on, or the other way round; that is no
   part of what was promised before. */
static void
change_balance(struct world *w)
{
	w->can_move = !w->can_move;
	for (int i = 0; i < LANES; i++)
		w->rows[i].exposed = 0;
}

/* False: it cannot happen now, or makes no difference. */
static bool
happen(struct world *w, int e)
{
	if (e == INSTANT_PASSES)
		pass(w, LANE_WATCH_SETTLE_MS / 2);
	else if (e == BALANCE_CHANGES)
		change_balance(w);
	else if (e == MOMENT_PASSES)
		pass(w, 9 * TICK_MS);
	else if (e == LONG_TIME_PASSES)
		pass(w, 6000);
	else if (!lane_event(w, &w->rows[e / LANE_EVENTS],
	    (enum event)(e % LANE_EVENTS)))
		return false;
	(void)settle(w);
	check_bounds(w);
	n_steps++;
	return true;
}

/* What was seen already, with as many events to come: by a hash, as times count
   from now. */
#define SEEN_BITS 22
static uint64_t *seen;

static uint64_t
mix(uint64_t hash, int64_t value)
{
	hash = (hash ^ (uint64_t)value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* How long ago, as far as that matters. */
static int64_t
past(const struct world *w, struct mono since)
{
	int64_t ms = mono_ms_between(since, at(w->now));

	return ms > 6000 ? 6000 : ms;
}

static uint64_t
hash_of(const struct world *w, const struct row *row)
{
	const struct lane_watch *watch = &row->watch;
	uint64_t hash = mix(mix(1, row->worker), row->stuck |
	    row->heard << 1 | row->listens << 2 | watch->counts << 3 |
	    watch->waits << 4);

	if (row->worker == WORKER_BACKOFF)
		hash = mix(hash, row->due - w->now);
	if (watch->counts)
		hash = mix(hash, past(w, watch->since));
	if (watch->waits)
		hash = mix(hash, past(w, watch->came));
	hash = mix(mix(hash, watch->queue), row->queue);
	if (watch->queue > 0)
		hash = mix(hash, past(w, watch->grew));
	if (row->queue > 0)
		hash = mix(mix(mix(hash, past(w, at(row->came))),
		    past(w, at(row->last))), row->exposed);
	return mix(hash, 0);
}

/* Which of the lanes it is makes no difference. */
static bool
was_seen(const struct world *w, int depth)
{
	uint64_t hash = 0;
	size_t place;

	for (int i = 0; i < LANES; i++)
		hash += hash_of(w, &w->rows[i]);
	hash = mix(mix(hash, depth), w->can_move) | 1;
	place = hash >> (64 - SEEN_BITS);
	if (seen[place] == hash)
		return true;
	seen[place] = hash;
	n_states++;
	return false;
}

static void
explore(const struct world *w, int depth)
{
	if (depth == 0 || was_seen(w, depth))
		return;
	for (int e = 0; e < EVENTS; e++) {
		struct world next = *w;

		if (happen(&next, e))
			explore(&next, depth - 1);
	}
}

static void
nobody_waits_in_vain(void **state)
{
	static const enum worker_state first[][LANES] = {
		{ WORKER_READY, WORKER_READY, WORKER_READY },
		{ WORKER_STARTING, WORKER_STARTING, WORKER_STARTING },
		{ WORKER_READY, WORKER_STARTING, WORKER_ENDED },
		{ WORKER_ENDED, WORKER_ENDED, WORKER_EXECING },
	};

	(void)state;
	seen = calloc((size_t)1 << SEEN_BITS, sizeof(*seen));
	assert_non_null(seen);
	for (size_t k = 0; k < sizeof(first) / sizeof(*first); k++)
		for (int can_move = 0; can_move < 2; can_move++) {
			struct world w = { .can_move = can_move };

			for (int i = 0; i < LANES; i++)
				w.rows[i].worker = first[k][i];
			explore(&w, DEPTH);
		}
	free(seen);
	print_message("%zu states, %zu steps, %zu moved, %zu reset\n",
	    n_states, n_steps, n_moved, n_reset);
	/* It was about something. */
	assert_true(n_steps > 1000000 && n_moved > 10000 && n_reset > 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_has_its_holding),
		cmocka_unit_test(who_is_served_is_left_alone),
		cmocka_unit_test(without_others_nothing_is_heard),
		cmocka_unit_test(
		    who_can_move_does_so_at_once_where_nothing_is_disturbed),
		cmocka_unit_test(who_is_stuck_keeps_nobody_waiting),
		cmocka_unit_test(
		    who_cannot_waits_for_the_restart_as_long_as_that_is_useful),
		cmocka_unit_test(who_has_an_heir_is_not_let_go),
		cmocka_unit_test(nobody_is_moved_while_others_come),
		cmocka_unit_test(an_endless_stream_is_moved_all_the_same),
		cmocka_unit_test(who_waits_is_moved_before_a_program_starts),
		cmocka_unit_test(a_free_lane_may_be_taken_for_a_while),
		cmocka_unit_test(nobody_waits_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Which lane gets a new connection. All reuseport groups share two programs that
 * choose; attached to them is a small one, which finds out which group it is, by the
 * socket that the kernel asks about, and goes on in one of the two. The kernel also
 * asks where to move a connection that waits in the queue of a lane which has stopped
 * listening (`migrating`).
 *
 * What they answer is a lane of the live set. Where none of these takes it, what
 * moves stays (SK_DROP), and of whatever comes the kernel's hash chooses among
 * all sockets of the port (SK_PASS without a selection): these lanes have been
 * shut down, and may be listening again, of which nobody has heard yet; who comes
 * to one that nobody serves is news. Where there is no live set, nobody is let
 * in.
 *
 * A lane whose worker has just begun may be slow to start: its weight grows with the
 * time since then (`slowness`), and what counts is how it compares with the others'.
 * Nobody has to be told when it is over.
 */
#include "bpf/cell.h"
#include "bpf/kernel.h"
#include "linux/bpf/steering_layout.h"

MAP_VALUE(struct steer_hub, value_hub);
MAP(map_calls);		/* by processor: steer_call */
MAP(map_programs);	/* those that choose, by mode */
MAP(map_words);		/* array: the groups' words */
MAP(map_sockets);	/* reuseport array, by cell: lanes' sockets */
MAP(map_lanes);		/* hash: cookie of a listening socket: steer_lane */
MAP(map_moved);		/* hash: cookie of a connection to its cell */
MAP_VALUE(struct steer_moves, value_moves);

INLINE __u64 *
word_at(__u32 place)
{
	return map_lookup(&map_words, &place);
}

/* A socket of the group that is none of the lanes. */
INLINE struct steer_lane *
lane_at_place_of(struct bpf_sock *sk)
{
	__u32 ip[4] = { 0 };
	__u64 key;

	/* Two loads of the same number, which must not become one from either
	   place: the verifier allows none of those. */
	if (sk->family == FAMILY_IPV4) {
		ip[0] = sk->src_ip4;
		__asm__ volatile("" : "+r"(ip[0]));
	} else {
		ip[0] = sk->src_ip6[0];
		__asm__ volatile("" : "+r"(ip[0]));
		ip[1] = sk->src_ip6[1];
		ip[2] = sk->src_ip6[2];
		ip[3] = sk->src_ip6[3];
	}
	key = steer_place_key(ip, sk->src_port, sk->family);
	return map_lookup(&map_lanes, &key);
}

/*
 * The kernel asks with softirqs off, so nobody else is asked on this processor
 * before the other program has read it. (Where a real-time kernel lets them
 * preempt each other, another group's lane is chosen, which the kernel does not
 * take: the packet is dropped, and sent again.) Without a supervisor there are
 * no programs to go on in: then the kernel chooses.
 */
SECTION("program/enter")
int
enter(struct sk_reuseport_md *md)
{
	__u32 zero = 0;
	__u64 cookie = socket_cookie(md->sk);
	struct steer_call *call = map_lookup(&map_calls, &zero);
	struct steer_lane *lane = map_lookup(&map_lanes, &cookie);
	__u64 *mode, group;

	if (call == NULL)
		return SK_DROP;
	if (lane == NULL)
		lane = lane_at_place_of(md->sk);
	if (lane == NULL)
		return SK_DROP;
	/* One load: what is taken out may be another one's at once. */
	group = *(volatile __u64 *)&lane->group;
	call->group = group;
	mode = word_at((__u32)group + STEER_WORD_MODE);
	if (mode == NULL)
		return SK_DROP;
	/* A number that the verifier knows makes it a jump: two calls, which must
	   not become one of either number. */
	if (*(volatile __u64 *)mode == 0) {
		tail_call(md, &map_programs, 0);
		__asm__ volatile("");
	} else {
		tail_call(md, &map_programs, 1);
	}
	return SK_PASS;
}

/* Upon a lane that refuses: until this expires, it is nobody's choice. More SYNs
   than that are not under way. */
#define PENALTY (1U << 20)

/* What weighs beside the open connections: all that is charged, or penalties
   alone. */
#define WEIGH_ALL	(~0U)
#define WEIGH_PENALTIES	(~(PENALTY - 1))

/* Make the verifier forget what it knows of a number: it would follow all that
   comes next once for each way in which it could have come about. */
INLINE __u64
forget(__u64 number)
{
	return number ^ *(volatile __u64 *)&value_hub.zero;
}

struct live {
	__u32 group;
	__u32 n;
	__u32 first;
};

INLINE struct live
live_now(void)
{
	struct live live = { 0, 0, 0 };
	__u32 zero = 0;
	struct steer_call *call = map_lookup(&map_calls, &zero);
	__u64 *head, word;

	if (call == NULL)
		return live;
	live.group = (__u32)call->group;
	head = word_at(live.group + STEER_WORD_LIVE);
	if (head == NULL)
		return live;
	/* One load: how many there are and where they are belong together. */
	word = *(volatile __u64 *)head;
	if (word >> 32 != call->group >> 32)
		return live;
	live.first = (__u32)(word >> 16 & 0xffff) * STEER_UNIT;
	live.n = (__u32)(word & 0xffff);
	return live;
}

INLINE int
none_takes(const struct sk_reuseport_md *md, const struct live *live)
{
	__u64 *dropped;

	if (md->migrating_sk == NULL)
		return SK_PASS;
	dropped = word_at(live->group + STEER_WORD_DROPPED);
	if (dropped != NULL)
		__sync_fetch_and_add(dropped, 1);
	return SK_DROP;
}

/* After the last lane the first one comes again: below 2 n. Arithmetic, because
   a branch in a loop doubles what the verifier has to look at. */
INLINE __u32
turn_round(__u64 position, __u64 n)
{
	__u64 beyond = (__u64)((__s64)(n - 1 - position) >> 63);

	__asm__ volatile("" : "+r"(beyond));
	return (__u32)(position - (n & beyond));
}

/* A live lane's cell. */
INLINE struct steer_cell *
live_cell(const struct live *live, __u32 position, __u32 *ret_number)
{
	__u64 *lane = word_at(live->first + position);

	if (lane == NULL)
		return NULL;
	*ret_number = (__u32)*(volatile __u64 *)lane;
	return steer_cell(*ret_number);
}

/* False: it does not listen. */
INLINE int
select_cell(struct sk_reuseport_md *md, __u32 cell)
{
	return select_lane(md, &map_sockets, &cell, 0) == 0;
}

#define IPV4_ETHERNET	0x0008	/* ETH_P_IP, in network order */
#define IPV4_SOURCE	12	/* where in the header */
#define IPV6_SOURCE	8

#define NO_CELL (~0U)

/*
 * The cell of the lane that a connection of clusterd's own means, or NO_CELL: it
 * is somebody else's, as nearly all are. Those are asked for no more than whether
 * any of ours is under way.
 */
INLINE __u32
checked_cell(struct sk_reuseport_md *md)
{
	__u64 *n = word_at(0), *first, *rest, head, ip[2] = { 0, 0 };
	__u8 *tcp = md->data;
	__u32 port, place;
	int ipv4;

	if (n == NULL || *(volatile __u64 *)n == 0 ||
	    md->migrating_sk != NULL || (void *)(tcp + 2) > md->data_end)
		return NO_CELL;
	port = (__u32)tcp[0] << 8 | tcp[1];
	place = STEER_CHECKS_FIRST + port % STEER_CHECKS * STEER_CHECK_WORDS;
	first = word_at(place);
	if (first == NULL)
		return NO_CELL;
	ipv4 = md->eth_protocol == IPV4_ETHERNET;
	head = *(volatile __u64 *)first;
	if (head >> 32 != (STEER_CHECK_SET >> 32 |
	    (ipv4 ? 0 : STEER_CHECK_IPV6 >> 32) | port))
		return NO_CELL;
	load_relative(md, ipv4 ? IPV4_SOURCE : IPV6_SOURCE, ip, ipv4 ? 4 : 16,
	    BPF_HDR_START_NET);
	first = word_at(place + STEER_CHECK_IP);
	rest = word_at(place + STEER_CHECK_IP_REST);
	if (first == NULL || rest == NULL || *first != ip[0] ||
	    *rest != ip[1])
		return NO_CELL;
	return (__u32)head;
}

/* A SYN opens a connection; what else comes here is the ACK that returns a SYN
   cookie, or a stray. */
INLINE int
is_syn(struct sk_reuseport_md *md)
{
	__u8 *tcp = md->data;

	if ((void *)(tcp + 14) > md->data_end)
		return 0;
	return (tcp[13] & 0x16) == 0x02;	/* of SYN, RST and ACK */
}

/*
 * If this is about a connection that moves here from another lane's queue, so
 * does its count. The kernel holds its lock. Requests (NEW_SYN_RECV) are not
 * counted yet, their child will have the mark of the lane that it comes to. A
 * child of a lane whose beginning was not seen may be uncounted: that lane is not
 * `covered`.
 */
INLINE void
move_count(struct sk_reuseport_md *md, __u32 to)
{
	struct bpf_sock *sk = md->migrating_sk;
	__u64 cookie, lane;
	__u32 from, state;
	__u32 *known;
	struct steer_cell *cell;

	if (sk == NULL || !value_hub.counted)
		return;
	state = sk->state;
	if (state == BPF_TCP_NEW_SYN_RECV || state == BPF_TCP_CLOSE)
		return;
	cookie = socket_cookie(sk);
	lane = socket_cookie(md->sk);
	known = map_lookup(&map_moved, &cookie);
	if (known != NULL) {
		from = *known;
		*known = to;
	} else {
		struct steer_lane *first = map_lookup(&map_lanes, &lane);

		if (first == NULL || !first->covered ||
		    *(volatile __u32 *)&value_moves.lost)
			return;
		from = first->cell;
		if (map_update(&map_moved, &cookie, &to, BPF_NOEXIST) != 0) {
			value_moves.lost = 1;
			return;
		}
		__sync_fetch_and_add(&value_moves.now, 1);
	}
	cell = steer_cell(from);
	if (cell != NULL)
		__sync_fetch_and_add(&cell->open, -1);
	cell = steer_cell(to);
	if (cell != NULL)
		__sync_fetch_and_add(&cell->open, 1);
}

/* Without a branch, as in turn_round(): of numbers below 2^63. */
INLINE __u64
least_of(__u64 a, __u64 b)
{
	__u64 a_is_less = (__u64)((__s64)(a - b) >> 63);

	__asm__ volatile("" : "+r"(a_is_less));
	return b ^ ((a ^ b) & a_is_less);
}

INLINE __u64
most_of(__u64 a, __u64 b)
{
	return a ^ b ^ least_of(a, b);
}

/* ---- slow start ---- */

/* Is any of the live lanes slow to start? */
INLINE int
is_ramping(const struct live *live, __u64 now)
{
	const __u64 *end = word_at(live->group + STEER_WORD_RAMP_END);

	return end != NULL && now < *(volatile __u64 *)end;
}

#define FULL_SPEED 64

/*
 * The inverse of a lane's weight: from STEER_RAMP_PARTS * FULL_SPEED down to
 * FULL_SPEED. Without a branch. A ramp lasts ten years at most, and less than
 * 2^16 ns is none.
 */
INLINE __u64
slowness(const struct steer_cell *cell, __u64 now)
{
	__u64 ns = *(volatile __u64 *)&cell->ramp_ns | 0xffff;
	__u64 age = now - *(volatile __u64 *)&cell->ramp_from;

	/* It may have begun since the clock was read. */
	age &= ~(__u64)((__s64)age >> 63);
	age = most_of(ns >> STEER_RAMP_PARTS_SHIFT, least_of(age, ns));
	return (ns << 2) / (age >> 4);
}

/*
 * The turn to begin with. A lane that is slower than the first one to be at full
 * speed lets turns pass: whose turn comes next gets it, so that the others stay even
 * among themselves. Where all let it pass, the last one does not.
 */
INLINE __u32
turn_of_ready(const struct live *live, __u64 *turns, __u64 now)
{
	const __u64 *first = word_at(live->group + STEER_WORD_RAMP_FIRST);
	struct steer_cell *cell;
	__u64 best = FULL_SPEED;
	__u32 turn = 0;

	cell = first == NULL ? NULL :
	    steer_cell((__u32)*(volatile __u64 *)first);
	if (cell != NULL)
		best = slowness(cell, now);
	best = forget(best);
	for (__u32 i = 0; i < STEER_RAMP_TURNS; i++) {
		__u32 number;

		turn = (__u32)__sync_fetch_and_add(turns, 1);
		cell = live_cell(live, turn % live->n, &number);
		if (cell == NULL || random_u32() % slowness(cell, now) < best)
			break;
	}
	return (__u32)forget(turn);
}

SECTION("program/round_robin")
int
round_robin(struct sk_reuseport_md *md)
{
	struct live live = live_now();
	__u64 *turns, now = ktime_ns();
	__u32 turn, checked = checked_cell(md);

	if (checked != NO_CELL)
		return select_cell(md, checked) ? SK_PASS : SK_DROP;
	if (live.n == 0)
		return SK_DROP;
	/* SYNs have their own counter: whatever else comes would make them
	   uneven, cookies' ACKs even systematically. */
	turns = word_at(live.group + (md->migrating_sk == NULL && is_syn(md) ?
	    STEER_WORD_TURN : STEER_WORD_TURN_OTHER));
	if (turns == NULL)
		return SK_DROP;
	turn = is_ramping(&live, now) ? turn_of_ready(&live, turns, now) :
	    (__u32)__sync_fetch_and_add(turns, 1);
	for (__u32 i = 0; i < STEER_TRIES; i++) {
		__u64 *at = word_at(live.first + (turn + i) % live.n);
		__u32 cell;

		if (at == NULL)
			continue;
		cell = (__u32)*(volatile __u64 *)at;
		if (!select_cell(md, cell))
			continue;
		move_count(md, cell);
		return SK_PASS;
	}
	return none_takes(md, &live);
}

/* All bits if `epoch` is the tag's or the one after it, else none. Arithmetic, as
   in turn_round(). */
INLINE __u64
is_current(__u32 epoch, __u64 pending)
{
	__u64 age = (__u32)(epoch - (pending >> 32));

	__asm__ volatile("" : "+r"(age));
	age = (__u64)((__s64)((age >> 1) - 1) >> 63);
	__asm__ volatile("" : "+r"(age));
	return age;
}

INLINE __u32
load_of(const struct steer_cell *cell, __u32 epoch, __u32 weigh)
{
	__u64 even = *(volatile __u64 *)&cell->pending[0];
	__u64 odd = *(volatile __u64 *)&cell->pending[1];
	__u32 open = *(volatile __u32 *)&cell->open;

	return open + (((__u32)(even & is_current(epoch, even)) +
	    (__u32)(odd & is_current(epoch, odd))) & weigh);
}

/* A lane's load << PLACE_BITS | its place after where the look began: the least of
   them has the fewest connections, and of several such comes first. */
struct choice {
	__u64 best;
	__u64 second;
};
#define PLACE_BITS	6	/* of STEER_LOOK */
#define PLACE_MASK	((1U << PLACE_BITS) - 1)

/*
 * The connections for its weight: the one that it would get counts for any part of
 * itself, so that of lanes that have as many as their weight is each gets its share,
 * too, where most of them have none. Below 2^57.
 */
#define PART_BITS	14
INLINE __u64
slow_load(const struct steer_cell *cell, __u64 load, __u64 now)
{
	__u64 part = random_u32() & ((1U << PART_BITS) - 1);

	return (load << PART_BITS | part) * slowness(cell, now);
}

/* False, which does not happen: a lane without a cell. To go on with those that
   were seen would have the verifier follow all that comes next once more for
   each lane. `now`: some are slow to start; or 0. */
INLINE int
look(const struct live *live, __u32 start, __u32 epoch, __u32 weigh,
    __u64 now, struct choice *ret_choice)
{
	/* Beyond any load, and of the same sign. */
	struct choice choice = { forget(~0ULL >> 1), forget(~0ULL >> 1) };
	__u32 n_all = live->n;

	for (__u32 i = 0; i < STEER_LOOK; i++) {
		struct steer_cell *cell;
		__u32 number;
		__u64 load;

		if (i >= n_all)
			break;
		cell = live_cell(live, turn_round(start + i, n_all), &number);
		if (cell == NULL)
			return 0;
		load = load_of(cell, epoch, weigh) & ~0U >> 1;
		if (now != 0)
			load = slow_load(cell, load, now);
		load = load << PLACE_BITS | i;
		choice.second = least_of(choice.second,
		    most_of(choice.best, load));
		choice.best = least_of(choice.best, load);
	}
	ret_choice->best = forget(choice.best);
	ret_choice->second = forget(choice.second);
	return 1;
}

/* Add `n` to what the lane has under way. False: somebody else did, or took one
   away, since `seen`. */
INLINE int
charge(struct steer_cell *cell, __u32 epoch, __u64 seen, __u32 n)
{
	__u64 now = (__u64)epoch << 32;

	if ((__u32)(seen >> 32) == epoch)
		now = seen;
	return __sync_val_compare_and_swap(steer_pending(cell, epoch), seen,
	    now + n) == seen;
}

INLINE void
charge_anyway(struct steer_cell *cell, __u32 epoch, __u32 n)
{
	__u64 *pending = steer_pending(cell, epoch);

	/* Whoever was faster has begun this epoch, too. */
	if (!charge(cell, epoch, *(volatile __u64 *)pending, n))
		__sync_fetch_and_add(pending, n);
}

/*
 * Charge the SYN to the best lane, if it is as it was seen: two processors may
 * have seen the same one as the best. Who comes second takes the second best.
 * Returns the place of the lane that was charged. Where chance had a part in it
 * (slow_load), two see different ones.
 */
INLINE __u32
claim(const struct live *live, __u32 start, __u32 epoch, int by_chance,
    const struct choice *choice)
{
	__u32 place = choice->best & PLACE_MASK, number;
	struct steer_cell *cell = live_cell(live,
	    turn_round(start + place, live->n), &number);
	__u64 seen;

	if (cell == NULL)
		return place;
	seen = *(volatile __u64 *)steer_pending(cell, epoch);
	if (!by_chance &&
	    load_of(cell, epoch, WEIGH_ALL) <= choice->best >> PLACE_BITS &&
	    charge(cell, epoch, seen, 1))
		return place;
	if (!by_chance && choice->second >> PLACE_BITS <=
	    (choice->best >> PLACE_BITS) + 1) {
		place = choice->second & PLACE_MASK;
		cell = live_cell(live, turn_round(start + place, live->n),
		    &number);
		if (cell == NULL)
			return place;
	}
	charge_anyway(cell, epoch, 1);
	return place;
}

enum what {
	WHAT_OPEN,	/* counted already: it moves */
	WHAT_OPENS,	/* a request: counted when its handshake is over */
	WHAT_COOKIE,	/* the ACK that returns a cookie, or a stray */
};

INLINE __u64
what_is(struct sk_reuseport_md *md)
{
	struct bpf_sock *moving = md->migrating_sk;

	if (moving != NULL)
		return forget(moving->state == BPF_TCP_NEW_SYN_RECV ?
		    WHAT_OPENS : WHAT_OPEN);
	return forget(is_syn(md) ? WHAT_OPENS : WHAT_COOKIE);
}

/* Where to begin to look. */
INLINE __u64 *
next_of(const struct live *live, __u64 what)
{
	return word_at(live->group + (what == WHAT_COOKIE ?
	    STEER_WORD_NEXT_COOKIE : STEER_WORD_NEXT));
}

/*
 * The first one from `*position` on that takes it: its place and its cell. Returns how
 * many have refused; STEER_TRIES: nobody takes it. What follows is looked at by the
 * verifier once, and not once for each try.
 */
INLINE __u32
select_from(struct sk_reuseport_md *md, const struct live *live,
    __u32 *position, __u32 epoch, __u32 *ret_number)
{
	__u32 i;

	for (i = 0; i < STEER_TRIES; i++, ++*position) {
		struct steer_cell *cell;

		*position = forget(turn_round(*position, live->n));
		cell = live_cell(live, *position, ret_number);
		if (cell == NULL)
			return STEER_TRIES;
		if (select_cell(md, *ret_number))
			break;
		charge_anyway(cell, epoch, PENALTY);
	}
	*ret_number = forget(*ret_number);
	return forget(i);
}

/*
 * With SYN cookies a SYN leads to no lane: nothing remembers it, and its ACK
 * chooses anew, with its own SYN among those that are charged. It would avoid
 * whichever lane the SYN was charged to, and leave the charge there. So it goes
 * by what is open alone, in turns of its own; when its connection is open, which
 * it is at once, it takes a charge off the lane that got it (count.bpf.c), and
 * SYNs and ACKs, which look for the same, stay level.
 */
SECTION("program/least_connections")
int
least_connections(struct sk_reuseport_md *md)
{
	struct live live = live_now();
	__u64 now = ktime_ns();
	__u32 epoch = now >> STEER_EPOCH_SHIFT;
	__u64 what = what_is(md);
	struct choice choice;
	__u32 position, number = 0, refused, weigh, by_chance = 0,
	    checked = checked_cell(md);
	__u64 *next;

	if (checked != NO_CELL) {
		struct steer_cell *cell = steer_cell(checked);

		if (cell == NULL || !select_cell(md, checked))
			return SK_DROP;
		if (what == WHAT_OPENS)
			charge_anyway(cell, epoch, 1);
		return SK_PASS;
	}
	if (live.n == 0)
		return SK_DROP;
	next = next_of(&live, what);
	if (next == NULL)
		return SK_DROP;
	position = live.n > STEER_LOOK ? random_u32() :
	    (__u32)*(volatile __u64 *)next;
	position = forget(position % live.n);
	weigh = forget(what == WHAT_COOKIE ? WEIGH_PENALTIES : WEIGH_ALL);
	what = forget(what);
	live.n = forget(live.n);
	/* A look of its own each: one that knows whether costs less. */
	if (is_ramping(&live, now)) {
		if (!look(&live, position, epoch, weigh, now, &choice))
			return SK_DROP;
		by_chance = 1;
	} else {
		if (!look(&live, position, epoch, weigh, 0, &choice))
			return SK_DROP;
	}
	by_chance = forget(by_chance);
	position += what == WHAT_OPENS ?
	    claim(&live, position, epoch, by_chance, &choice) :
	    (__u32)choice.best & PLACE_MASK;
	what = forget(what);
	position = forget(position);
	refused = select_from(md, &live, &position, epoch, &number);
	if (refused == STEER_TRIES)
		return none_takes(md, &live);
	if (what == WHAT_OPENS && refused > 0) {
		struct steer_cell *cell = steer_cell(number);

		if (cell != NULL)
			charge_anyway(cell, epoch, 1);
	}
	*(volatile __u64 *)next = position + 1;
	move_count(md, number);
	return SK_PASS;
}

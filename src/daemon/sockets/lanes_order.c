#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/sockets/lanes_order.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/lane_ask.h"
#include "linux/socket/socket.h"

/* A large group is not looked through for each lane. */
#define LOOK_MAX 512

/* Questions go on until so many in a row were in vain, and then one by one after
   a while: if nothing happens that they could be part of, it doubles each time, so
   often. */
#define IN_VAIN_MAX	5
#define IN_VAIN_MS	1000
#define IN_VAIN_TWICE	6

/* Between two of these that are told of. */
#define TELL_MS 10000

/* About so many places at once, which takes some milliseconds; and if there are
   that many, not again before so long. */
#define QUESTIONS_MAX	256
#define PAUSE_MS	20
#define MANY		64

/* So often the counters are read until one has changed: the kernel counts at
   once, unless it has put off what it has to do. */
#define READS_MAX	2000

int
lanes_order_reserve(struct listener *l)
{
	return lane_order_reserve(&l->lanes.order);
}

void
lanes_order_joined(struct lane *lane)
{
	lane_order_add(&lane->listener->lanes.order, lane->slot);
}

void
lanes_order_left(const struct lane *lane)
{
	lane_order_remove(&lane->listener->lanes.order, lane->slot);
}

void
lanes_order_free(struct listener *l)
{
	lane_order_free(&l->lanes.order);
}

static struct lane *
lane_at(const struct lanes *ls, size_t place)
{
	return ls->v[ls->order.v[place].slot];
}

/* ---- who has left ---- */

/* One that is being replaced is there as the old one, and then as the new. */
static bool
is_there(const struct lane *lane)
{
	return socket_is_listening(lane->fd) ||
	    (lane->old >= 0 && socket_is_listening(lane->old));
}

static size_t
mark_shut(struct lanes *ls)
{
	size_t found = 0;

	for (size_t i = 0; i < ls->order.n; i++) {
		const struct lane *lane = lane_at(ls, i);

		if (ls->order.v[i].leaving || is_there(lane))
			continue;
		lane_order_mark(&ls->order, lane->slot);
		found++;
	}
	return found;
}

/* Who was shut down and listens again has no note any more. */
static bool
mark_returned(struct lanes *ls)
{
	bool found = false;

	for (size_t i = 0; i < ls->order.n; i++) {
		struct lane *lane = lane_at(ls, i);

		if (!lane->noted || socket_has_note(lane->fd) ||
		    !socket_is_listening(lane->fd))
			continue;
		lane->noted = socket_note_listening(lane->fd);
		lane->returned = found = true;
	}
	return found;
}

/* Until nobody is found any more: whoever is not, has not left before those
   that are. */
size_t
lanes_order_look(struct listener *l, bool joined, bool large)
{
	struct lanes *ls = &l->lanes;
	size_t all = 0, found;

	if (!listener_is_own_tcp(l))
		return 0;
	if (ls->order.n > LOOK_MAX && !large) {
		ls->order_unseen = true;
		return 0;
	}
	while ((found = mark_shut(ls)) > 0)
		all += found;
	lane_order_remove_marked(&ls->order, joined);
	if (all > 0 && ls->order_unseen)
		lane_order_doubt_all(&ls->order);
	ls->order_unseen = false;
	/* Whenever that was, others may have come and gone since. */
	if (mark_returned(ls)) {
		ls->order_returned = true;
		lane_order_doubt_all(&ls->order);
	}
	return all;
}

void
lanes_order_doubt(const struct lane *lane)
{
	lane_order_doubt(&lane->listener->lanes.order, lane->slot);
}

void
lanes_order_doubt_all(struct listener *l)
{
	lane_order_doubt_all(&l->lanes.order);
}

/* ---- the question ---- */

bool
lanes_order_may_ask_again(const struct listener *l)
{
	return l->lanes.order.doubts > 0 && listener_is_own_tcp(l) &&
	    l->lanes.asked_in_vain < IN_VAIN_MAX;
}

bool
lanes_order_is_question(const struct listener *l)
{
	const struct lanes *ls = &l->lanes;
	int64_t pause = ls->asked_in_vain >= IN_VAIN_MAX ? IN_VAIN_MS :
	    ls->order.doubts >= MANY ? PAUSE_MS : 0;

	return ls->order.doubts > 0 && listener_is_own_tcp(l) &&
	    (pause == 0 || mono_ms_between(ls->asked, mono_now()) >= pause);
}

struct mono
lanes_order_ask_at(const struct listener *l)
{
	const struct lanes *ls = &l->lanes;
	unsigned twice = ls->asked_in_vain - IN_VAIN_MAX;

	if (ls->order.doubts == 0 || ls->asked_in_vain < IN_VAIN_MAX ||
	    !listener_is_own_tcp(l))
		return MONO_NEVER;
	return mono_add_ms(ls->asked, (int64_t)IN_VAIN_MS <<
	    (twice < IN_VAIN_TWICE ? twice : IN_VAIN_TWICE));
}

/* A lane, by the place where it is believed to be. */
struct subject {
	uint32_t dropped;
	uint32_t answer;	/* the question's number, of which these bits … */
	uint32_t known;		/* … are known */
};

struct inquiry {
	struct lanes *ls;
	int *ttls;		/* to give back; by slot … */
	size_t begun;		/* … up to this one */
	struct subject *v;
	size_t *places;		/* by number of the question */
	size_t n;
};

/*
 * Who has dropped something since the last time? Of those in doubt, or of all.
 * Each of them is told about the bit `bit` of its question. -EAGAIN: one has
 * dropped more than a question, or heard of this bit before.
 */
static int
read_counters(struct inquiry *q, bool all, uint32_t bit, bool is_set,
    size_t *total)
{
	const struct lane_order *o = &q->ls->order;

	for (size_t i = 0; i < o->n; i++) {
		struct subject *s = &q->v[i];
		uint32_t n;

		if ((!all && !o->v[i].doubt) ||
		    lane_ask_dropped(lane_at(q->ls, i)->fd, &n) < 0 ||
		    n == s->dropped)
			continue;
		if (n - s->dropped > 1 || (s->known & bit) != 0)
			return -EAGAIN;
		s->dropped = n;
		s->known |= bit;
		s->answer |= is_set ? bit : 0;
		(*total)++;
	}
	return 0;
}

/* -ETIMEDOUT: somebody has not got it. -ESTALE: one has, who was not in doubt.
   -EAGAIN: packets were dropped for another reason. */
static int
hear(struct inquiry *q, uint32_t bit, bool is_set, size_t asked)
{
	size_t total = 0;
	int code = 0;

	for (size_t reads = 0; code == 0 && total < asked && reads < READS_MAX;
	    reads += q->ls->order.doubts)
		code = read_counters(q, false, bit, is_set, &total);
	if (code < 0 || total == asked)
		return code;
	if (total > asked)
		return -EAGAIN;
	code = read_counters(q, true, bit, is_set, &total);
	return code < 0 ? code : total < asked ? -ETIMEDOUT : -ESTALE;
}

/*
 * The questions are numbered. For each bit of the numbers all are asked at once
 * that have it, and then all the others: so each lane is heard of once for each
 * bit, and tells the number of its place. What is dropped for other reasons
 * shows.
 */
static int
ask_bit(struct inquiry *q, uint32_t bit, bool is_set)
{
	int fd = lane_at(q->ls, 0)->fd;
	size_t asked = 0;

	for (size_t i = 0; i < q->n; i++) {
		int code;

		if (((i & bit) != 0) != is_set)
			continue;
		code = lane_ask_send(fd, (unsigned)q->places[i]);
		if (code < 0)
			return code;
		asked++;
	}
	return hear(q, bit, is_set, asked);
}

/* All drop questions, whether they are in the group, as far as is known, or
   not. */
static int
begin(struct inquiry *q)
{
	struct lanes *ls = q->ls;
	int code = 0;

	for (size_t i = 0; i < ls->n && code == 0; i++) {
		if (ls->v[i]->fd >= 0)
			code = lane_ask_begin(ls->v[i]->fd, &q->ttls[i]);
		q->begun += code == 0;
	}
	for (size_t i = 0; i < ls->order.n && code == 0; i++)
		code = lane_ask_dropped(lane_at(ls, i)->fd, &q->v[i].dropped);
	return code;
}

static void
end(struct inquiry *q)
{
	for (size_t i = 0; i < q->begun; i++)
		lane_ask_end(q->ls->v[i]->fd, q->ttls[i]);
}

static int
ask_all(struct inquiry *q)
{
	int code = begin(q);

	for (uint32_t bit = 1; code == 0 && bit < q->n; bit <<= 1) {
		code = ask_bit(q, bit, true);
		if (code == 0)
			code = ask_bit(q, bit, false);
	}
	end(q);
	return code;
}

/* Who was shut down meanwhile has moved another one. */
static bool
has_changed(const struct lanes *ls)
{
	for (size_t i = 0; i < ls->order.n; i++)
		if (!socket_is_listening(lane_at(ls, i)->fd))
			return true;
	return false;
}

/* The lanes' slots into `places`' place, by number: each place has one. */
static int
take_answers(struct inquiry *q, size_t *slots)
{
	size_t found = 0;
	uint32_t all = 0;

	for (uint32_t bit = 1; bit < q->n; bit <<= 1)
		all |= bit;
	for (size_t i = 0; i < q->n; i++)
		slots[i] = LANE_ORDER_NONE;
	for (size_t i = 0; i < q->ls->order.n; i++) {
		const struct subject *s = &q->v[i];

		if (s->known == 0)
			continue;
		if (s->known != all || s->answer >= q->n ||
		    slots[s->answer] != LANE_ORDER_NONE)
			return -EAGAIN;
		slots[s->answer] = q->ls->order.v[i].slot;
		found++;
	}
	return found == q->n ? 0 : -EAGAIN;
}

/* Returns how many were not where they were believed to be. */
static long
believe(struct inquiry *q, const size_t *slots)
{
	struct lane_order *o = &q->ls->order;
	long n = 0;

	for (size_t i = 0; i < q->n; i++) {
		n += o->v[q->places[i]].slot != slots[i];
		/* The last one may be none any more. */
		if (o->v[q->places[i]].doubt)
			lane_order_found(o, q->places[i], (unsigned)slots[i]);
	}
	return n;
}

/* How many were elsewhere, or -errno; -EINTR: somebody was shut down. */
static long
inquire(struct lanes *ls)
{
	size_t n = ls->order.n;
	struct inquiry q = { .ls = ls };
	size_t *slots = reallocarray(NULL, n, sizeof(*slots));
	long r = -ENOMEM;

	q.v = calloc(n, sizeof(*q.v));
	q.ttls = calloc(ls->n, sizeof(*q.ttls));
	q.places = reallocarray(NULL, n, sizeof(*q.places));
	if (q.v == NULL || q.ttls == NULL || q.places == NULL || slots == NULL)
		goto out;
	for (size_t i = 0; i < n && q.n < QUESTIONS_MAX; i++)
		if (ls->order.v[i].doubt)
			q.places[q.n++] = i;
	r = ask_all(&q);
	if (has_changed(ls))
		r = -EINTR;
	if (r == 0)
		r = take_answers(&q, slots);
	if (r == 0)
		r = believe(&q, slots);
out:
	free(q.v);
	free(q.ttls);
	free(q.places);
	free(slots);
	return r;
}

/* Once in a while, of those that follow each other. */
static bool
is_to_tell(struct lanes *ls)
{
	bool again = ls->told_asked &&
	    mono_ms_between(ls->told_asked_at, ls->asked) < TELL_MS;

	if (!again) {
		ls->told_asked = true;
		ls->told_asked_at = ls->asked;
	}
	return !again;
}

static void
tell_answer(struct listener *l, size_t doubts, bool guessed)
{
	bool tells = !guessed && is_to_tell(&l->lanes);

	log_app_often(tells ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, l->app,
	    "the order of %zu sockets of %s was in doubt: the kernel was asked",
	    doubts, address_text_numeric(&l->bound).s);
}

static void
tell_failure(struct listener *l, size_t doubts, int code)
{
	if (l->lanes.told_doubt)
		return;
	l->lanes.told_doubt = true;
	log_app_often(LOG_LEVEL_INFO, l->app,
	    "the order of %zu sockets of %s is in doubt, and the kernel cannot "
	    "be asked: %s; they get no new connections until it is known, if "
	    "others do", doubts, address_text_numeric(&l->bound).s,
	    code == -ETIMEDOUT ?
	    "a packet to its own address does not arrive" : strerror(-code));
}

void
lanes_order_failed(struct listener *l, int code)
{
	struct lanes *ls = &l->lanes;

	ls->asked = mono_now();
	if (++ls->asked_in_vain >= IN_VAIN_MAX)
		tell_failure(l, ls->order.doubts, code);
}

bool
lanes_order_ask(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	size_t doubts = ls->order.doubts;
	long r = inquire(ls);

	if (r == -EINTR) {
		ls->asked = mono_now();
		return true;
	}
	if (r >= 0) {
		ls->asked = mono_now();
		ls->asked_in_vain = 0;
		ls->told_doubt = false;
		tell_answer(l, doubts, r == 0);
		return false;
	}
	/* One was not where there was no doubt: nothing is certain. */
	if (r == -ESTALE)
		lane_order_doubt_all(&ls->order);
	lanes_order_failed(l, (int)r);
	return r == -ESTALE;
}

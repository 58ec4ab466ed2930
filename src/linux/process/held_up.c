#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mono.h"
#include "linux/process/held_up.h"

/* A look goes on so long before it is given up, and as long there is no other one:
   at first, at last, and of one whose child did not get the CPU. */
#define GAP_MIN_MS	100
#define GAP_MAX_MS	5000
#define GAP_STARVED_MS	400

/* Who is late may be so for a moment; other questions wait for it so long. */
#define SOON_MS		200

/* So many answers may come late; and so old they may get. */
#define LATE_MAX	64
#define LATE_MS		2000

/* So many questions wait behind others. */
#define QUEUE_MAX	64

/* Whether a child has the CPU is looked up no more often; and one whose answers nobody
   waits for may sleep so long. */
#define CHECK_MS	2
#define NAP_MS		20

#define NO_CHILD	((struct look_child){ .fd = -1 })

static struct held_up held_up[HELD_UP_MAX];

/* Of those that wait behind others. */
static uint64_t turns;
static size_t n_queued;

static void
clear(struct held_up *h)
{
	n_queued -= h->behind != 0;
	free(h->arg);
	free(h->ret);
	*h = (struct held_up){ .child = NO_CHILD };
}

/* Who asked that asks again, and somebody else. */
static void
let_go(pid_t by)
{
	for (size_t i = 0; i < HELD_UP_MAX && n_queued > 0; i++)
		if (held_up[i].behind == by)
			clear(&held_up[i]);
}

static struct held_up *
next_behind(pid_t by)
{
	struct held_up *next = NULL;

	for (size_t i = 0; i < HELD_UP_MAX && n_queued > 0; i++) {
		struct held_up *h = &held_up[i];

		if (h->behind == by && (next == NULL || h->turn < next->turn))
			next = h;
	}
	return next;
}

/* Its child has been asked for more than anybody waits for. */
static void
spoil(struct held_up *h)
{
	let_go(h->child.pid);
	h->spoilt = true;
}

/* What it has of its parent's is closed, and nothing more. */
void
held_up_reset(bool forked)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		if (forked)
			fd_close(&held_up[i].child.fd);
		clear(&held_up[i]);
	}
}

struct held_up *
held_up_find(pid_t whom, looker_fn *fn)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (whom != 0 && held_up[i].whom == whom &&
		    held_up[i].fn == fn && !held_up[i].answered)
			return &held_up[i];
	return NULL;
}

/* Now, or not long ago. */
static bool
is_recent(const struct held_up *h, struct mono now)
{
	return h->whom != 0 && !h->answered && !h->slow && !h->starved &&
	    (h->child.pid != 0 ||
	    mono_before(now, mono_add_ms(h->until, GAP_MAX_MS)));
}

/* Has it not come to its question? Of one that has several that cannot be told. */
static bool
is_untaken(const struct held_up *h)
{
	return h->child.fd >= 0 && !h->spoilt &&
	    next_behind(h->child.pid) == NULL &&
	    look_child_is_untaken(&h->child);
}

/* When it has got the CPU and sleeps now, also where it has been killed, that is like
   any other; and who waits behind it is not to be held up by it. */
static bool
is_starving(struct held_up *h)
{
	const bool asked = h->child.fd >= 0;
	const struct mono now = mono_now();
	bool starved;

	if (!h->starved || h->answered || h->child.pid == 0 ||
	    (asked && look_child_answered(&h->child)))
		return false;
	if (mono_ms_between(h->checked, now) < CHECK_MS)
		return true;
	starved = (h->later && mono_ms_between(h->began, now) < NAP_MS) ||
	    look_child_is_runnable(&h->child) || is_untaken(h);
	/* It may have answered while that was looked up. */
	if (!starved && asked && look_child_answered(&h->child))
		return false;
	if (!starved && next_behind(h->child.pid) != NULL)
		spoil(h);
	h->starved = starved;
	h->checked = now;
	return starved;
}

int
held_up_code(pid_t whom, looker_fn *fn, bool crowded)
{
	struct held_up *h = held_up_find(whom, fn);

	if (h != NULL && h->behind != 0)
		return -EAGAIN;
	if (h != NULL && (h->child.pid != 0 ||
	    mono_before(mono_now(), h->until))) {
		(void)is_starving(h);
		return h->starved ? -EAGAIN : -EBUSY;
	}
	for (size_t i = 0; crowded && i < HELD_UP_MAX; i++)
		if (held_up[i].whom == whom && held_up[i].child.pid != 0 &&
		    !held_up[i].answered)
			return -EBUSY;
	return 0;
}

/* A free place, or that of the one who may be looked at first. There are no more
   children than places. */
static struct held_up *
place_for_another(void)
{
	struct held_up *place = NULL;

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &held_up[i];

		if (h->whom == 0)
			return h;
		if (h->child.pid == 0 && h->behind == 0 && (place == NULL ||
		    mono_before(h->until, place->until)))
			place = h;
	}
	return place;
}

static size_t
count_late(void)
{
	size_t n = 0;

	for (size_t i = 0; i < HELD_UP_MAX; i++)
		n += held_up[i].child.fd >= 0;
	return n;
}

struct held_up *
held_up_blame(pid_t whom, looker_fn *fn, const struct look_child *child,
    bool starved)
{
	struct held_up *h = held_up_find(whom, fn);
	struct mono now = mono_now(), since = now;
	int gap_ms = GAP_MIN_MS;

	if (h != NULL && h->gap_ms != 0 && !h->slow)
		gap_ms = 2 * h->gap_ms;
	if (gap_ms > GAP_MAX_MS)
		gap_ms = GAP_MAX_MS;
	/* The answer to its question comes yet, before those of others. */
	if (h != NULL && h->behind != 0) {
		for (size_t i = 0; i < HELD_UP_MAX; i++)
			if (held_up[i].child.pid == h->behind)
				spoil(&held_up[i]);
		h = NULL;
	}
	if (h != NULL && is_recent(h, now))
		since = h->since;
	if (h == NULL)
		h = whom != 0 ? place_for_another() : NULL;
	if (h == NULL) {
		struct look_child lost = *child;

		look_child_kill(&lost);
		return NULL;
	}
	clear(h);
	*h = (struct held_up){
		.whom = whom, .fn = fn, .child = *child, .by = child->pid,
		.starved = starved, .began_starved = starved,
		.gap_ms = starved ? 0 : gap_ms,
		.began = now,
		.since = since,
		.until = mono_add_ms(now, starved ? GAP_STARVED_MS : gap_ms),
	};
	return h;
}

void
held_up_forgive(pid_t whom, looker_fn *fn)
{
	struct held_up *h = held_up_find(whom, fn);

	if (h != NULL)
		clear(h);
}

/* ---- answers that come late ---- */

static bool
keep(struct held_up *h, const struct look_asked *asked, const void *arg)
{
	h->arg = malloc(asked->arg_len > 0 ? asked->arg_len : 1);
	if (h->arg == NULL)
		return false;
	h->asked = *asked;
	if (asked->arg_len > 0)
		memcpy(h->arg, arg, asked->arg_len);
	return true;
}

void
held_up_keep_question(struct held_up *h, const struct look_asked *asked,
    const void *arg)
{
	if (count_late() > LATE_MAX || !keep(h, asked, arg))
		look_child_kill(&h->child);
}

/* Descriptors stay in the socket until who asked for them comes: nobody waits behind
   them. */
static struct held_up *
who_takes_more(const struct looker_question *question)
{
	const pid_t by = question->by != NULL ? *question->by : 0;

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &held_up[i];

		if (h->child.fd >= 0 && h->arg != NULL && !h->asked.with_fds &&
		    (by == 0 || by == h->child.pid) && !h->spoilt &&
		    (question->later || !h->later) && is_starving(h))
			return h;
	}
	return NULL;
}

bool
held_up_queue(pid_t whom, const struct look_asked *asked,
    const struct looker_question *question)
{
	struct held_up *h, *before;

	if (asked->with_fds || question->once || n_queued >= QUEUE_MAX)
		return false;
	before = who_takes_more(question);
	h = held_up_find(whom, asked->fn);
	if (before == NULL || h != NULL)
		return false;
	h = place_for_another();
	if (h == NULL)
		return false;
	clear(h);
	if (!keep(h, asked, question->arg) ||
	    !look_child_ask(&before->child, asked, question)) {
		clear(h);
		return false;
	}
	h->whom = whom;
	h->fn = asked->fn;
	h->by = h->behind = before->child.pid;
	h->turn = ++turns;
	h->starved = h->began_starved = true;
	h->later = before->later;
	n_queued++;
	return true;
}

static bool
is_same(const struct held_up *h, const struct look_asked *asked,
    const void *arg)
{
	return memcmp(&h->asked, asked, sizeof(*asked)) == 0 &&
	    (asked->arg_len == 0 || memcmp(h->arg, arg, asked->arg_len) == 0);
}

void
held_up_settle(pid_t whom, looker_fn *fn)
{
	struct held_up *h = held_up_find(whom, fn);

	if (h != NULL && h->child.fd >= 0 && !h->spoilt &&
	    next_behind(h->child.pid) == NULL)
		h->answered = look_child_answered(&h->child);
}

/* It holds up nobody any more, whether that is understood or not. */
static void
collect(struct held_up *h)
{
	struct looker_question question = { .ret_len = h->asked.ret_len };

	h->answered = true;
	h->ret = malloc(question.ret_len > 0 ? question.ret_len : 1);
	question.ret = h->ret;
	if (h->ret == NULL ||
	    !look_child_receive(&h->child, &question, &h->code)) {
		let_go(h->child.pid);
		look_child_leave(&h->child);
		clear(h);
		return;
	}
	h->collected = mono_now();
}

/* The child of *h comes to the next question. False: there is none. */
static bool
go_on(struct held_up *h)
{
	struct held_up *next = next_behind(h->child.pid);
	const struct mono now = mono_now();

	if (next == NULL)
		return false;
	next->child = h->child;
	h->child = NO_CHILD;
	next->behind = 0;
	n_queued--;
	next->began = next->since = next->checked = now;
	next->until = mono_add_ms(now, GAP_STARVED_MS);
	return true;
}

bool
held_up_collect(struct look_child *ret_child, pid_t *ret_whom,
    looker_fn **ret_fn, bool *ret_goes_on)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &held_up[i];

		if (h->child.fd < 0 || h->arg == NULL || h->asked.with_fds ||
		    !look_child_answered(&h->child))
			continue;
		collect(h);
		if (h->ret == NULL)
			continue;
		if (h->spoilt) {
			look_child_leave(&h->child);
			h->child = NO_CHILD;
			continue;
		}
		*ret_child = h->child;
		*ret_whom = h->whom;
		*ret_fn = h->fn;
		*ret_goes_on = go_on(h);
		h->child = NO_CHILD;
		return true;
	}
	return false;
}

static struct held_up *
find_answer(pid_t whom, const struct look_asked *asked, const void *arg)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (held_up[i].answered && held_up[i].whom == whom &&
		    is_same(&held_up[i], asked, arg))
			return &held_up[i];
	return NULL;
}

/* The next ones of its kind are not waited for. */
static void
note_slow(struct held_up *h)
{
	pid_t whom = h->whom;
	looker_fn *fn = h->fn;
	bool slow = !h->began_starved && held_up_find(whom, fn) == NULL;

	clear(h);
	if (slow)
		*h = (struct held_up){
			.whom = whom, .fn = fn, .child = NO_CHILD,
			.slow = true, .until = mono_now(),
		};
}

bool
held_up_take_late(pid_t whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code,
    struct look_child *ret_child)
{
	struct held_up *h = find_answer(whom, asked, question->arg);

	if (h == NULL)
		return false;
	*ret_child = h->child;
	if (question->by != NULL)
		*question->by = h->by;
	if (h->ret != NULL) {
		*ret_code = h->code;
		if (question->ret_len > 0)
			memcpy(question->ret, h->ret, question->ret_len);
	} else if (!look_child_receive(&h->child, question, ret_code)) {
		look_child_leave(&h->child);
		clear(h);
		return false;
	}
	note_slow(h);
	return true;
}

/* Another one would not get the CPU sooner; also where it had it when it was given
   up, and slept for a moment. */
static bool
has_more_time(struct held_up *h, struct mono now)
{
	if (!look_child_is_runnable(&h->child) ||
	    mono_ms_between(h->began, now) >= GAP_MAX_MS)
		return false;
	h->starved = true;
	return true;
}

/* What has been answered is there as long as the child is, or for a while. */
void
held_up_end_overdue(void)
{
	const struct mono now = mono_now();

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &held_up[i];

		if (h->ret != NULL &&
		    mono_ms_between(h->collected, now) >= LATE_MS)
			clear(h);
		if ((h->later || n_queued > 0) && h->child.fd >= 0)
			(void)is_starving(h);
		if (h->child.fd < 0 || h->answered ||
		    mono_before(now, h->until) ||
		    look_child_answered(&h->child))
			continue;
		if (has_more_time(h, now)) {
			h->until = mono_add_ms(now, GAP_STARVED_MS);
			continue;
		}
		let_go(h->child.pid);
		look_child_kill(&h->child);
	}
}

bool
held_up_is_soon_free(pid_t by)
{
	const struct mono now = mono_now();

	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (held_up[i].child.pid == by && held_up[i].child.fd >= 0 &&
		    mono_ms_between(held_up[i].began, now) < SOON_MS)
			return true;
	return false;
}

bool
held_up_starves(void)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (!held_up[i].later && is_starving(&held_up[i]))
			return true;
	return false;
}

bool
held_up_has_later(void)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (held_up[i].later && held_up[i].starved &&
		    held_up[i].child.fd >= 0 && !held_up[i].answered)
			return true;
	return false;
}

size_t
held_up_answered(pid_t *ret_whom, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < HELD_UP_MAX && n <= max; i++) {
		if (!held_up[i].answered)
			continue;
		if (n < max)
			ret_whom[n] = held_up[i].whom;
		n++;
	}
	return n;
}

int64_t
held_up_ms(pid_t whom)
{
	struct mono now = mono_now();
	int64_t most_ms = 0;

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		const struct held_up *h = &held_up[i];
		int64_t ms = h->whom == whom && is_recent(h, now) ?
		    mono_ms_between(h->since, now) : 0;

		most_ms = ms > most_ms ? ms : most_ms;
	}
	return most_ms;
}

/* What has been sent and not been fetched stays in its socket: whoever ends waits for
   nothing that is closed then, and closing it here may take long. */
void
held_up_end_all(void)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &held_up[i];

		if (h->child.fd >= 0 && !look_child_has_sent(&h->child))
			look_child_leave(&h->child);
		clear(h);
	}
}

/* Nobody has asked for its answer; or it was killed. */
static void
lose(struct held_up *h)
{
	const bool answered = h->answered ||
	    (h->child.fd >= 0 && look_child_has_sent(&h->child));

	let_go(h->child.pid);
	look_child_leave(&h->child);
	h->child = NO_CHILD;
	if (answered)
		clear(h);
}

void
held_up_reaped(pid_t pid)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (held_up[i].child.pid == pid)
			lose(&held_up[i]);
}

#include <sys/epoll.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "linux/process/held_up.h"
#include "linux/process/helper.h"
#include "linux/process/inspect.h"
#include "linux/process/look_child.h"
#include "linux/process/looker.h"
#include "linux/process/process.h"

/* How long an answer is waited for here: of a look that nobody makes again, of
   others, and of one of whom it is known that it comes late. What comes later is
   told of (looker_news_fd()). */
#define ONCE_MS		40
#define WAIT_MS		5
#define SHORT_MS	1

/* What is waited for longer than that is a debt; a part of the time pays it off.
   With so much of it, everybody is waited for shortly. */
#define DEBT_MAX_NS	INT64_C(5000000)
#define DEBT_PART	10

/* How long they may take to end, all together. */
#define END_MS		500

/* One that was given up, or has just ended, and then a fresh one. */
#define TRIES		2

/* So many children may be there, whatever becomes of them; from MANY on, who holds
   up one is looked at in no other way. */
#define CHILDREN_MAX	HELD_UP_MAX
#define MANY		64

/* So many are kept that have answered late: they have what they began of searches,
   and are there when the next one is late. */
#define RESTING_MAX	4

/* A child that has not begun says nothing of those whom it is to look at: there is no
   other one, who would not be quicker, until it has. After the first time it is said
   that there is trouble; after the second, one that sleeps is held up by what it
   closes, and given up. Then there is none for a while, or until that one has ended. */
#define LATE_MS		1000
#define VAIN_MS		2000
#define GAP_MIN_MS	100
#define GAP_MAX_MS	60000

/* More that have been answered at once are told of as if all were. */
#define FRESH_MAX	128

/* Where for so long none could be started, who asks looks by himself. */
#define NONE_MS		1000

static struct {
	pid_t owner;		/* a process that is forked has its own */
	struct look_child hand;	/* the one that is asked next; fd -1: none */
	pid_t whom;		/* that it has looked at last, and … */
	looker_fn *fn;		/* … how */
	struct look_child resting[RESTING_MAX];
	size_t n_resting;
	pid_t children[CHILDREN_MAX];	/* not reaped */
	size_t n_children;
	int vain;		/* so many in turn that have not begun, … */
	pid_t vain_pid;		/* … and the last of them */
	int trouble;
	struct mono trouble_since;
	bool none;		/* the last one could not be started, … */
	struct mono none_since;	/* … as since then */
	struct mono not_before;
	int64_t debt_ns;
	struct mono debt_at;
	bool attaches_here;
	bool keeps;		/* there is always one at hand */
	pid_t fresh[FRESH_MAX];	/* of whom there is an answer; */
	size_t n_fresh;		/* more: of all */
	int news_fd;		/* an epoll instance, owned; 0: none */
	uint64_t unanswered;
} looker;

#define NO_CHILD	((struct look_child){ .fd = -1 })

/* What it has of its parent's it closes, and nothing more. */
static void
be_own(void)
{
	const bool forked = looker.owner != 0;

	if (looker.owner == getpid())
		return;
	looker.owner = getpid();
	if (forked)
		fd_close(&looker.hand.fd);
	looker.hand = NO_CHILD;
	while (looker.n_resting > 0)
		fd_close(&looker.resting[--looker.n_resting].fd);
	looker.n_children = 0;
	looker.keeps = false;
	if (looker.news_fd > 0)
		fd_close(&looker.news_fd);
	looker.news_fd = 0;
	looker.vain = looker.trouble = 0;
	looker.vain_pid = 0;
	looker.none = false;
	looker.not_before = (struct mono){ 0 };
	held_up_reset(forked);
}

static void
note_trouble(int code)
{
	if (looker.trouble == 0)
		looker.trouble_since = mono_now();
	looker.trouble = code;
}

static int
start(void)
{
	int code = look_child_start(&looker.hand);

	if (code < 0 && !looker.none)
		looker.none_since = mono_now();
	looker.none = code < 0;
	return code;
}

/* ---- those that rest ---- */

static struct look_child
take_out(size_t i)
{
	struct look_child c = looker.resting[i];

	looker.n_resting--;
	memmove(&looker.resting[i], &looker.resting[i + 1],
	    (looker.n_resting - i) * sizeof(c));
	return c;
}

static void
rest(struct look_child c)
{
	if (!look_child_rest(&c)) {
		look_child_leave(&c);
		return;
	}
	if (looker.n_resting == RESTING_MAX) {
		struct look_child oldest = take_out(0);

		look_child_leave(&oldest);
	}
	looker.resting[looker.n_resting++] = c;
}

static void
have_at_hand(struct look_child c)
{
	looker.hand = c;
	looker.whom = 0;
	looker.fn = NULL;
}

/* What one that has begun says unasked is its end. */
static bool
take_rested(void)
{
	while (looker.n_resting > 0) {
		struct look_child c = take_out(looker.n_resting - 1);

		if (!c.begun || !look_child_answered(&c)) {
			have_at_hand(c);
			return true;
		}
		look_child_leave(&c);
	}
	return false;
}

/* False: it is late for somebody else, but may not be for long. */
static bool
prefer(pid_t by)
{
	const struct look_child was = looker.hand;

	if (by == 0 || (was.fd >= 0 && was.pid == by))
		return true;
	for (size_t i = 0; i < looker.n_resting; i++) {
		if (looker.resting[i].pid != by)
			continue;
		have_at_hand(take_out(i));
		if (was.fd >= 0)
			rest(was);
		return true;
	}
	return !held_up_is_soon_free(by);
}

/* ---- the child at hand ---- */

static int
begin(void)
{
	int code;

	if (looker.hand.fd >= 0)
		return 0;
	/* Another one would not get the CPU either. */
	if (held_up_starves())
		return -EAGAIN;
	if (take_rested())
		return 0;
	code = looker.n_children < CHILDREN_MAX ? start() : -EAGAIN;
	if (code < 0) {
		note_trouble(looker.none ? code : -ETIMEDOUT);
		return code == -EMFILE || code == -ENFILE ? code : -EAGAIN;
	}
	looker.children[looker.n_children++] = looker.hand.pid;
	have_at_hand(looker.hand);
	return 0;
}

/* When this one has anything to say, somebody is to be told: once. It is forgotten
   there when it is closed. */
static void
watch(const struct look_child *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

	if (looker.news_fd <= 0 || c->fd < 0)
		return;
	if (epoll_ctl(looker.news_fd, EPOLL_CTL_ADD, c->fd, &event) < 0 &&
	    errno == EEXIST)
		(void)epoll_ctl(looker.news_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void
leave(void)
{
	look_child_leave(&looker.hand);
	looker.hand = NO_CHILD;
}

static void
note_vain(void)
{
	int gap_ms = GAP_MIN_MS;

	looker.vain_pid = looker.hand.pid;
	look_child_kill(&looker.hand);
	looker.hand = NO_CHILD;
	for (int i = 0; i < looker.vain && gap_ms < GAP_MAX_MS; i++)
		gap_ms *= 2;
	looker.vain++;
	looker.not_before = mono_add_ms(mono_now(),
	    gap_ms < GAP_MAX_MS ? gap_ms : GAP_MAX_MS);
}

static bool
is_in_debt(void)
{
	struct mono now = mono_now();
	int64_t paid = (now.ns - looker.debt_at.ns) / DEBT_PART;

	looker.debt_ns = paid < looker.debt_ns ? looker.debt_ns - paid : 0;
	looker.debt_at = now;
	return looker.debt_ns >= DEBT_MAX_NS;
}

/* While we do not get the CPU ourselves, nobody waits for the child. */
static void
charge(int64_t took_ns, int64_t most_ms)
{
	if (took_ns > most_ms * INT64_C(1000000))
		took_ns = most_ms * INT64_C(1000000);
	took_ns -= SHORT_MS * INT64_C(1000000);
	if (took_ns > 0)
		looker.debt_ns += took_ns;
}

static int
await(int64_t wait_ms, bool once)
{
	bool debt = is_in_debt();
	struct mono begin = mono_now();
	int code;

	if (debt && wait_ms > SHORT_MS)
		wait_ms = SHORT_MS;
	code = look_child_await(&looker.hand, wait_ms,
	    debt || !once ? wait_ms : ONCE_MS, once);
	charge(mono_now().ns - begin.ns, debt || !once ? wait_ms : ONCE_MS);
	return code;
}

/* It is waited for by who has started it, and then only looked for. 0; -EAGAIN. */
static int
await_begin(bool fresh, bool once)
{
	int64_t ms;

	if (looker.hand.begun)
		return 0;
	if (look_child_answered(&looker.hand) ||
	    ((fresh || once) && await(WAIT_MS, once) == 0)) {
		if (look_child_begins(&looker.hand))
			return 0;
		note_vain();
		looker.vain_pid = 0;
		note_trouble(-ETIMEDOUT);
		return -EAGAIN;
	}
	ms = mono_ms_between(looker.hand.since, mono_now());
	if (ms >= LATE_MS)
		note_trouble(-ETIMEDOUT);
	if (ms >= VAIN_MS && !look_child_is_runnable(&looker.hand))
		note_vain();
	else
		watch(&looker.hand);
	return -EAGAIN;
}

static struct held_up *
blame(pid_t whom, looker_fn *fn, bool starved)
{
	struct held_up *h = held_up_blame(whom, fn, &looker.hand, starved);

	looker.hand = NO_CHILD;
	return h;
}

/* -EPIPE: another one may do better. */
static int
give_up(int code, const struct looker_whom *whom,
    const struct look_asked *asked, const struct looker_question *question)
{
	struct held_up *h;
	const bool untaken = look_child_is_untaken(&looker.hand);

	if (code == -ETIMEDOUT && untaken && looker.whom != 0) {
		h = blame(looker.whom, looker.fn, false);
		if (h != NULL)
			look_child_kill(&h->child);
		return -EPIPE;
	}
	/* Who has not taken the question is not held up by it. */
	if (untaken)
		code = -EAGAIN;
	h = blame(whom->pid, asked->fn, code == -EAGAIN);
	if (h == NULL)
		return code;
	held_up_keep_question(h, asked, question->arg);
	h->later = question->later && looker.news_fd > 0;
	watch(&h->child);
	return code;
}

static int
try(const struct looker_whom *whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code)
{
	const bool fresh = looker.hand.fd < 0;
	int code = begin();
	int64_t wait_ms;

	if (code == 0)
		code = await_begin(fresh, question->once);
	if (code < 0)
		return code;
	/* As much for a child that has begun only now, whose first steps cost more. */
	wait_ms = held_up_find(whom->pid, asked->fn) != NULL ? SHORT_MS :
	    WAIT_MS;
	if (!look_child_ask(&looker.hand, asked, question)) {
		leave();
		return -EPIPE;
	}
	code = question->later && looker.news_fd > 0 ? -EAGAIN :
	    await(wait_ms, question->once);
	if (code < 0)
		return give_up(code, whom, asked, question);
	if (!look_child_receive(&looker.hand, question, ret_code)) {
		leave();
		return -EPIPE;
	}
	if (question->by != NULL)
		*question->by = looker.hand.pid;
	looker.whom = whom->pid;
	looker.fn = asked->fn;
	return 0;
}

/* ---- who asks ---- */

void
looker_attaches_here(bool here)
{
	looker.attaches_here = here;
}

static int
look_here(const struct looker_whom *whom,
    const struct looker_question *question)
{
	const struct conf_creds us = { .set = false };
	_Alignas(max_align_t) char ret[LOOKER_BYTES_MAX] = { 0 };
	struct looker_fds fds = { .n = 0 };
	struct fsids ids;
	int code;

	ids = inspect_begin(whom->creds != NULL ? whom->creds : &us);
	code = question->fn(question->arg, ret, &fds);
	inspect_end(&ids);
	if (question->ret_len > 0)
		memcpy(question->ret, ret, question->ret_len);
	if (question->fds != NULL)
		*question->fds = fds;
	return code;
}

/* Who has held up a child would hold us up. */
static bool
is_left_to_us(pid_t whom)
{
	return looker.none && looker.hand.fd < 0 && mono_ms_between(
	    looker.none_since, mono_now()) >= NONE_MS && held_up_ms(whom) == 0;
}

/* Two that have ended, or have not begun: what ends them may be this look. */
static int
ask_twice(const struct looker_whom *whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code)
{
	int code = -EPIPE;

	for (int i = 0; i < TRIES && code == -EPIPE; i++)
		code = try(whom, asked, question, ret_code);
	if (code != -EPIPE)
		return code;
	(void)blame(whom->pid, asked->fn, false);
	return -ETIMEDOUT;
}

/* It has answered late, and is free: the one at hand, if there is none. */
static void
take_up(struct look_child *child, pid_t whom, looker_fn *fn)
{
	looker.vain = looker.trouble = 0;
	if (looker.hand.fd >= 0) {
		rest(*child);
		return;
	}
	looker.hand = *child;
	looker.whom = whom;
	looker.fn = fn;
}

static void
collect(void)
{
	struct look_child child;
	pid_t whom;
	looker_fn *fn;
	bool goes_on;

	while (held_up_collect(&child, &whom, &fn, &goes_on)) {
		if (goes_on)
			watch(&child);
		else
			take_up(&child, whom, fn);
	}
}

/* There is one for the next question, as far as that can be; but none beside one that
   is soon free, until somebody is waited for. */
static void
keep_one(void)
{
	if (looker.keeps && looker.hand.fd < 0 && !held_up_has_later() &&
	    !mono_before(mono_now(), looker.not_before))
		(void)begin();
}

static bool
take_late(pid_t whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code)
{
	struct look_child child = NO_CHILD;

	if (!held_up_take_late(whom, asked, question, ret_code, &child))
		return false;
	if (child.fd >= 0)
		take_up(&child, whom, asked->fn);
	return true;
}

int
looker_keep(void)
{
	be_own();
	if (looker.news_fd == 0)
		looker.news_fd = epoll_create1(EPOLL_CLOEXEC);
	if (looker.news_fd < 0) {
		looker.news_fd = 0;
		return -errno;
	}
	looker.keeps = true;
	keep_one();
	return looker.news_fd;
}

void
looker_news(void)
{
	struct epoll_event events[16];

	while (epoll_wait(looker.news_fd, events, 16, 0) > 0)
		continue;
	collect();
	keep_one();
	looker.n_fresh = looker.hand.fd >= 0 && !held_up_has_later() ?
	    FRESH_MAX + 1 : held_up_answered(looker.fresh, FRESH_MAX);
}

bool
looker_has_news_of(pid_t whom)
{
	for (size_t i = 0; i < looker.n_fresh && i < FRESH_MAX; i++)
		if (looker.fresh[i] == whom || looker.fresh[i] == looker.owner)
			return true;
	return looker.n_fresh > FRESH_MAX;
}

int
looker_ask(const struct looker_whom *whom,
    const struct looker_question *question)
{
	struct look_asked asked;
	int code, ret = 0;

	if (question->attaches && looker.attaches_here)
		return look_here(whom, question);
	be_own();
	collect();
	held_up_end_overdue();
	look_child_asked(whom, question, &asked);
	held_up_settle(whom->pid, asked.fn);
	if (take_late(whom->pid, &asked, question, &ret))
		return ret;
	code = held_up_code(whom->pid, asked.fn, looker.n_children >= MANY);
	if (code == 0 && mono_before(mono_now(), looker.not_before))
		code = -EAGAIN;
	if (code == 0 && (question->later || looker.hand.fd < 0) &&
	    held_up_queue(whom->pid, &asked, question))
		code = -EAGAIN;
	/* One child is enough for what nobody waits for. */
	if (code == 0 && question->later && held_up_has_later())
		code = -EAGAIN;
	if (code == 0 && question->by != NULL && !prefer(*question->by))
		code = -EAGAIN;
	if (code == 0)
		code = ask_twice(whom, &asked, question, &ret);
	if (code < 0 && is_left_to_us(whom->pid))
		return look_here(whom, question);
	looker.unanswered += looker_is_held_up(code);
	if (code < 0) {
		keep_one();
		return code;
	}
	looker.vain = looker.trouble = 0;
	held_up_forgive(whom->pid, asked.fn);
	return ret;
}

bool
looker_is_held_up(int code)
{
	return code == -ETIMEDOUT || code == -EBUSY || code == -EAGAIN;
}

uint64_t
looker_unanswered(void)
{
	return looker.unanswered;
}

int
looker_trouble(int64_t *ret_ms)
{
	*ret_ms = looker.trouble == 0 ? 0 :
	    mono_ms_between(looker.trouble_since, mono_now());
	return looker.trouble;
}

int64_t
looker_held_up_ms(pid_t whom)
{
	return held_up_ms(whom);
}

bool
looker_is(pid_t pid)
{
	for (size_t i = 0; i < looker.n_children; i++)
		if (looker.children[i] == pid)
			return looker.owner == getpid();
	return false;
}

bool
looker_reaped(pid_t pid)
{
	if (!looker_is(pid))
		return false;
	for (size_t i = 0; i < looker.n_children; i++)
		if (looker.children[i] == pid)
			looker.children[i--] =
			    looker.children[--looker.n_children];
	held_up_reaped(pid);
	if (looker.hand.pid == pid)
		leave();
	for (size_t i = 0; i < looker.n_resting; i++)
		if (looker.resting[i].pid == pid) {
			struct look_child c = take_out(i--);

			look_child_leave(&c);
		}
	/* Nothing is in its way any more. */
	if (looker.vain_pid == pid) {
		looker.vain_pid = 0;
		looker.not_before = mono_now();
	}
	keep_one();
	return true;
}

void
looker_end(void)
{
	be_own();
	/* What they send from now on may be left in a socket. */
	for (size_t i = 0; i < looker.n_children; i++)
		process_kill(looker.children[i], SIGKILL);
	helper_await_end(looker.children, looker.n_children, END_MS);
	helper_end_all(END_MS);
	held_up_end_all();
	fd_close(&looker.hand.fd);
	looker.hand = NO_CHILD;
	while (looker.n_resting > 0)
		fd_close(&looker.resting[--looker.n_resting].fd);
	looker.n_children = 0;
	looker.keeps = false;
	if (looker.news_fd > 0)
		fd_close(&looker.news_fd);
	looker.news_fd = 0;
}

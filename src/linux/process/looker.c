#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "linux/process/inspect.h"
#include "linux/process/look_child.h"
#include "linux/process/looker.h"
#include "linux/process/process.h"

/* How long an answer is waited for here: of one that would come if our child had
   the CPU, of others, and of one of whom it is known that it comes late. */
#define STARVED_MS	40
#define WAIT_MS		5
#define SHORT_MS	1

/* What is waited for longer than that is a debt; a part of the time pays it off.
   With so much of it, everybody is waited for shortly. */
#define DEBT_MAX_NS	INT64_C(5000000)
#define DEBT_PART	10

/* How long it may take to end: it has nothing to do. */
#define END_MS		100

/* One that was given up, or has just ended, and then a fresh one. */
#define TRIES		2

/* A look goes on so long before it is given up, and as long there is no other one:
   at first, at last, and of one whose child did not get the CPU. */
#define GAP_MIN_MS	100
#define GAP_MAX_MS	5000
#define GAP_STARVED_MS	400

/* So many are known; of more, the oldest that is over is forgotten. That many
   answers may come late, and so many children may be there, whatever becomes of
   them; from MANY on, who holds up one is looked at in no other way. */
#define HELD_UP_MAX	256
#define LATE_MAX	64
#define CHILDREN_MAX	HELD_UP_MAX
#define MANY		64

/* So many children in turn that have not come to their first question; then there
   is none for a while. */
#define VAIN_MAX	4

/* A process, and what was to be seen of it: other looks may do well. */
struct held_up {
	pid_t whom;		/* 0: a free place */
	looker_fn *fn;
	struct look_child child;	/* that is there still; fd: of a late
					   answer */
	struct look_asked asked;	/* … and the question; */
	void *arg;			/* owned */
	bool starved;
	bool slow;		/* it held up nobody, but came late */
	struct mono since;
	struct mono until;
	int gap_ms;
};

static struct {
	pid_t owner;		/* a process that is forked has its own */
	struct look_child hand;	/* the one that is asked next; fd -1: none */
	pid_t whom;		/* that it has looked at last, and … */
	looker_fn *fn;		/* … how */
	pid_t children[CHILDREN_MAX];	/* not reaped */
	size_t n_children;
	struct held_up held_up[HELD_UP_MAX];
	int vain;
	int trouble;
	struct mono not_before;
	int64_t debt_ns;
	struct mono debt_at;
	bool attaches_here;
} looker;

#define NO_CHILD	((struct look_child){ .fd = -1 })

static void
clear(struct held_up *h)
{
	free(h->arg);
	*h = (struct held_up){ .child = NO_CHILD };
}

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
	looker.n_children = 0;
	looker.vain = looker.trouble = 0;
	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		if (forked)
			fd_close(&looker.held_up[i].child.fd);
		clear(&looker.held_up[i]);
	}
}

/* ---- who holds up ---- */

static struct held_up *
find_held_up(pid_t whom, looker_fn *fn)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (whom != 0 && looker.held_up[i].whom == whom &&
		    looker.held_up[i].fn == fn)
			return &looker.held_up[i];
	return NULL;
}

/* Now, or not long ago. */
static bool
is_recent(const struct held_up *h, struct mono now)
{
	return h->whom != 0 && !h->slow && !h->starved &&
	    (h->child.pid != 0 ||
	    mono_before(now, mono_add_ms(h->until, GAP_MAX_MS)));
}

static int
code_of(const struct held_up *h)
{
	return h->starved ? -EAGAIN : -EBUSY;
}

/* As long as one child of ours sleeps there, no other one is to. 0; or what its
   look has come to. */
static int
holds_up(pid_t whom, looker_fn *fn)
{
	const struct held_up *h = find_held_up(whom, fn);

	if (h != NULL && (h->child.pid != 0 ||
	    mono_before(mono_now(), h->until)))
		return code_of(h);
	if (looker.n_children < MANY)
		return 0;
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (looker.held_up[i].whom == whom &&
		    looker.held_up[i].child.pid != 0)
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
		struct held_up *h = &looker.held_up[i];

		if (h->whom == 0)
			return h;
		if (h->child.pid == 0 && (place == NULL ||
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
		n += looker.held_up[i].child.fd >= 0;
	return n;
}

/* The child at hand is the pair's from now on. */
static struct held_up *
blame(pid_t whom, looker_fn *fn, bool starved)
{
	struct held_up *h = find_held_up(whom, fn);
	struct mono now = mono_now(), since = now;
	int gap_ms = GAP_MIN_MS;

	if (h != NULL && h->gap_ms != 0 && !h->slow)
		gap_ms = 2 * h->gap_ms;
	if (gap_ms > GAP_MAX_MS)
		gap_ms = GAP_MAX_MS;
	if (h != NULL && is_recent(h, now))
		since = h->since;
	if (h == NULL)
		h = whom != 0 ? place_for_another() : NULL;
	if (h == NULL) {
		look_child_kill(&looker.hand);
		looker.hand = NO_CHILD;
		return NULL;
	}
	clear(h);
	*h = (struct held_up){
		.whom = whom, .fn = fn, .child = looker.hand,
		.starved = starved, .gap_ms = starved ? 0 : gap_ms,
		.since = since,
		.until = mono_add_ms(now, starved ? GAP_STARVED_MS : gap_ms),
	};
	looker.hand = NO_CHILD;
	return h;
}

static void
forgive(pid_t whom, looker_fn *fn)
{
	struct held_up *h = find_held_up(whom, fn);

	if (h != NULL)
		clear(h);
}

/* ---- answers that come late ---- */

/* When it has got the CPU and sleeps now, that is like any other. */
static bool
is_starving(struct held_up *h)
{
	if (!h->starved || h->child.fd < 0 || look_child_answered(&h->child))
		return false;
	h->starved = look_child_is_runnable(&h->child) ||
	    look_child_is_untaken(&h->child);
	return h->starved;
}

static void
keep_question(struct held_up *h, const struct look_asked *asked, const void *arg)
{
	h->arg = malloc(asked->arg_len > 0 ? asked->arg_len : 1);
	if (h->arg == NULL || count_late() > LATE_MAX) {
		look_child_kill(&h->child);
		return;
	}
	h->asked = *asked;
	if (asked->arg_len > 0)
		memcpy(h->arg, arg, asked->arg_len);
}

static bool
is_same(const struct held_up *h, const struct look_asked *asked,
    const void *arg)
{
	return memcmp(&h->asked, asked, sizeof(*asked)) == 0 &&
	    (asked->arg_len == 0 || memcmp(h->arg, arg, asked->arg_len) == 0);
}

/* It has come late, so that the next ones are not waited for here. */
static void
note_slow(struct held_up *h)
{
	h->child = NO_CHILD;
	h->slow = true;
	h->starved = false;
	h->until = mono_now();
}

/* An answer to another question is nobody's. -ESTALE: it is to be asked anew. */
static int
take_late(struct held_up *h, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code)
{
	int code;

	if (!look_child_answered(&h->child)) {
		(void)is_starving(h);
		if (!mono_before(mono_now(), h->until))
			look_child_kill(&h->child);
		return code_of(h);
	}
	code = is_same(h, asked, question->arg) &&
	    look_child_receive(&h->child, question, ret_code) ? 0 : -ESTALE;
	if (code == 0 && looker.hand.fd < 0) {
		looker.hand = h->child;
		looker.whom = h->whom;
		looker.fn = h->fn;
	} else {
		look_child_leave(&h->child);
	}
	note_slow(h);
	return code;
}

/* Those whose time is over, and who may never be asked for again. What has been
   answered is there as long as the child is. */
static void
end_overdue(void)
{
	const struct mono now = mono_now();

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		struct held_up *h = &looker.held_up[i];

		if (h->child.fd >= 0 && !mono_before(now, h->until) &&
		    !look_child_answered(&h->child))
			look_child_kill(&h->child);
	}
}

/* Another child would not get the CPU either. */
static bool
is_anybody_starving(void)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (is_starving(&looker.held_up[i]))
			return true;
	return false;
}

/* ---- the child at hand ---- */

static int
begin(void)
{
	int code;

	if (looker.hand.fd >= 0)
		return 0;
	if (is_anybody_starving())
		return -EAGAIN;
	code = looker.n_children < CHILDREN_MAX ?
	    look_child_start(&looker.hand) : -EAGAIN;
	if (code < 0) {
		looker.trouble = code;
		return code == -EMFILE || code == -ENFILE ? code : -EAGAIN;
	}
	looker.children[looker.n_children++] = looker.hand.pid;
	looker.whom = 0;
	looker.fn = NULL;
	return 0;
}

static void
leave(void)
{
	look_child_leave(&looker.hand);
	looker.hand = NO_CHILD;
}

/* It may be in the way of all that follow. */
static void
note_vain(void)
{
	int gap_ms = GAP_MIN_MS;

	look_child_kill(&looker.hand);
	looker.hand = NO_CHILD;
	if (++looker.vain < VAIN_MAX)
		return;
	for (int i = VAIN_MAX; i < looker.vain && gap_ms < GAP_MAX_MS; i++)
		gap_ms *= 2;
	looker.trouble = -ETIMEDOUT;
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

static void
charge(int64_t took_ns)
{
	if (took_ns > STARVED_MS * INT64_C(1000000))
		took_ns = STARVED_MS * INT64_C(1000000);
	took_ns -= SHORT_MS * INT64_C(1000000);
	if (took_ns > 0)
		looker.debt_ns += took_ns;
}

static int
await(const struct held_up *h)
{
	bool debt = is_in_debt();
	int64_t wait_ms = h != NULL || debt ? SHORT_MS : WAIT_MS;
	struct mono begin = mono_now();
	int code = look_child_await(&looker.hand, wait_ms,
	    debt ? wait_ms : STARVED_MS);

	charge(mono_now().ns - begin.ns);
	return code;
}

/* -EPIPE: another one may do better. */
static int
give_up(int code, const struct looker_whom *whom,
    const struct look_asked *asked, const void *arg)
{
	struct held_up *h;

	/* A fresh one that was not waited for may have done nothing as yet. */
	if (code == -ETIMEDOUT && looker.whom == 0 && is_in_debt())
		code = -EAGAIN;
	if (code == -ETIMEDOUT && look_child_is_untaken(&looker.hand)) {
		h = looker.whom != 0 ?
		    blame(looker.whom, looker.fn, false) : NULL;
		if (h != NULL)
			look_child_kill(&h->child);
		else
			note_vain();
		return -EPIPE;
	}
	h = blame(whom->pid, asked->fn, code == -EAGAIN);
	if (h != NULL)
		keep_question(h, asked, arg);
	return code;
}

static int
try(const struct looker_whom *whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code)
{
	int code = begin();

	if (code < 0)
		return code;
	if (!look_child_ask(&looker.hand, asked, question)) {
		leave();
		return -EPIPE;
	}
	code = await(find_held_up(whom->pid, asked->fn));
	if (code < 0)
		return give_up(code, whom, asked, question->arg);
	if (!look_child_receive(&looker.hand, question, ret_code)) {
		leave();
		return -EPIPE;
	}
	looker.whom = whom->pid;
	looker.fn = asked->fn;
	looker.vain = looker.trouble = 0;
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
	if (looker.vain > 0)
		return -EAGAIN;
	(void)blame(whom->pid, asked->fn, false);
	return -ETIMEDOUT;
}

int
looker_ask(const struct looker_whom *whom,
    const struct looker_question *question)
{
	struct look_asked asked;
	struct held_up *h;
	int code = -ESTALE, ret = 0;

	if (question->attaches && looker.attaches_here)
		return look_here(whom, question);
	be_own();
	look_child_asked(whom, question, &asked);
	h = find_held_up(whom->pid, asked.fn);
	if (h != NULL && h->child.fd >= 0)
		code = take_late(h, &asked, question, &ret);
	if (code != -ESTALE)
		return code < 0 ? code : ret;
	end_overdue();
	code = holds_up(whom->pid, asked.fn);
	if (code == 0 && mono_before(mono_now(), looker.not_before))
		code = -EAGAIN;
	if (code == 0)
		code = ask_twice(whom, &asked, question, &ret);
	if (code < 0)
		return code;
	forgive(whom->pid, asked.fn);
	return ret;
}

bool
looker_is_held_up(int code)
{
	return code == -ETIMEDOUT || code == -EBUSY || code == -EAGAIN;
}

int
looker_trouble(void)
{
	return looker.trouble;
}

int64_t
looker_held_up_ms(pid_t whom)
{
	struct mono now = mono_now();
	int64_t most_ms = 0;

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		const struct held_up *h = &looker.held_up[i];
		int64_t ms = h->whom == whom && is_recent(h, now) ?
		    mono_ms_between(h->since, now) : 0;

		most_ms = ms > most_ms ? ms : most_ms;
	}
	return most_ms;
}

bool
looker_is(pid_t pid)
{
	for (size_t i = 0; i < looker.n_children; i++)
		if (looker.children[i] == pid)
			return looker.owner == getpid();
	return false;
}

/* Unless it ended for want of questions, its look has come to nothing. */
static void
lose(struct held_up *h)
{
	bool answered = h->child.fd >= 0 && look_child_has_sent(&h->child);

	look_child_leave(&h->child);
	h->child = NO_CHILD;
	if (answered)
		note_slow(h);
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
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (looker.held_up[i].child.pid == pid)
			lose(&looker.held_up[i]);
	if (looker.hand.pid == pid)
		leave();
	return true;
}

void
looker_end(void)
{
	struct pollfd end = { .fd = -1, .events = POLLIN };
	siginfo_t info;
	pid_t pid;

	be_own();
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (looker.held_up[i].child.fd >= 0)
			look_child_kill(&looker.held_up[i].child);
	if (looker.hand.fd < 0)
		return;
	pid = looker.hand.pid;
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		process_kill(pid, SIGKILL);
	(void)poll(&end, 1, END_MS);
	process_reap(pid);
	fd_close(&end.fd);
	leave();
	(void)looker_reaped(pid);
}

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "core/conf/conf.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/orphans.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/helper.h"
#include "linux/process/inspect.h"
#include "linux/socket/socket_close.h"

/* From one answer to the next: then it is seen to what the child is at. */
#define LATE_MS		250

/* At our own end, nobody who can be killed is left behind. */
#define END_MS		1000

/* Where none can be started, that is not tried at each look; and rarely where that is
   so for long: the second one in a row has ended before it began, or one has not our
   rights. */
#define REST_MS		1000
#define REST_LONG_MS	(INT64_C(1000) * REST_MS)
#define UNBEGUN_MAX	2

struct question {
	uint64_t number;
	pid_t pid;
	uint32_t as_other, has_user;
	uint32_t uid, gid;
	uint32_t n;
	uint64_t inos[];
};

struct answer {
	uint64_t number;
	int64_t took_ns;
	int32_t seen;
};

_Static_assert(sizeof(struct question) + LOOKS_INOS_MAX * sizeof(uint64_t) <=
    LOOKER_BYTES_MAX, "a question has room");

struct looks_asked {
	TAILQ_ENTRY(looks_asked) link;
	struct looks_whom whom;	/* answered NULL: nobody wants to know */
	struct mono since;	/* asked of this child */
	size_t len;
	struct question question;	/* with its inodes behind it */
};

/* ---- in the child ---- */

/* What it has taken of the machine; to be held up takes nothing. */
static int64_t
cpu_ns(void)
{
	struct timespec t = { .tv_sec = 0 };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static size_t
answer(const void *bytes, size_t len, void *ret_answer)
{
	static char name[] = "?";
	const struct question *q = bytes;
	const struct conf_creds creds = {
		.set = q->as_other, .uid = q->uid, .gid = q->gid,
		.name = q->has_user ? name : NULL,
	};
	const int64_t begin = cpu_ns();
	struct fsids ids = inspect_begin(&creds);
	struct answer a;

	(void)len;
	memset(&a, 0, sizeof(a));
	a.number = q->number;
	a.seen = (int32_t)waiting_look(q->pid, q->inos, q->n);
	inspect_end(&ids);
	a.took_ns = cpu_ns() - begin;
	memcpy(ret_answer, &a, sizeof(a));
	return sizeof(a);
}

int
looks_serve(int fd)
{
	return looker_serve(fd, answer);
}

/* ---- who was left ---- */

/* Is one of them held up by this app; or are they too many to make it more? */
static bool
is_left(const struct looks *s, uint64_t whose)
{
	size_t n = 0;

	for (size_t i = 0; i < LOOKS_LEFT_MAX; i++) {
		n += s->left[i].pid != 0;
		if (s->left[i].pid != 0 && s->left[i].whose == whose)
			return true;
	}
	return n == LOOKS_LEFT_MAX;
}

/* Has one not even begun, for want of our program's file system, say? The next one
   would fare no better. */
static bool
is_stuck(const struct looks *s)
{
	for (size_t i = 0; i < LOOKS_LEFT_MAX; i++)
		if (s->left[i].pid != 0 && s->left[i].whose == 0)
			return true;
	return false;
}

static void
note_left(struct looks *s, pid_t pid, uint64_t whose)
{
	for (size_t i = 0; i < LOOKS_LEFT_MAX; i++) {
		if (s->left[i].pid != 0)
			continue;
		s->left[i].pid = pid;
		s->left[i].whose = whose;
		return;
	}
}

/* ---- the child ---- */

static void child_ready(void *ctx, uint32_t events);

static int
start(struct looks *s)
{
	int code;

	if (s->child.fd >= 0)
		return 0;
	if (is_stuck(s) || mono_before(mono_now(), s->not_before))
		return -EAGAIN;
	code = looker_start(&s->child);
	if (code == 0) {
		/* So whoever closes it behind us, when we are killed, needs not
		   wonder what may be in it. */
		(void)socket_refuse_descriptors(s->child.fd);
		orphans_spare(s->orphans, s->child.pid);
		keeper_note_helper(s->child.pid);
		code = loop_add(s->loop, s->child.fd, EPOLLIN, false,
		    child_ready, s, &s->handle);
		if (code < 0)
			looker_kill(&s->child);
	}
	if (code < 0)
		s->not_before = mono_add_ms(mono_now(), REST_MS);
	return code;
}

static void
end_child(struct looks *s, void (*end)(struct looker *k))
{
	loop_del(s->loop, &s->handle);
	end(&s->child);
	s->child = (struct looker)LOOKER_INIT;
	s->seen_to = 0;
}

/* When it is to be seen to the child that is at this question. */
static struct mono
late_at(const struct looks *s, const struct looks_asked *first)
{
	struct mono since = mono_before(first->since, s->heard) ? s->heard :
	    first->since;
	struct mono due = mono_add_ms(since, LATE_MS);

	return s->seen_to == first->question.number &&
	    mono_before(due, s->see_again) ? s->see_again : due;
}

static void
set_timer(struct looks *s)
{
	const struct looks_asked *first = TAILQ_FIRST(&s->asked);

	loop_timer_set(s->loop, &s->late,
	    first != NULL ? late_at(s, first) : MONO_NEVER);
}

/* ---- questions ---- */

static void
drop(struct looks *s, struct looks_asked *a)
{
	TAILQ_REMOVE(&s->asked, a, link);
	s->n_asked--;
	free(a);
}

static void
tell(struct looks *s, struct looks_asked *a, int code,
    const struct answer *answer)
{
	const struct looks_whom whom = a->whom;

	drop(s, a);
	if (whom.answered != NULL)
		whom.answered(whom.ctx, code, answer != NULL ?
		    (enum waiting)answer->seen : WAITING_NO,
		    answer != NULL ? answer->took_ns : 0);
}

static void
tell_all(struct looks *s, int code)
{
	struct looks_asked *last = TAILQ_LAST(&s->asked, looks_askeds), *a;
	bool more = last != NULL;

	/* Whoever is told may ask again. */
	while (more) {
		a = TAILQ_FIRST(&s->asked);
		more = a != last;
		tell(s, a, code, NULL);
	}
}

/* The first one held it up, for so long; others of its app would do so again,
   perhaps. */
static void
tell_all_of_first(struct looks *s, int64_t took_ns)
{
	struct answer none = { .seen = WAITING_NO, .took_ns = took_ns };
	struct looks_asked *a = TAILQ_FIRST(&s->asked), *next;
	uint64_t whose = a->whom.whose;
	int code = -ETIMEDOUT;

	for (; a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->whom.whose != whose)
			continue;
		tell(s, a, code, &none);
		code = -EBUSY;
		none.took_ns = 0;
	}
}

/* There is none for so long. */
static void
rest(struct looks *s, int64_t ms)
{
	s->not_before = mono_add_ms(mono_now(), ms);
	tell_all(s, -ECANCELED);
	set_timer(s);
}

static void
drop_forgotten(struct looks *s)
{
	struct looks_asked *a, *next;

	for (a = TAILQ_FIRST(&s->asked); a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->whom.answered == NULL)
			drop(s, a);
	}
}

/* It asks for what the last one has not answered, and somebody wants to know. */
static void
start_again(struct looks *s)
{
	struct looks_asked *a;
	int code;

	drop_forgotten(s);
	code = TAILQ_EMPTY(&s->asked) ? 0 : start(s);
	TAILQ_FOREACH(a, &s->asked, link) {
		if (code < 0)
			break;
		a->since = mono_now();
		code = looker_ask(&s->child, &a->question, a->len);
	}
	if (code < 0)
		tell_all(s, -ECANCELED);
	set_timer(s);
}

/* The child has ended, or is of no use. It may have ended because nobody had asked
   for long, just when somebody did. */
static void
lose_child(struct looks *s, ssize_t code)
{
	const struct looks_asked *first = TAILQ_FIRST(&s->asked);
	/* The second one in a row that was asked this, and has ended by it. */
	bool fresh = !s->child.begun || code == -EPERM ||
	    (first != NULL && first->question.number == s->lost);

	s->lost = first != NULL ? first->question.number : 0;

	s->unbegun = s->child.begun ? 0 : s->unbegun + 1;
	if (s->child.pid != 0)
		s->ended = s->child.pid;
	end_child(s, looker_leave);
	if (!fresh) {
		start_again(s);
		return;
	}
	rest(s, code == -EPERM || s->unbegun >= UNBEGUN_MAX ? REST_LONG_MS :
	    REST_MS);
}

static void
take_answers(struct looks *s)
{
	_Alignas(struct answer) char bytes[LOOKER_BYTES_MAX];
	ssize_t n;

	while (s->child.fd >= 0 && (n = looker_receive(&s->child, bytes)) != 0) {
		struct looks_asked *a = TAILQ_FIRST(&s->asked);
		struct answer answer;

		if (n < 0) {
			lose_child(s, n);
			return;
		}
		memcpy(&answer, bytes, sizeof(answer));
		s->heard = mono_now();
		s->unbegun = 0;
		if (a != NULL && a->question.number == answer.number)
			tell(s, a, 0, &answer);
	}
	set_timer(s);
}

static void
child_ready(void *ctx, uint32_t events)
{
	(void)events;
	take_answers(ctx);
}

/* The question that it is at holds it up; the others are for the next one. */
static void
give_up(struct looks *s, uint64_t whose)
{
	const struct held_up h = s->held_up;

	note_left(s, s->child.pid, s->child.begun ? whose : 0);
	if (!s->child.begun) {
		end_child(s, looker_kill);
		rest(s, REST_MS);
		return;
	}
	end_child(s, looker_kill);
	tell_all_of_first(s, h.cpu_ns - h.first_ns);
	start_again(s);
}

static void
late_due(void *ctx)
{
	struct looks *s = ctx;
	const struct looks_asked *first;

	/* What has been answered before it is looked at holds nobody up. */
	take_answers(s);
	first = TAILQ_FIRST(&s->asked);
	if (first == NULL || mono_before(mono_now(), late_at(s, first)))
		return;
	if (s->seen_to != first->question.number)
		s->held_up = (struct held_up){ .begun = false };
	s->seen_to = first->question.number;
	if (s->child.pid != 0 && held_up_look(&s->held_up, s->child.pid,
	    first->whom.pid)) {
		give_up(s, first->whom.whose);
		return;
	}
	s->see_again = mono_add_ms(mono_now(), HELD_UP_PAUSE_MS);
	set_timer(s);
}

void
looks_prepare(struct looks *s)
{
	(void)start(s);
}

bool
looks_are_many(const struct looks *s)
{
	return s->n_asked >= LOOKS_MAX;
}

int
looks_waiting(struct looks *s, const struct looks_whom *whom,
    const uint64_t *inos, size_t n)
{
	struct looks_asked *a;
	int code;

	if (is_left(s, whom->whose))
		return -EBUSY;
	code = n > LOOKS_INOS_MAX ? -E2BIG : start(s);
	if (code < 0)
		return code;
	a = calloc(1, sizeof(*a) + n * sizeof(*inos));
	if (a == NULL)
		return -ENOMEM;
	a->whom = *whom;
	a->since = mono_now();
	a->len = sizeof(a->question) + n * sizeof(*inos);
	a->question = (struct question){
		.number = ++s->last, .pid = whom->pid,
		.as_other = whom->creds->set,
		.has_user = whom->creds->name != NULL,
		.uid = whom->creds->uid, .gid = whom->creds->gid,
		.n = (uint32_t)n,
	};
	memcpy(a->question.inos, inos, n * sizeof(*inos));
	code = looker_ask(&s->child, &a->question, a->len);
	if (code == -EAGAIN || code == -ENOBUFS || code == -ENOMEM) {
		free(a);
		/* Of so many none has an answer: whoever looks now may wait as
		   long. */
		return code == -EAGAIN ? -EBUSY : code;
	}
	/* Else it has just ended: its descriptor tells, and the next one is asked. */
	TAILQ_INSERT_TAIL(&s->asked, a, link);
	s->n_asked++;
	if (a == TAILQ_FIRST(&s->asked))
		set_timer(s);
	return 0;
}

static struct looks_asked *
find(const struct looks *s, const void *ctx)
{
	struct looks_asked *a;

	TAILQ_FOREACH(a, &s->asked, link)
		if (a->whom.answered != NULL && a->whom.ctx == ctx)
			return a;
	return NULL;
}

void
looks_forget(struct looks *s, const void *ctx)
{
	struct looks_asked *a;

	while ((a = find(s, ctx)) != NULL)
		a->whom.answered = NULL;
}

int
looks_await(struct looks *s, const void *ctx, int64_t ms)
{
	const struct mono end = mono_add_ms(mono_now(), ms);

	while (find(s, ctx) != NULL) {
		struct pollfd p = { .fd = s->child.fd, .events = POLLIN };
		int64_t left_ms = mono_ms_between(mono_now(), end);

		if (left_ms <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left_ms) > 0)
			take_answers(s);
	}
	return 0;
}

/* What it has said counts. Its socket need not tell its end: a worker that was born
   while it had the number of ours has its end of it until that worker executes. */
static void
lose_reaped(struct looks *s)
{
	take_answers(s);
	if (s->child.fd >= 0 && s->child.pid == 0)
		lose_child(s, -EPIPE);
}

bool
looks_reaped(struct looks *s, pid_t pid)
{
	keeper_forget_helper(pid);
	looker_reaped(pid);
	if (pid == s->child.pid) {
		s->child.pid = 0;
		lose_reaped(s);
		return true;
	}
	/* Its socket has told it before. */
	if (pid == s->ended) {
		s->ended = 0;
		return true;
	}
	for (size_t i = 0; i < LOOKS_LEFT_MAX; i++) {
		if (s->left[i].pid != pid)
			continue;
		s->left[i].pid = 0;
		return true;
	}
	return false;
}

int
looks_init(struct looks *s, struct loop *loop, struct orphans *orphans)
{
	*s = (struct looks){
		.loop = loop, .orphans = orphans, .child = LOOKER_INIT,
	};
	TAILQ_INIT(&s->asked);
	looker_lend(keeper_low_fd(), keeper_wake_fd());
	return loop_timer_init(loop, &s->late, late_due, s);
}

void
looks_fini(struct looks *s)
{
	const struct mono end = mono_add_ms(mono_now(), END_MS);
	pid_t last;

	if (s->loop == NULL)
		return;
	while (!TAILQ_EMPTY(&s->asked))
		drop(s, TAILQ_FIRST(&s->asked));
	last = s->child.pid;
	end_child(s, looker_kill);
	loop_timer_fini(s->loop, &s->late);
	helper_await_end(last, end);
	for (size_t i = 0; i < LOOKS_LEFT_MAX; i++)
		helper_await_end(s->left[i].pid, end);
}

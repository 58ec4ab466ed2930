#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/socket/connections.h"
#include "linux/socket/connections_search.h"

/* What the child takes for an answer, so that it does not pass for held up; and for
   all of them in one go. The same each time: a question that comes again gets what
   came late. */
#define ANSWER_MS	1
#define ALL_MS		4

/* So long it may be late. */
#define SEE_MS		300

/* A search that has been lost is begun again so often in a row, and then later. */
#define STALE_IN_A_ROW	3

/* Of searches. */
static uint64_t numbers;

int
connections_begin(struct connections *c, const struct connections_of *of,
    size_t n_of, const pid_t *roots, size_t n_roots, int64_t older_ms,
    bool times)
{
	struct connections_question *q;

	*c = (struct connections){ .wants_times = times };
	if (n_of > CONNECTIONS_OF_MAX || n_roots > CONNECTIONS_ROOTS_MAX)
		return -E2BIG;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->number = ++numbers;
	q->begins = true;
	q->older_ms = older_ms;
	for (; q->n_of < n_of; q->n_of++)
		q->of[q->n_of] = of[q->n_of];
	for (; q->n_roots < n_roots; q->n_roots++)
		q->roots[q->n_roots] = roots[q->n_roots];
	c->question = q;
	return 0;
}

void
connections_end(struct connections *c)
{
	free(c->question);
	free(c->v);
	*c = (struct connections){ .n = 0 };
}

/* ---- which there are ---- */

/* It is not held up by anybody whom we look at: as if we looked at ourselves. */
static void
take_listed(struct connections *c, const struct connections_listed *listed)
{
	c->none = listed->none;
	c->blink = listed->blink;
	c->n_handshakes = listed->n_handshakes;
	c->n_half_open = listed->n_half_open;
	c->listed = true;
	c->told = listed->n == 0;
}

static int
step_list(struct connections *c)
{
	struct connections_question *q = c->question;
	const struct looker_whom whom = { .pid = getpid() };
	struct connections_listed listed;
	int code = looker_ask(&whom, &(struct looker_question){
	    .fn = connections_list, .arg = q, .arg_len = q->begins ?
		sizeof(*q) : offsetof(struct connections_question, of),
	    .ret = &listed, .ret_len = sizeof(listed), .by = &c->by,
	    .later = c->later,
	});

	if (code < 0)
		return code;
	q->begins = false;
	if (code > 0)
		return 1;
	take_listed(c, &listed);
	return !c->told;
}

static bool
has_room_for(struct connections *c, size_t n)
{
	size_t cap = c->cap > 0 ? c->cap : CONNECTIONS_TOLD_MAX;
	struct connection *v;

	while (cap < c->n + n)
		cap *= 2;
	if (cap == c->cap)
		return true;
	v = reallocarray(c->v, cap, sizeof(*v));
	if (v == NULL)
		return false;
	c->v = v;
	c->cap = cap;
	return true;
}

static int
take_told(struct connections *c, const struct connections_told *told)
{
	if (!has_room_for(c, told->n))
		return -ENOMEM;
	for (size_t i = 0; i < told->n; i++)
		c->v[c->n++] = (struct connection){
			.ino = told->v[i].ino,
			.pid = told->v[i].pid,
			.fd = told->v[i].fd,
			.id = told->v[i].id,
			.conn = {
				.unread = told->v[i].unread,
				.unacked = told->v[i].unacked,
			},
		};
	return 0;
}

static int
step_tell(struct connections *c, const struct looker_whom *whom)
{
	const struct connections_question *q = c->question;
	struct connections_told told;
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = connections_tell, .arg = q,
	    .arg_len = offsetof(struct connections_question, of),
	    .ret = &told, .ret_len = sizeof(told), .by = &c->by,
	    .later = c->later,
	});

	if (code < 0)
		return code;
	if (take_told(c, &told) < 0)
		return -ENOMEM;
	c->told = code == 0;
	return !c->told || (c->wants_times && c->n > 0);
}

/* In one go; where that cannot be, or is held up by whom we look at, step by step:
   what nobody's process holds up may be enough. */
static int
step_see(struct connections *c, const struct looker_whom *whom)
{
	struct connections_question *q = c->question;
	struct connections_seen seen;
	int code;

	q->budget_ms = ALL_MS;
	code = looker_ask(whom, &(struct looker_question){
	    .fn = connections_see, .arg = q, .arg_len = sizeof(*q),
	    .ret = &seen, .ret_len = sizeof(seen), .by = &c->by,
	    .later = c->later,
	});
	if (code == 1 || (looker_is_held_up(code) &&
	    looker_held_up_ms(whom->pid) >= SEE_MS)) {
		c->stepwise = true;
		q->begins = code != 1;
		return 1;
	}
	if (code < 0)
		return code;
	take_listed(c, &seen.listed);
	if (take_told(c, &seen.told) < 0)
		return -ENOMEM;
	c->told = true;
	return c->wants_times && c->n > 0;
}

/* ---- when they were used ---- */

/* What has been closed since is left out, in the end. */
static void
take_times(struct connections *c, const size_t *places, size_t n,
    const struct connections_times *times)
{
	for (size_t i = 0; i < n; i++) {
		struct connection *one = &c->v[places[i]];

		if (times->v[i].code == 0)
			one->conn = times->v[i].conn;
		else if (times->v[i].code == -ENOENT ||
		    times->v[i].code == -ESTALE)
			one->ino = 0;
	}
}

static void
leave_out_closed(struct connections *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].ino != 0)
			c->v[n++] = c->v[i];
	c->n = n;
}

static int
step_time(struct connections *c, const struct looker_whom *whom)
{
	struct connections_times_of of = { .number = c->question->number };
	struct connections_times times;
	size_t places[CONNECTIONS_TIMES_MAX], from = c->at;
	int code = 0;

	for (; c->at < c->n && of.n < CONNECTIONS_TIMES_MAX; c->at++) {
		if (c->v[c->at].id.family == AF_UNIX)
			continue;
		places[of.n] = c->at;
		of.v[of.n++] = c->v[c->at].id;
	}
	if (of.n > 0)
		code = looker_ask(whom, &(struct looker_question){
		    .fn = connections_time, .arg = &of,
		    .arg_len = offsetof(struct connections_times_of, v) +
			of.n * sizeof(of.v[0]),
		    .ret = &times, .ret_len = sizeof(times),
		    .later = c->later,
		});
	if (code < 0) {
		c->at = from;
		return code;
	}
	take_times(c, places, of.n, &times);
	if (c->at < c->n)
		return 1;
	leave_out_closed(c);
	return 0;
}

bool
connections_without_times(struct connections *c)
{
	if (!c->told)
		return false;
	c->untimed = true;
	leave_out_closed(c);
	return true;
}

/* ---- all of it ---- */

/* From the beginning: the child has been replaced, or had no room for us. What it
   may yet answer, late, is of a search with another number. */
static int
begin_again(struct connections *c)
{
	c->question->number = ++numbers;
	c->question->begins = true;
	c->listed = c->told = false;
	c->n = 0;
	c->by = 0;
	return ++c->n_stale % (STALE_IN_A_ROW + 1) != 0 ? 1 : -EBUSY;
}

static int
step(struct connections *c, const struct looker_whom *whom)
{
	int code = !c->listed && !c->stepwise ? step_see(c, whom) :
	    !c->listed ? step_list(c) : !c->told ? step_tell(c, whom) :
	    step_time(c, whom);

	return code == -ESTALE ? begin_again(c) : code;
}

int
connections_step(struct connections *c, const struct conf_creds *creds,
    int64_t budget_ms)
{
	struct connections_question *q = c->question;
	const struct looker_whom whom = {
		.pid = q->n_roots > 0 ? q->roots[0] : getpid(),
		.creds = creds,
	};
	struct mono end = mono_add_ms(mono_now(), budget_ms);
	int code;

	do {
		q->budget_ms = budget_ms < ANSWER_MS ? budget_ms : ANSWER_MS;
		code = step(c, &whom);
	} while (code > 0 && mono_before(mono_now(), end));
	return code;
}

struct drain_tally
connections_tally(const struct connections *c,
    const struct drain_policy *policy)
{
	struct drain_tally tally = { .idle = 0 };

	for (size_t i = 0; i < c->n; i++)
		drain_count(&tally, &c->v[i].conn, policy);
	return tally;
}

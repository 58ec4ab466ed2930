#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listeners.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/socket/lane_queue.h"
#include "linux/process/process.h"

/* How long a look goes on before everything else gets its turn. */
#define SPELL_MS	2

/* How long a handshake may take whose end nobody can see. */
#define LINGER_MS	1000

/* A frozen worker is looked at as soon as it stands still, and not for longer
   than this. */
#define FREEZE_MS	1
#define FROZEN_MAX_MS	50

/* Between two attempts to find one without work who gets more all the time, and
   how many times as long as it took to look. */
#define AGAIN_MS	10
#define AGAIN_FACTOR	3

static void look_due(void *ctx);

int
drain_init(struct drain_looks *d, struct loop *loop)
{
	d->loop = loop;
	TAILQ_INIT(&d->drainers);
	d->diag = (struct sockdiag)SOCKDIAG_INIT;
	return loop_timer_init(loop, &d->timer, look_due, d);
}

static void
end_look(struct drain_looks *d)
{
	if (d->at == NULL)
		return;
	connections_end(&d->look);
	d->at = NULL;
}

void
drain_fini(struct drain_looks *d)
{
	end_look(d);
	sockdiag_close(&d->diag);
	loop_timer_fini(d->loop, &d->timer);
}

/* The timer for whoever is due first, or for the look that goes on. */
static void
set_timer(struct drain_looks *d)
{
	struct mono due = d->at != NULL ? mono_now() : MONO_NEVER;
	const struct worker *w;

	/* A frozen one alone is waited for: see look_due(). */
	if (d->at == NULL)
		TAILQ_FOREACH(w, &d->drainers, drainer) {
			if (w->frozen) {
				due = w->drain_due;
				break;
			}
			if (mono_before(w->drain_due, due))
				due = w->drain_due;
		}
	loop_timer_set(d->loop, &d->timer, due);
}

static void
set_due(struct worker *w, struct mono due)
{
	w->drain_due = due;
	set_timer(w->drainage);
}

/* ---- standing still ---- */

static void
freeze(struct worker *w)
{
	struct mono now = mono_now();

	w->frozen = true;
	w->frozen_since = now;
	process_kill_group(w->pid, SIGSTOP);
	set_due(w, mono_add_ms(now, FREEZE_MS));
}

static void
thaw(struct worker *w)
{
	if (!w->frozen)
		return;
	w->frozen = false;
	process_kill_group(w->pid, SIGCONT);
}

static void
try_later(struct worker *w)
{
	struct mono now = mono_now();
	int64_t gap_ms = AGAIN_FACTOR * mono_ms_between(w->drain_looked, now);

	thaw(w);
	w->drain.quiet = MONO_NEVER;
	set_due(w, mono_add_ms(now, gap_ms > AGAIN_MS ? gap_ms : AGAIN_MS));
}

/* All threads of it. */
static bool
stands_still(const struct worker *w)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	return waitid(P_PID, (id_t)w->pid, &info,
	    WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == w->pid;
}

/* ---- a look ---- */

/* Has it any lane, or only such ones, that others have too? */
static bool
shares(const struct worker *w, bool all)
{
	bool any = false;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		const struct listener *l = app_spec_listener(w->spec, i);

		if (l == NULL)
			continue;
		if (app_spec_shares(w->spec, l))
			any = true;
		else if (all)
			return false;
	}
	return any;
}

/* Connections, or whether there are datagrams. -errno. */
static int
lane_queue(const struct worker *w, const struct lane *lane, uint32_t *ret_n)
{
	struct sockdiag_unix u = { .queue = 0 };
	uint32_t max;
	int code;

	switch (lane->listener->bound.kind) {
	case ADDRESS_UDP:
		code = lane_queue_udp(lane->fd, ret_n);
		*ret_n = *ret_n > 0;
		return code;
	case ADDRESS_UNIX:
		code = sockdiag_unix_one(&w->drainage->diag, lane->ino,
		    &u);
		*ret_n = u.queue;
		return code;
	default:
		return lane_queue_tcp(lane->fd, ret_n, &max);
	}
}

/* Of a lane that others have too, what waits in it is theirs. */
static int64_t
count_queue(const struct worker *w)
{
	int64_t all = 0;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane = l != NULL ?
		    app_spec_lane(w->spec, l, &w->holder) : NULL;
		uint32_t n = 0;
		int code;

		if (lane == NULL || !lane->listening ||
		    (app_spec_shares(w->spec, l) && steer_has_sharer(l, w)))
			continue;
		code = lane_queue(w, lane, &n);
		/* It has just been shut down: there is none. */
		if (code < 0 && code != -EINVAL)
			return DRAIN_UNKNOWN;
		all += n;
	}
	return all;
}

static size_t
collect_ports(const struct worker *w, struct connections_of *of)
{
	size_t n = 0;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);

		if (l == NULL || l->bound.kind == ADDRESS_UDP)
			continue;
		if (l->bound.kind == ADDRESS_UNIX)
			of[n++] = (struct connections_of){
				.family = AF_UNIX,
				.ino = listener_first_lane(l)->ino,
			};
		else
			of[n++] = (struct connections_of){
				.family = l->bound.host == ADDRESS_HOST_IPV4 ?
				    AF_INET : AF_INET6,
				.port = l->bound.port,
			};
	}
	return n;
}

/* What holds it up is gone for the moment. */
static bool
is_free_now(const struct drain_facts *facts)
{
	return facts->seen && facts->queue == 0 && facts->open.busy == 0 &&
	    facts->open.resting == 0;
}

static void
end_drain(struct worker *w, const struct drain_decision *d,
    const struct drain_facts *facts)
{
	struct strbuf words = STRBUF_INIT;

	drain_words(&words, d, facts);
	worker_log(LOG_LEVEL_INFO, w, "%s",
	    words.failed ? "drained" : words.text);
	strbuf_free(&words);
	worker_post(w, WORKER_EV_DRAINED);
}

static void
decide_frozen(struct worker *w, const struct drain_facts *facts)
{
	const struct drain_decision d = {
		.done = true,
		.why = facts->open.idle > 0 ? DRAIN_WHY_IDLE : DRAIN_WHY_EMPTY,
		.took_ms = mono_ms_between(w->drain.began, mono_now()),
	};

	if (is_free_now(facts))
		end_drain(w, &d, facts);
	else
		try_later(w);
}

static void
decide(struct worker *w, const struct drain_facts *facts)
{
	const struct drain_policy policy = {
		.timeout_ms = mono_ms_between(w->drain.began,
		    w->fsm.deadline),
		.idle_ms = w->spec->conf->drain_idle_ms,
		.linger_ms = LINGER_MS,
	};
	struct drain_decision d;

	w->drain_facts = *facts;
	if (w->frozen) {
		decide_frozen(w, facts);
		return;
	}
	d = drain_decide(&w->drain, &policy, facts, mono_now());
	if (d.done && d.why == DRAIN_WHY_TIMEOUT)
		/* The worker's own deadline is the same. */
		set_due(w, MONO_NEVER);
	else if (shares(w, true) && is_free_now(facts))
		freeze(w);	/* the moment does not come again soon */
	else if (shares(w, true))
		try_later(w);
	else if (!d.done)
		set_due(w, d.again);
	else if (shares(w, false))
		freeze(w);
	else
		end_drain(w, &d, facts);
}

/* Where they cannot be looked at, they may be counted. */
static bool
count_open(const struct worker *w, struct drain_tally *ret_open)
{
	struct drain_tally open = { .busy = 0 };

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane =
		    l != NULL ? lanes_find(l, &w->holder) : NULL;
		struct lane_figures f;

		if (l == NULL || l->bound.kind == ADDRESS_UDP)
			continue;
		if (lane == NULL || app_spec_shares(w->spec, l))
			return false;
		lanes_figures(lane, &f);
		if (!f.counted)
			return false;
		open.busy += (unsigned)f.open;
	}
	*ret_open = open;
	return true;
}

/* The look has come to its end, well or not. */
static void
conclude(struct worker *w, int code)
{
	struct drain_looks *d = w->drainage;
	struct drain_facts facts = {
		.queue = w->drain_queue,
		.half_open = DRAIN_UNKNOWN,
		.seen = code == 0,
	};

	if (code == 0) {
		facts.half_open = (int64_t)d->look.n_half_open;
		facts.open = connections_tally(&d->look,
		    w->spec->conf->drain_idle_ms);
	} else {
		worker_log(w->crew->unseen_told ? LOG_LEVEL_DEBUG :
		    LOG_LEVEL_WARNING, w, "its connections cannot be seen: "
		    "%s%s", strerror(-code), w->crew->unseen_told ? "" :
		    " (said once)");
		w->crew->unseen_told = true;
		facts.seen = count_open(w, &facts.open);
	}
	end_look(d);
	decide(w, &facts);
}

static void
go_on(struct worker *w)
{
	struct drain_looks *d = w->drainage;
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	int code = connections_step(&d->look, SPELL_MS);

	inspect_end(&ids);
	if (code != 1) {
		conclude(w, code);
	} else if (w->frozen && mono_ms_between(w->frozen_since,
	    mono_now()) >= FROZEN_MAX_MS) {
		end_look(d);
		try_later(w);
	}
}

static void
begin_look(struct worker *w)
{
	struct drain_looks *d = w->drainage;
	struct connections_of of[2 * CONF_LISTENS_MAX];
	size_t n = collect_ports(w, of);
	struct fsids ids;
	int code = 0;

	w->drain_looked = mono_now();
	if (n > 0 && d->diag.fd < 0)
		code = sockdiag_open(&d->diag);
	w->drain_queue = count_queue(w);
	if (n == 0) {		/* datagrams alone: no connections */
		const struct drain_facts facts = {
			.queue = w->drain_queue, .seen = true,
		};

		decide(w, &facts);
		return;
	}
	memset(&d->look, 0, sizeof(d->look));
	d->at = w;
	if (code == 0) {
		ids = inspect_begin(&w->spec->conf->creds);
		code = connections_begin(&d->look, &d->diag, of, n, &w->pid, 1,
		    drain_steered_ms(&w->drain, mono_now()));
		inspect_end(&ids);
	}
	if (code < 0)
		conclude(w, code);
	else
		go_on(w);
}

/* A frozen one is looked at when it stands still, and goes on if it does not
   come to that. */
static void
look_at(struct worker *w)
{
	if (!w->frozen || stands_still(w))
		begin_look(w);
	else if (mono_ms_between(w->frozen_since, mono_now()) < FROZEN_MAX_MS)
		set_due(w, mono_add_ms(mono_now(), FREEZE_MS));
	else
		try_later(w);
}

static void
look_due(void *ctx)
{
	struct drain_looks *d = ctx;
	struct mono now = mono_now();
	struct worker *w, *first = NULL;

	if (d->at != NULL) {
		go_on(d->at);
		set_timer(d);
		return;
	}
	TAILQ_FOREACH(w, &d->drainers, drainer)
		if (first == NULL || w->frozen ||
		    mono_before(w->drain_due, first->drain_due)) {
			first = w;
			if (w->frozen)
				break;
		}
	if (first != NULL && !mono_before(now, first->drain_due)) {
		first->drain_due = MONO_NEVER;
		look_at(first);
	}
	set_timer(d);
}

/* ---- who drains ---- */

void
drain_watch(struct drain_looks *d, struct worker *w)
{
	struct mono now = mono_now();

	if (w->drains)
		return;
	w->drains = true;
	w->frozen = false;
	drain_begin(&w->drain, now);
	drain_steered(&w->drain, now);
	w->drainage = d;
	TAILQ_INSERT_TAIL(&d->drainers, w, drainer);
	set_due(w, mono_add_ms(now, DRAIN_STEP_MIN_MS));
}

void
drain_forget(struct worker *w)
{
	struct drain_looks *d = w->drainage;

	if (!w->drains)
		return;
	w->drains = false;
	if (d->at == w)
		end_look(d);
	/* Whoever stops it sends SIGCONT behind the stop signal. */
	w->frozen = false;
	TAILQ_REMOVE(&d->drainers, w, drainer);
	set_timer(w->drainage);
}

void
drain_log_timeout(const struct worker *w)
{
	const struct drain_decision d = {
		.done = true, .why = DRAIN_WHY_TIMEOUT,
		.took_ms = mono_ms_between(w->drain.began, mono_now()),
	};
	struct strbuf words = STRBUF_INIT;

	drain_words(&words, &d, &w->drain_facts);
	worker_log(LOG_LEVEL_WARNING, w, "%s",
	    words.failed ? "drain_timeout" : words.text);
	strbuf_free(&words);
}

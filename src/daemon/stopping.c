#include <signal.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/names/signal_name.h"
#include "daemon/above.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/sockets/listeners.h"
#include "daemon/stopping.h"
#include "daemon/workers/workers.h"
#include "linux/keeper/keeper_share.h"

/* ---- what the next supervisor is to know ---- */

static const uint32_t written[] = {
	[STOPPING_LEAVES] = LEDGER_STOP_LEAVES,
	[STOPPING_DRAINS] = LEDGER_STOP_DRAINS,
	[STOPPING_STOPS] = LEDGER_STOP_STOPS,
};

/* Before what follows is done: it is done again then. */
static void
write_down(const struct stopping *s, uint32_t phase, struct mono due)
{
	uint32_t place;
	const struct ledger_stop r = {
		.phase = phase,
		.flags = (s->signalled ? LEDGER_SIGNALLED_ONCE : 0U) |
		    (s->killing ? LEDGER_KILLING : 0U) |
		    (s->program->failed ? LEDGER_FAILED : 0U),
		.deadline = due.ns,
	};

	if (s->ledger == NULL)
		return;
	if (ledger_end(s->ledger, LEDGER_STOP) > 0)
		ledger_set(s->ledger, LEDGER_STOP, 0, &r);
	else
		(void)ledger_add(s->ledger, LEDGER_STOP, &r, &place);
}

static void
note(const struct stopping *s)
{
	if (s->phase != STOPPING_RUNS)
		write_down(s, written[s->phase], s->next_phase.due);
}

/* The keeper is to know that nobody is to be started again, and whoever comes after
   us why. */
static void
note_asked(const struct stopping *s, bool at_once)
{
	if (s->phase == STOPPING_RUNS)
		write_down(s, at_once ? LEDGER_STOP_STOPS :
		    LEDGER_STOP_LEAVES, mono_add_ms(mono_now(),
		    s->reloads->config->stop_delay_ms));
	keeper_stopping();
}

static void
set_next_phase(struct stopping *s, struct mono due)
{
	if (s->loop != NULL)
		loop_timer_set(s->loop, &s->next_phase, due);
	note(s);
}

/* ---- the phases ---- */

/* Nothing new begins from here on. */
static void
begin_end(struct stopping *s)
{
	workers_stop(s->workers);
	listeners_stop(s->listeners);
	reload_cancel(s->reloads);
	s->program->leaving = false;
}

void
stopping_now(struct stopping *s)
{
	if (s->phase == STOPPING_STOPS)
		return;
	begin_end(s);
	if (s->phase != STOPPING_DRAINS)
		above_tell_stop(s->above, s->reloads->config, "stopping",
		    0);
	s->phase = STOPPING_STOPS;
	set_next_phase(s, MONO_NEVER);
	apps_stop(s->apps);
	listeners_shut(s->listeners);
}

/* Who has not begun to drain has nothing that would end it in time. */
#define OVERTIME_MS 1000

static void
drain(struct stopping *s)
{
	begin_end(s);
	above_tell_stop(s->above, s->reloads->config, "stopping", 0);
	s->phase = STOPPING_DRAINS;
	set_next_phase(s, MONO_NEVER);
	s->drain_ms = apps_drain(s->apps);
}

void
stopping_turn(struct stopping *s)
{
	if (s->phase != STOPPING_DRAINS || !apps_have_retired(s->apps) ||
	    !mono_is_never(s->next_phase.due))
		return;
	set_next_phase(s, mono_add_ms(mono_now(), s->drain_ms + OVERTIME_MS));
	/* What was told at the beginning counted from then. */
	above_tell_more(s->above, OVERTIME_MS +
	    above_stop_ms(s->reloads->config));
}

/* All goes on as before until then. */
static void
go_down(struct stopping *s, struct mono due)
{
	s->phase = STOPPING_LEAVES;
	s->program->leaving = true;
	above_tell_stop(s->above, s->reloads->config, "going down",
	    mono_ms_between(mono_now(), due));
	set_next_phase(s, due);
}

void
stopping_leave(struct stopping *s)
{
	int64_t delay_ms = s->reloads->config->stop_delay_ms;

	if (s->phase != STOPPING_RUNS)
		return;
	note_asked(s, false);
	if (delay_ms == 0) {
		drain(s);
		return;
	}
	log_info("going down: stopping in %lld.%03llds",
	    (long long)delay_ms / 1000, (long long)delay_ms % 1000);
	go_down(s, mono_add_ms(mono_now(), delay_ms));
}

static void
next_phase_due(void *ctx)
{
	struct stopping *s = ctx;

	if (s->phase == STOPPING_LEAVES)
		drain(s);
	else if (s->phase == STOPPING_DRAINS)
		stopping_now(s);
}

/* A stop that is under way has another cause, such as clusterctl: nobody has lost
   patience yet. */
static void
hasten(struct stopping *s, int signo)
{
	if (signo == SIGINT && s->phase != STOPPING_STOPS) {
		log_info("SIGINT: stopping without draining");
		stopping_now(s);
	} else if (s->phase == STOPPING_LEAVES) {
		log_info("SIG%s: stopping now", signal_name(signo));
		drain(s);
	} else {
		log_info("SIG%s: stopping already, another one kills what is "
		    "left", signal_name(signo));
	}
}

static void
kill_what_is_left(struct stopping *s, int signo)
{
	if (s->killing)
		return;
	log_warning("SIG%s again: killing what is left", signal_name(signo));
	s->killing = true;
	note(s);
	/* In this order: nobody gets a stop signal that it could not obey. */
	apps_kill(s->apps);
	stopping_now(s);
}

void
stopping_signal(struct stopping *s, int signo)
{
	bool again = s->signalled;

	s->signalled = true;
	note_asked(s, signo == SIGINT);
	note(s);
	if (again) {
		kill_what_is_left(s, signo);
	} else if (s->phase != STOPPING_RUNS) {
		hasten(s, signo);
	} else {
		log_info("SIG%s: stopping%s", signal_name(signo),
		    signo == SIGINT ? " without draining" : "");
		if (signo == SIGINT)
			stopping_now(s);
		else
			stopping_leave(s);
	}
}

/* Closing the window is no way to say "read the file again". */
void
stopping_hangup(struct stopping *s)
{
	if (s->phase != STOPPING_RUNS)
		return;
	log_info("SIGHUP: the terminal is gone, stopping");
	stopping_leave(s);
}

/* ---- in the midst of it ---- */

bool
stopping_look_back(struct stopping *s, struct ledger *ledger)
{
	struct ledger_stop r;

	s->ledger = ledger;
	if (ledger == NULL || ledger_get_stop(ledger, &r) != 1)
		return false;
	keeper_stopping();
	s->signalled = (r.flags & LEDGER_SIGNALLED_ONCE) != 0;
	s->killing = (r.flags & LEDGER_KILLING) != 0;
	s->program->failed = (r.flags & LEDGER_FAILED) != 0;
	if (r.phase == LEDGER_STOP_LEAVES)
		return false;
	workers_stop(s->workers);
	listeners_stop(s->listeners);
	apps_are_stopping(s->apps);
	return true;
}

void
stopping_go_on(struct stopping *s)
{
	struct ledger_stop r;

	if (s->ledger == NULL || ledger_get_stop(s->ledger, &r) != 1 ||
	    s->phase != STOPPING_RUNS)
		return;
	log_info("going on with the stop that was under way");
	if (s->killing)
		apps_kill(s->apps);
	if (r.phase == LEDGER_STOP_LEAVES) {
		go_down(s, (struct mono){ .ns = r.deadline });
	} else if (r.phase == LEDGER_STOP_STOPS) {
		stopping_now(s);
	} else {
		drain(s);
		set_next_phase(s, (struct mono){ .ns = r.deadline });
	}
}

int
stopping_init(struct stopping *s, struct loop *loop)
{
	s->loop = loop;
	return loop_timer_init(loop, &s->next_phase, next_phase_due, s);
}

void
stopping_fini(struct stopping *s)
{
	if (s->loop != NULL)
		loop_timer_fini(s->loop, &s->next_phase);
}

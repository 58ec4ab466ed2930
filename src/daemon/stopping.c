#include <signal.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "core/names/signal_name.h"
#include "daemon/above.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/sockets/listeners.h"
#include "daemon/stopping.h"
#include "daemon/workers/workers.h"
#include "linux/keeper/keeper_share.h"

/* Nothing new begins from here on. */
static void
begin_end(struct stopping *s)
{
	workers_stop(s->workers);
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
	if (s->loop != NULL)
		loop_timer_set(s->loop, &s->next_phase, MONO_NEVER);
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
	s->drain_ms = apps_drain(s->apps);
	loop_timer_set(s->loop, &s->next_phase, MONO_NEVER);
}

void
stopping_turn(struct stopping *s)
{
	if (s->phase != STOPPING_DRAINS || !apps_have_retired(s->apps) ||
	    !mono_is_never(s->next_phase.due))
		return;
	loop_timer_start(s->loop, &s->next_phase, s->drain_ms + OVERTIME_MS);
	/* What was told at the beginning counted from then. */
	above_tell_more(s->above, OVERTIME_MS +
	    above_stop_ms(s->reloads->config));
}

void
stopping_leave(struct stopping *s)
{
	int64_t delay_ms = s->reloads->config->stop_delay_ms;

	if (s->phase != STOPPING_RUNS)
		return;
	keeper_stopping();
	if (delay_ms == 0) {
		drain(s);
		return;
	}
	log_info("going down: stopping in %lld.%03llds",
	    (long long)delay_ms / 1000, (long long)delay_ms % 1000);
	s->phase = STOPPING_LEAVES;
	s->program->leaving = true;
	above_tell_stop(s->above, s->reloads->config, "going down",
	    delay_ms);
	loop_timer_set(s->loop, &s->next_phase,
	    mono_add_ms(mono_now(), delay_ms));
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
	/* In this order: nobody gets a stop signal that it could not obey. */
	apps_kill(s->apps);
	stopping_now(s);
}

void
stopping_signal(struct stopping *s, int signo)
{
	bool again = s->signalled;

	s->signalled = true;
	keeper_stopping();
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

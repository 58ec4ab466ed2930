#include <signal.h>
#include <stddef.h>

#include "daemon/watch/drain_freeze_priv.h"
#include "daemon/watch/drainage_priv.h"
#include "daemon/workers/worker.h"
#include "linux/process/process.h"

/* A frozen worker is looked at as soon as it stands still, and not for longer
   than this: at first. It has to run to come to a stop, and to let go of it takes the
   stop back: where either of us is given no time, the next tries are four times as
   long as the one before. */
#define FREEZE_MS	1
#define FROZEN_MAX_MS	50
#define FROZEN_LAST_MS	800

void
drain_freeze_reset(struct drainage *x)
{
	x->frozen_max_ms = FROZEN_MAX_MS;
}

struct mono
drain_freeze_again(void)
{
	return mono_add_ms(mono_now(), FREEZE_MS);
}

struct mono
drain_freeze_begin(struct drain_freeze *f, struct drainage *x)
{
	struct mono now = mono_now();

	f->who = x;
	x->frozen_since = now;
	process_kill_group(x->worker->pid, SIGSTOP);
	return mono_add_ms(now, FREEZE_MS);
}

bool
drain_freeze_is(const struct drain_freeze *f, const struct drainage *x)
{
	return f->who == x;
}

bool
drain_freeze_is_over(const struct drainage *x)
{
	return mono_ms_between(x->frozen_since, mono_now()) >=
	    x->frozen_max_ms;
}

void
drain_freeze_be_patient(struct drainage *x)
{
	if (x->frozen_max_ms < FROZEN_LAST_MS)
		x->frozen_max_ms *= 4;
}

void
drain_freeze_thaw(struct drain_freeze *f, const struct drainage *x)
{
	if (!drain_freeze_is(f, x))
		return;
	f->who = NULL;
	process_kill_group(x->worker->pid, SIGCONT);
}

void
drain_freeze_leave(struct drain_freeze *f, const struct drainage *x)
{
	if (drain_freeze_is(f, x))
		f->who = NULL;
}

#include <sys/epoll.h>

#include "base/fd.h"
#include "daemon/life/oom_watch.h"
#include "linux/process/cgroup_tree.h"

/* From the kernel's decision to the news of a death: who is killed may have much
   memory to give back. */
#define JUST_NOW_MS 2000

/* A group that is at its limit is told of a hundred times a second, and one whose
   cache of files has grown to it may be so for ever: as long as nobody is killed, it
   is listened to again later each time. */
#define PAUSE_MS	500
#define PAUSE_MAX_MS	8000

/* False: the group is gone. */
static bool
look(struct oom_watch *o)
{
	struct mono now = mono_now();
	uint64_t kills, own;

	if (!cgroup_tree_oom_kills(o->events, &kills, &own))
		return false;
	if (mono_ms_between(o->latest, now) > JUST_NOW_MS)
		o->unclaimed = 0;
	if (kills > o->kills) {
		o->unclaimed += kills - o->kills;
		o->latest = now;
		o->pause_ms = 0;
	}
	if (own > o->own)
		o->latest_own = now;
	o->kills = kills;
	o->own = own;
	return true;
}

static void
counted(void *ctx, uint32_t events)
{
	struct oom_watch *o = ctx;

	(void)events;
	if (!look(o)) {
		oom_watch_end(o);
		return;
	}
	o->pause_ms = o->pause_ms == 0 ? PAUSE_MS :
	    o->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : o->pause_ms * 2;
	loop_del(o->loop, &o->handle);
	loop_timer_start(o->loop, &o->again, o->pause_ms);
}

static void
again_due(void *ctx)
{
	struct oom_watch *o = ctx;

	if (!look(o) || loop_add(o->loop, o->events, EPOLLPRI, false, counted,
	    o, &o->handle) < 0)
		oom_watch_end(o);
}

void
oom_watch_begin(struct oom_watch *o, struct loop *loop, int events)
{
	*o = (struct oom_watch){ .loop = loop, .events = events };
	if (events < 0)
		return;
	if (loop_timer_init(loop, &o->again, again_due, o) < 0) {
		fd_close(&o->events);
		return;
	}
	/* The first read is what later ones are told apart from, by the kernel
	   as well. */
	if (!cgroup_tree_oom_kills(events, &o->kills, &o->own) ||
	    loop_add(loop, events, EPOLLPRI, false, counted, o,
		&o->handle) < 0)
		oom_watch_end(o);
}

void
oom_watch_begin_asked(struct oom_watch *o, int events)
{
	*o = (struct oom_watch){ .events = events, .latest = mono_now() };
	if (events >= 0 && !cgroup_tree_oom_kills(events, &o->kills, &o->own))
		oom_watch_end(o);
}

void
oom_watch_end(struct oom_watch *o)
{
	if (o->events < 0)
		return;
	if (o->loop != NULL) {
		loop_del(o->loop, &o->handle);
		loop_timer_fini(o->loop, &o->again);
	}
	fd_close(&o->events);
}

bool
oom_watch_claim(struct oom_watch *o, bool *ret_own)
{
	if (o->events < 0 || o->loop == NULL)
		return false;
	(void)look(o);
	if (o->unclaimed == 0)
		return false;
	o->unclaimed--;
	*ret_own = o->latest_own.ns != 0 &&
	    mono_ms_between(o->latest_own, mono_now()) <= JUST_NOW_MS;
	return true;
}

uint64_t
oom_watch_count(struct oom_watch *o, int64_t *ret_ms)
{
	uint64_t before = o->kills;
	struct mono last = o->latest;

	if (o->events < 0 || o->loop != NULL ||
	    !cgroup_tree_oom_kills(o->events, &o->kills, &o->own))
		return 0;
	o->latest = mono_now();
	*ret_ms = mono_ms_between(last, o->latest);
	return o->kills > before ? o->kills - before : 0;
}

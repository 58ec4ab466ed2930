#include <assert.h>
#include <string.h>

#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

void
workers_init(struct workers *ws, struct loop *loop,
    const struct worker_events *events, uint64_t run_id)
{
	ws->loop = loop;
	ws->events = events;
	ws->run_id = run_id;
	TAILQ_INIT(&ws->posted);
	LIST_INIT(&ws->unrecorded);
}

void
workers_stop(struct workers *ws)
{
	ws->stopping = true;
}

uint64_t
workers_number(struct workers *ws)
{
	return ++ws->number;
}

/* ---- by pid ---- */

static struct worker **
bucket(struct workers *ws, pid_t pid)
{
	return &ws->by_pid[(unsigned)pid % PID_BUCKETS];
}

void
workers_add(struct workers *ws, struct worker *w)
{
	struct worker **b = bucket(ws, w->pid);

	w->next_pid = *b;
	*b = w;
}

void
workers_remove(struct workers *ws, struct worker *w)
{
	for (struct worker **p = bucket(ws, w->pid); *p != NULL;
	    p = &(*p)->next_pid)
		if (*p == w) {
			*p = w->next_pid;
			return;
		}
}

struct worker *
workers_find(struct workers *ws, pid_t pid)
{
	struct worker *w = *bucket(ws, pid);

	while (w != NULL && w->pid != pid)
		w = w->next_pid;
	return w;
}

/* ---- crews ---- */

void
workers_enter(struct workers *ws, struct crew *crew)
{
	struct crew **end = &ws->crews;

	while (*end != NULL)
		end = &(*end)->next;
	crew->all = ws;
	crew->next = NULL;
	*end = crew;
}

void
workers_leave(struct crew *crew)
{
	for (struct crew **p = &crew->all->crews; *p != NULL; p = &(*p)->next)
		if (*p == crew) {
			*p = crew->next;
			return;
		}
}

struct crew *
workers_crew(const struct workers *ws, const char *name)
{
	for (struct crew *c = ws->crews; c != NULL; c = c->next)
		if (!c->stopping && strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* ---- events that wait ---- */

static_assert(WORKER_EVENTS <= 32, "each is a bit of worker->posted");

void
worker_post(struct worker *w, enum worker_event event)
{
	if (w->posted == 0)
		TAILQ_INSERT_TAIL(&w->crew->all->posted, w, post);
	w->posted |= 1u << event;
}

static void
set_posted(struct worker *w, unsigned posted)
{
	if (w->posted != 0 && posted == 0)
		TAILQ_REMOVE(&w->crew->all->posted, w, post);
	w->posted = posted;
}

bool
worker_take_post(struct worker *w, enum worker_event *ret_event)
{
	if (w->posted == 0)
		return false;
	*ret_event = (enum worker_event)__builtin_ctz(w->posted);
	set_posted(w, w->posted & (w->posted - 1));
	return true;
}

void
worker_unpost(struct worker *w)
{
	set_posted(w, 0);
}

struct worker *
workers_posted(const struct workers *ws)
{
	return TAILQ_FIRST(&ws->posted);
}

void
worker_note(struct worker *w)
{
	if (!w->unrecorded)
		LIST_INSERT_HEAD(&w->crew->all->unrecorded, w, record_next);
	w->unrecorded = true;
}

void
worker_noted(struct worker *w)
{
	if (w->unrecorded)
		LIST_REMOVE(w, record_next);
	w->unrecorded = false;
}

struct worker *
workers_unrecorded(const struct workers *ws)
{
	return LIST_FIRST(&ws->unrecorded);
}

#include <string.h>

#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

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

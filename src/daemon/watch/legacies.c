#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/legacies.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

struct legacy *
legacies_find(const struct legacies *all, uint64_t serial, pid_t group)
{
	for (struct legacy *l = all->first; l != NULL; l = l->next)
		if (serial != 0 ? l->serial == serial : l->pid == group)
			return l;
	return NULL;
}

void
legacies_add(struct legacies *all, const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;
	struct legacy *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return;		/* the defaults do */
	*l = (struct legacy){
		.next = all->first, .serial = w->serial, .pid = w->pid,
		.identity = w->identity,
		.app = strdup(w->crew->name), .instance = w->instance,
		.signo = conf->stop_signal, .timeout_ms = conf->stop_timeout_ms,
		.keep = conf->orphans == CONF_ORPHANS_KEEP,
		/* A sweep that is under way may be past them. */
		.found = true,
	};
	all->first = l;
}

void
legacies_begin(struct legacies *all)
{
	for (struct legacy *l = all->first; l != NULL; l = l->next)
		l->found = false;
}

void
legacies_note_found(struct legacy *l)
{
	l->found = true;
}

void
legacies_drop(struct legacies *all)
{
	struct legacy **p = &all->first;

	while (*p != NULL) {
		struct legacy *l = *p;

		if (l->found) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		free(l->app);
		free(l);
	}
}

void
legacies_free(struct legacies *all)
{
	legacies_begin(all);
	legacies_drop(all);
}

#include <unistd.h>

#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_alone.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

/* A number without a process may still be its group's. */
static bool
is_another(pid_t pid, uint64_t identity)
{
	uint64_t now = identity != 0 ? process_identity(pid) : 0;

	return now != 0 && now != identity;
}

/* Of a worker, dead or not. */
static bool
is_our_group(const struct orphans *o, pid_t group)
{
	const struct legacy *l = legacies_find(&o->legacies, 0, group);

	if (l != NULL && !is_another(group, l->identity))
		return true;
	for (const struct crew *c = o->workers->crews; c != NULL; c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next)
			if (w->pid == group && !is_another(group, w->identity))
				return true;
	return false;
}

/* Dead ones neither: their parent may never reap them. */
static bool
is_none_of_ours(void *ctx, pid_t pid)
{
	const struct orphans *o = ctx;
	struct process_stat st;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return true;
	return orphans_serial_of(o, pid) == 0 && !is_our_group(o, st.group);
}

void
orphans_alone(struct orphans *o)
{
	process_foster(getppid(), is_none_of_ours, o);
}

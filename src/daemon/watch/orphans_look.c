#include <errno.h>

#include "base/log.h"
#include "base/mono.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/looks.h"
#include "linux/process/process.h"

bool
orphans_look_in_group(struct orphans *o, pid_t pgid)
{
	/* A worker that has this number now is no leftover of the old one. */
	return workers_find(o->workers, pgid) == NULL &&
	    process_child_in_group(pgid);
}

struct owner_search {
	const struct worker *worker;
	struct mono end;
	bool found;
};

static bool
look_for_owner(struct orphans *o, pid_t pid, void *ctx)
{
	struct owner_search *search = ctx;
	struct process_stat st;
	uint64_t serial;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return true;
	search->found = st.group == search->worker->pid ||
	    (orphans_serial_of(o, pid, &serial) == 0 &&
	    serial == search->worker->serial);
	return !search->found && mono_before(mono_now(), search->end);
}

bool
orphans_look_for(struct orphans *o, const struct worker *worker)
{
	struct owner_search search = {
		.worker = worker, .end = orphans_budget(),
	};

	orphans_each(o, look_for_owner, &search);
	return search.found;
}

struct crew_search {
	const struct crew *crew;
	struct mono end;
	bool found;
	bool unseen;
};

/* By its group, for which nobody has to be looked into, or by its environment. */
static bool
is_of_crew(struct orphans *o, pid_t pid, const struct crew *crew,
    bool *ret_unseen)
{
	const struct worker *w;
	struct process_stat st;
	uint64_t serial;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return false;
	w = workers_find(o->workers, st.group);
	if (w != NULL)
		return w->crew == crew;
	if (legacies_find(&o->legacies, 0, st.group) != NULL)
		return false;
	if (orphans_serial_of(o, pid, &serial) < 0)
		*ret_unseen = true;
	for (w = crew->workers; w != NULL; w = w->next)
		if (serial != 0 && w->serial == serial)
			return true;
	return false;
}

static bool
look_for_crew(struct orphans *o, pid_t pid, void *ctx)
{
	struct crew_search *search = ctx;

	search->found = is_of_crew(o, pid, search->crew, &search->unseen) ||
	    !mono_before(mono_now(), search->end);
	return !search->found;
}

int
orphans_look_for_crew(struct orphans *o, const struct crew *crew)
{
	struct crew_search search = { .crew = crew, .end = orphans_budget() };

	/* What cannot be listed may well be there. */
	if (!orphans_each(o, look_for_crew, &search) || search.found)
		return 1;
	return search.unseen ? -EAGAIN : 0;
}

struct holder_search {
	const struct conf_creds *creds;
	uint64_t ino;
	int given, n_given;
	struct mono end;
	bool found;
};

static bool
look_for_holder(struct orphans *o, pid_t pid, void *ctx)
{
	struct holder_search *search = ctx;
	const struct looker_whom whom = { .pid = pid, .creds = search->creds };
	struct process_stat st;

	(void)o;
	/* As what cannot be listed. */
	search->found = !mono_before(mono_now(), search->end);
	if (search->found || !process_stat(pid, &st) || st.state == 'Z')
		return !search->found;
	search->found = look_holds(&whom, pid, search->ino, search->given,
	    search->n_given) != 0;
	return !search->found;
}

bool
orphans_look_holds(struct orphans *o, const struct conf_creds *creds,
    uint64_t ino, int given, int n)
{
	struct holder_search search = {
		.creds = creds, .ino = ino, .given = given, .n_given = n,
		.end = orphans_budget(),
	};

	return !orphans_each(o, look_for_holder, &search) || search.found;
}

struct member_list {
	const struct worker *worker;
	struct mono end;
};

static bool
log_member(struct orphans *o, pid_t pid, void *ctx)
{
	const struct member_list *list = ctx;
	struct process_stat st;
	char name[32];

	(void)o;
	if (!mono_before(mono_now(), list->end))
		return false;
	if (!process_stat(pid, &st) || st.state == 'Z' ||
	    st.group != list->worker->pid)
		return true;
	process_name(pid, name, sizeof(name));
	worker_log_often(LOG_LEVEL_INFO, list->worker, "exited; pid %d (%s) of "
	    "its process group is still there", (int)pid, name);
	return true;
}

void
orphans_look_log(struct orphans *o, const struct worker *w)
{
	struct member_list list = { .worker = w, .end = orphans_budget() };

	orphans_each(o, log_member, &list);
}

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "daemon/apps/app.h"
#include "daemon/watch/orphans.h"
#include "daemon/supervisor.h"
#include "daemon/workers/worker.h"
#include "linux/process/process.h"

void
orphans_note_strangers(struct supervisor *sup)
{
	if (process_children(&sup->strangers, &sup->n_strangers) < 0)
		sup->n_strangers = 0;
}

static bool
is_stranger(const struct supervisor *sup, pid_t pid)
{
	for (size_t i = 0; i < sup->n_strangers; i++)
		if (sup->strangers[i] == pid)
			return true;
	return false;
}

/*
 * Call `fn` for every child that is neither a worker's leader nor was there
 * before us, until it returns false. False: the children cannot be listed.
 */
static bool
each_orphan(struct supervisor *sup,
    bool (*fn)(struct supervisor *sup, pid_t pid, void *ctx), void *ctx)
{
	pid_t *pids;
	size_t n;

	if (process_children(&pids, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (supervisor_find_worker(sup, pids[i]) == NULL &&
		    !is_stranger(sup, pids[i]) && !fn(sup, pids[i], ctx))
			break;
	free(pids);
	return true;
}

bool
orphans_in_group(struct supervisor *sup, pid_t pgid)
{
	/* A worker that has this number now is no leftover of the old one. */
	return supervisor_find_worker(sup, pgid) == NULL &&
	    process_child_in_group(pgid);
}

/* The serial of the worker that a process descends from; 0: not ours. */
static uint64_t
serial_of(const struct supervisor *sup, pid_t pid)
{
	char id[64], own[32];
	uint64_t serial;

	snprintf(own, sizeof(own), "%016llx.",
	    (unsigned long long)sup->run_id);
	if (!process_env(pid, "CLUSTERD_WORKER_ID", id, sizeof(id)) ||
	    strncmp(id, own, strlen(own)) != 0 ||
	    !num_parse(id + strlen(own), 1, UINT64_MAX, &serial))
		return 0;
	return serial;
}

struct owner_search {
	const struct worker *worker;
	bool found;
};

static bool
look_for_owner(struct supervisor *sup, pid_t pid, void *ctx)
{
	struct owner_search *search = ctx;
	struct process_stat st;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return true;
	search->found = st.group == search->worker->pid ||
	    serial_of(sup, pid) == search->worker->serial;
	return !search->found;
}

bool
orphans_of(struct supervisor *sup, const struct worker *worker)
{
	struct owner_search search = { .worker = worker };

	each_orphan(sup, look_for_owner, &search);
	return search.found;
}

struct app_search {
	const struct app *app;
	bool found;
};

static bool
look_for_app(struct supervisor *sup, pid_t pid, void *ctx)
{
	struct app_search *search = ctx;
	uint64_t serial = serial_of(sup, pid);

	for (const struct worker *w = search->app->workers; w != NULL;
	    w = w->next)
		search->found |= serial != 0 && w->serial == serial;
	return !search->found;
}

bool
orphans_of_app(const struct app *app)
{
	struct app_search search = { .app = app };

	/* What cannot be listed may well be there. */
	return !each_orphan(app->sup, look_for_app, &search) || search.found;
}

static void
kill_with_group(pid_t pid)
{
	/* It is our unreaped child, so the number is its own. */
	if (getpgid(pid) == pid)
		process_kill_group(pid, SIGKILL);
	(void)kill(pid, SIGKILL);
}

static bool
serial_lives(const struct supervisor *sup, uint64_t serial)
{
	for (const struct app *a = sup->apps; a != NULL; a = a->next_app)
		for (const struct worker *w = a->workers; w != NULL;
		    w = w->next)
			if (w->serial == serial && w->pid != 0)
				return true;
	return false;
}

static bool
sweep_one(struct supervisor *sup, pid_t pid, void *ctx)
{
	uint64_t serial = serial_of(sup, pid);

	(void)ctx;
	if (serial != 0 && !serial_lives(sup, serial)) {
		log_debug("killing pid %d, left behind by a dead worker",
		    (int)pid);
		kill_with_group(pid);
	}
	return true;
}

void
orphans_sweep(struct supervisor *sup)
{
	each_orphan(sup, sweep_one, NULL);
}

static bool
kill_one(struct supervisor *sup, pid_t pid, void *ctx)
{
	size_t *n = ctx;

	(void)sup;
	kill_with_group(pid);
	(*n)++;
	return true;
}

size_t
orphans_kill_all(struct supervisor *sup)
{
	size_t n = 0;

	if (each_orphan(sup, kill_one, &n) || !process_has_children() ||
	    sup->n_strangers > 0)
		return n;
	/* There are some, and no list of them. As process 1 we can kill them
	   all the same: our end would do it too. */
	if (sup->pid == 1)
		(void)kill(-1, SIGKILL);
	return 1;
}

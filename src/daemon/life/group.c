#include <errno.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"
#include "daemon/life/group.h"
#include "daemon/life/group_priv.h"
#include "daemon/life/life_house.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/cgroup_tree.h"

static void
name_of(const struct worker *w, char name[GROUP_NAME_MAX])
{
	group_name(name, w->crew->name, w->instance, w->serial);
}

/* Its memory is limited, or not: it is counted in any case where it can be. */
static void
watch(struct life *life, struct group *g, const char *name)
{
	g->own = true;
	oom_watch_begin(&g->oom, life->with.workers->loop,
	    cgroup_tree_events(&life->groups, name));
}

int
group_begin(struct group *g, struct life *life, const struct worker *w,
    int *ret_procs, struct error *err)
{
	struct cgroup_tree *groups = &life->groups;
	const struct conf_app *conf = w->spec->conf;
	char name[GROUP_NAME_MAX];
	unsigned controllers = group_controllers(conf);
	int code;

	*ret_procs = -1;
	if (controllers == 0)
		return 0;
	name_of(w, name);
	code = cgroup_tree_begin(groups, controllers, keeper_pid(), err);
	if (code == 0)
		code = cgroup_tree_make(groups, name, conf, ret_procs, err);
	if (code < 0)
		return code;
	watch(life, g, name);
	return 0;
}

void
group_again(struct group *g, struct life *life, const struct worker *w)
{
	struct cgroup_tree *groups = &life->groups;
	unsigned controllers = group_controllers(w->spec->conf);
	char name[GROUP_NAME_MAX];

	/* Under a clusterd that knew no limits it has none. */
	if (controllers == 0 || cgroup_tree_begin(groups, controllers,
	    keeper_pid(), NULL) < 0)
		return;
	name_of(w, name);
	watch(life, g, name);
}

void
group_end(struct group *g, struct life *life, const struct worker *w)
{
	char name[GROUP_NAME_MAX];

	oom_watch_end(&g->oom);
	if (!g->own)
		return;
	g->own = false;
	name_of(w, name);
	cgroup_tree_remove(&life->groups, name);
}

bool
group_was_oom(struct group *g, struct life *life)
{
	if (g->oom.events < 0)
		return oom_watch_claim(&life->oom);
	if (!oom_watch_claim(&g->oom))
		return false;
	/* What is counted in a group is counted in the one above, too. */
	(void)oom_watch_claim(&life->oom);
	return true;
}

void
group_shrank(struct life *life)
{
	if (life->groups.left)
		cgroup_tree_sweep(&life->groups);
}

int
group_check_limits(struct life *life, const struct config *config,
    struct error *err)
{
	struct error why = ERROR_INIT;
	unsigned controllers = 0;
	int code;

	for (size_t i = 0; i < config->n_apps; i++)
		controllers |= group_controllers(&config->apps[i]);
	code = cgroup_tree_begin(&life->groups, controllers, keeper_pid(),
	    &why);
	/* Without cgroups there is nothing to go on with. */
	if (controllers == 0)
		code = 0;
	if (code < 0)
		error_set(err, code, "memory_limit, cpu_limit and tasks_limit "
		    "are not possible here: %s", error_text(&why));
	error_clear(&why);
	if (code < 0)
		return code;
	/* Before that we may have been in another group. */
	if (life->oom.events < 0)
		oom_watch_begin(&life->oom, life->with.workers->loop,
		    cgroup_tree_events(&life->groups, NULL));
	return 0;
}

int
group_could_limit(const struct config *config, const char **ret_app,
    struct error *err)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		unsigned controllers = group_controllers(&config->apps[i]);

		*ret_app = config->apps[i].name;
		if (controllers != 0 && cgroup_tree_check(controllers, err) < 0)
			return -ENOTSUP;
	}
	return 0;
}

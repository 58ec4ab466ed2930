#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"
#include "core/worker/obituary.h"
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
	group_name(name, w->crew->name, w->instance, w->crew->all->run_id,
	    w->serial);
}

/* Its memory is limited, or not: it is counted in any case where it can be. */
static void
watch(struct life *life, struct group *g, const char *name)
{
	g->own = true;
	oom_watch_begin(&g->oom, life->with.workers->loop,
	    cgroup_tree_events(&life->groups, name));
}

static void
tell_unlimited(struct group *g, const struct worker *w, const char *why)
{
	static const char words[] = "its limits are not in force, it runs "
	    "without: %s";

	if (!g->told)
		log_vital(LOG_LEVEL_WARNING, &w->holder.about, words, words,
		    why);
	g->told = true;
}

int
group_begin(struct group *g, struct life *life, const struct worker *w)
{
	struct cgroup_tree *groups = &life->groups;
	const struct conf_app *conf = w->spec->conf;
	struct error err = ERROR_INIT;
	char name[GROUP_NAME_MAX];
	int procs = -1;

	if ((group_controllers(conf) & groups->controllers) == 0)
		return -1;
	name_of(w, name);
	if (cgroup_tree_make(groups, name, conf, &procs, &err) == 0)
		watch(life, g, name);
	else
		tell_unlimited(g, w, error_text(&err));
	error_clear(&err);
	return procs;
}

void
group_joined(struct group *g)
{
	g->told = g->told && !g->own;
}

void
group_refused(struct group *g, struct life *life, const struct worker *w,
    int code)
{
	struct strbuf why = STRBUF_INIT;

	strbuf_printf(&why, "it cannot go into its control group: %s",
	    strerror(code));
	tell_unlimited(g, w, why.failed ? strerror(code) : why.text);
	strbuf_free(&why);
	group_end(g, life, w);
}

void
group_again(struct group *g, struct life *life, const struct worker *w)
{
	char name[GROUP_NAME_MAX];

	name_of(w, name);
	if (cgroup_tree_has(&life->groups, name))
		watch(life, g, name);
}

void
group_end(struct group *g, struct life *life, const struct worker *w)
{
	char name[GROUP_NAME_MAX];

	oom_watch_end(&g->oom);
	if (!g->own)
		return;
	g->own = g->at_limit = false;
	name_of(w, name);
	cgroup_tree_remove(&life->groups, name);
}

bool
group_was_oom(struct group *g, struct life *life)
{
	bool own;

	if (g->oom.events < 0)
		return oom_watch_claim(&life->oom, &own);
	return oom_watch_claim(&g->oom, &g->at_limit);
}

void
group_hint(struct strbuf *sb, const struct group *g, struct life *life)
{
	int64_t ms;
	uint64_t kills = g->oom.events >= 0 ? 0 :
	    oom_watch_count(&life->oom, &ms);

	if (kills == 0)
		return;
	strbuf_printf(sb, "; the OOM killer has killed %" PRIu64 " of "
	    "clusterd's control group within the last ", kills);
	obituary_duration(sb, ms);
}

void
group_shrank(struct life *life)
{
	cgroup_tree_sweep(&life->groups);
}

static void
tell_missing(struct life *life, unsigned missing, const char *why)
{
	struct strbuf words = STRBUF_INIT;

	for (unsigned i = 0; i < GROUP_CONTROLLERS; i++)
		if ((missing & 1U << i) != 0)
			strbuf_printf(&words, "%s%s", words.len > 0 ? ", " : "",
			    group_limit_key((enum group_controller)i));
	if (words.len > 0)
		strbuf_printf(&words, " not in force, workers run without: %s",
		    why);
	if (words.len > 0 && !words.failed && (life->limits_told == NULL ||
	    strcmp(life->limits_told, words.text) != 0))
		log_warning("%s", words.text);
	free(life->limits_told);
	life->limits_told = strbuf_take(&words);
}

/* Of those who have no group of their own: where that is, it may have changed. In one
   that is not of our making somebody else may come to his limit again and again,
   which is not to wake us. */
static void
watch_ours(struct life *life)
{
	bool ours;
	int events = cgroup_tree_events_of_us(&life->groups, &ours);

	oom_watch_end(&life->oom);
	if (ours)
		oom_watch_begin(&life->oom, life->with.workers->loop, events);
	else
		oom_watch_begin_asked(&life->oom, events);
}

void
group_provide_limits(struct life *life, const struct config *config,
    const bool *which)
{
	const unsigned before = life->groups.controllers;
	struct error why = ERROR_INIT;
	unsigned controllers = 0;

	for (size_t i = 0; i < config->n_apps; i++)
		if (which == NULL || which[i])
			controllers |= group_controllers(&config->apps[i]);
	(void)cgroup_tree_begin(&life->groups, controllers, keeper_pid(), &why);
	tell_missing(life, controllers & ~life->groups.controllers,
	    error_text(&why));
	error_clear(&why);
	if (life->oom.events < 0 || life->groups.controllers != before)
		watch_ours(life);
}

int
group_could_limit(const struct config *config, const char **ret_app,
    struct error *err)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		unsigned controllers = group_controllers(&config->apps[i]);

		*ret_app = config->apps[i].name;
		if (controllers != 0 && cgroup_tree_check(controllers,
		    keeper_pid(), err) < 0)
			return -ENOTSUP;
	}
	return 0;
}

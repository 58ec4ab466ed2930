#include <sys/fsuid.h>
#include <sys/prctl.h>

#include <signal.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "linux/file/fsids.h"

/* The kernel has just forgotten it, and meanwhile we may be held up for ever. */
static void
renew_death_signal(const struct fsids *fsids)
{
	if (fsids->death_signal == 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, fsids->death_signal, 0, 0, 0);
	/* It may have died before that. */
	if (getppid() != fsids->parent)
		(void)kill(getpid(), fsids->death_signal);
}

struct fsids
fsids_begin(const struct conf_creds *creds)
{
	struct fsids fsids = {
		.changed = creds->set,
		.dumpable = -1,
	};

	if (!creds->set)
		return fsids;
	fsids.parent = getppid();
	if (prctl(PR_GET_PDEATHSIG, &fsids.death_signal, 0, 0, 0) < 0)
		fsids.death_signal = 0;
	fsids.dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	/* The group first: without our uid we could not change it. */
	(void)setfsgid(creds->gid);
	if (creds->name != NULL)
		(void)setfsuid(creds->uid);
	renew_death_signal(&fsids);
	return fsids;
}

/* Setting them never fails, it only does nothing; -1 asks. */
bool
fsids_are(const struct conf_creds *creds)
{
	return !creds->set || ((gid_t)setfsgid((gid_t)-1) == creds->gid &&
	    (creds->name == NULL || (uid_t)setfsuid((uid_t)-1) == creds->uid));
}

static void
restore_process(const struct fsids *fsids)
{
	/* 2 cannot be set, but is what the kernel puts there then. */
	if (fsids->dumpable == 0 || fsids->dumpable == 1)
		(void)prctl(PR_SET_DUMPABLE, fsids->dumpable, 0, 0, 0);
	renew_death_signal(fsids);
}

void
fsids_end(struct fsids *fsids)
{
	if (!fsids->changed)
		return;
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
	restore_process(fsids);
	fsids->changed = false;
}

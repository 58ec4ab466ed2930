/* What the room has in common: whom it asks, and what is of no one worker. */
#ifndef DAEMON_LIFE_LIFE_HOUSE_H
#define DAEMON_LIFE_LIFE_HOUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "daemon/life/oom_watch.h"
#include "linux/loop/loop.h"
#include "linux/process/cgroup_tree.h"

struct adopt;
struct adopt_review;
struct drainers;
struct healths;
struct on_event;
struct leader;
struct listeners;
struct notify_sockets;
struct orphans;
struct outputs;
struct looks;
struct readiness;
struct steering;
struct ledger;
struct life_left;
struct workers;

struct life {
	/* Whom it asks; given to life_move_in(). */
	struct life_house {
		struct workers *workers;
		struct listeners *listeners;
		struct outputs *outputs;
		struct steering *steering;
		struct looks *looks;		/* NULL: nobody else looks */
		struct readiness *readiness;
		struct notify_sockets *notify;
		struct drainers *drainers;
		struct healths *healths;
		struct on_event *on_event;	/* NULL: none runs */
		struct orphans *orphans;
		struct adopt *adopt;
		struct adopt_review *review;
		const char *cwd;	/* for workers without a directory of
					   their own; NULL: ours */
	} with;
	struct ledger *ledger;		/* workers outlive us, and stand in it;
					   NULL: they do not */
	struct life_left *left;		/* life_again's; NULL: nobody */
	struct loop_later doubts;	/* … and its looks at some of them … */
	unsigned doubt;			/* … from this place of by_pid on */
	struct cgroup_tree groups;	/* workers' */
	char *limits_told;		/* what people know of them; or NULL */
	struct oom_watch oom;		/* of the group that we are in with those
					   who have none of their own */
	int null_fd;			/* /dev/null, to read and write */
	struct rlimit nofile;		/* as inherited, for the workers */
	uint64_t serial;		/* of the last worker process */
	bool gives_birth;		/* it may stand nowhere yet */
	struct loop_budget restarts;	/* of a turn, where a delay is over … */
	TAILQ_HEAD(late_leaders, leader) late;	/* … and who had no time */
	unsigned lingering;	/* workers whose leader died before its group */
	bool failed;		/* life_failed() */
	char *failure;		/* … why; NULL: no memory */
};

#define LIFE_INIT { .null_fd = -1, .oom = OOM_WATCH_INIT }

#endif

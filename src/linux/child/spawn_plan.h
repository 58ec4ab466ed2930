/* What is to be executed, and in which way it may fail. */
#ifndef LINUX_CHILD_SPAWN_PLAN_H
#define LINUX_CHILD_SPAWN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

struct conf_creds;

struct spawn_plan {
	char *const *files;		/* tried in order, NULL-terminated */
	char *const *argv;
	char *const *envp;
	char *listen_pid;		/* room for the pid's digits, or NULL;
					   written in the child only */
	char *watchdog_pid;		/* the same */
	const int *fds;			/* become 3, 4, …; not closed here */
	size_t n_fds;			/* <= CONF_LISTENS_MAX */
	bool limited;			/* it goes into a control group, if
					   it can, … */
	int group;			/* … whose cgroup.procs this is; not
					   closed here */
	bool trap;			/* bind and listen, see
					   seccomp_notify.h */
	bool survives;			/* us; else it is killed then */
	int in_fd;			/* standard input */
	int out_fd;			/* standard output and error; -1: as */
	int err_fd;			/* ours */
	const char *directory;		/* NULL: … */
	const char *cwd;		/* … there if it is possible; NULL:
					   stay */
	const char *base_dir;		/* where it is looked for a file of a
					   bare name that is not in PATH */
	int32_t umask;			/* -1: stay */
	struct rlimit nofile;
	const struct conf_creds *creds;
};

enum spawn_stage {
	SPAWN_GROUP,
	SPAWN_FDS,
	SPAWN_SESSION,
	SPAWN_TRAP,
	SPAWN_NOFILE,
	SPAWN_CREDS,
	SPAWN_PARENT,
	SPAWN_DIRECTORY,
	SPAWN_EXEC,
	SPAWN_STAGES
};

/* What the child has seen of the program: its parent is not to wait for a file
   system. */
enum spawn_seen {
	SPAWN_SEEN_FILE = 1,	/* there is what its path names … */
	SPAWN_SEEN_BESIDE = 2,	/* … or a file of the bare name, in base_dir */
	SPAWN_SEEN_EXECUTABLE = 4,	/* … and that may be executed */
};

struct spawn_failure {
	enum spawn_stage stage;
	int err;		/* errno */
	unsigned seen;		/* enum spawn_seen, of SPAWN_EXEC */
};

#endif

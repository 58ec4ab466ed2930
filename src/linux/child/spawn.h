/*
 * Starting a program. All memory is made before the fork; the child only makes
 * async-signal-safe calls. Whether the program could be executed comes back
 * over a close-on-exec socket: its end says yes, a record says where it failed.
 */
#ifndef LINUX_CHILD_SPAWN_H
#define LINUX_CHILD_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct conf_creds;
struct error;
struct strbuf;

struct spawn_plan {
	char *const *files;		/* tried in order, NULL-terminated */
	char *const *argv;
	char *const *envp;
	char *listen_pid;		/* room for the pid's digits, or NULL;
					   written in the child only */
	const int *fds;			/* become 3, 4, …; not closed here */
	size_t n_fds;			/* <= CONF_LISTENS_MAX */
	bool trap;			/* bind and listen, see
					   seccomp_notify.h */
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
	bool survives;			/* us; else it is killed then */
};

enum spawn_stage {
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

/*
 * Fork and execute. On success the caller owns the pid and *ret_report, its
 * end of the socket (close-on-exec, non-blocking). -errno: nothing was
 * started.
 */
int spawn(const struct spawn_plan *plan, pid_t *ret_pid, int *ret_report);

enum spawn_report {
	SPAWN_REPORT_PENDING,	/* nothing yet */
	SPAWN_REPORT_EXECUTED,	/* the program runs, or the child died before
				   the exec without a word: its exit tells */
	SPAWN_REPORT_FAILED,	/* *ret_failure says where */
	SPAWN_REPORT_TRAPPED,	/* *ret_trap is the listener of its calls, the
				   caller's; read on */
};

enum spawn_report spawn_read_report(int report,
    struct spawn_failure *ret_failure, int *ret_trap);

/* Was it for want of something that others may give back, descriptors, memory,
   processes, or the program that somebody writes? Else it fails every time. */
bool spawn_failure_passes(const struct spawn_failure *failure);

/* "cannot execute ./server: No such file or directory", with a hint where
   one helps. `base_dir` is the one that relative names of the configuration are
   of. */
void spawn_failure_text(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *directory, const char *base_dir);

#endif

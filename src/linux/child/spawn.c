#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "core/conf/advice_command.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "linux/child/seccomp_notify.h"
#include "linux/loop/signals.h"
#include "linux/child/spawn.h"

/* ---- the child: async-signal-safe calls only, until the exec ---- */

static void __attribute__((noreturn))
child_report(int report, const struct spawn_failure *failure)
{
	/* A packet: arrives whole or not at all. */
	(void)!write(report, failure, sizeof(*failure));
	_exit(127);
}

static void __attribute__((noreturn))
child_fail(int report, enum spawn_stage stage)
{
	const struct spawn_failure failure = { .stage = stage, .err = errno };

	child_report(report, &failure);
}

/* Room for one descriptor, aligned as cmsg(3) wants it. */
union fd_message {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* From here on bind and listen wait for the supervisor's answer. */
static int
child_trap(int report)
{
	int listener = seccomp_notify_install();
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union fd_message message = { .room = { 0 } };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = message.room,
		.msg_controllen = sizeof(message.room),
	};
	int sent;

	if (listener < 0) {
		errno = -listener;
		return -1;
	}
	message.header.cmsg_level = SOL_SOCKET;
	message.header.cmsg_type = SCM_RIGHTS;
	message.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&message.header), &listener, sizeof(int));
	sent = (int)sendmsg(report, &msg, MSG_NOSIGNAL);
	(void)close(listener);
	return sent < 0 ? -1 : 0;
}

/* `v[i]` to above the numbers that are given, and away from where it was; but our
   own standard streams stay, and what is wanted again before `i` in `v`. */
static int
child_move(int *v, size_t i, int above)
{
	int from = v[i];
	bool stays = from <= STDERR_FILENO;

	v[i] = fcntl(from, F_DUPFD_CLOEXEC, above);
	for (size_t other = 0; other < i; other++)
		stays = stays || v[other] == from;
	if (v[i] >= 0 && !stays)
		(void)close(from);
	return v[i] < 0 ? -1 : 0;
}

/* To its place. */
static int
child_put(int fd, int place)
{
	if (dup2(fd, place) < 0)
		return -1;
	(void)close(fd);
	return 0;
}

/*
 * Put the listeners on 3, 4, …, and what goes there on 0 to 2. Their present
 * numbers may lie in that range in any order, so all of them first move above
 * it. Everything else that is open is close-on-exec. What has moved is closed at
 * once: few may be left, and a worker that comes back is to have room.
 */
static int
child_place_fds(const struct spawn_plan *plan, int *report)
{
	int above = FD_PROTOCOL_FIRST + (int)plan->n_fds;
	int moved[CONF_LISTENS_MAX];
	int standard[] = { plan->in_fd, plan->out_fd, plan->err_fd };

	if (child_move(report, 0, above) < 0)
		return -1;
	for (size_t i = 0; i < plan->n_fds; i++) {
		moved[i] = plan->fds[i];
		if (child_move(&moved[i], 0, above) < 0)
			return -1;
	}
	/* Those of its own first: they leave room. */
	for (size_t i = STDERR_FILENO + 1; i-- > 0;)
		if (standard[i] >= 0 && child_move(standard, i, above) < 0)
			return -1;
	for (size_t i = 0; i < plan->n_fds; i++)
		if (child_put(moved[i], FD_PROTOCOL_FIRST + (int)i) < 0)
			return -1;
	for (int i = 0; i <= STDERR_FILENO; i++)
		if (standard[i] >= 0 && child_put(standard[i], i) < 0)
			return -1;
	return 0;
}

/* The supplementary groups first, the user last: each needs the privilege
   that the next one drops. */
static int
child_become(const struct conf_creds *creds)
{
	uid_t uid;

	if (!creds->set)
		return 0;
	uid = creds->name != NULL ? creds->uid : geteuid();
	/* `group` alone leaves no supplementary group of clusterd's either.
	   Without privilege one can only be what one is: then the groups stay
	   as they are. */
	if (setgroups(creds->n_groups, creds->groups) < 0 &&
	    (errno != EPERM || uid != getuid() || creds->gid != getgid()))
		return -1;
	if (setresgid(creds->gid, creds->gid, creds->gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return -1;
	/* From one ordinary user to another the kernel keeps what systemd's
	   AmbientCapabilities= gave us, CAP_SETUID included. */
	if (creds->name != NULL && prctl(PR_CAP_AMBIENT,
	    PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -1;
	return 0;
}

static void
child_write_pid(char *digits)
{
	char reversed[16];
	unsigned n = 0;

	for (unsigned pid = (unsigned)getpid(); pid > 0; pid /= 10)
		reversed[n++] = (char)('0' + pid % 10);
	while (n > 0)
		*digits++ = reversed[--n];
	*digits = '\0';
}

/* As execvp(3): go on behind files that are not there or not allowed, and
   tell EACCES rather than the ENOENT of a later place. */
static void
child_exec(const struct spawn_plan *plan)
{
	int err = ENOENT;

	for (char *const *file = plan->files; *file != NULL; file++) {
		(void)execve(*file, plan->argv, plan->envp);
		if (errno == EACCES)
			err = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return;
	}
	errno = err;
}

/* A bare name that is not in PATH, but in the configuration's directory. */
static unsigned
child_look_beside(const struct spawn_plan *plan)
{
	int dir = open(plan->base_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *name = plan->argv[0];
	struct stat st;

	if (dir < 0 || fstatat(dir, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return SPAWN_SEEN_BESIDE | (faccessat(dir, name, X_OK, 0) == 0 ?
	    SPAWN_SEEN_EXECUTABLE : 0);
}

/* Of what could not be executed; with the rights, and from the directory, that it
   was tried with. */
static void __attribute__((noreturn))
child_fail_exec(const struct spawn_plan *plan, int report)
{
	struct spawn_failure failure = { .stage = SPAWN_EXEC, .err = errno };

	if (strchr(plan->argv[0], '/') == NULL) {
		if (plan->base_dir != NULL)
			failure.seen = child_look_beside(plan);
	} else if (access(plan->files[0], F_OK) == 0) {
		failure.seen |= SPAWN_SEEN_FILE;
		if (access(plan->files[0], X_OK) == 0)
			failure.seen |= SPAWN_SEEN_EXECUTABLE;
	}
	child_report(report, &failure);
}

static void __attribute__((noreturn))
child_run(const struct spawn_plan *plan, int report, pid_t parent)
{
	signals_child_reset();
	if (child_place_fds(plan, &report) < 0)
		child_fail(report, SPAWN_FDS);
	/* A session of its own: descendants can be signalled as a group, and
	   the terminal's Ctrl-C reaches clusterd alone. */
	if (setsid() < 0)
		child_fail(report, SPAWN_SESSION);
	/* With the rights that we still have. */
	if (plan->trap && child_trap(report) < 0)
		child_fail(report, SPAWN_TRAP);
	if (setrlimit(RLIMIT_NOFILE, &plan->nofile) < 0)
		child_fail(report, SPAWN_NOFILE);
	if (child_become(plan->creds) < 0)
		child_fail(report, SPAWN_CREDS);
	/* A change of uid clears it (prctl(2)), hence after; and the parent
	   may have died before. */
	if (!plan->survives && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		child_fail(report, SPAWN_PARENT);
	if (getppid() != parent)
		_exit(127);
	if (plan->directory != NULL && chdir(plan->directory) < 0)
		child_fail(report, SPAWN_DIRECTORY);
	/* A link in it may point elsewhere by now. Where it leads nowhere, or
	   may not be followed, we are in the directory already. */
	if (plan->directory == NULL && plan->cwd != NULL &&
	    chdir(plan->cwd) < 0)
		errno = 0;
	if (plan->umask >= 0)
		(void)umask((mode_t)plan->umask);
	if (plan->listen_pid != NULL)
		child_write_pid(plan->listen_pid);
	signals_child_unblock();
	child_exec(plan);
	child_fail_exec(plan, report);
}

/* ---- the supervisor ---- */

int
spawn(const struct spawn_plan *plan, pid_t *ret_pid, int *ret_report)
{
	int report[2];
	pid_t parent = getpid();
	pid_t pid;
	int code;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0)
		return -errno;

	pid = fork();
	if (pid == 0) {
		(void)close(report[0]);
		child_run(plan, report[1], parent);
	}
	code = pid < 0 ? -errno : 0;
	fd_close(&report[1]);
	if (code < 0) {
		fd_close(&report[0]);
		return code;
	}
	*ret_pid = pid;
	*ret_report = fd_take(&report[0]);
	return 0;
}

enum spawn_report
spawn_read_report(int report, struct spawn_failure *ret_failure,
    int *ret_trap)
{
	struct iovec iov = { ret_failure, sizeof(*ret_failure) };
	union fd_message message;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = message.room,
		.msg_controllen = sizeof(message.room),
	};
	struct cmsghdr *c;
	ssize_t n;

	do {
		n = recvmsg(report, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*ret_failure))
		return SPAWN_REPORT_FAILED;
	if (n == 1) {
		/* Without room for it here, the kernel has dropped it: then
		   the worker's calls fail with ENOSYS. */
		c = CMSG_FIRSTHDR(&msg);
		*ret_trap = -1;
		if (c != NULL && c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_trap, CMSG_DATA(c), sizeof(int));
		return SPAWN_REPORT_TRAPPED;
	}
	/* ECONNRESET: it died with something of ours unread. */
	return n < 0 && errno == EAGAIN ? SPAWN_REPORT_PENDING :
					  SPAWN_REPORT_EXECUTED;
}

bool
spawn_failure_passes(const struct spawn_failure *failure)
{
	/* ETXTBSY: the program is being written just now. */
	return failure->err == EMFILE || failure->err == ENFILE ||
	       failure->err == ENOMEM || failure->err == EAGAIN ||
	       failure->err == ETXTBSY;
}

/* What is no program's name, or none of PATH; false: neither. */
static bool
put_misnamed(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *base_dir)
{
	const char *why = advice_program(program);

	if (why != NULL)
		strbuf_printf(sb, " (%s)", why);
	else if ((failure->seen & SPAWN_SEEN_BESIDE) != 0)
		strbuf_printf(sb, " (a name without a / is looked up in PATH; "
		    "for the file in %s: ./%s%s)", base_dir, program,
		    (failure->seen & SPAWN_SEEN_EXECUTABLE) != 0 ? "" :
		    ", which is not executable");
	else
		return false;
	return true;
}

static void
put_exec_hint(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *base_dir)
{
	bool bare = strchr(program, '/') == NULL;

	if (failure->err == ENOEXEC)
		strbuf_puts(sb, " (a script needs a first line such as "
		    "#!/bin/sh; or it was built for another machine)");
	else if (failure->err == ENOENT &&
	    (failure->seen & SPAWN_SEEN_FILE) != 0)
		strbuf_puts(sb, " (the file is there: the interpreter of its "
		    "#! line, or its dynamic loader, is not)");
	else if (failure->err == ENOENT || (failure->err == EACCES && bare)) {
		/* A directory of PATH that may not be searched comes before it
		   is not there. */
		if (!put_misnamed(sb, failure, program, base_dir) && bare &&
		    failure->err == ENOENT)
			strbuf_puts(sb, " (not found in PATH)");
	} else if (failure->err == EACCES &&
	    failure->seen == SPAWN_SEEN_FILE) {
		strbuf_puts(sb, " (try chmod +x)");
	}
}

void
spawn_failure_text(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *directory, const char *base_dir)
{
	static const char *const words[SPAWN_STAGES] = {
		[SPAWN_FDS] = "cannot place its file descriptors",
		[SPAWN_SESSION] = "cannot make a session",
		[SPAWN_TRAP] = "cannot trap its binds, as handoff asks for",
		[SPAWN_NOFILE] = "cannot set limit_nofile",
		[SPAWN_CREDS] = "cannot change to its user and group",
		[SPAWN_PARENT] = "cannot tie it to clusterd",
		[SPAWN_DIRECTORY] = "cannot change to directory",
		[SPAWN_EXEC] = "cannot execute",
	};
	const char *what = failure->stage == SPAWN_EXEC ? program :
	    failure->stage == SPAWN_DIRECTORY ? directory : NULL;

	strbuf_puts(sb, words[failure->stage]);
	if (what != NULL)
		strbuf_printf(sb, " %s", what);
	strbuf_printf(sb, ": %s", strerror(failure->err));
	if (failure->stage == SPAWN_EXEC)
		put_exec_hint(sb, failure, program, base_dir);
}

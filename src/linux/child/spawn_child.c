#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "linux/process/raw_call.h"
#include "linux/child/seccomp_notify.h"
#include "linux/child/spawn_child.h"
#include "linux/loop/signals.h"

static void __attribute__((noreturn))
end(int status)
{
	for (;;)
		(void)raw_call(SYS_exit_group, status, 0, 0, 0, 0);
}

/* A packet: arrives whole or not at all. */
static void
tell(int report, const struct spawn_failure *failure)
{
	(void)RAW(write, report, failure, sizeof(*failure));
}

static void __attribute__((noreturn))
report_failure(int report, const struct spawn_failure *failure)
{
	tell(report, failure);
	end(127);
}

static void __attribute__((noreturn))
fail(int report, enum spawn_stage stage, long code)
{
	const struct spawn_failure failure = {
		.stage = stage, .err = (int)-code,
	};

	report_failure(report, &failure);
}

/* ---- signals ---- */

/* A core dump before Linux 5.16 kills all who share the memory. */
static void __attribute__((noreturn))
end_without_core(int signo)
{
	end(128 + signo);
}

#if RAW_CALLS
/* struct sigaction as rt_sigaction(2) has it: behind the flags the function that a
   handler returns to, where the machine has one, and what is blocked then. */
struct raw_sigaction {
	void (*handler)(int signo);
	unsigned long flags;
	unsigned long rest[3];
};

#ifndef SA_RESTORER
#define SA_RESTORER	0x04000000	/* asm/signal.h */
#endif

static void
set_action(int signo, void (*handler)(int signo))
{
	const struct raw_sigaction action = {
		.handler = handler,
#ifdef __x86_64__
		/* Without one no handler is called (x64_setup_rt_frame() in
		   arch/x86/kernel/signal_64.c); ours never returns. */
		.flags = SA_RESTORER,
		.rest = { (unsigned long)handler },
#endif
	};

	/* KILL and STOP refuse; that is fine. */
	(void)RAW(rt_sigaction, signo, &action, NULL, _NSIG / 8);
}

static void
unblock_signals(void)
{
	const unsigned long none[_NSIG / 8 / sizeof(long)] = { 0 };

	(void)RAW(rt_sigprocmask, SIG_SETMASK, none, NULL, sizeof(none));
}
#else
static void
set_action(int signo, void (*handler)(int signo))
{
	const struct sigaction action = { .sa_handler = handler };

	(void)sigaction(signo, &action, NULL);
}

static void
unblock_signals(void)
{
	signals_child_unblock();
}
#endif

/* All are at their default for the program: the exec forgets a handler. */
static void
reset_signals(void)
{
	static const int dump[] = {
		SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV,
		SIGSYS, SIGXCPU, SIGXFSZ,
	};

	for (int signo = 1; signo < _NSIG; signo++)
		set_action(signo, SIG_DFL);
	for (size_t i = 0; i < sizeof(dump) / sizeof(*dump); i++)
		set_action(dump[i], end_without_core);
}

/* ---- descriptors ---- */

/* From here on bind and listen wait for the supervisor's answer. */
static long
trap_calls(int report)
{
	int listener = seccomp_notify_install();
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	union spawn_fd_message message = { .room = { 0 } };
	const struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = message.room,
		.msg_controllen = sizeof(message.room),
	};
	long sent;

	if (listener < 0)
		return listener;
	message.header.cmsg_level = SOL_SOCKET;
	message.header.cmsg_type = SCM_RIGHTS;
	message.header.cmsg_len = CMSG_LEN(sizeof(int));
	__builtin_memcpy(CMSG_DATA(&message.header), &listener,
	    sizeof(listener));
	sent = RAW(sendmsg, report, &msg, MSG_NOSIGNAL);
	(void)RAW(close, listener);
	return sent < 0 ? sent : 0;
}

/* `v[i]` to above the numbers that are given, and away from where it was; but our
   own standard streams stay, and what is wanted again before `i` in `v`. */
static long
move(int *v, size_t i, int above)
{
	int from = v[i];
	bool stays = from <= STDERR_FILENO;
	long to = RAW(fcntl, from, F_DUPFD_CLOEXEC, above);

	if (to < 0)
		return to;
	v[i] = (int)to;
	for (size_t other = 0; other < i; other++)
		stays = stays || v[other] == from;
	if (!stays)
		(void)RAW(close, from);
	return 0;
}

/* To its place, which is another one. */
static long
put(int fd, int place)
{
	long code = RAW(dup3, fd, place, 0);

	if (code >= 0)
		(void)RAW(close, fd);
	return code < 0 ? code : 0;
}

/*
 * Put the listeners on 3, 4, …, and what goes there on 0 to 2. Their present
 * numbers may lie in that range in any order, so all of them first move above
 * it. Everything else that is open is close-on-exec. What has moved is closed at
 * once: few may be left, and a worker that comes back is to have room.
 */
static long
place_fds(const struct spawn_plan *plan, int *report)
{
	int above = FD_PROTOCOL_FIRST + (int)plan->n_fds;
	int moved[CONF_LISTENS_MAX];
	int standard[] = { plan->in_fd, plan->out_fd, plan->err_fd };
	long code = move(report, 0, above);

	for (size_t i = 0; i < plan->n_fds && code == 0; i++) {
		moved[i] = plan->fds[i];
		code = move(&moved[i], 0, above);
	}
	/* Those of its own first: they leave room. */
	for (size_t i = STDERR_FILENO + 1; i-- > 0 && code == 0;)
		if (standard[i] >= 0)
			code = move(standard, i, above);
	for (size_t i = 0; i < plan->n_fds && code == 0; i++)
		code = put(moved[i], FD_PROTOCOL_FIRST + (int)i);
	for (int i = 0; i <= STDERR_FILENO && code == 0; i++)
		if (standard[i] >= 0)
			code = put(standard[i], i);
	return code;
}

/* Before anything is charged to the program. Without it, it serves all the same. */
static void
join_group(const struct spawn_plan *plan, int report)
{
	long code = plan->limited ? RAW(write, plan->group, "0", 1) : 0;

	if (code < 0)
		tell(report, &(struct spawn_failure){
			.stage = SPAWN_GROUP, .err = (int)-code,
		});
}

/* ---- rights ---- */

/* The supplementary groups first, the user last: each needs the privilege
   that the next one drops. The calls themselves: the C library's are those of
   all threads (nptl(7)), and this process has one. */
static long
become(const struct conf_creds *creds)
{
	uid_t uid;
	long code;

	if (!creds->set)
		return 0;
	uid = creds->name != NULL ? creds->uid :
	    (uid_t)raw_call(SYS_geteuid, 0, 0, 0, 0, 0);
	/* `group` alone leaves no supplementary group of clusterd's either.
	   Without privilege one can only be what one is: then the groups stay
	   as they are. */
	code = RAW(setgroups, creds->n_groups, creds->groups);
	if (code < 0 && (code != -EPERM ||
	    uid != (uid_t)raw_call(SYS_getuid, 0, 0, 0, 0, 0) ||
	    creds->gid != (gid_t)raw_call(SYS_getgid, 0, 0, 0, 0, 0)))
		return code;
	code = RAW(setresgid, creds->gid, creds->gid, creds->gid);
	if (code == 0)
		code = RAW(setresuid, uid, uid, uid);
	if (code < 0)
		return code;
	/* From one ordinary user to another the kernel keeps what systemd's
	   AmbientCapabilities= gave us, CAP_SETUID included. */
	if (creds->name == NULL)
		return 0;
	code = RAW(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return code == -EINVAL ? 0 : code;
}

/* ---- the program ---- */

static void
write_pid(char *digits)
{
	char reversed[16];
	unsigned n = 0;

	for (long pid = raw_call(SYS_getpid, 0, 0, 0, 0, 0); pid > 0; pid /= 10)
		reversed[n++] = (char)('0' + pid % 10);
	while (n > 0)
		*digits++ = reversed[--n];
	*digits = '\0';
}

/* As execvp(3): go on behind files that are not there or not allowed, and
   tell EACCES rather than the ENOENT of a later place. */
static long
execute(const struct spawn_plan *plan)
{
	long code = -ENOENT;

	for (char *const *file = plan->files; *file != NULL; file++) {
		long refused = RAW(execve, *file, plan->argv, plan->envp);

		if (refused == -EACCES)
			code = refused;
		else if (refused != -ENOENT && refused != -ENOTDIR)
			return refused;
	}
	return code;
}

static bool
is_bare(const char *name)
{
	while (*name != '\0' && *name != '/')
		name++;
	return *name == '\0';
}

/* A bare name that is not in PATH, but in the configuration's directory. */
static unsigned
look_beside(const struct spawn_plan *plan)
{
	long dir = RAW(openat, AT_FDCWD, plan->base_dir,
	    O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	const char *name = plan->argv[0];
	struct stat st;

	if (dir < 0 || RAW(fstatat, dir, name, &st, 0) < 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	return SPAWN_SEEN_BESIDE | (RAW(faccessat, dir, name, X_OK, 0) == 0 ?
	    SPAWN_SEEN_EXECUTABLE : 0);
}

/* Of what could not be executed; with the rights, and from the directory, that it
   was tried with. */
static void __attribute__((noreturn))
fail_exec(const struct spawn_plan *plan, int report, long code)
{
	struct spawn_failure failure = {
		.stage = SPAWN_EXEC, .err = (int)-code,
	};

	if (is_bare(plan->argv[0])) {
		if (plan->base_dir != NULL)
			failure.seen = look_beside(plan);
	} else if (RAW(faccessat, AT_FDCWD, plan->files[0], F_OK, 0) == 0) {
		failure.seen |= SPAWN_SEEN_FILE;
		if (RAW(faccessat, AT_FDCWD, plan->files[0], X_OK, 0) == 0)
			failure.seen |= SPAWN_SEEN_EXECUTABLE;
	}
	report_failure(report, &failure);
}

void
spawn_child_run(const struct spawn_child *child)
{
	const struct spawn_plan *plan = &child->plan;
	int report = child->report;
	long code;

	(void)RAW(close, child->report_of_parent);
	reset_signals();
	join_group(plan, report);
	code = place_fds(plan, &report);
	if (code < 0)
		fail(report, SPAWN_FDS, code);
	/* A session of its own: descendants can be signalled as a group, and
	   the terminal's Ctrl-C reaches clusterd alone. */
	code = raw_call(SYS_setsid, 0, 0, 0, 0, 0);
	if (code < 0)
		fail(report, SPAWN_SESSION, code);
	/* With the rights that we still have. */
	code = plan->trap ? trap_calls(report) : 0;
	if (code < 0)
		fail(report, SPAWN_TRAP, code);
	code = RAW(prlimit, 0, RLIMIT_NOFILE, &plan->nofile, NULL);
	if (code < 0)
		fail(report, SPAWN_NOFILE, code);
	code = become(plan->creds);
	if (code < 0)
		fail(report, SPAWN_CREDS, code);
	/* A change of uid clears it (prctl(2)), hence after; and the parent
	   may have died before. */
	code = plan->survives ? 0 :
	    RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (code < 0)
		fail(report, SPAWN_PARENT, code);
	if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) != child->parent)
		end(127);
	code = plan->directory != NULL ? RAW(chdir, plan->directory) : 0;
	if (code < 0)
		fail(report, SPAWN_DIRECTORY, code);
	/* A link in it may point elsewhere by now. Where it leads nowhere, or
	   may not be followed, we are in the directory already. */
	if (plan->directory == NULL && plan->cwd != NULL)
		(void)RAW(chdir, plan->cwd);
	if (plan->umask >= 0)
		(void)RAW(umask, plan->umask);
	if (plan->listen_pid != NULL)
		write_pid(plan->listen_pid);
	if (plan->watchdog_pid != NULL)
		write_pid(plan->watchdog_pid);
	unblock_signals();
	fail_exec(plan, report, execute(plan));
}

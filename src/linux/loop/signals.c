#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/error.h"
#include "base/mono.h"
#include "linux/loop/signals.h"

static const int handled[] = {
	SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU,
	SIGCHLD,
};

static void
block(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
		sigaddset(ret_set, handled[i]);
	sigprocmask(SIG_SETMASK, ret_set, NULL);
}

void
signals_block_early(void)
{
	sigset_t set;

	if (getpid() == 1)
		block(&set);
}

/* As they were when we began. */
static bool begun;
static bool hup_ignored;
static bool had_terminal;

static bool
has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static void
note_beginning(void)
{
	struct sigaction hup;

	if (begun)
		return;
	begun = true;
	hup_ignored = sigaction(SIGHUP, NULL, &hup) == 0 &&
	    hup.sa_handler == SIG_IGN;
	had_terminal = has_terminal();
}

struct signals_beginning
signals_beginning(void)
{
	return (struct signals_beginning){
		.hup_ignored = hup_ignored, .had_terminal = had_terminal,
	};
}

void
signals_began(const struct signals_beginning *beginning)
{
	begun = true;
	hup_ignored = beginning->hup_ignored;
	had_terminal = beginning->had_terminal;
}

void
signals_begin(sigset_t *ret_set)
{
	/* That a child has stopped, or goes on, is no news. */
	const struct sigaction dfl = {
		.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP,
	};
	const struct sigaction ign = { .sa_handler = SIG_IGN };

	note_beginning();
	/* First the mask, so that nothing strikes in between. */
	block(ret_set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
		sigaction(handled[i], &dfl, NULL);
	sigaction(SIGPIPE, &ign, NULL);
	/* One that comes from elsewhere does not end us either. */
	alarm_set(0);
	/* A log beyond RLIMIT_FSIZE gets EFBIG instead. */
	sigaction(SIGXFSZ, &ign, NULL);
}

int
signals_open(int *ret_fd, struct error *err)
{
	sigset_t set;
	int fd;

	signals_begin(&set);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		int code = -errno;

		return error_set(err, code, "signalfd: %s", strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

/* A shell leads the session of what it has started. Once it has lost its
   terminal, a SIGHUP of its own is the terminal's. */
static bool
is_hangup(int signo, int code, pid_t pid)
{
	if (signo != SIGHUP)
		return false;
	return code == SI_KERNEL || (had_terminal && pid != 0 &&
	    pid == getsid(0) && !has_terminal());
}

bool
signals_is_echo(int signo, pid_t pid)
{
	static struct {
		int signo;
		pid_t pid;
		struct mono at;
	} last;
	struct mono now = mono_now();
	bool stops = signo == SIGTERM || signo == SIGINT || signo == SIGQUIT;
	bool echo = stops && signo == last.signo && pid == last.pid &&
	    mono_ms_between(last.at, now) < SIGNALS_ECHO_MS;

	if (stops && !echo) {
		last.signo = signo;
		last.pid = pid;
		last.at = now;
	}
	return echo;
}

void
signals_give(int signo, int code, int pid,
    void (*fn)(void *ctx, int signo, int pid, bool hangup), void *ctx)
{
	bool hangup = is_hangup(signo, code, pid);

	if (!hangup || !hup_ignored)
		fn(ctx, signo, pid, hangup);
}

void
signals_read(int fd, void (*fn)(void *ctx, int signo, int pid, bool hangup),
    void *ctx)
{
	struct signalfd_siginfo info[8];
	ssize_t n;

	do {
		n = read(fd, info, sizeof(info));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*info); i++)
			if (!signals_is_echo((int)info[i].ssi_signo,
			    (pid_t)info[i].ssi_pid))
				signals_give((int)info[i].ssi_signo,
				    info[i].ssi_code,
				    (int)info[i].ssi_pid, fn, ctx);
	} while (n == (ssize_t)sizeof(info));
}

void
signals_child_reset(void)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };

	/* KILL, STOP and libc's own two refuse; that is fine. */
	for (int signo = 1; signo <= SIGRTMAX; signo++)
		(void)sigaction(signo, &dfl, NULL);
}

void
signals_child_unblock(void)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

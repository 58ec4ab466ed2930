#include <sys/signalfd.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/error.h"
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

int
signals_open(int *ret_fd, struct error *err)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	const struct sigaction ign = { .sa_handler = SIG_IGN };
	sigset_t set;
	int fd;

	/* First the mask, so that nothing strikes in between. */
	block(&set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
		sigaction(handled[i], &dfl, NULL);
	sigaction(SIGPIPE, &ign, NULL);
	/* One that comes from elsewhere does not end us either. */
	alarm_set(0);
	/* A log beyond RLIMIT_FSIZE gets EFBIG instead. */
	sigaction(SIGXFSZ, &ign, NULL);

	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		int code = -errno;

		return error_set(err, code, "signalfd: %s", strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

void
signals_read(int fd, void (*fn)(void *ctx, int signo, int pid), void *ctx)
{
	struct signalfd_siginfo info[8];
	ssize_t n;

	do {
		n = read(fd, info, sizeof(info));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*info); i++)
			fn(ctx, (int)info[i].ssi_signo,
			    (int)info[i].ssi_pid);
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

#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "web/broker.h"
#include "web/doors.h"
#include "web/halves.h"

/* It ends when the other one has gone, by whatever signal that was asked to. */
static _Noreturn void
run_broker(int fd, pid_t parent, const struct client_where *where,
    const char *token, struct doors *doors)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE,
	};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	/* Where both are of one user, the other is not to look into it. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	/* With nothing to clean up it need not end what it does. */
	if (doors->n_own == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* The listeners are none of its business. */
	if (fd != STDERR_FILENO + 1) {
		(void)dup2(fd, STDERR_FILENO + 1);
		fd = STDERR_FILENO + 1;
	}
	(void)close_range((unsigned)fd + 1, ~0U, 0);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	broker_serve(fd, where, token);
	doors_forget(doors);
	_exit(0);
}

int
halves_start(const struct client_where *where, const char *token,
    struct doors *doors, int *ret_fd, struct error *err)
{
	pid_t parent = getpid(), child;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return error_set(err, -errno, "socketpair: %s",
		    strerror(errno));
	child = fork();
	if (child == 0)
		run_broker(fds[1], parent, where, token, doors);
	if (child < 0) {
		int code = -errno;

		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return error_set(err, code, "fork: %s", strerror(-code));
	}
	fd_close(&fds[1]);
	*ret_fd = fds[0];
	return 0;
}

static int
become(const struct passwd *pw, struct error *err)
{
	const char *what = setgroups(0, NULL) < 0 ? "setgroups" :
	    setgid(pw->pw_gid) < 0 ? "setgid" :
	    setuid(pw->pw_uid) < 0 ? "setuid" : NULL;

	if (what != NULL)
		return error_set(err, -errno, "cannot become user %s: %s: %s",
		    pw->pw_name, what, strerror(errno));
	return 0;
}

int
halves_drop(const char *user, struct error *err)
{
	const struct passwd *pw;
	int code = 0;

	if (geteuid() == 0) {
		errno = 0;
		pw = getpwnam(user);
		code = pw == NULL ? error_set(err, errno != 0 ? -errno :
		    -ENOENT, "there is no user \"%s\"", user) :
		    become(pw, err);
	}
	if (code == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		code = error_set(err, -errno, "prctl: %s", strerror(errno));
	return code;
}

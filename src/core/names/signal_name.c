#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/names/signal_name.h"

/* Not sigabbrev_np(3): musl and older glibc lack it. */
static const char *const names[SIGNAL_NAME_MAX_NUMBER + 1] = {
	[SIGHUP] = "HUP",
	[SIGINT] = "INT",
	[SIGQUIT] = "QUIT",
	[SIGILL] = "ILL",
	[SIGTRAP] = "TRAP",
	[SIGABRT] = "ABRT",
	[SIGBUS] = "BUS",
	[SIGFPE] = "FPE",
	[SIGKILL] = "KILL",
	[SIGUSR1] = "USR1",
	[SIGSEGV] = "SEGV",
	[SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE",
	[SIGALRM] = "ALRM",
	[SIGTERM] = "TERM",
#ifdef SIGSTKFLT
	[SIGSTKFLT] = "STKFLT",
#endif
	[SIGCHLD] = "CHLD",
	[SIGCONT] = "CONT",
	[SIGSTOP] = "STOP",
	[SIGTSTP] = "TSTP",
	[SIGTTIN] = "TTIN",
	[SIGTTOU] = "TTOU",
	[SIGURG] = "URG",
	[SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ",
	[SIGVTALRM] = "VTALRM",
	[SIGPROF] = "PROF",
	[SIGWINCH] = "WINCH",
	[SIGIO] = "IO",
	[SIGPWR] = "PWR",
	[SIGSYS] = "SYS",
};

const char *
signal_name(int signo)
{
	if (signo < 1 || signo > SIGNAL_NAME_MAX_NUMBER)
		return NULL;
	return names[signo];
}

bool
signal_parse(const char *text, int *ret_signo)
{
	uint64_t number;

	if (num_parse(text, 1, SIGNAL_NAME_MAX_NUMBER, &number)) {
		*ret_signo = (int)number;
		return true;
	}
	if (str_starts(text, "SIG"))
		text += 3;
	for (int i = 1; i <= SIGNAL_NAME_MAX_NUMBER; i++) {
		if (names[i] != NULL && strcmp(names[i], text) == 0) {
			*ret_signo = i;
			return true;
		}
	}
	return false;
}

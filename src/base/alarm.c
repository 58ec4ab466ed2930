#include <sys/time.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/alarm.h"

static void
on_alarm(int signo)
{
	(void)signo;
}

/* Before the first alarm, which would end us. */
static void
catch_it(void)
{
	static bool caught;
	const struct sigaction action = { .sa_handler = on_alarm };

	if (!caught)
		(void)sigaction(SIGALRM, &action, NULL);
	caught = true;
}

void
alarm_set(int ms)
{
	const struct itimerval timer = {
		.it_value.tv_usec = ms * 1000,
		.it_interval.tv_usec = ms * 1000,
	};
	int saved = errno;

	catch_it();
	(void)setitimer(ITIMER_REAL, &timer, NULL);
	errno = saved;
}

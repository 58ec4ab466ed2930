#include <sys/epoll.h>

#include <errno.h>
#include <signal.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/names/signal_name.h"
#include "core/worker/obituary.h"
#include "daemon/above.h"
#include "daemon/hearing.h"
#include "daemon/life/reaper.h"
#include "daemon/stopping.h"
#include "linux/keeper/keeper_share.h"
#include "linux/loop/signals.h"

/* What was meant for the program went to its keeper. But that may be dead, which
   the kernel tells us by a SIGTERM (prctl(2), PR_SET_PDEATHSIG). */
static void
fostered_died(void *ctx, pid_t pid, struct exit_status status)
{
	struct hearing *h = ctx;

	reaper_fostered_died(h->reaper, pid, status);
}

/* What it was to say is ours to say, and the rest waits for it. Deaths that it has
   seen have a status; of those that come nobody tells. */
static void
go_without_keeper(struct hearing *h)
{
	if (!h->keeper_gone)
		log_error("the keeper, pid %d, was killed: stopping",
		    (int)keeper_pid());
	sd_notify_woken(&h->above->up);
	keeper_read_deaths(fostered_died, h);
	if (!h->keeper_gone)
		reaper_is_alone(h->reaper);
	h->keeper_gone = true;
	stopping_leave(h->stopping);
}

static void
on_own_signal(void *ctx, int signo, int pid, bool hangup)
{
	struct hearing *h = ctx;

	if (signo == SIGCHLD || keeper_wake_fd() < 0) {
		h->signal(h->ctx, signo, pid, hangup);
	} else if (keeper_is_gone()) {
		go_without_keeper(h);
	} else {
		log_own_often(LOG_LEVEL_WARNING, "SIG%s of pid %d ignored: "
		    "signals are for pid %d, the keeper, which passes them on",
		    signal_name(signo), pid, (int)keeper_pid());
	}
}

static void
signals_ready(void *ctx, uint32_t events)
{
	struct hearing *h = ctx;

	(void)events;
	signals_read(h->signal_fd, on_own_signal, h);
}

static void
keeper_ready(void *ctx, uint32_t events)
{
	struct hearing *h = ctx;
	const char *words;

	(void)events;
	keeper_taken();
	keeper_yield();
	words = keeper_upgrade_failure();
	if (words != NULL)
		h->upgrade_failed(h->ctx, words);
	sd_notify_woken(&h->above->up);
	keeper_read_deaths(fostered_died, h);
	keeper_read_signals(h->signal, h->ctx);
}

int
hearing_open(struct hearing *h, struct loop *loop, struct error *err)
{
	h->loop = loop;
	return signals_open(&h->signal_fd, err);
}

void
hearing_close(struct hearing *h)
{
	fd_close(&h->signal_fd);
}

int
hearing_begin(struct hearing *h)
{
	if (keeper_wake_fd() >= 0 && loop_add(h->loop, keeper_wake_fd(),
	    EPOLLIN, true, keeper_ready, h, &h->keeper) < 0)
		return -ENOMEM;
	keeper_takes_signals();
	return loop_add(h->loop, h->signal_fd, EPOLLIN, true, signals_ready, h,
	    &h->signals);
}

void
hearing_end(struct hearing *h)
{
	loop_del(h->loop, &h->signals);
	loop_del(h->loop, &h->keeper);
}

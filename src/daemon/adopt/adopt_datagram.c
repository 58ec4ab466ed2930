#include <sys/socket.h>

#include <errno.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_datagram.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"
#include "linux/socket/socket.h"

/* On a busy machine it is looked again; where there is very much to look at, that
   would be in vain. */
#define LATE_MAX 3

/* Has the caller it open, or who got it from the caller? It may fork first, and
   the child connect it. -EINTR: again later. */
static int
has_open(const struct ask *a, const struct lane *lane)
{
	struct trap *t = a->w->trap;
	pid_t pid = inspect_process_of(a->call->tid);
	struct fsids ids;
	enum waiting seen;

	if (lane->unused || pid <= 0)
		return 0;
	ids = inspect_begin(&a->w->spec->conf->creds);
	seen = waiting_find_holder(pid, lane->ino, FD_PROTOCOL_FIRST,
	    adopt_n_given(a->w));
	inspect_end(&ids);
	if (seen == WAITING_LATE && t->late < LATE_MAX) {
		t->late++;
		return -EINTR;
	}
	/* Where it is in vain it is so the next time, too. */
	if (seen != WAITING_LATE)
		t->late = 0;
	return seen != WAITING_NO;
}

static bool
is_set(int fd, int option)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return fd >= 0 &&
	    getsockopt(fd, SOL_SOCKET, option, &on, &len) == 0 && on != 0;
}

/*
 * Several sockets with SO_REUSEPORT, one for each thread, are bound at the
 * start, and share what comes; they all get the lane. One with SO_REUSEADDR
 * alone is to be connected: else it would take away all that the first one gets.
 * Without either the kernel would not have had it.
 */
static bool
is_for_one_peer(const struct ask *a)
{
	return is_set(a->copy, SO_REUSEPORT) ? worker_ready(a->w) :
	    is_set(a->copy, SO_REUSEADDR);
}

/* The others have the connected one, too, and nobody can take it from them. */
static void
warn_shared(const struct ask *a, struct listener *l)
{
	if (!spec_lanes_shared(a->w->spec, l) || a->w->crew->wanted < 2 ||
	    l->lanes.told_connected)
		return;
	l->lanes.told_connected = true;
	worker_log(LOG_LEVEL_WARNING, a->w, "has connected the socket that all "
	    "workers share to one client, whose datagrams others of them may "
	    "get: balance = auto gives each a socket of its own (said once)");
}

int
adopt_datagram(const struct ask *a, struct lane *lane, int *ret_fd,
    struct error *err)
{
	struct listener *l = lane->listener;
	int code;

	if (l->inherited)
		return 0;
	if (socket_is_connected(lane->fd)) {
		warn_shared(a, l);
		return lanes_heal_renew(lane, false, err);
	}
	/* It comes again, and gets what it was to get. */
	if (a->w->trap->placing == a->call->id)
		return 0;
	code = is_for_one_peer(a) ? has_open(a, lane) : 0;
	if (code != 1)
		return code;
	code = lanes_sockets_open_own(l, ret_fd, err);
	return code == 0 ? 1 : code;
}

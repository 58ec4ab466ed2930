#include <sys/socket.h>

#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_datagram.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/socket/socket.h"

struct search {
	pid_t tid;
	uint64_t ino;
	int given_end;		/* from here on they are its own doing */
	bool found;
};

static bool
compare_fd(void *ctx, int fd)
{
	struct search *s = ctx;
	uint64_t ino = 0;

	/* What it was started with it need not even know of. */
	if (fd >= FD_PROTOCOL_FIRST && fd < s->given_end)
		return true;
	s->found = inspect_fd(s->tid, fd, &ino) == INSPECT_SOCKET &&
	    ino == s->ino;
	return !s->found;
}

static bool
has_open(const struct ask *a, const struct lane *lane)
{
	const struct conf_app *conf = a->w->spec->conf;
	struct search s = {
		.tid = a->call->tid, .ino = lane->ino,
		.given_end = conf->handoff == CONF_HANDOFF_ADOPT ? 0 :
		    FD_PROTOCOL_FIRST + (int)conf->n_listens,
	};
	struct fsids ids = inspect_begin(&conf->creds);

	(void)inspect_each_fd(a->call->tid, compare_fd, &s);
	inspect_end(&ids);
	return s.found;
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

int
adopt_datagram(const struct ask *a, struct lane *lane, int *ret_fd,
    struct error *err)
{
	struct listener *l = lane->listener;
	int code;

	if (l->inherited)
		return 0;
	if (socket_is_connected(lane->fd))
		return lanes_heal_renew(lane, false, err);
	if (!is_for_one_peer(a) || !has_open(a, lane))
		return 0;
	code = lanes_sockets_open_own(l, ret_fd, err);
	return code == 0 ? 1 : code;
}

#include <sys/epoll.h>

#include <string.h>

#include "base/log.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/lanes_watch.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_inherit.h"

/* A worker that shuts its lane again and again is told of this seldom. */
#define TELL_MS 10000

/* Whom to name for what was done to the lane. */
struct culprit {
	struct log_about about;
	const char *who;	/* the sentence's subject, where `about` is not
				   it: one of several */
};

static struct culprit
find_culprit(const struct lane *lane)
{
	if (lane->holder != NULL)
		return (struct culprit){ lane->holder->about, "" };
	return (struct culprit){
		{ .app = lane->listener->app, .instance = -1 }, "a worker ",
	};
}

void
lanes_heal_check(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	unsigned most = socket_somaxconn(), want = l->backlog;
	uint32_t waiting, backlog;
	struct culprit by;

	if (!lane->listening || !listener_is_own_tcp(l))
		return;
	lanes_program_check(lane);
	lanes_sockets_check(lane);
	if (most > 0 && want > most)
		want = most;
	if (lane_queue_tcp(lane->fd, &waiting, &backlog) < 0 ||
	    backlog == want)
		return;
	by = find_culprit(lane);
	/* Most do it at every start. */
	log_often(ls->told_backlog ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
	    &by.about,
	    "%shas changed the backlog of its listener to %u: back to %u%s",
	    by.who, backlog, want, ls->told_backlog ? "" : " (said once)");
	ls->told_backlog = true;
	/* Of one that listens this is all that it changes (listen(2)): its
	   holder, which may sit in accept(2), sees nothing of it. */
	if (socket_is_listening(lane->fd))
		(void)socket_start_listening(lane->fd, l->backlog);
}

int
lanes_heal_renew(struct lane *lane, bool unused, struct error *err)
{
	const struct listener *l = lane->listener;
	int code = 0;

	/* A datagram server that serves one client alone connects to it. */
	if (l->bound.kind == ADDRESS_UDP && !l->inherited &&
	    socket_is_connected(lane->fd))
		lanes_sockets_spoilt(lane);
	if (lane->broken)
		code = lanes_sockets_replace(lane, err);
	/* The flags are of the open file, and so everybody's: an event loop
	   whose socket blocks all of a sudden stands still in accept(2). */
	if (code < 0 || l->inherited || !unused)
		return code;
	socket_set_nonblocking(lane->fd, false);
	lanes_heal_check(lane);
	return 0;
}

/* ---- shut down ---- */

/* Once in a while, and not of each of its lanes. */
static bool
is_to_tell(struct lanes *ls)
{
	struct mono now = mono_now();

	if (ls->told_shut && mono_ms_between(ls->told_shut_at, now) < TELL_MS)
		return false;
	ls->told_shut = true;
	ls->told_shut_at = now;
	return true;
}

static void
tell_shut(struct lane *lane, int code)
{
	struct listener *l = lane->listener;
	const struct address_text name = address_text_numeric(&l->bound);
	const struct culprit by = find_culprit(lane);

	if (l->bound.kind == ADDRESS_UNIX)
		log_about(LOG_LEVEL_ERROR, &by.about,
		    "%shas shut down the listener %s: clients are refused "
		    "until %s", by.who, name.s, l->inherited ?
		    "the supervisor above makes it anew" : "the next reload");
	else if (l->bound.kind == ADDRESS_UDP)
		log_often(LOG_LEVEL_ERROR, &by.about,
		    "%shas shut down the listener udp:%s: it hears nothing "
		    "until its next start", by.who, name.s);
	else if (code < 0)
		log_often(LOG_LEVEL_ERROR, &by.about,
		    "%shas shut down the listener %s, and it cannot listen "
		    "again: %s", by.who, name.s, strerror(-code));
	else if (is_to_tell(&l->lanes))
		log_often(LOG_LEVEL_WARNING, &by.about,
		    "%shas shut down the listener %s; it listens again%s",
		    by.who, name.s, l->lanes.ebpf != NULL ? "" :
		    ", what waited in its queue is lost");
}

/*
 * A worker has called shutdown(2) on a lane, which ends the listening for all
 * who have it; some servers do when they stop. The port is there again at once.
 */
static void
hangup(void *ctx, uint32_t events)
{
	struct lane *lane = ctx;
	struct listener *l = lane->listener;
	int code = 0;

	if ((events & (EPOLLHUP | EPOLLIN)) == EPOLLIN) {
		lanes_watch_came(lane);
		return;
	}
	lanes_sockets_unwatch(lane);
	/* Datagram sockets may have errors to tell, which are their
	   holders'. */
	if ((events & EPOLLHUP) == 0)
		return;
	if (l->bound.kind == ADDRESS_UNIX) {
		l->dead = true;
	} else if (l->bound.kind == ADDRESS_UDP) {
		lanes_sockets_spoilt(lane);
	} else if (l->inherited) {
		code = socket_start_listening(lane->fd, l->backlog);
		if (code == 0)
			lanes_sockets_watch(lane);
	} else {
		code = lanes_sockets_revive(lane);
		listener_tell(l);
	}
	tell_shut(lane, code);
}

void
lanes_heal_init(struct listener *l)
{
	l->lanes.on_hangup = hangup;
}

#include <sys/epoll.h>

#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/lanes_watch.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_limits.h"
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

/* ---- clean ---- */

static void
note_stain(void *ctx, unsigned option, const char *name, int code)
{
	struct lane *lane = ctx;

	(void)option;
	log_app_often(LOG_LEVEL_DEBUG, lane->listener->app,
	    "lane %u: its last holder has set %s, which stays: %s; it gets "
	    "another socket", lane->slot, name, strerror(-code));
	lanes_sockets_spoilt(lane);
}

/* Other than what it was opened with? Then it gets nothing of the others'. */
static void
clean_interface(struct lane *lane)
{
	const char *wanted = lane->listener->bound.options.interface;
	char name[16];

	(void)socket_interface(lane->fd, name);
	if (strcmp(name, wanted) != 0 &&
	    socket_set_interface(lane->fd, wanted) < 0)
		lanes_sockets_spoilt(lane);
}

/* A reload asks of hundreds, one after the other, what is the same for all; and
   what a new one has is changed by the administrator (sysctl). */
#define AS_NEW_MS 1000

/* NULL: it cannot be asked. */
static const struct socket_values *
as_new(const struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	struct mono now = mono_now();
	int like;

	if (ls->as_new != NULL &&
	    mono_ms_between(ls->as_new_at, now) < AS_NEW_MS)
		return ls->as_new;
	lanes_heal_forget_new(l);
	like = socket_new_like(lane->fd, &l->bound);
	if (like >= 0)
		ls->as_new = socket_values_of(like);
	ls->as_new_at = now;
	fd_close(&like);
	return ls->as_new;
}

/* As new: what its last holder has set, joined and attached is undone. What
   cannot be makes it broken. */
static void
clean(struct lane *lane)
{
	const struct listener *l = lane->listener;
	const struct socket_values *values = as_new(lane);

	if (values == NULL)
		return;
	socket_inherit_values(values, lane->fd, note_stain, lane);
	lanes_hush_again(lane);
	socket_silence(lane->fd);
	socket_set_nonblocking(lane->fd, false);
	/* That is how it refuses. */
	if (l->bound.kind != ADDRESS_UNIX && !l->refuses)
		clean_interface(lane);
	/* That takes long where there are many interfaces. */
	if (l->bound.kind == ADDRESS_UDP &&
	    (lane->holder == NULL || lane->had == lane->ino))
		socket_leave_groups(lane->fd);
}

void
lanes_heal_ended(struct listener *l, const struct lane_holder *holder)
{
	struct lane *lane = lanes_find(l, holder);

	if (lane == NULL || l->inherited || lane->fd < 0)
		return;
	lane->had = lane->ino;
	if (l->bound.kind == ADDRESS_UDP)
		socket_leave_groups(lane->fd);
	lanes_flows_ended(lane);
	lanes_live_suspect(l);
}

/* Is nobody lost if it gets another socket? */
static bool
may_replace(const struct lane *lane)
{
	uint32_t waiting = 0, backlog;

	switch (lane->listener->bound.kind) {
	case ADDRESS_TCP:
		return !lane->listening || lanes_can_move(lane) ||
		    (lane_queue_tcp(lane->fd, &waiting, &backlog) == 0 &&
		    waiting == 0);
	case ADDRESS_UDP:
		return true;
	case ADDRESS_UNIX:
		break;
	}
	return false;
}

void
lanes_heal_used(struct lane *lane)
{
	lane->unused = false;
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
	else if (unused && !l->inherited && lane->fd >= 0 && !lane->unused)
		clean(lane);
	if (lane->broken && may_replace(lane))
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
tell_shut_unix(struct lane *lane, enum listener_fate fate)
{
	struct listener *l = lane->listener;
	const struct culprit by = find_culprit(lane);

	if (fate == LISTENER_STAYS_DEAD)
		log_often(LOG_LEVEL_ERROR, &by.about,
		    "%shas shut down the listener %s: clients are refused "
		    "until %s", by.who, l->bound.path, l->inherited ?
		    "the supervisor above makes it anew" : "the next reload");
	else if (fate == LISTENER_RENEWED && is_to_tell(&l->lanes))
		log_often(LOG_LEVEL_WARNING, &by.about,
		    "%shas shut down the listener %s; there is another one in "
		    "its place, and workers that have the old one are replaced",
		    by.who, l->bound.path);
}

static void
tell_shut(struct lane *lane, int code)
{
	struct listener *l = lane->listener;
	const struct address_text name = address_text_numeric(&l->bound);
	const struct culprit by = find_culprit(lane);

	if (l->bound.kind == ADDRESS_UDP)
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
	struct listeners *all = l->all;
	int code = 0;

	if ((events & (EPOLLHUP | EPOLLIN)) == EPOLLIN) {
		lanes_watch_came(lane);
		return;
	}
	if (events == 0) {
		lanes_news_failed(lane);
		return;
	}
	lanes_news_unwatch(lane);
	/* Datagram sockets may have errors to tell, which are their
	   holders'. */
	if ((events & EPOLLHUP) == 0)
		return;
	if (l->bound.kind == ADDRESS_UNIX) {
		enum listener_fate fate = l->inherited || all->died == NULL ?
		    LISTENER_STAYS_DEAD : all->died(all->died_ctx, l);

		l->dead = fate != LISTENER_RENEWED;
		tell_shut_unix(lane, fate);
		return;
	}
	if (l->bound.kind == ADDRESS_UDP) {
		lanes_sockets_spoilt(lane);
	} else if (l->inherited) {
		code = socket_start_listening(lane->fd, l->backlog);
		if (code == 0)
			lanes_news_watch(lane);
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

void
lanes_heal_forget_new(struct listener *l)
{
	free(l->lanes.as_new);
	l->lanes.as_new = NULL;
}

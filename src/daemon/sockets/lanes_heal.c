#include <sys/epoll.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listeners.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"

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

/*
 * It has called listen(2) by itself, and maybe shutdown(2) before that, which
 * nobody sees: then it has the last place in the kernel's order. Once more, and
 * it has it for certain; if nobody waits in it.
 */
static void
listen_again(struct lane *lane, uint32_t waiting)
{
	struct listener *l = lane->listener;

	if (waiting == 0 && !lane->live && l->lanes.order.n > 1)
		lanes_list_again(lane);
	else
		(void)socket_start_listening(lane->fd, l->backlog);
}

void
lanes_check(struct lane *lane)
{
	struct listener *l = lane->listener;
	unsigned most = socket_somaxconn(), want = l->backlog;
	uint32_t waiting, backlog;
	struct culprit by;

	if (!lane->listening || l->passed || l->bound.kind != ADDRESS_TCP)
		return;
	lanes_program_check(lane);
	if (most > 0 && want > most)
		want = most;
	if (lane_queue_tcp(lane->fd, &waiting, &backlog) < 0 ||
	    backlog == want)
		return;
	by = find_culprit(lane);
	/* Most do it at every start. */
	log_about(l->told_backlog ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
	    &by.about, "%shas changed the backlog of its listener to %u: back "
	    "to %u%s", by.who, backlog, want,
	    l->told_backlog ? "" : " (said once)");
	l->told_backlog = true;
	listen_again(lane, waiting);
}

static void
tell_shut(struct lane *lane, int code)
{
	struct listener *l = lane->listener;
	struct mono now = mono_now();
	const struct address_text name = address_text_numeric(&l->bound);
	const struct culprit by = find_culprit(lane);

	if (l->bound.kind == ADDRESS_UNIX) {
		log_about(LOG_LEVEL_ERROR, &by.about, "%shas shut down the "
		    "listener %s: clients are refused until %s", by.who,
		    name.s,
		    l->passed ? "the supervisor above makes it anew" :
		    "the next reload");
	} else if (l->bound.kind == ADDRESS_UDP) {
		log_about(LOG_LEVEL_ERROR, &by.about, "%shas shut down the "
		    "listener udp:%s: it hears nothing until its next start",
		    by.who, name.s);
	} else if (code < 0) {
		log_about(LOG_LEVEL_ERROR, &by.about, "%shas shut down the "
		    "listener %s, and it cannot listen again: %s", by.who,
		    name.s, strerror(-code));
	} else if (mono_ms_between(l->told_shut, now) >= LANES_TELL_MS) {
		l->told_shut = now;
		log_about(LOG_LEVEL_WARNING, &by.about, "%shas shut down the "
		    "listener %s; it listens again%s", by.who,
		    name.s,
		    l->lanes.ebpf != NULL ? "" :
		    ", what waited in its queue is lost");
	}
}

static int
revive(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	int code = 0;

	lane->listening = false;
	lane_order_remove(&ls->order, lane->slot);
	if (ls->order.n == 0)
		ls->attached = false;
	if (lanes_more_shut(l))
		return 0;	/* with that one */
	code = lanes_start(l);
	/* It would hang up for ever: a worker's listen(2) tries, or the next
	   process gets another. */
	lane->broken = code < 0 && !lane->listening && ls->n > 1;
	if (ls->order.n == 0)
		l->listening = false;
	lanes_program_again(l);
	return code;
}

/*
 * A worker has called shutdown(2) on a lane, which ends the listening for all
 * who have it; some servers do when they stop. The port is there again at once.
 * epoll reports in the order in which it happened (but for two at the very same
 * time); while another one's event is still to come nothing begins to listen,
 * so that the order stays known.
 */
static void
hangup(void *ctx, uint32_t events)
{
	struct lane *lane = ctx;
	struct listener *l = lane->listener;
	int code = 0;

	if ((events & (EPOLLHUP | EPOLLIN)) == EPOLLIN) {
		if (lanes_is_free(lane))
			lanes_evacuate(lane, true);
		else
			lanes_await_strays(lane, false);
		return;
	}
	loop_del(l->all->loop, &lane->hangup);
	/* Datagram sockets may have errors to tell, which are their holders'.
	 */
	if ((events & EPOLLHUP) == 0)
		return;
	if (l->bound.kind == ADDRESS_UNIX) {
		l->dead = true;
	} else if (l->bound.kind == ADDRESS_UDP) {
		lane->broken = true;
	} else if (l->passed) {
		code = socket_start_listening(lane->fd, l->backlog);
		if (code == 0)
			lanes_heal_watch(lane);
	} else {
		code = revive(lane);
	}
	tell_shut(lane, code);
}

/* Without EPOLLIN: what comes wakes nobody here. */
void
lanes_heal_watch(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (lane->hangup == 0 && loop_add(l->all->loop, lane->fd, 0, false,
	    hangup, lane, &lane->hangup) < 0)
		log_app(LOG_LEVEL_DEBUG, l->app, "a listener cannot be "
		    "watched");
}

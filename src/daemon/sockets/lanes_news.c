#include <sys/epoll.h>

#include "base/log.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/listener.h"

/* Without EPOLLIN what comes wakes nobody here. */
void
lanes_news_watch(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (lane->hangup != 0)
		return;
	lane->awaited = lane->heeded;
	if (loop_add(l->all->loop, lane->fd, lane->heeded ? EPOLLIN : 0, false,
		l->lanes.on_hangup, lane, &lane->hangup) < 0)
		log_app_often(LOG_LEVEL_DEBUG, l->app,
		    "a listener cannot be watched");
}

void
lanes_news_unwatch(struct lane *lane)
{
	if (lane->listener->all != NULL)
		loop_del(lane->listener->all->loop, &lane->hangup);
}

void
lanes_news_await_clients(struct lane *lane, bool on)
{
	if (lane->hangup == 0 || lane->awaited == on ||
	    lane->listener->bound.kind != ADDRESS_TCP)
		return;
	if (loop_set_events(lane->listener->all->loop, lane->hangup,
		on ? EPOLLIN : 0) == 0)
		lane->awaited = on;
}

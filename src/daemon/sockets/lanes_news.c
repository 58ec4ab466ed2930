#include <sys/epoll.h>

#include "base/log.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/listener.h"

void
lanes_news_failed(struct lane *lane)
{
	lanes_news_unwatch(lane);
	log_app_often(LOG_LEVEL_DEBUG, lane->listener->app,
	    "a listener cannot be watched");
}

/* Without EPOLLIN what comes wakes nobody here. */
static void
watch(struct lane *lane, int (*add)(struct loop *loop, int fd, uint32_t events,
    bool late, loop_fn *fn, void *ctx, loop_handle *ret_handle))
{
	const struct listener *l = lane->listener;

	if (lane->hangup != 0)
		return;
	lane->awaited = lane->heeded;
	if (add(l->all->loop, lane->fd, lane->heeded ? EPOLLIN : 0, false,
		l->lanes.on_hangup, lane, &lane->hangup) < 0)
		lanes_news_failed(lane);
}

void
lanes_news_watch(struct lane *lane)
{
	watch(lane, loop_add);
}

void
lanes_news_watch_later(struct lane *lane)
{
	watch(lane, loop_add_later);
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

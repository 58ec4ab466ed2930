/* News of the sockets of a listener's lanes, from epoll. Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LANES_NEWS_H
#define DAEMON_SOCKETS_LANES_NEWS_H

#include <stdbool.h>

struct lane;

/* Hear of its being shut down (`on_hangup` of the listener's), from now on or
   no more. Failure is logged. */
void lanes_news_watch(struct lane *lane);
void lanes_news_watch_later(struct lane *lane);	/* loop_add_later() */
void lanes_news_failed(struct lane *lane);	/* … and that is told then */
void lanes_news_unwatch(struct lane *lane);

/* TCP: hear of clients who wait in it, too, or not any more. That costs nothing
   while there is none. */
void lanes_news_await_clients(struct lane *lane, bool on);

#endif

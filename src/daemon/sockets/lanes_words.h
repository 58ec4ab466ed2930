/* What becomes of lanes, in words, for those who read along (log_level = debug).
   Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LANES_WORDS_H
#define DAEMON_SOCKETS_LANES_WORDS_H

struct lane;
struct listener;
struct strbuf;

/* Who gets new connections has changed. */
void lanes_words_tell_live(const struct listener *listener);

/* What keeps new connections from the lane, as far as is known here, each behind
   a comma; nothing if nothing does. */
void lanes_words_put_obstacles(struct strbuf *sb, const struct lane *lane);

#endif

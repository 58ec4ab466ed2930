/*
 * Whose the lanes of a listener are, and what becomes of those who wait in one
 * that nobody has. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_H
#define DAEMON_SOCKETS_LANES_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct lane;
struct lane_holder;
struct listener;

/*
 * The worker's own lane: what it has already, else a free one, else a new one.
 * -errno with words.
 */
int lanes_take(struct listener *listener, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err);
struct lane *lanes_find(const struct listener *listener,
    const struct lane_holder *holder);

/*
 * The lane for all who share one, `lanes.common`; the worker leaves its own, if
 * it has one. There is none yet: the first one that nobody has who would not
 * share it. For what one does to a lane, all would have to bear, and a worker
 * that goes on with its own lane has not asked for company. -errno with words.
 */
int lanes_share(struct listener *listener, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err);

/* The process of that number of the lane's holder serves it by its own wish: it
   has bound it. It stays noted until the lane is another one's. */
void lanes_claim(struct lane *lane, uint64_t process);

/* The holder has closed it and goes on without it: until it takes it again,
   nobody is served there, and from now on new connections go to others, where
   there are any. */
void lanes_desert(struct lane *lane);

/* The lane with this inode, or NULL. */
struct lane *lanes_find_inode(const struct listener *listener, uint64_t ino);

/* The worker has no more use for its lane: it is free. What waits in it is for
   the next holder, unless it is moved before (lanes_watch). */
void lanes_leave(struct listener *listener, const struct lane_holder *holder);

/* The lane of the one, if it has one, is the other's from now on, with what waits
   in it. The other has none of this listener. */
void lanes_pass(struct listener *listener, const struct lane_holder *from,
    const struct lane_holder *to);

/* Could the live lanes have what waits in this one? */
bool lanes_can_move(const struct lane *lane);

/* The door is closed: nobody will come to those that are free. */
void lanes_close_free(struct listener *listener);

/* Nobody shares the common lane any more: it is one like the others. */
void lanes_unshare(struct listener *listener);

/*
 * The worker gets another lane in the place of its own, which refuses: somebody
 * who is not to accept from it has it too, and would keep it open. TCP, opened
 * by us. It keeps its own if somebody waits there who cannot be moved. -errno
 * with words.
 */
int lanes_exchange(struct listener *listener, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err);

/* Of lanes that were taken over: those of the holder's number are its own again;
   and those who have not come by now will not. */
void lanes_rejoin(struct listener *listener, const struct lane_holder *holder);
void lanes_rejoined(struct listener *listener);

/* What waits in it goes to the live lanes, if it can; or is reset. Both log how
   many. For lanes_watch. */
void lanes_move(struct lane *lane);
void lanes_reset(struct lane *lane);

#endif

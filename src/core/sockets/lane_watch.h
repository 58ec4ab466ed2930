/*
 * What is done about those who wait in a lane that nobody serves. Pure.
 *
 * One rule: a lane without a ready holder is watched, and whoever waits in it is
 * moved as soon as somebody else is ready, or let go when nobody will come. The
 * time counts from when somebody else is ready, or nobody would come, and goes
 * on over all starts of the holder that come to nothing. In a lane that nobody
 * has it counts from when the first of them came, if that was later: he may have
 * strayed there long after, when a lane in use was shut down.
 *
 * Those of one who is stuck are moved, and never let go: it may serve them yet.
 *
 * To move them, the lane ceases to listen for an instant, which a program that
 * has it open would notice: where one runs that may be about to accept, it is
 * given LANE_WATCH_START_MS. Who cannot be moved (only eBPF can) had better wait
 * for a restart that comes soon: a client who is reset has to know how to try
 * again. Where somebody comes for them for sure they are not let go at all.
 */
#ifndef CORE_SOCKETS_LANE_WATCH_H
#define CORE_SOCKETS_LANE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/worker/worker_fsm.h"

/* A program that starts has so long to serve those who wait for it, while
   another worker could have them. */
#define LANE_WATCH_START_MS 1000

/* Those who cannot be moved wait so long for their own worker at most, while
   another one would serve them if they came anew. */
#define LANE_WATCH_WAIT_MS 5000

/* A lane that nobody has may still be taken, with those who wait in it, by the
   next process, so long. */
#define LANE_WATCH_TAKE_MS 1000

/*
 * The kernel resets a connection whose handshake ends in the very instant in
 * which its socket ceases to listen (inet_csk_reqsk_queue_add() in net/ipv4: the
 * socket was chosen while it listened). Handshakes come in bursts, so that who
 * waits is moved when nobody has come for LANE_WATCH_SETTLE_MS, or after
 * LANE_WATCH_SETTLE_MAX_MS at the latest; at once where a program is about to be
 * started, which would have to be given its time then.
 */
#define LANE_WATCH_SETTLE_MS 10
#define LANE_WATCH_SETTLE_MAX_MS 200

/* What is to be expected of whoever has the lane, from the least on. */
enum lane_holding {
	LANE_FREE,	/* nobody comes, but who takes it next */
	LANE_ENDING,	/* it has the stop signal, and may still accept */
	LANE_DUE,	/* no program runs, one is to be started */
	LANE_STARTING,	/* a program runs, and is not ready */
	LANE_STUCK,	/* it was, and is not well any more: who waits may
			   wait for ever, or not */
	LANE_SERVED,	/* it accepts */
};

enum lane_holding lane_holding(enum worker_state state);

/* What there is beside it, in the same group. */
enum lane_others {
	LANE_OTHERS_NONE,
	LANE_OTHERS_COMING,	/* somebody will be ready at some time */
	LANE_OTHERS_READY,	/* new connections go there */
};

struct lane_facts {
	enum lane_holding holding;
	struct mono due;	/* LANE_DUE: when the program is started */
	enum lane_others others;
	bool can_move;		/* what waits, to those who are ready */
	bool heir;		/* somebody comes for those who cannot move, as
				   soon as he can */
	bool waits;		/* somebody, as far as was heard */
	uint32_t queue;		/* how many do; 0: that is not known */
};

/* The memory of one lane; zero-initialised, and again when somebody takes the
   lane: it is another one's then. */
struct lane_watch {
	bool counts;		/* something could be done, … */
	struct mono since;	/* … since then */
	bool waits;		/* somebody does, … */
	struct mono came;	/* … since then */
	uint32_t queue;		/* so many did, at the last look, … */
	struct mono grew;	/* … and the last of them had just come then */
};

enum lane_deed {
	LANE_LEAVE,	/* nothing is to be done, or could be */
	LANE_LISTEN,	/* hear of it when somebody waits */
	LANE_WAIT,	/* somebody waits: decide again at `until` */
	LANE_MOVE,	/* who waits goes to the ready ones */
	LANE_RESET,	/* … is let go */
};

struct lane_decision {
	enum lane_deed deed;
	struct mono until;	/* LANE_WAIT; MONO_NEVER: when facts change */
};

struct lane_decision lane_watch_decide(struct lane_watch *watch,
    const struct lane_facts *facts, struct mono now);

#endif

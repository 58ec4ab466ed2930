/*
 * When is a retiring worker drained, so that its stop signal loses nothing?
 *
 * Its lane gets no new connections by then (steering). What is left: handshakes
 * that were under way (linger), its accept queue, and the connections that are
 * open. Of these one that is idle does not hold it up: nothing is unread or
 * unacknowledged, no data moved for drain_idle, and the client is owed nothing.
 * It is owed an answer if it spoke last, unless that was an acknowledgement of
 * what the server had said (HTTP/2: SETTINGS, WINDOW_UPDATE, PING), which comes
 * at once. After drain_timeout it is over in any case.
 *
 * Of UDP, flows are told by the steering program, which keeps those that it
 * knows on their lane: a flow is over when nothing of it came for drain_idle.
 *
 * The kernel tells when and how often somebody spoke, not what was said: so that
 * is a guess, in favour of requests. What comes later than a round trip behind
 * the server's words is one. What comes at once, on a connection on which the
 * client has spoken more often than the server, may be one right behind an
 * answer, and is granted what any request is: drain_timeout. What is taken for an
 * acknowledgement and is a request: one that comes at once where answers were in
 * several parts, and that gets no word for drain_idle.
 *
 * Promises, which its unit test checks against random histories: it always
 * ends, at drain_timeout if not before; it ends before only after the linger,
 * and after two looks in a row that found neither a queue nor a connection that
 * holds it up, or one that found no connection at all; if a handshake may end
 * that began in its lanes, only after one for which these were sealed; it never
 * asks for a look that is in the past or more than DRAIN_STEP_MAX_MS away.
 *
 * Whoever looks, looks in this order: the queues, the connections of the port,
 * the descriptors of the worker. So a connection that moves on meanwhile is
 * found where it has gone. One that is in between for a moment, taken from the
 * queue and without a descriptor yet, is what the second look is for; where the
 * kernel knows of none, one look does.
 */
#ifndef CORE_WORKER_DRAIN_H
#define CORE_WORKER_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct strbuf;

#define DRAIN_STEP_MIN_MS	5
#define DRAIN_STEP_MAX_MS	200
/* Between the two looks that have to agree. */
#define DRAIN_AGREE_MS		10
/* After steering has changed, for SYNs that were just being handled; and where
   new clients are refused, so that there is no change of places to settle. */
#define DRAIN_SETTLE_MS		20
#define DRAIN_REFUSED_MS	2
/* How long a client may take, beside the round trip, to acknowledge what the
   server said; the kernel's times have steps of up to 10 ms. */
#define DRAIN_REACTION_MS	20
/* For facts that cannot be told. */
#define DRAIN_UNKNOWN		(-1)

struct drain_policy {
	int64_t timeout_ms;	/* drain_timeout; 0: at once */
	int64_t idle_ms;	/* drain_idle; -1: off */
	int64_t linger_ms;	/* how long a handshake may take */
	bool refused;		/* new clients are refused */
	bool may_seal;		/* its lanes can be, and others serve: who is
				   kept out finds one of them */
};

/* One open connection of the worker, as the kernel tells it. */
struct drain_conn {
	uint32_t unread;	/* bytes that the server has not read */
	uint32_t unacked;	/* … that it sent and the client has not got */
	bool timed;		/* the rest is known (not for Unix sockets) */
	bool sent;		/* the server has ever sent data */
	bool received;		/* the client has */
	int64_t sent_ms;	/* how long ago the last time was; */
	int64_t received_ms;	/* if never: since the connection is open */
	uint32_t n_sent;	/* segments with data */
	uint32_t n_received;
	int64_t rtt_ms;		/* the round trip, rounded up */
};

/* All connections of a worker; zero-initialised. */
struct drain_tally {
	unsigned idle;		/* these do not hold up the drain, */
	unsigned resting;	/* nor will these, if nothing moves for a while */
	unsigned busy;
	int64_t rest_ms;	/* until the last of the resting ones is idle */
	bool flowing;		/* datagrams of flows still come, … */
	int64_t flow_ms;	/* … unless none does for so long; 0: no matter
				   how long */
};

/* Add one connection to the tally. */
void drain_count(struct drain_tally *tally, const struct drain_conn *conn,
    const struct drain_policy *policy);

/*
 * Datagrams came to a lane so many ms ago, of flows that were known and of such
 * that were not; -1: never. A flow is over after drain_idle; of one datagram
 * alone it is not known whether it is one, and none may follow: then a moment is
 * enough, as for a handshake.
 */
void drain_count_flows(struct drain_tally *tally, int64_t known_ms,
    int64_t fresh_ms, const struct drain_policy *policy);

/* What a look has found. */
struct drain_facts {
	int64_t queue;		/* connections (and datagrams, or whether there
				   are any) in its lanes; or DRAIN_UNKNOWN */
	int64_t half_open;	/* handshakes on its ports that are older than
				   the change of steering; or DRAIN_UNKNOWN */
	int64_t handshakes;	/* … and of whatever age, since that of one is
				   known to be so much at least; likewise */
	bool sealed;		/* none of them ends in its lanes any more */
	bool seen;		/* connections could be looked at: `open` */
	bool late;		/* … or nobody came to it */
	bool none;		/* … and the kernel has none at all on its ports,
				   whoever they might belong to … */
	bool blink;		/* … but one that was being accepted was not
				   seen, which the next look will see */
	bool all_idle;		/* … or all that it has there are idle, whoever
				   has them: of `open`, how many of these are
				   its own may not be known */
	struct drain_tally open;
};

/* The memory of one drain; started by drain_begin(). */
struct drain {
	struct mono began;
	struct mono steered;	/* MONO_NEVER: the lane still gets some */
	struct mono quiet;	/* looks have found nothing since; or never */
	int64_t step_ms;
	bool shook;		/* the last look has seen handshakes, and sealed none */
};

enum drain_why {
	/* wait */
	DRAIN_WHY_LINGER,
	DRAIN_WHY_QUEUE,
	DRAIN_WHY_BUSY,
	DRAIN_WHY_RESTING,
	DRAIN_WHY_FLOWS,
	DRAIN_WHY_UNSEEN,	/* queue or connections: until the timeout */
	DRAIN_WHY_AGREE,	/* for the second look */
	DRAIN_WHY_SEAL,		/* its lanes are to be sealed, then look again:
				   who comes between the last look and its end
				   would end with it */
	/* done */
	DRAIN_WHY_AT_ONCE,	/* drain_timeout is 0 */
	DRAIN_WHY_EMPTY,	/* no connection is open */
	DRAIN_WHY_IDLE,		/* those that are open are idle */
	DRAIN_WHY_TIMEOUT,
	DRAIN_N_WHYS,
};

struct drain_decision {
	bool done;
	enum drain_why why;
	struct mono again;	/* wait: look again then */
	int64_t took_ms;	/* since it began */
};

void drain_begin(struct drain *d, struct mono now);

/* Steering leaves the worker's lanes out from now on. Once; later calls for
   further lanes move the linger. */
void drain_steered(struct drain *d, struct mono now);

/* What a handshake's age must be to count for `half_open`. */
int64_t drain_steered_ms(const struct drain *d, struct mono now);

/* After a look. Not again after it was done. */
struct drain_decision drain_decide(struct drain *d,
    const struct drain_policy *policy, const struct drain_facts *facts,
    struct mono now);

/*
 * Words for the log, behind "web[2] pid 4711: ": "drained in 1.2s", "drained in
 * 6.1s, 2 idle connections are left", "drain_timeout after 10.0s: 3
 * connections still open"; while it waits: "draining for 800ms: 3 connections
 * still open".
 */
void drain_words(struct strbuf *sb, const struct drain_decision *decision,
    const struct drain_facts *facts);

#endif

/*
 * When may a kept connection of a retiring worker be taken from it, although its
 * client goes on using it?
 *
 * Between two requests, and never in the midst of an answer. Both look alike from
 * outside: the server has spoken last, and nothing moves. What tells them apart is
 * who ends the silence, and that is learnt of each connection, look by look, while
 * its worker drains: one whose client has ended FAREWELL_TURNS silences, and whose
 * server none, is one of requests and answers, and in its next silence it is
 * between two of them. One whose server speaks again by itself (an answer that
 * pauses, events, a WebSocket) is left alone.
 *
 * Where an answer pauses for the first time after several that did not, this errs.
 * So it is done only where the worker's end is near: in the last FAREWELL_MS of a
 * drain, or, at a stop, from FAREWELL_STOP_MS on.
 */
#ifndef CORE_WORKER_FAREWELL_H
#define CORE_WORKER_FAREWELL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker/drain.h"

/* Silences that a client has to have ended. */
#define FAREWELL_TURNS	2
/* For how long nothing has moved in a silence, beside a round trip: the kernel's
   times have steps of up to 10 ms. */
#define FAREWELL_QUIET_MS	10
/* Bytes that the client may have to acknowledge yet: it waits with that for its
   next request, or some 40 ms. With more, the server may be waiting to write. */
#define FAREWELL_UNACKED	16384
/* The last part of a drain, and the first of one at a stop, in which nothing is
   done; or a quarter of it, if that is less. */
#define FAREWELL_MS		2000
#define FAREWELL_STOP_MS	500
/* Between two looks in it. */
#define FAREWELL_STEP_MS	20

/* What looks have told of a connection; zero but for `ino` at the first one. */
struct farewell {
	uint64_t ino;
	uint32_t n_sent;
	uint32_t n_received;
	unsigned turns;
	bool seen;
	bool silent;	/* it was, at the last look */
	bool streams;	/* its server has ended a silence */
	bool taken;	/* it was, which is not to be done again */
};

/* Has the server spoken last, is nothing unread, and did nothing move since? */
bool farewell_is_silent(const struct drain_conn *conn);

/* Another look. True: it may be taken now. */
bool farewell_look(struct farewell *farewell, const struct drain_conn *conn);

/* Is it time, `past_ms` after the beginning of a drain of `timeout_ms`? */
bool farewell_is_due(int64_t past_ms, int64_t timeout_ms, bool stops);

#endif

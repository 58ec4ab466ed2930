/*
 * What stands of listeners and lanes in the ledger (core/ledger), from which the
 * next supervisor takes them over if this one is killed. Without a ledger nothing
 * is done here. Of daemon/sockets.
 *
 * Where the order matters, a record is written
 *
 *	of a listener	before its first lane's; it ends after its last one's
 *	of a lane	when its socket is bound, before it begins to listen: no
 *			client waits in a queue that nobody knows. UDP has
 *			no such moment: what comes between the bind and the
 *			record, at the opening, would be lost
 *	at a close	before the socket is closed: one that has no record is
 *			closed by the next supervisor, which ends what was
 *			begun
 *	of another socket in the place of one
 *			before that one's record ends, and it is refused or
 *			closed: for a moment both have one
 *	of a founder	never: nobody waits in it (lanes_founder.h)
 *
 * Whatever else changes, such as who listens, is written right after it: the next
 * supervisor asks the kernel for that, and goes by the record where that has no
 * answer.
 */
#ifndef DAEMON_SOCKETS_LISTENER_LEDGER_H
#define DAEMON_SOCKETS_LISTENER_LEDGER_H

#include <stdint.h>

struct lane;
struct listener;

/* It is open and in its list, or has changed. It was closed. */
void listener_ledger_note(struct listener *listener);
void listener_ledger_end(struct listener *listener);

/* What counts connections in the kernel is there, or in other cgroups, too. */
struct listeners;
void listener_ledger_count(struct listeners *listeners);

/* Its socket is bound, or it has changed. It will be closed. */
void listener_ledger_lane(struct lane *lane);
void listener_ledger_forget(struct lane *lane);

/* Its record is that of the socket that it has had so far, from now on; it is
   the lane's again; that socket will be closed. */
uint32_t listener_ledger_part(struct lane *lane);
void listener_ledger_rejoin(struct lane *lane, uint32_t record);
void listener_ledger_drop(struct listener *listener, uint32_t record);

#endif

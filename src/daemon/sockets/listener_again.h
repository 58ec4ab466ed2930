/*
 * What a supervisor that was killed has left in the table of descriptors that we
 * share with it: listeners, taken over as they stand in the ledger, and the rest,
 * closed. Of daemon/sockets; daemon/sockets/listeners.h says when.
 */
#ifndef DAEMON_SOCKETS_LISTENER_AGAIN_H
#define DAEMON_SOCKETS_LISTENER_AGAIN_H

struct descriptors;
struct error;
struct ledger;
struct listeners;

/* listeners_look_back(). */
int listener_again_look_back(struct listeners *listeners,
    struct ledger *ledger, struct error *err);

/* listeners_take_over(); and what nobody has acquired since is closed. */
void listener_again_all(struct listeners *listeners,
    struct descriptors *left);
void listener_again_end(struct listeners *listeners);

/* … all of it, now. */
void listener_again_close(struct listeners *listeners);

#endif

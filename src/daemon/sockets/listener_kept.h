/*
 * Listeners as the supervisor above has kept them from the last stop to this start
 * (daemon/sockets/listener_keep). Of daemon/sockets; daemon/sockets/listeners.h says
 * what for.
 */
#ifndef DAEMON_SOCKETS_LISTENER_KEPT_H
#define DAEMON_SOCKETS_LISTENER_KEPT_H

struct config;
struct fd_store;
struct listeners;

/* As listeners_take_kept(), listeners_kept_unused(), listeners_told_kept(). */
void listener_kept_all(struct listeners *listeners,
    const struct config *config, struct fd_store *store);
void listener_kept_unused(struct listeners *listeners);
void listener_kept_told(struct listeners *listeners, struct fd_store *store);

#endif

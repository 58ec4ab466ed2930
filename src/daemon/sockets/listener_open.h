/*
 * One listener: opened, put in force, adjusted, closed. Of daemon/sockets;
 * daemon/sockets/listeners.h says when.
 */
#ifndef DAEMON_SOCKETS_LISTENER_OPEN_H
#define DAEMON_SOCKETS_LISTENER_OPEN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/sockets/balance.h"
#include "daemon/sockets/listener.h"

struct conf_app;
struct error;

/* Is its address only to be kept from others, until a server of the app's asks
   for it (handoff = adopt)? */
bool listener_awaits_server(const struct listener *listener,
    const struct conf_app *app);

/* Open one for the place of the configuration, into the list: it listens, and
   that is logged; unless it awaits a server. -errno with words. */
int listener_open(struct listeners *listeners, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err);

/* As much for what a server asks for, but it is bound alone: listener_begin().
   -errno with words. */
int listener_open_beside(struct listeners *listeners,
    const struct conf_app *app, size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err);

/* Put one that was taken over in force for the place of the configuration, which
   nobody had again yet, as if it had just been opened. -errno with words. */
int listener_resume(struct listener *listener, const struct conf_app *app,
    size_t position, struct error *err);

/* The same for an app whose workers leave: as it is, it goes on. */
int listener_go_on(struct listener *listener, const struct conf_app *app,
    size_t position, struct error *err);

/* Begin to listen, if it does not yet, which is logged; because its program has
   asked for it, or not. -errno with words. */
int listener_begin(struct listener *listener, const struct conf_app *app,
    bool asked_for, struct error *err);

/* The same, but nobody comes to it until it has begun, where that can be had.
   -errno with words. */
int listener_try(struct listener *listener, const struct conf_app *app,
    struct error *err);

/* A reload may move an address from one app to another. */
void listener_belong(struct listener *listener, const struct conf_app *app,
    size_t position);

/* Asked for by a server, and from now on in the place of the one that was
   opened first. */
void listener_take_place(struct listener *listener);

/* Bring backlog, balance, mode and owner to what `app` says; failures are
   logged. */
void listener_adjust(struct listener *listener, const struct conf_app *app,
    enum balance_accepts accepts);

/*
 * A Unix listener that was shut down cannot listen again: another socket takes
 * its place, at the same path. Who has the old one is deaf. -errno with words:
 * it stays dead.
 */
int listener_renew(struct listener *listener, struct error *err);

/* The balance that it would have in force for `app`. */
enum balance listener_balance(const struct listener *listener,
    const struct conf_app *app, enum balance_accepts accepts);

/* Unix: its file is removed, and who is in its queue is served. */
void listener_hide(struct listener *listener);

/* Close its lanes, and remove its file: the program stops. */
void listener_shut(struct listener *listener);

/* That too, and out of the list: the last reference is gone. */
void listener_discard(struct listener *listener);

#endif

/*
 * The listeners that are open, by address, shared by whoever needs them: the
 * specs of all apps and generations hold references. A listener is opened with
 * the first and closed with the last, so a reload that keeps an address keeps
 * the socket with all that waits in it.
 *
 * What a listener is, and which modules the room has: daemon/sockets/listener.
 *
 * One address of a configuration may have several listeners: those that its
 * servers have asked for by binding (core/sockets/adoption), beside the one that was
 * opened first or in its place. daemon/spec says which an app has.
 */
#ifndef DAEMON_SOCKETS_LISTENERS_H
#define DAEMON_SOCKETS_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/sockets/balance.h"
#include "daemon/sockets/listener.h"

struct conf_app;
struct config;
struct descriptors;
struct error;
struct fd_store;
struct ledger;
struct loop;

#define LISTENERS_INIT { .inotify = -1 }

/* Before any is opened; `loop` must outlive them. Undone by _fini. */
void listeners_init(struct listeners *listeners, struct loop *loop);
void listeners_fini(struct listeners *listeners);

/* Before listeners_take_over(), until listeners_disinherit(): of which apps only
   workers are left. Their listeners are taken over as they are, also those that
   refuse; nothing is opened for them, and listeners_acquire() may find none. */
void listeners_on_leaving(struct listeners *listeners,
    bool (*leaves)(void *ctx, const char *app), void *ctx);

/* From now on: what is open at a stop is put into this store, if there is one there. And
   the stop has begun. */
void listeners_keep(struct listeners *listeners, struct fd_store *store);
void listeners_stop(struct listeners *listeners);

/* The start is over: from now on the loop turns, and is not to be held up. */
void listeners_run(struct listeners *listeners);

/* Whom to tell that a lane has changed hands, or has somebody in it who is to be
   looked after: in the midst of a turn, so it only takes a note. */
void listeners_on_news(struct listeners *listeners,
    void (*fn)(void *ctx, struct listener *listener), void *ctx);

/* Whom to tell that somebody has come into a lane that is heeded
   (lanes_watch_heed()): once. */
void listeners_on_clients(struct listeners *listeners,
    void (*fn)(void *ctx, const struct lane *lane), void *ctx);

/* Whom to ask what is to become of a Unix listener that a worker has shut down:
   it may call listener_renew(). */
void listeners_on_death(struct listeners *listeners,
    enum listener_fate (*fn)(void *ctx, struct listener *listener), void *ctx);

/*
 * Before _init: take what the supervisor above passes in LISTEN_FDS, to be
 * matched with what is acquired (linux/socket/listen_fds). -ENOMEM. What nobody has
 * acquired is closed, listeners that were taken over too; `fn`, or NULL, is told of
 * each of LISTEN_FDS.
 */
int listeners_inherit(struct listeners *listeners, size_t *ret_unusable);
void listeners_disinherit(struct listeners *listeners,
    void (*fn)(const struct address *unused));

/*
 * Before _init: changes are written to this ledger from now on. Returns 1 if another
 * supervisor has written there and was killed, which has taken from LISTEN_FDS what
 * it needed. -errno with words: the ledger is of no use, and nothing can be had
 * of it.
 */
int listeners_look_back(struct listeners *listeners, struct ledger *ledger,
    struct error *err);

/* The first of the two that there is reason for: _look_back(), with words where that
   is of no use, or _inherit(). As _inherit(). */
int listeners_look_back_or_inherit(struct listeners *listeners,
    struct ledger *ledger, size_t *ret_unusable);

/*
 * After _init: the listeners that it has left are open again, as if their last
 * reference had just gone, until _disinherit: who acquires one takes it over, with
 * those who wait in its lanes, which are free. `left` is all that it has left in our
 * table of descriptors: what is not taken over is closed, without waiting for anybody.
 */
void listeners_take_over(struct listeners *listeners,
    struct descriptors *left);

/*
 * As much with what the supervisor above has kept of the last time, and has handed back
 * with LISTEN_FDS: what is none of ours after all, or is in none of the apps of this
 * configuration, is closed, and that is said.
 */
void listeners_take_kept(struct listeners *listeners,
    const struct config *config, struct fd_store *store);

/* Of these, what nobody has acquired is to go. Unless this is called, it stays as it is
   for the next start; and so does all of it, unless _told is. */
void listeners_kept_unused(struct listeners *listeners);

/* And it need not be kept any longer. */
void listeners_told_kept(struct listeners *listeners, struct fd_store *store);

/*
 * A reference to the listener that `app` wants at `position`, opened if need
 * be and logged then. -errno with words: nothing was acquired.
 */
int listeners_acquire(struct listeners *listeners, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err);

/*
 * An acquired listener is put in force for `app`: it listens, even if the last
 * generation's program did not serve it, and is the app's. Failure is logged.
 */
void listener_enlist(struct listener *listener, const struct conf_app *app,
    size_t position);

/*
 * A reference to a listener for the same place of the configuration that is
 * bound to `target`, which a server asks for; bound if need be, and for TCP
 * not listening yet. -errno with words.
 */
int listeners_derive(struct listeners *listeners, const struct conf_app *app,
    size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err);

/* A reference to one that was taken over and that a server had asked for beside
   that place: the next one, until there is none, NULL. */
struct listener *listeners_claim_beside(struct listeners *listeners,
    const struct conf_app *app, size_t position);

/* Refuse clients until a server asks for it (listener_begin()): nobody would
   accept them. TCP; what others have passed to us stays as it is. */
void listener_suspend(struct listener *listener);

/* It was tried, see listener_try(), and is not wanted: it is bound again. */
void listener_untry(struct listener *listener);

/*
 * Take no new clients, but let those that are in a queue, or in a handshake, be
 * served: its last workers retire. listener_enlist() opens it again. TCP and
 * UDP (whose known flows are served where clusterd keeps them with their workers);
 * others and what was passed to us take clients until they are closed.
 * Where neither TCP filters are permitted (Linux 6.18 wants CAP_NET_ADMIN), nor
 * TCP signatures are known (CONFIG_TCP_MD5SIG), a lane takes clients until its
 * worker has gone.
 */
void listener_close_door(struct listener *listener);

/*
 * The same for good, or, where it is kept for the next start, until that is there; new
 * ones wait then, but for Unix in a lane that nobody has. Else they are refused: TCP by a reset, Unix since the
 * file is gone. Where that cannot be had (Linux before 5.7 without CAP_NET_RAW,
 * or a socket that is bound to an interface), and with UDP, the door is closed.
 */
void listener_refuse(struct listener *listener);

/* Is the address taken, as far as TCP and UDP go? */
bool listeners_taken(const struct address *address);

/* Give a reference back; NULL is fine. The last one closes. */
void listeners_release(struct listener *listener);

/*
 * Let go of every lane now, whoever refers to it: the program stops. Clients
 * are refused as soon as the workers have closed theirs.
 */
void listeners_shut(struct listeners *listeners);

/* No server waits on it any more: with the last reference clients are refused,
   whoever still holds it. Or one does again. */
void listener_forsake(struct listener *listener);
void listener_reclaim(struct listener *listener);

/* That worker was seen to have it open: to be asked first the next time. */
void listener_note_seen(struct listener *listener, pid_t pid);

/* A worker of the supervisor before is taken over: the lanes that it had are its
   own again; and all are who will be. */
void listeners_rejoin(struct listeners *listeners,
    const struct lane_holder *holder);
void listeners_rejoined(struct listeners *listeners);

/* A worker is gone: its lanes are free. */
void listeners_leave(struct listeners *listeners,
    const struct lane_holder *holder);

#endif

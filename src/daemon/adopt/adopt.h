/*
 * Adoption: the binds and listens of a worker's process tree come here, before
 * the kernel sees them. Where core/adoption says that the address is one of the
 * app's, the worker's own socket becomes the listener's lane; everything else
 * goes on as if nothing had been.
 */
#ifndef DAEMON_ADOPT_H
#define DAEMON_ADOPT_H

#include <stdbool.h>
#include <stddef.h>

struct app;
struct app_spec;
struct config;
struct error;
struct supervisor;
struct worker;

/*
 * Can it be done, for the apps of `config` that want it? Tried out until it
 * works. -errno with words when an app insists (handoff = adopt); for handoff =
 * auto it is logged, once, and adopt_wanted() is false from now on.
 */
int adopt_check(struct supervisor *sup, const struct config *config,
    struct error *err);

/* Are the calls of this spec's workers to be trapped? */
bool adopt_wanted(const struct app_spec *spec);

/* Answer the calls that come over `listener`, which is taken over; -1: there
   was no room for it here. */
void adopt_begin(struct worker *worker, int listener);
void adopt_end(struct worker *worker);

/*
 * A worker got ready, or went. What servers have bound and closed again, as
 * some do to see whether a port is free, must not go on taking clients; nor
 * what the app's program does not bind although it binds others. Looked at a
 * little later, for all that happened by then.
 */
void adopt_settle_soon(struct app *app);

/* The timer sup->settle is due. */
void adopt_settle(struct app *app);

/* Answer again what could not be answered before (sup->adopt_again). */
void adopt_retry(struct worker *worker);

#endif

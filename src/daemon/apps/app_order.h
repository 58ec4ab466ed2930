/*
 * Which app begins before which, and ends behind it: `after`. Those of a circle,
 * which only configurations of different reloads can make together, are in no
 * order. Nobody is held up by an app that is not there, or that has failed.
 */
#ifndef DAEMON_APPS_APP_ORDER_H
#define DAEMON_APPS_APP_ORDER_H

#include <stdbool.h>

struct app;
struct apps;

/* It is to begin something, a start or a reload: that waits if others come before
   it, until order_goes_on(). */
void order_begin(struct app *app);

/* At a turn's end, when all that begin have been told so: need it wait (no
   more)? What it waits for is logged once. */
bool order_goes_on(struct app *app);

/* Something about it has changed: those that may have waited for that get a turn. */
void order_note(struct app *app);

/* All are to end, or no longer: those that others come after are held, until
   order_lets_go(). */
void order_end(struct apps *apps);
void order_end_at_once(struct apps *apps);
bool order_lets_go(struct app *app);

/* Is anybody held? */
bool order_holds(const struct apps *apps);

#endif

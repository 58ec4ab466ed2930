/*
 * What becomes of the replacement of a worker that was due, which app_recycle has
 * begun. Of daemon/apps.
 */
#ifndef DAEMON_APPS_APP_RECYCLED_H
#define DAEMON_APPS_APP_RECYCLED_H

#include <stdbool.h>

#include "core/health/recycle.h"

struct app;
struct strbuf;

/* The restart of that instance has begun, for that reason, whose words are taken;
   `too_young`: it had served hardly. */
void app_recycled_begin(struct app *app, unsigned seat,
    enum recycle_cause cause, struct strbuf *words, bool too_young);

/* Of every restart of an instance: the new worker has taken the seat; it came to
   nothing; or a reload comes before that is known. */
void app_recycled_taken(struct app *app);
void app_recycled_failed(struct app *app);
void app_recycled_superseded(struct app *app);

#endif

/*
 * What has happened: the last events, CONTROL_EVENTS_MAX bytes at most, for
 * control_watch to tell. Who reads too slowly loses the oldest, and nobody else
 * has to wait.
 */
#ifndef DAEMON_CONTROL_CONTROL_EVENTS_H
#define DAEMON_CONTROL_CONTROL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/control/event.h"
#include "core/output/ring.h"

#define CONTROL_EVENTS_MAX (64 * 1024)

struct app;
struct on_event;
struct reload_result;
struct worker;
struct worker_step;

struct control_events {
	struct ring ring;	/* a line is a record of the answer */
	uint64_t seq;
	struct on_event *on_event;	/* who is told too, or NULL */
	bool news;		/* since control_events_news() */
	char *first_error;	/* of the configuration that is read, or NULL */
};

void control_events_init(struct control_events *events);
void control_events_free(struct control_events *events);

void control_events_stepped(struct control_events *events,
    const struct worker *worker, const struct worker_step *step);
void control_events_died(struct control_events *events,
    const struct worker *worker, const struct worker_step *step,
    const char *words);

/* How it is has changed; `words` may be NULL. */
void control_events_health(struct control_events *events,
    const struct worker *worker, bool unwell, const char *words);

/* `words` may be NULL. */
void control_events_app(struct control_events *events, const struct app *app,
    enum event_kind kind, const char *words);

/* What is wrong with a configuration: the first is told with its refusal. */
void control_events_error(struct control_events *events, const char *words);

/* `app` is NULL if it is not about one alone. */
void control_events_refused(struct control_events *events, const char *app,
    const char *words);
void control_events_applied(struct control_events *events,
    const struct reload_result *result);

/* Are there any since it was last asked? */
bool control_events_news(struct control_events *events);

#endif

/*
 * `on_event`: a command for each event, one at a time of each kind, so that many of
 * one kind are in nobody's way. Those that come meanwhile wait, ON_EVENT_WAITING
 * bytes of each kind, and what is beyond that is dropped and counted.
 */
#ifndef DAEMON_ON_EVENT_ON_EVENT_H
#define DAEMON_ON_EVENT_ON_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/control/event.h"
#include "daemon/on_event/event_run.h"
#include "linux/loop/loop.h"

#define ON_EVENT_WAITING	(32 * 1024)

/* How long the end of the program waits for the last ones. */
#define ON_EVENT_END_MS		2000

struct on_event_item;
struct orphans;

struct on_event {
	struct event_run_house house;
	struct config *const *config;	/* the one in force */
	struct orphans *orphans;
	struct on_event_kind {
		struct event_run run;
		struct on_event_item *first, **last;	/* who wait */
		size_t bytes;
		uint64_t dropped;	/* and not told */
	} kinds[EVENT_KINDS];
	bool news;			/* since the last turn */
	bool ending;
	bool ended;
	struct loop_timer again;	/* there was no time for all */
	struct loop_timer end;
	struct loop_budget budget;
	uint64_t runs;			/* since we began: commands, … */
	uint64_t failures;		/* … those that did not do well, … */
	uint64_t dropped;		/* … and events without one */
};

/* Everything stays the caller's. -ENOMEM. Undone by _fini(), which is fine for
   zeros. */
int on_event_init(struct on_event *on_event,
    const struct event_run_house *house, struct config *const *config,
    struct orphans *orphans);
void on_event_fini(struct on_event *on_event);

/* Something has happened: its record, as clients are told it. */
void on_event_add(struct on_event *on_event, enum event_kind kind,
    const char *record, size_t len);

/* At the end of a turn: run what may run. */
void on_event_turn(struct on_event *on_event);

/* A child of ours is dead, and not reaped yet. False: it is none of these. */
bool on_event_died(struct on_event *on_event, pid_t pid,
    struct exit_status status);

/* The program ends: are the last ones done? To be asked again whenever one may be.
   `now`: none of them has any time. */
bool on_event_is_over(struct on_event *on_event, bool now);

#endif

/*
 * A request that is being carried out. The verbs are a table that the top of
 * the room sets: what is below knows none of those who carry them out.
 */
#ifndef DAEMON_CONTROL_CONTROL_OP_H
#define DAEMON_CONTROL_CONTROL_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/control/request.h"
#include "core/output/ring.h"
#include "daemon/config/reload_apply.h"
#include "daemon/control/control_failures.h"

struct control_checks;
struct control_client;
struct control_op;
struct log_readers;

/* How a request is carried out; any of these may be NULL. */
struct control_verb {
	/* The answer may be complete when it returns. */
	void (*begin)(struct control_client *client);
	/* Makes a portion of the answer; false: there is no more, for now or
	   ever, and then the answer is ended. NULL: it comes when it is
	   done. */
	bool (*more)(struct control_client *client);
	/* At the end of a turn in which something changed; ends the answer when
	   it is done, and such a client is told of progress. */
	void (*check)(struct control_client *client);
	/* The program ends, and this ends the answer; where it does not, the
	   request has failed. */
	void (*last)(struct control_client *client);
	/* Frees what was kept for it. */
	void (*free)(struct control_op *op);
	bool quiet;		/* not worth a line in the log */
};

/* What has to be reached for the answer (control_goal). */
struct control_goal {
	enum control_goal_kind {
		CONTROL_GOAL_NONE,
		/* No rollout is under way in what it concerns, and what came by
		   this reload, or a later one, is up. */
		CONTROL_GOAL_RELOADED,
		/* The same, and nothing came. */
		CONTROL_GOAL_RESTARTED,
		/* The app has the instances that are wanted and no others;
		   those from `floor` on are up. */
		CONTROL_GOAL_UP,
		/* All instances of all apps are, or of that one, or so many
		   as the request asks for. */
		CONTROL_GOAL_ALL_UP,
		/* Nothing of it is left. */
		CONTROL_GOAL_STOPPED,
		CONTROL_GOALS
	} kind;
	uint64_t reload;	/* the number of the one that was asked for */
	bool reading;		/* … which is not in force yet */
	struct reload_result result;	/* … or is: what it came to */
	unsigned floor;
};

/* Where the records of status have come to (control_status). */
struct control_cursor {
	enum {
		CONTROL_AT_CLUSTERD,
		CONTROL_AT_APP,
		CONTROL_AT_SEATS,
		CONTROL_AT_RETIRING,
		CONTROL_AT_STOPPED,
	} at;
	uint64_t app;		/* by its number */
	unsigned seat;		/* … or stopped app */
	uint64_t worker;	/* the latest that was told, by its number */
};

struct control_op {
	struct request request;
	const struct control_verb *verb;
	bool busy;		/* with it */

	/* Each is written by those alone who carry such requests out: */
	struct control_goal goal;
	struct control_failures failures;	/* … its, freed with the request */
	struct control_cursor cursor;
	struct log_readers *readers;	/* control_logs */
	struct control_checks *checks;	/* control_check */
	struct ring_cursor events;	/* control_watch */
	uint64_t until;		/* … events: that line is not told any more */
	bool known;		/* … what was asked for is */
	bool waits;		/* there is no portion until lines, events or
				   verdicts come */
};

void control_op_begin(struct control_op *op, const struct control_verb *verb,
    const struct request *request);

/* Free what it kept, also of one that never began. Whoever is carrying it out
   may look at the request once more. */
void control_op_end(struct control_op *op);

/* Does the request name an app? Does it concern that one? */
bool control_op_names_app(const struct control_op *op);
bool control_op_concerns(const struct control_op *op, const char *app);

/* Is it carried out by answering, and can it be gone on with now? */
bool control_op_has_portion(const struct control_op *op);

/* … or is something waited for, and checked at the end of a turn? */
bool control_op_is_awaited(const struct control_op *op);

#endif

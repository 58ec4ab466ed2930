/*
 * How a worker is, after what its checks have come to, and who of an app's is to
 * be replaced. Pure.
 *
 * The first check that fails makes a worker unwell: new connections avoid it. The
 * first good one makes it well again. So many failures in a row condemn it: it is
 * to be replaced. What could not be asked says nothing.
 *
 * One is replaced at a time, by one that has shown that it is well. Where nobody
 * is well the fault may lie elsewhere, in what all of them need: then all stay,
 * and one replacement is tried at a time, further and further apart. It takes its
 * seat only if it is better than those are.
 */
#ifndef CORE_HEALTH_HEALTH_H
#define CORE_HEALTH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/health/verdict.h"

/* ---- of one process ---- */

struct health {
	bool known;		/* a check has come to something */
	bool blind;		/* … or the latest could not be made */
	bool unwell;		/* … and the last one was bad */
	unsigned failures;	/* in a row */
	bool condemned;		/* … which are too many */
};

enum health_news {
	HEALTH_NOTHING,
	HEALTH_WELL,		/* for the first time */
	HEALTH_FELL_ILL,
	HEALTH_RECOVERED,
	HEALTH_CONDEMNED,	/* with this failure; it may be the first */
};

/* Nobody knows yet that it is well, or it is not. Who could never be asked is not
   held up by that. */
bool health_in_doubt(const struct health *health);

/* What a check has come to; `failures_max` condemn. */
enum health_news health_take(struct health *health, enum verdict_kind kind,
    unsigned failures_max);

/*
 * When it is checked next: each instance of each app has a time of its own within
 * the interval, so that those of many are spread over it. `soon`: as soon as makes
 * sense, for who is on trial.
 */
struct mono health_next(const char *app, unsigned instance,
    int64_t interval_ms, bool soon, struct mono now);

/* ---- of an app ---- */

/* What is remembered of replacements; zero-initialised. */
struct health_ward {
	unsigned failed;	/* that came to nothing, in a row */
	struct mono next;	/* none before that */
	bool all_told;		/* that nobody is well */
};

struct health_view {
	unsigned ready;		/* seats with a worker that is */
	unsigned unwell;	/* of these */
	unsigned condemned;	/* of these */
	bool busy;		/* a rollout is under way */
};

struct health_terms {
	int64_t delay_ms;	/* restart_delay */
	int64_t delay_max_ms;
	int64_t patience_ms;	/* until a worker is condemned */
	bool never;		/* restart = never */
};

enum health_deed {
	HEALTH_LEAVE,		/* nothing, as things are */
	HEALTH_LATER,		/* at `ward->next` */
	HEALTH_REPLACE,		/* one of the condemned */
};

/* What to do now. *ret_tell_all: it is to be said that nobody is well, once. */
enum health_deed health_decide(struct health_ward *ward,
    const struct health_view *view, const struct health_terms *terms,
    struct mono now, bool *ret_tell_all);

/* A replacement has taken its seat, or has come to nothing. */
void health_replaced(struct health_ward *ward, bool well,
    const struct health_terms *terms, struct mono now);

#endif

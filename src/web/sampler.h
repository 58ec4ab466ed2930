/*
 * Statuses of clusterd, for all who want one. They share: what is under way is
 * everybody's, and one that is young, by what it has cost, is told again; so however
 * many ask, clusterd spends a small part of its time on them.
 */
#ifndef WEB_SAMPLER_H
#define WEB_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "core/status/status.h"
#include "linux/loop/loop.h"
#include "web/asker.h"
#include "web/stream.h"

/* Of what a status has cost clusterd, for how many times that long it is told once
   more: five percent of its time, however often it is asked. */
#define SAMPLER_FRESH	20

/* `status` is the sampler's, until the next one comes; NULL: there is none, and
   `words` say why. */
typedef void sampler_fn(void *ctx, const struct status *status,
    const char *words);

/* A place for who waits; the sampler writes it. */
struct sampler_wait {
	TAILQ_ENTRY(sampler_wait) entry;
	sampler_fn *fn;
	void *ctx;
	bool busy;
};

/* All of it is written here. */
struct sampler {
	struct loop *loop;
	struct stream stream;
	struct loop_timer late;		/* no answer */
	TAILQ_HEAD(, sampler_wait) waits;
	struct status status;		/* the last one, */
	bool known;
	struct mono at;			/* when it was asked for, */
	int64_t cost_ns;		/* and what it took of clusterd's time */
	struct status coming;
	struct mono asked;
	bool no_memory;
};

/* -ENOMEM. */
int sampler_init(struct sampler *sampler, struct loop *loop,
    struct asker *asker);
void sampler_fini(struct sampler *sampler);

/* One that is no older than `fresh` times its cost, or the next. fn may be called
   from within. */
void sampler_want(struct sampler *sampler, int fresh,
    struct sampler_wait *wait, sampler_fn *fn, void *ctx);

/* Not any more. */
void sampler_forget(struct sampler *sampler, struct sampler_wait *wait);

#endif

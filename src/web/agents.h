/*
 * Answers to HAProxy's agent-check: whoever connects gets a line, of core/web/web_agent.h,
 * without asking, and the end. A client that does not go by itself is let go of, and the
 * oldest ones are when they are many.
 */
#ifndef WEB_AGENTS_H
#define WEB_AGENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "linux/loop/loop.h"
#include "web/doors.h"
#include "web/sampler.h"

struct error;

#define AGENTS_CLIENTS_MAX 64

struct agent_client;
struct agents;

/* All of it is written here. */
struct agent_door {
	struct agents *agents;
	const char *app;		/* the caller's */
	int fd;
	loop_handle handle;
};

struct agents {
	struct loop *loop;
	struct sampler *sampler;
	struct agent_door doors[DOORS_MAX];
	size_t n_doors;
	TAILQ_HEAD(, agent_client) clients;	/* the oldest first */
	unsigned n_clients;
	struct loop_timer timer;
	struct mono resume;	/* nobody is accepted until then, for lack of
				   descriptors; MONO_NEVER: that is not so */
};

/* -ENOMEM. */
int agents_init(struct agents *agents, struct loop *loop,
    struct sampler *sampler);

/* Answer at a listening socket, which is taken in any case, of this app, which has to
   last as long. -errno with words. */
int agents_add_door(struct agents *agents, int fd, const char *app,
    struct error *err);

/* Take who waits in the queues, nobody else. */
void agents_close_doors(struct agents *agents);

/* How many clients were not told yet. */
unsigned agents_left(const struct agents *agents);

/* Before the sampler's end. */
void agents_fini(struct agents *agents);

#endif

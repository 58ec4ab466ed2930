#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "core/web/web_agent.h"
#include "web/agents.h"

/* From its connection to its end: longer than a status may take. */
#define CLIENT_MS	6000

/* What agent-send may say, which nobody reads. */
#define SAID_MAX	4096

#define PAUSE_MS	100

struct agent_client {
	TAILQ_ENTRY(agent_client) entry;
	struct agents *agents;
	const char *app;
	int fd;
	loop_handle handle;
	struct sampler_wait wait;
	struct mono due;
	size_t said;
	bool told;
	bool ended;		/* it says no more, and may still listen */
};

/* ---- time ---- */

static void
set_timer(struct agents *agents)
{
	const struct agent_client *first = TAILQ_FIRST(&agents->clients);
	struct mono next = agents->resume;

	if (first != NULL && mono_before(first->due, next))
		next = first->due;
	loop_timer_set(agents->loop, &agents->timer, next);
}

static void
watch_doors(struct agents *agents, uint32_t events)
{
	for (size_t i = 0; i < agents->n_doors; i++)
		(void)loop_set_events(agents->loop, agents->doors[i].handle,
		    events);
}

/* ---- a client ---- */

static void
end_client(struct agent_client *c)
{
	struct agents *agents = c->agents;

	sampler_forget(agents->sampler, &c->wait);
	loop_del(agents->loop, &c->handle);
	fd_close(&c->fd);
	TAILQ_REMOVE(&agents->clients, c, entry);
	agents->n_clients--;
	free(c);
	set_timer(agents);
}

/* While there is something that was not read, the end would be a reset, and that may
   overtake the answer: so it is the client's. Without a status there is no answer,
   which changes nothing for HAProxy. */
static void
tell(void *ctx, const struct status *status, const char *words)
{
	struct agent_client *c = ctx;
	struct strbuf line = STRBUF_INIT;

	(void)words;
	if (status != NULL)
		web_agent(status, c->app, &line);
	/* The queue of a new connection has room for it. */
	if (line.len > 0 && !line.failed)
		(void)send(c->fd, line.text, line.len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	strbuf_free(&line);
	c->told = true;
	if (c->ended)
		end_client(c);
	else
		(void)shutdown(c->fd, SHUT_WR);
}

static void
on_client(void *ctx, uint32_t events)
{
	struct agent_client *c = ctx;
	char bytes[512];
	ssize_t n = read(c->fd, bytes, sizeof(bytes));

	if (n > 0) {
		c->said += (size_t)n;
		if (c->said > SAID_MAX)
			end_client(c);
	} else if (n == 0 && !c->told && (events & EPOLLHUP) == 0) {
		c->ended = true;
		(void)loop_set_events(c->agents->loop, c->handle, 0);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		end_client(c);
	}
}

/* `fd` is taken. */
static void
add_client(struct agent_door *door, int fd)
{
	struct agents *agents = door->agents;
	struct agent_client *c = calloc(1, sizeof(*c));

	if (c == NULL || loop_add(agents->loop, fd, EPOLLIN, false, on_client,
	    c, &c->handle) < 0) {
		free(c);
		(void)close(fd);
		return;
	}
	c->agents = agents;
	c->app = door->app;
	c->fd = fd;
	c->due = mono_add_ms(mono_now(), CLIENT_MS);
	TAILQ_INSERT_TAIL(&agents->clients, c, entry);
	if (++agents->n_clients > AGENTS_CLIENTS_MAX)
		end_client(TAILQ_FIRST(&agents->clients));
	set_timer(agents);
	sampler_want(agents->sampler, SAMPLER_FRESH, &c->wait, tell, c);
}

/* ---- doors ---- */

/* Whoever is at a queue that nobody is accepted from would wake us without end. */
static void
pause_doors(struct agents *agents)
{
	struct agent_client *first = TAILQ_FIRST(&agents->clients);

	watch_doors(agents, 0);
	agents->resume = mono_add_ms(mono_now(), PAUSE_MS);
	if (first != NULL)
		end_client(first);
	set_timer(agents);
}

static void
on_door(void *ctx, uint32_t events)
{
	struct agent_door *door = ctx;

	(void)events;
	for (int i = 0; i < AGENTS_CLIENTS_MAX; i++) {
		int fd = accept4(door->fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		int code = fd < 0 ? errno : 0;

		if (code == 0)
			add_client(door, fd);
		else if (code == EMFILE || code == ENFILE ||
		    code == ENOBUFS || code == ENOMEM)
			pause_doors(door->agents);
		if (code != 0 && code != ECONNABORTED && code != EINTR)
			break;
	}
}

static void
on_timer(void *ctx)
{
	struct agents *agents = ctx;
	struct mono now = mono_now();
	struct agent_client *c;

	while ((c = TAILQ_FIRST(&agents->clients)) != NULL &&
	    !mono_before(now, c->due))
		end_client(c);
	if (!mono_before(now, agents->resume)) {
		agents->resume = MONO_NEVER;
		watch_doors(agents, EPOLLIN);
	}
	set_timer(agents);
}

int
agents_init(struct agents *agents, struct loop *loop, struct sampler *sampler)
{
	*agents = (struct agents){
		.loop = loop, .sampler = sampler, .resume = MONO_NEVER,
	};
	TAILQ_INIT(&agents->clients);
	return loop_timer_init(loop, &agents->timer, on_timer, agents);
}

int
agents_add_door(struct agents *agents, int fd, const char *app,
    struct error *err)
{
	struct agent_door *door = &agents->doors[agents->n_doors];
	int flags = fcntl(fd, F_GETFL);
	int code;

	*door = (struct agent_door){ .agents = agents, .app = app, .fd = fd };
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	code = loop_add(agents->loop, fd, EPOLLIN, false, on_door, door,
	    &door->handle);
	if (code < 0) {
		fd_close(&door->fd);
		return error_set(err, code, "%s", strerror(-code));
	}
	agents->n_doors++;
	return 0;
}

void
agents_close_doors(struct agents *agents)
{
	for (size_t i = 0; i < agents->n_doors; i++) {
		struct agent_door *door = &agents->doors[i];

		on_door(door, EPOLLIN);
		loop_del(agents->loop, &door->handle);
		fd_close(&door->fd);
	}
	agents->n_doors = 0;
	agents->resume = MONO_NEVER;
	set_timer(agents);
}

unsigned
agents_left(const struct agents *agents)
{
	const struct agent_client *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &agents->clients, entry)
		n += !c->told;
	return n;
}

void
agents_fini(struct agents *agents)
{
	struct agent_client *c;

	if (agents->loop == NULL)
		return;
	for (size_t i = 0; i < agents->n_doors; i++) {
		loop_del(agents->loop, &agents->doors[i].handle);
		fd_close(&agents->doors[i].fd);
	}
	agents->n_doors = 0;
	while ((c = TAILQ_FIRST(&agents->clients)) != NULL)
		end_client(c);
	loop_timer_fini(agents->loop, &agents->timer);
}

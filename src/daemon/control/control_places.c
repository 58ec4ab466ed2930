#include <sys/socket.h>

#include <errno.h>
#include <poll.h>

#include "base/log.h"
#include "core/control/answer.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_door.h"
#include "daemon/control/control_places.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_talk.h"
#include "linux/keeper/keeper_share.h"

/* Clients that are taken in one turn. */
#define ACCEPTS_MAX	16

/* While somebody waits for a place: how long nothing may have moved on the
   connection that loses its own. */
#define STALLED_MS	1000

/* ---- coming ---- */

static void
greet(struct control_client *c)
{
	answer_begin(&c->out, ANSWER_GREETING, NULL);
	answer_put_number(&c->out, "pid", (uint64_t)c->setup->program->pid);
	answer_put(&c->out, "version", CLUSTERD_VERSION);
	/* Who is answered by another one than it had asked is to see it. */
	answer_put_number(&c->out, "supervisor", keeper_supervisor());
	answer_end(&c->out);
}

/* -errno: it could not be taken, and is closed. */
static int
take_client(struct control_clients *clients, int fd,
    const struct control_peer *peer)
{
	struct control_client *c;
	int code = control_client_new(clients, fd, peer->pid,
	    control_talk_ready, &c);

	if (code < 0)
		return code;
	greet(c);
	if (!peer->allowed) {
		log_own_often(LOG_LEVEL_WARNING, "control: refused pid %d of user %u",
		    (int)peer->pid, (unsigned)peer->uid);
		control_client_fail(c, "denied",
		    "only root, clusterd's own user and members of "
		    "control_group may");
		control_client_leave(c);
	}
	control_talk_go_on(c);
	return 0;
}

void
control_places_fill(void *ctx)
{
	struct control_clients *clients = ctx;
	struct control_peer peer;

	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd;

		/* The next turn will tell whether anybody waits at all. */
		if (i > 0 && clients->n >= CONTROL_CLIENTS_MAX)
			return;
		if (clients->n >= CONTROL_CLIENTS_MAX) {
			control_door_pause(clients->door);
			return;
		}
		fd = control_door_accept(clients->door, &peer);
		if (fd == -EAGAIN)
			return;
		if (fd == -EINTR || fd == -ECONNABORTED)
			continue;
		/* EMFILE and the like: the queue stays, so wait a little. */
		if (fd < 0 || take_client(clients, fd, &peer) < 0) {
			control_door_pause(clients->door);
			return;
		}
	}
}

/* ---- giving way ---- */

/*
 * What it has sent is still to be read, or it has made room for what is still to
 * be sent: then it is our turn, who may just have stood still for longer than it
 * may. An urgent byte, which epoll shows for ever, is none of that.
 */
static bool
is_our_turn(const struct control_client *c)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };
	size_t len;
	char byte;

	if (control_client_unsent(c) > 0 || control_op_has_portion(&c->op) ||
	    control_client_line(c, &len))
		return poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLOUT) != 0;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/*
 * Nothing moves, although it seems to be its turn: to send a request, or to read. A
 * portion that is not made waits for it to read, too, when the kernel has all
 * of those before: a Unix socket with a quarter of its buffer full does not
 * count as writable (net/unix/af_unix.c, unix_writable()).
 */
static bool
seems_to_stall(const struct control_client *c, struct mono now)
{
	return (!c->op.busy || control_client_unsent(c) > 0 ||
	    control_op_has_portion(&c->op)) &&
	    mono_ms_between(c->moved, now) >= STALLED_MS;
}

static void
give_way(struct control_client *c)
{
	static const char words[] =
	    "error slow nothing moved for a while, and others wait\n";

	if (control_client_unsent(c) == 0)
		(void)send(c->fd, words, sizeof(words) - 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	control_client_free(c);
}

/* *ret_spared: so many it is our turn to serve. */
static bool
free_stalled(struct control_clients *clients, unsigned *ret_spared)
{
	struct control_client *c, *next;
	struct mono now = mono_now();
	bool any = false;

	*ret_spared = 0;
	for (c = TAILQ_FIRST(&clients->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!seems_to_stall(c, now))
			continue;
		if (is_our_turn(c)) {
			(*ret_spared)++;
			continue;
		}
		give_way(c);
		any = true;
	}
	return any;
}

/* Failing that, the one that has had no line for the longest time. */
static void
free_follower(struct control_clients *clients)
{
	struct control_client *c, *quiet = NULL;

	TAILQ_FOREACH(c, &clients->list, entry)
		if (c->op.busy && c->op.waits &&
		    (quiet == NULL || mono_before(c->moved, quiet->moved)))
			quiet = c;
	if (quiet != NULL)
		give_way(quiet);
}

void
control_places_look(void *ctx)
{
	struct control_clients *clients = ctx;
	bool waits = control_door_is_waited_at(clients->door);
	unsigned spared = 0;

	/* Those who were spared are served before the next look, and go then,
	   or have moved: until then nobody else goes in their place. Once, for
	   whoever may be to blame. */
	if (waits && !free_stalled(clients, &spared) &&
	    (spared == 0 || clients->spared))
		free_follower(clients);
	clients->spared = spared > 0 && !clients->spared;
	/* Without memory or descriptors there may be a place, and none. */
	if (!waits || clients->n < CONTROL_CLIENTS_MAX)
		control_door_resume(clients->door);
	else
		control_door_pause(clients->door);
}

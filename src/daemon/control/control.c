#include <sys/epoll.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/config/conf_load.h"
#include "daemon/control/control.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "linux/control/control_place.h"

/* All portions of one turn together, but one for each client. */
#define BUDGET_NS	INT64_C(3000000)

/* Clients that are taken in one turn. */
#define ACCEPTS_MAX	16

/* While somebody waits for a place: how often one is looked for, and how long
   nothing may have moved on the connection that loses its own. */
#define AGAIN_MS	100
#define STALLED_MS	1000

static void client_ready(void *ctx, uint32_t events);

/* ---- places ---- */

static void
pause_accepting(struct control *control)
{

	if (!control->paused)
		(void)loop_set_events(control->loop, control->handle, 0);
	control->paused = true;
	loop_timer_set(control->loop, &control->again,
	    mono_add_ms(mono_now(), AGAIN_MS));
}

static void
resume_accepting(struct control *control)
{

	if (!control->paused)
		return;
	if (loop_set_events(control->loop, control->handle, EPOLLIN) < 0) {
		pause_accepting(control);
		return;
	}
	control->paused = false;
	loop_timer_set(control->loop, &control->again, MONO_NEVER);
}

static bool
somebody_waits(const struct control *control)
{
	struct pollfd fd = { .fd = control->socket.fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static void
client_free(struct control_client *c)
{
	struct control *control = c->control;

	TAILQ_REMOVE(&control->clients, c, entry);
	control->n_clients--;
	loop_del(control->loop, &c->handle);
	fd_close(&c->fd);
	control_logs_free(&c->op);
	strbuf_free(&c->out);
	free(c);
	resume_accepting(control);
}

/* Nothing moves, although it is its turn: to send a request, or to read. */
static bool
stalls(const struct control_client *c, struct mono now)
{
	return (!c->busy || c->sent < c->out.len) &&
	    mono_ms_between(c->moved, now) >= STALLED_MS;
}

static void
give_way(struct control_client *c)
{
	static const char words[] = "error slow nothing moved for a while, and "
	    "others wait\n";

	if (c->sent == c->out.len)
		(void)send(c->fd, words, sizeof(words) - 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	client_free(c);
}

static bool
free_stalled(struct control *control)
{
	struct control_client *c, *next;
	struct mono now = mono_now();
	bool any = false;

	for (c = TAILQ_FIRST(&control->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!stalls(c, now))
			continue;
		give_way(c);
		any = true;
	}
	return any;
}

/* Failing that, the one that has had no line for the longest time. */
static void
free_follower(struct control *control)
{
	struct control_client *c, *quiet = NULL;

	TAILQ_FOREACH(c, &control->clients, entry)
		if (c->busy && c->op.waits &&
		    (quiet == NULL || mono_before(c->moved, quiet->moved)))
			quiet = c;
	if (quiet != NULL)
		give_way(quiet);
}

static void
again_due(void *ctx)
{
	struct control *control = ctx;
	bool waits = somebody_waits(control);

	if (waits && !free_stalled(control))
		free_follower(control);
	/* Without memory or descriptors there may be a place, and none. */
	if (!waits || control->n_clients < CONTROL_CLIENTS_MAX)
		resume_accepting(control);
	else
		pause_accepting(control);
}

/* ---- bytes ---- */

static void
set_events(struct control_client *c, uint32_t events)
{
	if (events == c->events)
		return;
	if (loop_set_events(c->control->loop, c->handle, events) == 0)
		c->events = events;
}

/* False: the client is gone. */
static bool
send_out(struct control_client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.text + c->sent,
		    c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == ENOBUFS;
		c->sent += (size_t)n;
		c->moved = mono_now();
	}
	c->incomplete |= c->out.failed;
	c->sent = 0;
	strbuf_free(&c->out);
	return true;
}

/* What was sent makes room for what is to come. */
static void
compact(struct control_client *c)
{
	if (c->sent == 0 || c->sent < c->out.len / 2)
		return;
	c->out.len -= c->sent;
	memmove(c->out.text, c->out.text + c->sent, c->out.len);
	c->sent = 0;
}

/* What there is to read; false: the client is gone. */
static bool
receive(struct control_client *c)
{
	while (!c->eof && c->n_in < sizeof(c->in)) {
		ssize_t n = recv(c->fd, c->in + c->n_in,
		    sizeof(c->in) - c->n_in, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			c->eof = true;
		c->n_in += (size_t)n;
		c->moved = mono_now();
	}
	return true;
}

/* For a portion of an answer: in the client's buffer, and in its share of the
   turn. */
static bool
has_room(struct control_client *c)
{
	return c->out.len - c->sent < CONTROL_OUT_ENOUGH &&
	    mono_before(mono_now(), c->share);
}

/* A part of the turn for each: the loop calls them in the same order again and
   again, so those in front could leave nothing to those behind. */
static struct mono
end_of_share(const struct control *control)
{
	const struct control_client *c;
	struct mono end = mono_now();
	int64_t n = 1;

	TAILQ_FOREACH(c, &control->clients, entry)
		n += c->busy && c->op.more != NULL;
	end.ns += BUDGET_NS / n;
	return end;
}

/* ---- requests and answers ---- */

static void
answered(struct control_client *c)
{
	c->busy = false;
	control_logs_free(&c->op);
	/* Whoever is carrying it out may look at the request once more. */
	c->op = (struct control_op){ .request = c->op.request };
	/* A part that is missing would be a lie: better no end at all. */
	if (c->out.failed || c->incomplete)
		c->leaving = true;
}

void
control_ok(struct control_client *c, const char *text)
{
	if (!c->incomplete && !c->out.failed)
		answer_put_ok(&c->out, text);
	answered(c);
}

void
control_fail(struct control_client *c, const char *why, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	answer_put_error(&c->out, why, text != NULL ? text : "out of memory");
	free(text);
	answered(c);
}

static void
begin_request(struct control_client *c, size_t len)
{
	struct error err = ERROR_INIT;

	if (len > 0 && c->in[len - 1] == '\r')
		len--;
	if (request_parse(c->in, len, &c->op.request, &err) < 0) {
		control_fail(c, "usage", "%s", error_text(&err));
		error_clear(&err);
		return;
	}
	if (c->op.request.verb != REQUEST_STATUS &&
	    c->op.request.verb != REQUEST_LOGS &&
	    c->op.request.verb != REQUEST_FOLLOW)
		log_info("control: pid %d asks for: %.*s", (int)c->pid,
		    (int)len, c->in);
	c->busy = true;
	control_op_begin(c);
}

/* Is there something to be done about what was received, once it is its turn: a
   whole line, one that is too long, or the end? */
static bool
has_request(const struct control_client *c)
{
	return c->eof || c->n_in == sizeof(c->in) ||
	    memchr(c->in, '\n', c->n_in) != NULL;
}

/* The next whole line, if none is being carried out. */
static void
next_request(struct control_client *c)
{
	char *newline = memchr(c->in, '\n', c->n_in);
	size_t len;

	if (c->busy || c->leaving)
		return;
	if (newline == NULL) {
		if (c->n_in == sizeof(c->in)) {
			control_fail(c, "usage", "a request has %d bytes at "
			    "most", REQUEST_MAX);
			c->leaving = true;
		} else if (c->eof && c->n_in > 0) {
			control_fail(c, "usage", "the request does not end in "
			    "a newline");
			c->leaving = true;
		} else if (c->eof) {
			c->leaving = true;
		}
		return;
	}
	len = (size_t)(newline - c->in);
	begin_request(c, len);
	c->n_in -= len + 1;
	memmove(c->in, newline + 1, c->n_in);
}

static bool
has_portion(const struct control_client *c)
{
	return c->busy && c->op.more != NULL && !c->op.waits;
}

/*
 * Send what there is, as far as it goes, and tell the loop what to wait for.
 * The client may be freed.
 */
static void
flush(struct control_client *c)
{
	bool alive = send_out(c);
	uint32_t events = 0;
	bool unsent;

	compact(c);
	unsent = c->out.len > c->sent;
	if (!alive || (c->leaving && !unsent)) {
		client_free(c);
		return;
	}
	/* A portion that had no room comes with the next turn, and so does the
	   next of requests that came together. */
	if (unsent || has_portion(c) || (!c->busy && has_request(c)))
		events |= EPOLLOUT;
	else if (!c->busy)
		events |= EPOLLIN;
	set_events(c, events);
}

void
control_go_on(struct control_client *c)
{
	/* One request in a turn: they may be many, and from many. What went
	   wrong with sending shows again when flush() sends. */
	if (send_out(c) && c->out.len == c->sent)
		next_request(c);
	if (has_portion(c))
		c->share = end_of_share(c->control);
	while (has_portion(c) && has_room(c))
		if (!c->op.more(c))
			break;
	flush(c);
}

static void
client_ready(void *ctx, uint32_t events)
{
	struct control_client *c = ctx;

	bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;

	/* Who asks and does not stay for the answer has asked all the same. */
	if (((gone || (events & EPOLLIN) != 0) && !receive(c)) ||
	    (gone && (c->busy || memchr(c->in, '\n', c->n_in) == NULL))) {
		client_free(c);
		return;
	}
	control_go_on(c);
}

static void
greet(struct control_client *c)
{
	answer_begin(&c->out, ANSWER_GREETING, NULL);
	answer_put_number(&c->out, "pid", (uint64_t)c->control->pid);
	answer_put(&c->out, "version", CLUSTERD_VERSION);
	answer_end(&c->out);
}

/* -errno: it could not be taken, and is closed. */
static int
take_client(struct control *control, int fd, const struct control_peer *peer)
{
	struct control_client *c = calloc(1, sizeof(*c));
	int code = -ENOMEM;

	if (c != NULL) {
		c->events = EPOLLIN;
		code = loop_add(control->loop, fd, c->events, false,
		    client_ready, c, &c->handle);
	}
	if (code < 0) {
		free(c);
		fd_close(&fd);
		return code;
	}
	c->control = control;
	c->fd = fd;
	c->pid = peer->pid;
	c->moved = mono_now();
	TAILQ_INSERT_TAIL(&control->clients, c, entry);
	control->n_clients++;
	greet(c);
	if (!peer->allowed) {
		log_warning("control: refused pid %d of user %u",
		    (int)peer->pid, (unsigned)peer->uid);
		control_fail(c, "denied", "only root, clusterd's own user and "
		    "members of control_group may");
		c->leaving = true;
	}
	control_go_on(c);
	return 0;
}

static void
clients_wait(void *ctx, uint32_t events)
{
	struct control *control = ctx;
	struct control_peer peer;

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd;

		/* The next turn will tell whether anybody waits at all. */
		if (i > 0 && control->n_clients >= CONTROL_CLIENTS_MAX)
			return;
		if (control->n_clients >= CONTROL_CLIENTS_MAX) {
			pause_accepting(control);
			return;
		}
		fd = control_socket_accept(&control->socket, control->gid,
		    &peer);
		if (fd == -EAGAIN)
			return;
		if (fd == -EINTR || fd == -ECONNABORTED)
			continue;
		/* EMFILE and the like: the queue stays, so wait a little. */
		if (fd < 0 || take_client(control, fd, &peer) < 0) {
			pause_accepting(control);
			return;
		}
	}
}

/* ---- the turn, start and end ---- */

void
control_turn(struct control *control)
{
	struct control_client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->busy && c->op.check != NULL)
			c->op.check(c);
		/* News may have come for it, and the end of its request. */
		if (c->out.len > c->sent || c->leaving)
			flush(c);
	}
}

/* Where it is to be: NULL with 0 is nowhere. */
static int
choose_path(const struct control *control, char **ret_path, struct error *err)
{
	const struct config *config = control->reloads->config;
	char *dir = NULL, *name = NULL;
	int code = 0;

	*ret_path = NULL;
	if (config->control != NULL) {
		*ret_path = strdup(config->control);
		return *ret_path != NULL ? 0 : -ENOMEM;
	}
	if (!config->control_auto)
		return 0;
	code = control_place_make(&dir, err);
	if (code < 0)
		return code;
	name = control->reloads->origin->path != NULL ?
	    control_place_name(control->reloads->origin->path) :
	    control_place_name_of_app(config->apps[0].name, control->pid);
	if (name == NULL || asprintf(ret_path, "%s/%s", dir, name) < 0) {
		*ret_path = NULL;
		code = -ENOMEM;
	}
	free(name);
	free(dir);
	return code;
}

int
control_open(struct control *control, struct error *err)
{
	bool automatic = control->reloads->config->control_auto;
	char *path = NULL;
	int code = choose_path(control, &path, err);

	control->gid = control->reloads->config->control_gid;
	if (path != NULL)
		code = control_socket_open(path, control->gid,
		    &control->socket, err);
	free(path);
	if (code == 0 && control->socket.fd >= 0)
		code = loop_add(control->loop, control->socket.fd, EPOLLIN,
		    false, clients_wait, control, &control->handle);
	if (code == 0)
		code = loop_timer_init(
		    control->loop, &control->again, again_due, control);
	if (code == 0 || (!automatic && control->socket.fd < 0) ||
	    code == -EBUSY)
		return code;
	control_socket_close(&control->socket);
	if (!automatic)
		return code;
	/* Nobody asked for it, so that it is no reason not to start. */
	if (code == -ENOENT)
		log_info("no control socket: %s", error_text(err));
	else
		log_warning("no control socket: %s",
		    err->text != NULL ? err->text : strerror(-code));
	error_clear(err);
	return 0;
}

void
control_restore(struct control *control)
{
	struct control_socket fresh = CONTROL_SOCKET_INIT;
	struct error err = ERROR_INIT;
	loop_handle handle = 0;
	int code;

	if (control->socket.fd < 0 ||
	    control_socket_is_there(&control->socket))
		return;
	code = control_socket_open(control->socket.path, control->gid, &fresh,
	    &err);
	if (code == 0)
		code = loop_add(control->loop, fresh.fd,
		    control->paused ? 0 : EPOLLIN, false, clients_wait, control,
		    &handle);
	if (code < 0) {
		log_warning("the control socket is not back: %s",
		    err.text != NULL ? err.text : strerror(-code));
		control_socket_close(&fresh);
	} else {
		log_info("the control socket %s is back", fresh.path);
		loop_del(control->loop, &control->handle);
		control_socket_close(&control->socket);
		control->socket = fresh;
		control->handle = handle;
	}
	error_clear(&err);
}

static void
last_words(struct control_client *c)
{
	if (!c->busy)
		return;
	if (c->op.request.verb == REQUEST_FOLLOW) {
		/* What the workers wrote while they ended. */
		c->op.waits = false;
		while (has_portion(c) && c->out.len - c->sent < CONTROL_OUT_MAX)
			(void)c->op.more(c);
		if (c->busy)
			control_ok(c, "clusterd has stopped");
	} else if (c->op.request.verb == REQUEST_STOP && !c->control->failed) {
		control_ok(c, "stopped");
	} else {
		control_fail(c, "failed", "clusterd has ended");
	}
}

void
control_close(struct control *control)
{
	struct control_client *c;

	while ((c = TAILQ_FIRST(&control->clients)) != NULL) {
		last_words(c);
		(void)send_out(c);
		client_free(c);
	}
	loop_del(control->loop, &control->handle);
	loop_timer_fini(control->loop, &control->again);
	control_socket_close(&control->socket);
}

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/control/answer.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_door.h"
#include "daemon/control/control_setup.h"
#include "linux/socket/socket_close.h"

void
control_clients_init(struct control_clients *clients,
    const struct control_setup *setup, const struct control_verb *verbs,
    struct control_door *door)
{
	*clients = (struct control_clients){
		.setup = setup, .verbs = verbs, .door = door,
	};
	TAILQ_INIT(&clients->list);
}

int
control_client_new(struct control_clients *clients, int fd, pid_t pid,
    loop_fn *ready, struct control_client **ret_client)
{
	struct control_client *c = calloc(1, sizeof(*c));
	int code = -ENOMEM;

	if (c != NULL) {
		c->events = EPOLLIN;
		code = loop_add(clients->setup->loop, fd, c->events, false,
		    ready, c, &c->handle);
	}
	if (code < 0) {
		free(c);
		socket_close(&fd);
		return code;
	}
	c->all = clients;
	c->setup = clients->setup;
	c->fd = fd;
	c->pid = pid;
	c->moved = mono_now();
	TAILQ_INSERT_TAIL(&clients->list, c, entry);
	clients->n++;
	*ret_client = c;
	return 0;
}

void
control_client_free(struct control_client *c)
{
	struct control_clients *all = c->all;

	TAILQ_REMOVE(&all->list, c, entry);
	all->n--;
	loop_del(c->setup->loop, &c->handle);
	socket_close(&c->fd);
	control_op_end(&c->op);
	strbuf_free(&c->out);
	free(c);
	control_door_resume(all->door);
}

/* ---- bytes ---- */

bool
control_client_receive(struct control_client *c)
{
	while (!c->eof && c->n_in < sizeof(c->in)) {
		ssize_t n = socket_receive(c->fd, c->in + c->n_in,
		    sizeof(c->in) - c->n_in);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n == -EAGAIN;
		if (n == 0)
			c->eof = true;
		c->n_in += (size_t)n;
		c->moved = mono_now();
	}
	return true;
}

bool
control_client_send(struct control_client *c)
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

void
control_client_compact(struct control_client *c)
{
	if (c->sent == 0 || c->sent < c->out.len / 2)
		return;
	c->out.len -= c->sent;
	memmove(c->out.text, c->out.text + c->sent, c->out.len);
	c->sent = 0;
}

void
control_client_want(struct control_client *c, uint32_t events)
{
	if (events != c->events &&
	    loop_set_events(c->setup->loop, c->handle, events) == 0)
		c->events = events;
}

void
control_client_leave(struct control_client *c)
{
	c->leaving = true;
}

bool
control_client_line(const struct control_client *c, size_t *ret_len)
{
	const char *newline = memchr(c->in, '\n', c->n_in);

	if (newline == NULL)
		return false;
	*ret_len = (size_t)(newline - c->in);
	return true;
}

void
control_client_drop_line(struct control_client *c, size_t len)
{
	c->n_in -= len + 1;
	memmove(c->in, c->in + len + 1, c->n_in);
}

size_t
control_client_unsent(const struct control_client *c)
{
	return c->out.len - c->sent;
}

/* ---- the answer ---- */

bool
control_client_has_room(const struct control_client *c)
{
	return control_client_unsent(c) < CONTROL_OUT_ENOUGH;
}

void
control_client_spoil(struct control_client *c)
{
	c->incomplete = true;
}

static void
answered(struct control_client *c)
{
	control_op_end(&c->op);
	/* A part that is missing would be a lie: better no end at all. */
	if (c->out.failed || c->incomplete)
		c->leaving = true;
}

void
control_client_ok(struct control_client *c, const char *text)
{
	if (!c->incomplete && !c->out.failed)
		answer_put_ok(&c->out, text);
	answered(c);
}

void
control_client_fail(struct control_client *c, const char *why,
    const char *fmt, ...)
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

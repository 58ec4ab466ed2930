#include <sys/socket.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mono.h"
#include "core/web/web_action.h"
#include "linux/client/client_find.h"
#include "linux/control/control_link.h"
#include "web/broker.h"

/* Somebody waits in the meantime. */
#define FIND_MS	3000

struct broker {
	int fd;
	const struct client_where *where;
	const char *token;
	char *path;		/* where it was found; NULL: not yet */
};

/* How long it takes tells nothing of the token but its length's bound. */
static bool
is_token(const char *token, const char *given)
{
	char a[BROKER_TOKEN_MAX + 1] = "", b[BROKER_TOKEN_MAX + 1] = "";
	volatile unsigned char differs = 0;

	(void)snprintf(a, sizeof(a), "%s", token);
	(void)snprintf(b, sizeof(b), "%s", given);
	for (size_t i = 0; i < sizeof(a); i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	explicit_bzero(a, sizeof(a));
	explicit_bzero(b, sizeof(b));
	return differs == 0;
}

static int
judge(const struct broker *b, const struct broker_ask *ask,
    const struct request *request, struct error *err)
{
	if (web_action_is_reading(request))
		return 0;
	if (b->token == NULL || !web_action_is_known(request))
		return error_set(err, -EPERM, "nothing is changed here");
	if (!is_token(b->token, ask->token))
		return error_set(err, -EACCES, "the token is wrong");
	return 0;
}

/* Where it was before, or by looking for it anew. */
static int
find(struct broker *b, struct control_link *link, struct error *err)
{
	const struct client_where before = { .socket = b->path };
	struct mono deadline = mono_add_ms(mono_now(), FIND_MS);
	int code = -ENOENT;

	if (b->path != NULL)
		code = client_find(&before, deadline, link, err);
	if (code < 0) {
		error_clear(err);
		free(b->path);
		b->path = NULL;
		code = client_find(b->where, deadline, link, err);
	}
	if (code == 0 && b->path == NULL)
		b->path = strdup(link->path);
	return code;
}

static int
connect_for(struct broker *b, const struct broker_ask *ask,
    struct control_link *link, struct error *err)
{
	struct request request;
	int code = request_parse(ask->line, strlen(ask->line), &request, err);

	if (code == 0)
		code = judge(b, ask, &request, err);
	if (code == 0)
		code = find(b, link, err);
	if (code == 0)
		code = control_link_send(link, &request, err);
	if (code == 0 && shutdown(link->fd, SHUT_WR) < 0)
		code = error_set(err, -errno, "shutdown: %s", strerror(errno));
	return code;
}

/* Waits for room, as long as the other half is there. */
static bool
reply(int to, const struct broker_answer *answer, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)answer,
		.iov_len = sizeof(*answer),
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *cmsg = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	do
		n = sendmsg(to, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

static bool
serve_one(struct broker *b, struct broker_ask *ask)
{
	struct control_link link = CONTROL_LINK_INIT;
	struct broker_answer answer = { .number = ask->number };
	struct error err = ERROR_INIT;
	bool sent;

	ask->line[sizeof(ask->line) - 1] = '\0';
	ask->token[sizeof(ask->token) - 1] = '\0';
	answer.code = connect_for(b, ask, &link, &err);
	if (answer.code < 0)
		snprintf(answer.words, sizeof(answer.words), "%s",
		    error_text(&err));
	sent = reply(b->fd, &answer, answer.code == 0 ? link.fd : -1);
	control_link_close(&link);
	error_clear(&err);
	return sent;
}

void
broker_serve(int fd, const struct client_where *where, const char *token)
{
	struct broker b = { .fd = fd, .where = where, .token = token };
	struct broker_ask ask;
	ssize_t n;

	for (;;) {
		n = recv(fd, &ask, sizeof(ask), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(ask) || !serve_one(&b, &ask))
			break;
	}
	explicit_bzero(&ask, sizeof(ask));
	free(b.path);
}

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "core/control/request.h"
#include "web/asker.h"
#include "web/broker.h"

static struct asking *
find(struct asker *asker, uint32_t number)
{
	struct asking *a;

	TAILQ_FOREACH(a, &asker->list, entry)
		if (a->number == number)
			return a;
	return NULL;
}

static void
take_answer(struct asker *asker, struct broker_answer *answer, int fd)
{
	struct asking *a = find(asker, answer->number);

	answer->words[sizeof(answer->words) - 1] = '\0';
	if (a == NULL) {
		fd_close(&fd);
		return;
	}
	/* There was one, and no room for it. */
	if (fd < 0 && answer->code == 0)
		answer->code = -EMFILE;
	TAILQ_REMOVE(&asker->list, a, entry);
	a->busy = false;
	a->fn(a->ctx, fd, answer->code, answer->words);
}

/* 1; 0: nothing is there; -1: nobody is there any more. */
static int
receive(int from, struct broker_answer *answer, int *ret_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = answer, .iov_len = sizeof(*answer) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*ret_fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(*ret_fd));
	if (n == (ssize_t)sizeof(*answer))
		return 1;
	fd_close(ret_fd);
	return -1;
}

static void
ready(void *ctx, uint32_t events)
{
	struct asker *asker = ctx;
	struct broker_answer answer;
	int fd, code;

	(void)events;
	while ((code = receive(asker->fd, &answer, &fd)) > 0)
		take_answer(asker, &answer, fd);
	if (code < 0) {
		loop_del(asker->loop, &asker->handle);
		asker->gone(asker->ctx);
	}
}

int
asker_init(struct asker *asker, struct loop *loop, int fd,
    void (*gone)(void *ctx), void *ctx)
{
	*asker = (struct asker){
		.loop = loop, .fd = fd, .gone = gone, .ctx = ctx,
	};
	TAILQ_INIT(&asker->list);
	return loop_add(loop, fd, EPOLLIN, false, ready, asker,
	    &asker->handle);
}

void
asker_fini(struct asker *asker)
{
	if (asker->loop != NULL)
		loop_del(asker->loop, &asker->handle);
	fd_close(&asker->fd);
}

int
asker_ask(struct asker *asker, const struct request *request,
    const char *token, struct asking *asking, asker_fn *fn, void *ctx)
{
	struct broker_ask ask = { .number = ++asker->number };
	struct strbuf line = STRBUF_INIT;
	ssize_t n = -1;
	int code = -ENOMEM;

	request_print(&line, request);
	if (!line.failed && line.len <= sizeof(ask.line)) {
		memcpy(ask.line, line.text, line.len - 1);
		if (token != NULL)
			(void)snprintf(ask.token, sizeof(ask.token), "%s",
			    token);
		n = send(asker->fd, &ask, sizeof(ask),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		code = n < 0 ? -errno : 0;
	}
	strbuf_free(&line);
	explicit_bzero(&ask.token, sizeof(ask.token));
	if (code < 0)
		return code;
	asking->number = ask.number;
	asking->fn = fn;
	asking->ctx = ctx;
	asking->busy = true;
	TAILQ_INSERT_TAIL(&asker->list, asking, entry);
	return 0;
}

void
asker_forget(struct asker *asker, struct asking *asking)
{
	if (asking->busy)
		TAILQ_REMOVE(&asker->list, asking, entry);
	asking->busy = false;
}

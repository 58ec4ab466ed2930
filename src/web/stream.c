#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "core/control/answer.h"
#include "web/stream.h"

static void
end(struct stream *s, int code, const char *words)
{
	/* They may stand in the buffer. */
	char *copy = strdup(words);

	stream_close(s);
	s->events->end(s->ctx, code, copy != NULL ? copy : "out of memory");
	free(copy);
}

static void
end_unread(struct stream *s)
{
	end(s, -EPROTO, "what clusterd has sent cannot be understood");
}

/* True: it was the last one; the buffer that it stood in is still there. */
static bool
take_line(struct stream *s, char *bytes, size_t len)
{
	struct answer_line line;

	if (answer_line_parse(bytes, len, &line) < 0) {
		end_unread(s);
		return true;
	}
	switch (line.kind) {
	case ANSWER_OK:
		end(s, 0, line.text);
		return true;
	case ANSWER_ERROR:
		end(s, -EREMOTEIO, *line.text != '\0' ? line.text : line.word);
		return true;
	case ANSWER_GREETING:
		return false;
	default:
		s->events->line(s->ctx, &line);
		/* It may have had enough. */
		return s->fd < 0;
	}
}

/* False: it is over. */
static bool
take_lines(struct stream *s)
{
	size_t start = 0;
	char *newline;

	while ((newline = memchr(s->buffer + start, '\n', s->n - start)) !=
	    NULL) {
		size_t len = (size_t)(newline - s->buffer) - start;

		*newline = '\0';
		if (take_line(s, s->buffer + start, len))
			return false;
		start += len + 1;
	}
	s->n -= start;
	memmove(s->buffer, s->buffer + start, s->n);
	return true;
}

static void
ready(void *ctx, uint32_t events)
{
	struct stream *s = ctx;
	ssize_t n = recv(s->fd, s->buffer + s->n, ANSWER_LINE_MAX - s->n,
	    MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(s, -ECONNRESET, "clusterd has closed the connection");
		return;
	}
	s->n += (size_t)n;
	if (take_lines(s) && s->n == ANSWER_LINE_MAX)
		end_unread(s);
}

static void
connected(void *ctx, int fd, int code, const char *words)
{
	struct stream *s = ctx;

	if (fd < 0) {
		end(s, code, *words != '\0' ? words : strerror(-code));
		return;
	}
	s->fd = fd;
	s->n = 0;
	s->buffer = malloc(ANSWER_LINE_MAX);
	if (s->buffer == NULL ||
	    loop_add(s->asker->loop, fd, s->paused ? 0 : EPOLLIN, false, ready,
	    s, &s->handle) < 0)
		end(s, -ENOMEM, "out of memory");
}

void
stream_init(struct stream *s, struct asker *asker,
    const struct stream_events *events, void *ctx)
{
	*s = (struct stream){
		.asker = asker, .events = events, .ctx = ctx, .fd = -1,
	};
}

int
stream_open(struct stream *s, const struct request *request,
    const char *token)
{
	return asker_ask(s->asker, request, token, &s->asking, connected, s);
}

void
stream_close(struct stream *s)
{
	asker_forget(s->asker, &s->asking);
	loop_del(s->asker->loop, &s->handle);
	fd_close(&s->fd);
	free(s->buffer);
	s->buffer = NULL;
	s->n = 0;
	s->paused = false;
}

bool
stream_is_open(const struct stream *s)
{
	return s->asking.busy || s->fd >= 0;
}

void
stream_pause(struct stream *s, bool pause)
{
	if (s->paused == pause)
		return;
	s->paused = pause;
	if (s->handle != 0)
		(void)loop_set_events(s->asker->loop, s->handle,
		    pause ? 0 : EPOLLIN);
}

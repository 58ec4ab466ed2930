#include <sys/epoll.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/on_event/event_said.h"

static void
tell_line(struct event_said *s)
{
	if (s->len > 0 && s->logged < EVENT_SAID_LOGGED) {
		log_vital(LOG_LEVEL_INFO, &(struct log_about){ .app = NULL },
		    s->event, "on_event: %s: %.*s", s->event, (int)s->len,
		    s->line);
		s->logged += s->len;
		if (s->logged >= EVENT_SAID_LOGGED)
			log_own_often(LOG_LEVEL_INFO, "on_event: %s: it "
			    "writes more, which is left out", s->event);
	}
	s->len = 0;
}

static void
take(struct event_said *s, const char *bytes, size_t n)
{
	s->read += n;
	for (size_t i = 0; i < n && s->logged < EVENT_SAID_LOGGED; i++) {
		if (bytes[i] != '\n')
			s->line[s->len++] = bytes[i];
		if (bytes[i] == '\n' || s->len == sizeof(s->line))
			tell_line(s);
	}
}

/* False: there is nothing now, or no more. */
static bool
read_some(struct event_said *s)
{
	char bytes[4096];
	ssize_t n;

	if (s->fd < 0)
		return false;
	n = read(s->fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0)
		take(s, bytes, (size_t)n);
	if (n > 0 && s->read < EVENT_SAID_READ)
		return true;
	loop_del(s->loop, &s->handle);
	fd_close(&s->fd);
	return false;
}

static void
ready(void *ctx, uint32_t events)
{
	(void)events;
	(void)read_some(ctx);
}

/* Such as /dev/stderr: it opens that as its own user. */
static void
give(const struct conf_creds *creds, int fd)
{
	if (creds->set)
		(void)!fchown(fd, creds->name != NULL ? creds->uid :
		    (uid_t)-1, creds->gid);
}

int
event_said_open(struct event_said *s, struct loop *loop, const char *event,
    const struct conf_creds *creds, int *ret_end)
{
	int ends[2], code = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*s = (struct event_said){
		.loop = loop, .event = event, .fd = ends[0],
	};
	/* Each end has a description of its own. */
	if (fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0)
		code = -errno;
	if (code == 0)
		code = loop_add(loop, s->fd, EPOLLIN, false, ready, s,
		    &s->handle);
	if (code < 0) {
		fd_close(&s->fd);
		fd_close(&ends[1]);
		return code;
	}
	give(creds, ends[1]);
	*ret_end = ends[1];
	return 0;
}

void
event_said_close(struct event_said *s)
{
	if (s->loop == NULL)
		return;
	/* Who has left it may be read from without end. */
	for (int i = 0; i < 16 && read_some(s); i++)
		;
	tell_line(s);
	loop_del(s->loop, &s->handle);
	fd_close(&s->fd);
	s->loop = NULL;
}

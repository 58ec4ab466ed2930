#include <sys/epoll.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "core/output/out_tag.h"
#include "daemon/output/out_pipe.h"
#include "daemon/output/output.h"

/* 64 KiB, in pieces that have room where each line gets a tag. */
#define DRAIN_READS	8

/* Of a turn: some milliseconds. A read counts for some bytes more. */
#define TURN_MAX	(4 * 1024 * 1024)
#define READ_COST	4096

static void
lines_come(void *ctx, const char *lines, size_t len)
{
	struct out_pipe *p = ctx;

	out_tail_add(p->tail, &p->source, lines, len);
	p->in->news = true;
	output_put(p->to, p->app_name, p->tag, p->tag_len, lines, len);
}

static void
unwatch(struct out_pipe *p)
{
	/* Not paused by watching for nothing: epoll tells of a hang-up
	   whether it was asked for or not, again and again. */
	loop_del(p->in->loop, &p->handle);
	output_hold(p->to, &p->waiter);
}

bool
out_pipe_read(struct out_pipe *p)
{
	char *data = p->in->scratch + LINE_SPLIT_MAX;
	size_t room = output_room(p->to, p->tag_len);
	struct timespec ts = { 0 };
	ssize_t n;

	if (room == 0) {
		if (p->handle != 0)
			unwatch(p);
		return false;
	}
	n = read(p->fd, data, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	p->source.time_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	if (n > 0) {
		p->in->read += (size_t)n;
		line_split_feed(&p->split, data, (size_t)n, lines_come, p);
		return true;
	}
	out_pipe_free(p);
	return false;
}

void
out_pipe_drain(struct out_pipe *p)
{
	for (unsigned reads = 0; reads < DRAIN_READS && out_pipe_read(p); )
		reads++;
}

/* May it be read now? A turn reads so much and no more, or thousands of noisy
   workers would hold up all else; a round lasts until each had its turn. */
static bool
may_read(struct out_intake *in, uint64_t *round)
{
	if (*round == in->round)
		return false;
	if (in->read >= TURN_MAX) {
		in->crowded = true;
		return false;
	}
	in->read += READ_COST;
	*round = in->round;
	return true;
}

void
out_intake_turn(struct out_intake *in)
{
	if (!in->crowded)
		in->round++;
	in->crowded = false;
	in->read = 0;
}

static void
ready(void *ctx, uint32_t events)
{
	struct out_pipe *p = ctx;

	(void)events;
	if (may_read(p->in, &p->round))
		(void)out_pipe_read(p);
}

static bool
resume(struct output_waiter *w)
{
	struct out_pipe *p = (struct out_pipe *)((char *)w -
	    offsetof(struct out_pipe, waiter));

	return loop_add(p->in->loop, p->fd, EPOLLIN, false, ready, p,
	    &p->handle) == 0;
}

/* Such as /dev/stderr: the worker opens that as its own user. */
static void
give_to_worker(const struct conf_creds *creds, int fd)
{
	if (creds->set)
		(void)!fchown(fd, creds->name != NULL ? creds->uid :
		    (uid_t)-1, creds->gid);
}

static struct out_pipe *
pipe_new(struct out_intake *in, struct output *to, const struct conf_app *conf,
    unsigned instance, enum out_stream stream)
{
	struct out_pipe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->in = in;
	p->waiter.resume = resume;
	p->to = output_ref(to);
	p->tail = out_tails_get(&in->tails, conf->name);
	p->fd = -1;
	p->source.instance = (uint16_t)instance;
	p->source.stream = stream == OUT_STREAM_STDOUT ? 1 : 2;
	strncpy(p->app_name, conf->name, sizeof(p->app_name) - 1);
	if (to->tags)
		p->tag_len = out_tag_make(p->tag, p->app_name, instance,
		    to->colour);
	TAILQ_INSERT_TAIL(&in->pipes, p, link);
	return p;
}

int
out_pipe_open(struct out_intake *in, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int *ret_end)
{
	struct out_pipe *p = pipe_new(in, to, conf, instance, stream);
	int ends[2] = { -1, -1 };
	int code = 0;

	if (p == NULL)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC) < 0)
		code = -errno;
	/* Each end has a description of its own: the worker's is as it expects
	   one to be. */
	p->fd = ends[0];
	if (code == 0 && fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0)
		code = -errno;
	if (code == 0)
		code = loop_add(in->loop, p->fd, EPOLLIN, false, ready, p,
		    &p->handle);
	if (code < 0) {
		fd_close(&ends[1]);
		out_pipe_free(p);
		return code;
	}
	give_to_worker(&conf->creds, ends[1]);
	p->holder = holder;
	*holder = p;
	*ret_end = fd_take(&ends[1]);
	return 0;
}

void
out_pipe_leave(struct out_pipe **holder)
{
	if (*holder != NULL)
		(*holder)->holder = NULL;
	*holder = NULL;
}

void
out_pipe_free(struct out_pipe *p)
{
	line_split_end(&p->split, lines_come, p);
	output_unhold(p->to, &p->waiter);
	loop_del(p->in->loop, &p->handle);
	TAILQ_REMOVE(&p->in->pipes, p, link);
	if (p->holder != NULL)
		*p->holder = NULL;
	fd_close(&p->fd);
	output_unref(p->to);
	out_tail_unref(p->tail);
	free(p);
}

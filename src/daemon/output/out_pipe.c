#include <sys/epoll.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/output/line_split.h"
#include "core/output/out_form.h"
#include "core/output/ring.h"
#include "daemon/output/out_pipe.h"
#include "daemon/output/out_tails.h"
#include "daemon/output/out_waiters.h"
#include "daemon/output/output.h"
#include "daemon/output/output_put.h"
#include "linux/ledger/descriptors.h"
#include "linux/ledger/half_lines.h"
#include "linux/loop/loop.h"

/* 64 KiB, in pieces that have room where each line gets a tag. */
#define DRAIN_READS	8
/* At the end, of one pipe: more than any holds by default. */
#define DRAIN_ALL_READS	64

/* Of a turn: some milliseconds. A read counts for some bytes more. */
#define TURN_MAX	(4 * 1024 * 1024)
#define READ_COST	4096

struct out_pipe {
	struct out_intake *in;
	struct output *to;		/* a reference */
	struct out_tail *tail;		/* a reference; NULL: none */
	struct out_pipe **holder;	/* the worker's; NULL: gone */
	TAILQ_ENTRY(out_pipe) link;	/* in in->pipes */
	struct out_waiter waiter;	/* for room in `to` */
	int fd;
	loop_handle handle;		/* 0: not read from now */
	uint64_t round;			/* when it was last read */
	struct line_split split;
	uint64_t ino;			/* 0: not asked for yet */
	uint32_t half;			/* its place in in->halves */
	struct ring_source source;
	char app_name[CONF_NAME_MAX + 1];
	bool timed;			/* log_time */
	struct out_form form;
};

/* ---- what is held ---- */

static void
write_down(const struct out_intake *in)
{
	struct stat st;
	struct ledger_lines r = { .fd = half_lines_fd(in->halves) };
	uint32_t place;

	if (fstat(r.fd, &st) < 0)
		return;
	r.ino = st.st_ino;
	if (ledger_end(in->ledger, LEDGER_LINES) > 0)
		ledger_set(in->ledger, LEDGER_LINES, 0, &r);
	else
		(void)ledger_add(in->ledger, LEDGER_LINES, &r, &place);
}

/* Most programs never write half a line. */
static bool
has_halves(struct out_intake *in)
{
	if (in->halves == NULL && !in->halfless && in->ledger != NULL) {
		in->halves = half_lines_new();
		in->halfless = in->halves == NULL;
		if (in->halves != NULL)
			write_down(in);
	}
	return in->halves != NULL;
}

static bool
has_ino(struct out_pipe *p)
{
	struct stat st;

	if (p->ino == 0 && fstat(p->fd, &st) == 0)
		p->ino = st.st_ino;
	return p->ino != 0;
}

static void
keep_half(struct out_pipe *p)
{
	if (p->half == HALF_LINES_NOWHERE && p->split.n_held == 0)
		return;
	if (has_halves(p->in) && has_ino(p))
		half_lines_put(p->in->halves, &p->half, p->ino, p->split.held,
		    p->split.n_held);
}

static void
take_half(struct out_pipe *p)
{
	const char *text;
	size_t n = p->in->halves != NULL && has_ino(p) ?
	    half_lines_find(p->in->halves, p->ino, &p->half, &text) : 0;

	if (n > 0)
		line_split_hold(&p->split, text, n);
}

static int
is_of_pipe(void *ctx, uint64_t key)
{
	const struct out_intake *in = ctx;
	const struct out_pipe *p;

	TAILQ_FOREACH(p, &in->pipes, link)
		if (p->ino == key && p->half != HALF_LINES_NOWHERE)
			return 1;
	return 0;
}

void
out_intake_look_back(struct out_intake *in, struct ledger *ledger,
    struct descriptors *left)
{
	struct ledger_lines r;
	struct stat st;

	in->ledger = ledger;
	if (ledger_get_lines(ledger, &r) == 1 && fstat(r.fd, &st) == 0 &&
	    st.st_ino == r.ino && descriptors_take(left, r.fd))
		in->halves = half_lines_again(r.fd);
}

void
out_intake_look_back_end(struct out_intake *in)
{
	if (in->halves != NULL)
		half_lines_keep(in->halves, is_of_pipe, in);
}

/* ---- reading ---- */

static void
lines_come(void *ctx, const char *lines, size_t len, bool goes_on)
{
	struct out_pipe *p = ctx;

	p->source.goes_on = p->form.goes_on = goes_on;
	out_tail_add(p->tail, &p->source, lines, len);
	p->in->news = true;
	output_put(p->to, p->app_name, &p->form, lines, len);
}

static void
make_form(struct out_pipe *p)
{
	out_form_make(&p->form, output_kind(p->to), p->timed, p->app_name,
	    p->source.instance, p->source.stream, output_has_colour(p->to));
	out_form_set_time(&p->form, p->source.time_ms);
}

/* A reload may have brought another log_format. */
static size_t
room_for(struct out_pipe *p)
{
	if (p->form.kind != output_kind(p->to))
		make_form(p);
	return output_room(p->to, &p->form);
}

static void
unwatch(struct out_pipe *p)
{
	/* Not paused by watching for nothing: epoll tells of a hang-up
	   whether it was asked for or not, again and again. */
	loop_del(p->in->loop, &p->handle);
	output_hold(p->to, &p->waiter);
}

/* What is held of a line is written as one. */
static void
pipe_free(struct out_pipe *p)
{
	line_split_end(&p->split, lines_come, p);
	keep_half(p);
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

/* Read once, what the output has room for. False: nothing is there now, or the
   output has no room, or it was the end and the pipe is freed. */
static bool
pipe_read(struct out_pipe *p)
{
	char *data = p->in->scratch + LINE_SPLIT_MAX;
	size_t room = room_for(p);
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
	out_form_set_time(&p->form, p->source.time_ms);
	if (n > 0) {
		p->in->read += (size_t)n;
		line_split_feed(&p->split, data, (size_t)n, lines_come, p);
		keep_half(p);
		return true;
	}
	pipe_free(p);
	return false;
}

void
out_pipe_drain(struct out_pipe *p)
{
	for (unsigned reads = 0; reads < DRAIN_READS && pipe_read(p); )
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

static void
ready(void *ctx, uint32_t events)
{
	struct out_pipe *p = ctx;

	(void)events;
	if (may_read(p->in, &p->round))
		(void)pipe_read(p);
}

static bool
resume(struct out_waiter *w)
{
	struct out_pipe *p = (struct out_pipe *)((char *)w -
	    offsetof(struct out_pipe, waiter));

	return loop_add(p->in->loop, p->fd, EPOLLIN, false, ready, p,
	    &p->handle) == 0;
}

/* ---- opening ---- */

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
	p->tail = out_tails_get(in->tails, conf->name);
	p->fd = -1;
	p->half = HALF_LINES_NOWHERE;
	p->source.instance = (uint16_t)instance;
	p->source.stream = stream == OUT_STREAM_STDOUT ? 1 : 2;
	strncpy(p->app_name, conf->name, sizeof(p->app_name) - 1);
	p->timed = conf->log_time == CONF_LOG_TIME_ISO;
	make_form(p);
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
		pipe_free(p);
		return code;
	}
	give_to_worker(&conf->creds, ends[1]);
	p->holder = holder;
	*holder = p;
	*ret_end = fd_take(&ends[1]);
	return 0;
}

int
out_pipe_take(struct out_intake *in, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int fd)
{
	struct out_pipe *p = pipe_new(in, to, conf, instance, stream);
	int code;

	if (p == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	p->fd = fd;
	take_half(p);
	code = loop_add(in->loop, fd, EPOLLIN, false, ready, p, &p->handle);
	if (code < 0) {
		pipe_free(p);
		return code;
	}
	p->holder = holder;
	*holder = p;
	return 0;
}

int
out_pipe_fd(const struct out_pipe *p)
{
	return p != NULL ? p->fd : -1;
}

void
out_pipe_leave(struct out_pipe **holder)
{
	if (*holder != NULL)
		(*holder)->holder = NULL;
	*holder = NULL;
}

/* ---- all of them ---- */

void
out_intake_init(struct out_intake *in, struct loop *loop,
    struct out_tails *tails)
{
	*in = (struct out_intake){ .loop = loop, .tails = tails, .round = 1 };
	TAILQ_INIT(&in->pipes);
}

int
out_intake_reserve(struct out_intake *in)
{
	if (in->scratch == NULL)
		in->scratch = malloc(LINE_SPLIT_MAX + OUTPUT_READ_MAX + 1);
	return in->scratch == NULL ? -ENOMEM : 0;
}

bool
out_intake_turn(struct out_intake *in)
{
	bool news = in->news;

	if (!in->crowded)
		in->round++;
	in->crowded = false;
	in->read = 0;
	in->news = false;
	return news;
}

bool
out_intake_drain(struct out_intake *in)
{
	struct out_pipe *p, *next;
	bool left = false;

	for (p = TAILQ_FIRST(&in->pipes); p != NULL; p = next) {
		bool full = false, more = true;

		next = TAILQ_NEXT(p, link);
		for (unsigned i = 0; i < DRAIN_ALL_READS && more && !full;
		     i++) {
			full = room_for(p) == 0;
			more = !full && pipe_read(p);
		}
		left |= full;
	}
	return left;
}

void
out_intake_close(struct out_intake *in)
{
	while (!TAILQ_EMPTY(&in->pipes))
		pipe_free(TAILQ_FIRST(&in->pipes));
}

void
out_intake_free(struct out_intake *in)
{
	out_intake_close(in);
	half_lines_free(in->halves);
	in->halves = NULL;
	free(in->scratch);
	in->scratch = NULL;
}

/*
 * An open-loop load generator: requests start when the schedule says so, and
 * not when the server has answered the one before. Who is late is told, who
 * fails is told with the phase and the error.
 *
 *	openloop [options] ADDRESS:PORT | [ADDRESS]:PORT | --unix PATH
 *	  --rate N          requests per second (1000)
 *	  --duration S      seconds (10); SIGINT and SIGTERM end it earlier, a
 *	                    second one does not wait for what is under way
 *	  --poisson         random gaps with that mean, not equal ones
 *	  --timeout MS      of a request, from its scheduled time (5000)
 *	  --path PATH       what is asked for (/)
 *	  --keepalive N     HTTP over N connections that are kept, each used in
 *	                    its turn; when all are busy, over one more that is
 *	                    closed after it. Without: a connection per request
 *	  --udp             datagrams, which the server sends back as they are,
 *	                    from N (--keepalive, 64) sockets
 *
 * A request that fails before the first byte of its answer on a connection
 * which has served one before may have met the server closing an idle one: HTTP
 * has it retried. It is, once, on a new connection, and counted as `raced`.
 *
 * Prints JSON. `failures` is by phase: connect; send; wait, no byte of the
 * answer was there; answer, it was cut; status, which was neither 2xx nor 3xx.
 * Errors are errno names, EOF, or timeout. Latencies count from the scheduled
 * time, to the answer's last byte; `lateness` is by how much the generator
 * itself started requests too late. `unfinished` were given up at a signal.
 * `last_failure_ms` is when the latest of those that failed was scheduled, from
 * `began_ms` on, which is CLOCK_MONOTONIC's.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
	HEAD_MAX = 4096,	/* of an answer */
	EVENTS = 256,
	FIRST_MAX = 100,	/* failures that are told one by one */
	KINDS_MAX = 64,
	BATCH = 64,		/* requests started between two looks */
	UDP_SOCKETS = 64,
	UDP_BYTES = 64,
};

#define SECOND	INT64_C(1000000000)
#define MS	INT64_C(1000000)

/* After a complete answer the server may close first, for so long. */
#define LET_CLOSE	(1 * SECOND)

enum phase { CONNECT, SEND, WAIT, ANSWER, STATUS, N_PHASES };

static const char *const phase_names[N_PHASES] = {
	[CONNECT] = "connect", [SEND] = "send", [WAIT] = "wait",
	[ANSWER] = "answer", [STATUS] = "status",
};

/* Besides errno: what else ends a request. A status is its number. */
enum { END_OF_FILE = -1, TIMED_OUT = -2 };

struct link {
	struct link *prev, *next;
};

struct request {
	struct link link;	/* first; in the order of the schedule */
	int64_t scheduled;
	uint64_t number;
	struct conn *conn;	/* NULL: UDP */
	bool raced;		/* this is its second try */
};

enum body { BY_LENGTH, BY_CHUNKS, BY_EOF };

struct conn {
	struct link link;	/* first; idle, letting close, again or dead */
	struct link *list;
	int fd;
	struct request *request;
	bool connected;
	bool extra;		/* not to be kept */
	bool keep;		/* the answer lets us */
	uint64_t served;
	int64_t until;		/* letting the server close */

	/* The answer. */
	size_t head_len;
	bool head_done;
	int status;
	enum body body;
	uint64_t left;		/* of the body or the chunk */
	enum { SIZE, SIZE_EXTENSION, DATA, DATA_END, TRAILER } chunk;
	size_t trailer_line;
	char head[HEAD_MAX];
};

struct counter {
	enum phase phase;
	int error;
	uint64_t n;
};

static struct {
	double rate, duration;
	int64_t timeout;
	const char *path, *unix_path;
	unsigned keepalive;
	bool udp, poisson;
	struct sockaddr_storage to;
	socklen_t to_len;
} opt = {
	.rate = 1000, .duration = 10, .timeout = 5 * SECOND, .path = "/",
};

static struct link under_way, idle, closing, again, dead;
static struct conn **udp_conns;
static struct request **udp_requests;	/* by number, modulo udp_size */
static size_t udp_size, udp_next;
static unsigned n_kept;			/* pooled connections */
static int epoll_fd, timer_fd;
static char *request_text;
static size_t request_len;
static volatile sig_atomic_t n_signals;

static int64_t start_time, next_time, last_failure;
static uint64_t random_state = 88172645463325252u;
static uint64_t n_started, n_ok, n_failed, n_raced, n_unfinished, n_under_way;
static uint64_t n_connections, n_extra, n_idle_closed, n_late_echoes;
static uint64_t n_udp_errors, most_under_way;
static struct counter counters[KINDS_MAX];
static unsigned n_counters;
static struct {
	int64_t at, after;
	enum phase phase;
	int error;
	bool raced;
} first[FIRST_MAX];

/* Microseconds. */
struct samples {
	uint32_t *v;
	size_t n, cap;
};
static struct samples latencies, latenesses;

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

static void
list_init(struct link *list)
{
	list->prev = list->next = list;
}

static void
list_append(struct link *list, struct link *item)
{
	item->prev = list->prev;
	item->next = list;
	list->prev->next = item;
	list->prev = item;
}

static void
list_remove(struct link *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

static bool
list_empty(const struct link *list)
{
	return list->next == list;
}

static void
sample(struct samples *s, int64_t ns)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 65536 : s->cap * 2;
		s->v = reallocarray(s->v, s->cap, sizeof(*s->v));
		if (s->v == NULL)
			err(1, "samples");
	}
	s->v[s->n++] = ns < 0 ? 0 : ns / 1000 > UINT32_MAX ? UINT32_MAX :
	    (uint32_t)(ns / 1000);
}

/* ---- outcomes ---- */

static void
request_end(struct request *r)
{
	if (opt.udp && udp_requests[r->number % udp_size] == r)
		udp_requests[r->number % udp_size] = NULL;
	list_remove(&r->link);
	n_under_way--;
	free(r);
}

static void
request_failed(struct request *r, enum phase phase, int error)
{
	unsigned i;

	if (last_failure < r->scheduled - start_time)
		last_failure = r->scheduled - start_time;
	if (n_failed < FIRST_MAX) {
		first[n_failed].at = r->scheduled - start_time;
		first[n_failed].after = now_ns() - r->scheduled;
		first[n_failed].phase = phase;
		first[n_failed].error = error;
		first[n_failed].raced = r->raced;
	}
	n_failed++;
	for (i = 0; i < n_counters; i++)
		if (counters[i].phase == phase && counters[i].error == error)
			break;
	if (i == n_counters && n_counters < KINDS_MAX)
		counters[n_counters++] = (struct counter){
			.phase = phase, .error = error,
		};
	if (i < n_counters)
		counters[i].n++;
	request_end(r);
}

static void
request_ok(struct request *r)
{
	n_ok++;
	sample(&latencies, now_ns() - r->scheduled);
	request_end(r);
}

/* ---- connections ---- */

static void
conn_list(struct conn *c, struct link *list)
{
	list_remove(&c->link);
	c->list = list;
	if (list != NULL)
		list_append(list, &c->link);
}

static bool
conn_is_pooled(const struct conn *c)
{
	return opt.keepalive > 0 && !c->extra;
}

/* Freed later: its events may be among those that are being handled. */
static void
conn_close(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (conn_is_pooled(c))
		n_kept--;
	conn_list(c, &dead);
}

static void conn_open(struct request *r, bool extra);

/* The connection is no good any more, and neither is its request. */
static void
conn_failed(struct conn *c, enum phase phase, int error)
{
	struct request *r = c->request;
	bool race = c->served > 0 && (phase == SEND || phase == WAIT) &&
	    error != TIMED_OUT && !r->raced;

	c->request = NULL;
	conn_close(c);
	if (!race) {
		request_failed(r, phase, error);
		return;
	}
	n_raced++;
	r->raced = true;
	conn_open(r, n_kept >= opt.keepalive);
}

static enum phase
conn_phase(const struct conn *c)
{
	return !c->connected ? CONNECT : c->head_len > 0 ? ANSWER : WAIT;
}

static void
conn_send(struct conn *c)
{
	ssize_t n = send(c->fd, request_text, request_len, MSG_NOSIGNAL);

	/* An idle connection has room for a request: less is an error. */
	if (n != (ssize_t)request_len)
		conn_failed(c, SEND, n < 0 ? errno : EMSGSIZE);
}

static void
conn_begin(struct conn *c, struct request *r)
{
	conn_list(c, NULL);
	c->request = r;
	r->conn = c;
	c->head_len = 0;
	c->head_done = false;
}

static void
conn_connected(struct conn *c)
{
	c->connected = true;
	conn_send(c);
}

/* Returns false when it is to be tried again: a Unix listener's full queue is
   no event that could be waited for. */
static bool
conn_connect(struct conn *c)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = c,
	};
	int code = connect(c->fd, (struct sockaddr *)&opt.to, opt.to_len);

	if (code < 0 && errno == EAGAIN && opt.unix_path != NULL)
		return false;
	conn_list(c, NULL);
	if (code < 0 && errno != EINPROGRESS) {
		conn_failed(c, CONNECT, errno);
		return true;
	}
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		err(1, "epoll_ctl");
	if (code == 0)
		conn_connected(c);
	return true;
}

static struct conn *
conn_new(bool extra)
{
	struct conn *c = calloc(1, sizeof(*c));
	int on = 1;

	if (c == NULL)
		err(1, "connection");
	list_init(&c->link);
	c->extra = extra;
	c->fd = socket(opt.to.ss_family, (opt.udp ? SOCK_DGRAM : SOCK_STREAM) |
	    SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && !opt.udp && opt.unix_path == NULL)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on,
		    sizeof(on));
	return c;
}

static void
conn_open(struct request *r, bool extra)
{
	struct conn *c = conn_new(extra);

	if (conn_is_pooled(c))
		n_kept++;
	n_connections++;
	n_extra += opt.keepalive > 0 && extra;
	conn_begin(c, r);
	if (c->fd < 0)
		conn_failed(c, CONNECT, errno);
	else if (!conn_connect(c))
		conn_list(c, &again);
}

/* The answer is complete. */
static void
conn_answered(struct conn *c, bool more)
{
	struct request *r = c->request;

	c->request = NULL;
	c->served++;
	if (c->status >= 200 && c->status < 400)
		request_ok(r);
	else
		request_failed(r, STATUS, c->status);
	if (conn_is_pooled(c) && c->keep && !more) {
		conn_list(c, &idle);
		return;
	}
	/* Who closes first keeps the port for a minute (TIME_WAIT): that is
	   better the server, which has but one. It will if it says so. */
	if (opt.keepalive > 0 && c->keep) {
		conn_close(c);
		return;
	}
	if (conn_is_pooled(c))
		n_kept--;
	c->extra = true;
	c->until = now_ns() + LET_CLOSE;
	conn_list(c, &closing);
}

/* ---- HTTP ---- */

static const char *
header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line != NULL;
	    line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " ");
	}
	return NULL;
}

/* What the head says of the body; false: it is no head. */
static bool
parse_head(struct conn *c)
{
	const char *length = header(c->head, "Content-Length");
	const char *coding = header(c->head, "Transfer-Encoding");
	const char *connection = header(c->head, "Connection");
	int minor;

	if (sscanf(c->head, "HTTP/1.%1d %3d", &minor, &c->status) != 2)
		return false;
	c->keep = minor == 1;
	if (connection != NULL)
		c->keep = strncasecmp(connection, "close", 5) != 0 &&
		    (minor == 1 || strncasecmp(connection, "keep", 4) == 0);
	c->left = 0;
	c->chunk = SIZE;
	if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0) {
		c->body = BY_CHUNKS;
	} else if (length != NULL) {
		c->body = BY_LENGTH;
		c->left = strtoull(length, NULL, 10);
	} else if (c->status == 204 || c->status == 304) {
		c->body = BY_LENGTH;
	} else {
		c->body = BY_EOF;
		c->keep = false;
	}
	return true;
}

static int
hex_digit(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' :
	    ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 :
	    ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* Takes bytes of a chunked body; returns how many, *ret_done at its end. */
static size_t
take_chunks(struct conn *c, const char *p, size_t len, bool *ret_done)
{
	size_t i = 0;

	while (i < len) {
		size_t n;

		switch (c->chunk) {
		case SIZE:
		case SIZE_EXTENSION:
			if (p[i] == '\n') {
				c->chunk = c->left > 0 ? DATA : TRAILER;
				c->trailer_line = 0;
			} else if (c->chunk == SIZE && hex_digit(p[i]) >= 0) {
				c->left = c->left * 16 +
				    (unsigned)hex_digit(p[i]);
			} else {
				c->chunk = SIZE_EXTENSION;
			}
			i++;
			break;
		case DATA:
			n = c->left < len - i ? (size_t)c->left : len - i;
			c->left -= n;
			i += n;
			if (c->left == 0)
				c->chunk = DATA_END;
			break;
		case DATA_END:
			if (p[i++] == '\n')
				c->chunk = SIZE;
			break;
		case TRAILER:
			if (p[i] == '\n' && c->trailer_line == 0) {
				*ret_done = true;
				return i + 1;
			}
			if (p[i] == '\n')
				c->trailer_line = 0;
			else if (p[i] != '\r')
				c->trailer_line++;
			i++;
			break;
		}
	}
	return i;
}

/* Bytes of the body. True: the answer is complete (or the connection gone). */
static bool
take_body(struct conn *c, const char *p, size_t len)
{
	bool done = false;
	size_t n = len;

	if (c->body == BY_LENGTH) {
		n = c->left < len ? (size_t)c->left : len;
		c->left -= n;
		done = c->left == 0;
	} else if (c->body == BY_CHUNKS) {
		n = take_chunks(c, p, len, &done);
	}
	if (done)
		conn_answered(c, n < len);
	return done;
}

/* True: the answer is complete, or the connection gone. */
static bool
take_bytes(struct conn *c, const char *p, size_t len)
{
	size_t room = HEAD_MAX - 1 - c->head_len;
	size_t had = c->head_len, head_len;
	char *end;

	if (c->head_done)
		return take_body(c, p, len);
	memcpy(c->head + had, p, len < room ? len : room);
	c->head_len += len < room ? len : room;
	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL && c->head_len < HEAD_MAX - 1)
		return false;
	if (end == NULL || !parse_head(c)) {
		conn_failed(c, ANSWER, EBADMSG);
		return true;
	}
	c->head_done = true;
	head_len = (size_t)(end + 4 - c->head);
	return take_body(c, p + (head_len - had), len - (head_len - had));
}

/* ---- UDP ---- */

static void
udp_start(struct request *r)
{
	char bytes[UDP_BYTES] = "";
	struct conn *c = udp_conns[udp_next++ % opt.keepalive];

	memcpy(bytes, &r->number, sizeof(r->number));
	udp_requests[r->number % udp_size] = r;
	/* The first error may be an earlier datagram's (ICMP). */
	for (int i = 0; i < 2; i++) {
		if (send(c->fd, bytes, sizeof(bytes), 0) >= 0)
			return;
		n_udp_errors++;
	}
	request_failed(r, SEND, errno);
}

static void
udp_readable(struct conn *c)
{
	char bytes[UDP_BYTES * 2];
	struct request *r;
	uint64_t number;
	ssize_t n;

	for (;;) {
		n = recv(c->fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			n_udp_errors++;
			continue;
		}
		if (n != UDP_BYTES)
			continue;
		memcpy(&number, bytes, sizeof(number));
		r = udp_requests[number % udp_size];
		if (r != NULL && r->number == number)
			request_ok(r);
		else
			n_late_echoes++;
	}
}

static void
udp_prepare(void)
{
	if (opt.keepalive == 0)
		opt.keepalive = UDP_SOCKETS;
	udp_conns = calloc(opt.keepalive, sizeof(struct conn *));
	for (udp_size = 1024; (double)udp_size < 2 * opt.rate *
	    ((double)opt.timeout / SECOND + 1);)
		udp_size *= 2;
	udp_requests = calloc(udp_size, sizeof(struct request *));
	if (udp_conns == NULL || udp_requests == NULL)
		err(1, "sockets");
	for (unsigned i = 0; i < opt.keepalive; i++) {
		struct conn *c = udp_conns[i] = conn_new(false);
		struct epoll_event ev = {
			.events = EPOLLIN | EPOLLET, .data.ptr = c,
		};

		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&opt.to,
		    opt.to_len) < 0 ||
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			err(1, "UDP socket");
	}
}

/* ---- the loop ---- */

static void
conn_readable(struct conn *c)
{
	static char buf[64 * 1024];

	while (c->fd >= 0) {
		ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (c->request == NULL) {
			/* Idle, or the server closes as we hoped. */
			n_idle_closed += c->list == &idle;
			conn_close(c);
		} else if (n > 0) {
			(void)take_bytes(c, buf, (size_t)n);
		} else if (n == 0 && c->head_done && c->body == BY_EOF) {
			conn_answered(c, false);
		} else {
			conn_failed(c, conn_phase(c), n < 0 ? errno :
			    END_OF_FILE);
		}
	}
}

static void
conn_event(struct conn *c, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (c->fd < 0)
		return;
	if (opt.udp) {
		udp_readable(c);
		return;
	}
	if (!c->connected) {
		if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
			return;
		(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0) {
			conn_failed(c, CONNECT, error);
			return;
		}
		conn_connected(c);
	}
	if (c->fd >= 0 &&
	    (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
		conn_readable(c);
}

/* Seconds from the start to the next request. Not a sum of equal gaps: no error
   adds up. */
static double
next_due(void)
{
	static double due;
	double u;

	if (!opt.poisson)
		return (double)n_started / opt.rate;
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	u = ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
	due -= log(u) / opt.rate;
	return due;
}

static void
request_start(int64_t scheduled)
{
	struct request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		err(1, "request");
	r->scheduled = scheduled;
	r->number = n_started++;
	list_append(&under_way, &r->link);
	if (++n_under_way > most_under_way)
		most_under_way = n_under_way;
	sample(&latenesses, now_ns() - scheduled);
	if (opt.udp) {
		udp_start(r);
	} else if (n_kept >= opt.keepalive && !list_empty(&idle)) {
		struct conn *c = (struct conn *)idle.next;

		conn_begin(c, r);
		conn_send(c);
	} else {
		conn_open(r, n_kept >= opt.keepalive);
	}
}

static void
start_due(int64_t end)
{
	for (int i = 0; i < BATCH && next_time <= now_ns() &&
	    next_time < end; i++) {
		request_start(next_time);
		next_time = start_time + (int64_t)(next_due() * 1e9);
	}
}

static void
give_up_late(int64_t now)
{
	while (!list_empty(&under_way)) {
		struct request *r = (struct request *)under_way.next;

		if (now - r->scheduled < opt.timeout)
			break;
		if (r->conn != NULL)
			conn_failed(r->conn, conn_phase(r->conn), TIMED_OUT);
		else
			request_failed(r, WAIT, TIMED_OUT);
	}
	while (!list_empty(&closing) &&
	    ((struct conn *)closing.next)->until <= now)
		conn_close((struct conn *)closing.next);
}

static void
connect_again(void)
{
	for (struct link *l = again.next, *next; l != &again; l = next) {
		next = l->next;
		if (!conn_connect((struct conn *)l))
			break;
	}
}

static void
free_dead(void)
{
	while (!list_empty(&dead)) {
		struct conn *c = (struct conn *)dead.next;

		list_remove(&c->link);
		free(c);
	}
}

static void
set_timer(int64_t end)
{
	int64_t when = next_time < end && n_signals == 0 ? next_time :
	    INT64_MAX;
	struct itimerspec its = { .it_interval = { 0 } };

	if (!list_empty(&under_way)) {
		struct request *r = (struct request *)under_way.next;

		if (r->scheduled + opt.timeout < when)
			when = r->scheduled + opt.timeout;
	}
	if (!list_empty(&closing) &&
	    ((struct conn *)closing.next)->until < when)
		when = ((struct conn *)closing.next)->until;
	if (!list_empty(&again) && now_ns() + MS < when)
		when = now_ns() + MS;
	its.it_value.tv_sec = when / SECOND;
	its.it_value.tv_nsec = when % SECOND;
	if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0)
		err(1, "timerfd_settime");
}

static void
run(void)
{
	int64_t end;

	start_time = next_time = now_ns() + 10 * MS;
	end = start_time + (int64_t)(opt.duration * 1e9);
	while (n_signals < 2) {
		struct epoll_event ev[EVENTS];
		int n;

		if (n_signals == 0)
			start_due(end);
		if (list_empty(&under_way) &&
		    (n_signals > 0 || next_time >= end))
			break;
		set_timer(end);
		/* Signals are let in here alone. */
		n = epoll_pwait(epoll_fd, ev, EVENTS, -1,
		    &(sigset_t){ 0 });
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < n; i++)
			if (ev[i].data.ptr != NULL)
				conn_event(ev[i].data.ptr, ev[i].events);
		connect_again();
		give_up_late(now_ns());
		free_dead();
	}
	n_unfinished = n_under_way;
}

/* ---- the report ---- */

static int
by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_samples(const char *name, struct samples *s)
{
	static const struct {
		const char *name;
		double part;
	} points[] = {
		{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 },
		{ "p99.9", 0.999 }, { "max", 1 },
	};

	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), by_size);
	printf("  \"%s\": {", name);
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		size_t at = (size_t)ceil(points[i].part * (double)s->n);

		printf("%s\"%s\": ", i > 0 ? ", " : "", points[i].name);
		if (s->n == 0)
			printf("null");
		else
			printf("%.3f", s->v[at > 0 ? at - 1 : 0] / 1e3);
	}
	printf("},\n");
}

static void
print_error(enum phase phase, int error)
{
	const char *name = strerrorname_np(error);

	if (phase == STATUS)
		printf("\"%d\"", error);
	else if (error == END_OF_FILE)
		printf("\"EOF\"");
	else if (error == TIMED_OUT)
		printf("\"timeout\"");
	else if (name != NULL)
		printf("\"%s\"", name);
	else
		printf("\"errno %d\"", error);
}

static void
print_failures(void)
{
	bool any = false;

	printf("  \"failures\": {");
	for (unsigned phase = 0; phase < N_PHASES; phase++) {
		bool here = false;

		for (unsigned i = 0; i < n_counters; i++) {
			if (counters[i].phase != phase)
				continue;
			if (!here)
				printf("%s\"%s\": {", any ? ", " : "",
				    phase_names[phase]);
			else
				printf(", ");
			here = any = true;
			print_error(phase, counters[i].error);
			printf(": %llu", (unsigned long long)counters[i].n);
		}
		if (here)
			printf("}");
	}
	printf("},\n  \"first_failures\": [");
	for (unsigned i = 0; i < n_failed && i < FIRST_MAX; i++) {
		printf("%s\n    {\"at_ms\": %.1f, \"after_ms\": %.1f, "
		    "\"phase\": \"%s\", \"error\": ", i > 0 ? "," : "",
		    (double)first[i].at / 1e6, (double)first[i].after / 1e6,
		    phase_names[first[i].phase]);
		print_error(first[i].phase, first[i].error);
		printf(", \"raced\": %s}", first[i].raced ? "true" : "false");
	}
	printf("],\n  \"last_failure_ms\": %.1f,\n  \"began_ms\": %.1f,\n",
	    (double)last_failure / 1e6, (double)start_time / 1e6);
}

static void
report(double seconds)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\n  \"started\": %llu, \"ok\": %llu, \"failed\": %llu, "
	    "\"raced\": %llu, \"unfinished\": %llu,\n",
	    (unsigned long long)n_started, (unsigned long long)n_ok,
	    (unsigned long long)n_failed, (unsigned long long)n_raced,
	    (unsigned long long)n_unfinished);
	print_failures();
	print_samples("latency_ms", &latencies);
	print_samples("lateness_ms", &latenesses);
	printf("  \"connections\": %llu, \"extra_connections\": %llu, "
	    "\"idle_closed\": %llu,\n",
	    (unsigned long long)n_connections, (unsigned long long)n_extra,
	    (unsigned long long)n_idle_closed);
	if (opt.udp)
		printf("  \"late_echoes\": %llu, \"udp_errors\": %llu,\n",
		    (unsigned long long)n_late_echoes,
		    (unsigned long long)n_udp_errors);
	printf("  \"most_under_way\": %llu, \"seconds\": %.3f, "
	    "\"cpu_seconds\": %.3f\n}\n",
	    (unsigned long long)most_under_way, seconds,
	    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

/* ---- the start ---- */

static double
number(const char *text, double max)
{
	char *end;
	double n;

	errno = 0;
	n = strtod(text, &end);
	if (errno != 0 || *end != '\0' || end == text || !(n > 0) || n > max)
		errx(64, "%s: not a number up to %g", text, max);
	return n;
}

static void
set_target(const char *text)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&opt.to;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&opt.to;
	const char *colon = strrchr(text, ':');
	char host[64];
	uint16_t port;

	if (colon == NULL || colon == text ||
	    (size_t)(colon - text) >= sizeof(host))
		errx(64, "%s: not ADDRESS:PORT", text);
	port = htons((uint16_t)number(colon + 1, UINT16_MAX));
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
		sin->sin_family = AF_INET;
		sin->sin_port = port;
		opt.to_len = sizeof(*sin);
		return;
	}
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &sin6->sin6_addr) == 1) {
			sin6->sin6_family = AF_INET6;
			sin6->sin6_port = port;
			opt.to_len = sizeof(*sin6);
			return;
		}
	}
	errx(64, "%s: not an address", text);
}

static void
set_unix(const char *path)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&opt.to;

	if (strlen(path) >= sizeof(sun->sun_path))
		errx(64, "%s: too long", path);
	sun->sun_family = AF_UNIX;
	strcpy(sun->sun_path, path);
	opt.to_len = sizeof(*sun);
	opt.unix_path = path;
}

static void
parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "duration", required_argument, NULL, 'd' },
		{ "timeout", required_argument, NULL, 't' },
		{ "path", required_argument, NULL, 'p' },
		{ "keepalive", required_argument, NULL, 'k' },
		{ "unix", required_argument, NULL, 'u' },
		{ "udp", no_argument, NULL, 'U' },
		{ "poisson", no_argument, NULL, 'P' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			opt.rate = number(optarg, 1e6);
			break;
		case 'd':
			opt.duration = number(optarg, 86400);
			break;
		case 't':
			opt.timeout = (int64_t)(number(optarg, 1e7) * MS);
			break;
		case 'p':
			opt.path = optarg;
			break;
		case 'k':
			opt.keepalive = (unsigned)number(optarg, 100000);
			break;
		case 'u':
			set_unix(optarg);
			break;
		case 'U':
			opt.udp = true;
			break;
		case 'P':
			opt.poisson = true;
			break;
		default:
			exit(64);
		}
	}
	if (optind == argc - 1 && opt.unix_path == NULL)
		set_target(argv[optind]);
	else if (optind != argc || opt.unix_path == NULL || opt.udp)
		errx(64, "usage: openloop [options] ADDRESS:PORT | --unix "
		    "PATH");
}

static void
on_signal(int signo)
{
	(void)signo;
	n_signals++;
}

static void
prepare(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct rlimit nofile;
	sigset_t set;
	int len;

	list_init(&under_way);
	list_init(&idle);
	list_init(&closing);
	list_init(&again);
	list_init(&dead);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
		nofile.rlim_cur = nofile.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &nofile);
	}
	/* So that others on the processor make it less late, where allowed. */
	(void)setpriority(PRIO_PROCESS, 0, -10);
	(void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	len = asprintf(&request_text, "GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "%s\r\n", opt.path, opt.keepalive > 0 ? "" :
	    "Connection: close\r\n");
	if (len < 0)
		err(1, "request");
	request_len = (size_t)len;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	timer_fd = timerfd_create(CLOCK_MONOTONIC,
	    TFD_NONBLOCK | TFD_CLOEXEC);
	if (epoll_fd < 0 || timer_fd < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &ev) < 0)
		err(1, "epoll");
	if (opt.udp)
		udp_prepare();
}

int
main(int argc, char **argv)
{
	int64_t begin;

	parse_options(argc, argv);
	prepare();
	begin = now_ns();
	run();
	report((double)(now_ns() - begin) / 1e9);
	return 0;
}

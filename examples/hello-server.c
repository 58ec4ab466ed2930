/*
 * hello-server: a small HTTP/1.1 server to run under clusterd.
 *
 *	clusterd -p 8080 -n 4 -- ./hello-server		four of them on one port
 *	./hello-server 8080				one, on its own
 *
 * What a server does in order to be clustered takes a few lines each:
 *
 *	listen_from_env()  takes the listening socket instead of binding a port
 *	notify()           says "READY=1" to clusterd, and "STOPPING=1"
 *	drain()            on SIGTERM finishes what has begun, then leaves
 *
 * The rest is an ordinary event loop: one thread, epoll, non-blocking sockets,
 * and per request one epoll_wait, one read and one write. The answer is the
 * worker's instance and pid on every path; two do more, for demonstrations:
 *
 *	/slow?ms=N	answers after N milliseconds: watch a graceful stop
 *	/crash		calls abort(): watch clusterd restart a worker
 *
 * It is a sample: on the open internet a server would also close connections
 * that stay silent for too long.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, memmem */
#endif
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
	HEAD_MAX = 8 * 1024, /* a longer request head is refused (431) */
	IN_SIZE = 16 * 1024, /* read at most this much at a time */
	REQUEST_MIN = 16,    /* "G / HTTP/1.1\r\n\r\n" */
	ANSWER_MAX = 160,
	EVENTS_MAX = 256,
	ACCEPT_BATCH = 1,      /* connections to accept per wake-up */
	ACCEPT_PAUSE_MS = 100, /* when that fails */
	BACKLOG = 4096,
	LINGER_MS = 1000,    /* see conn_next() */
	DRAIN_IDLE_MS = 500, /* see drain() */
	DRAIN_MS = 5000,     /* how long a stop takes at most */
	SLOW_MAX_MS = 60 * 1000,
};

struct conn {
	struct conn *prev, *next;
	int fd;
	uint32_t events; /* what epoll watches */
	int64_t due;	 /* when to call conn_timer(); 0: never */
	uint64_t skip;	 /* bytes of request body still to come */
	uint32_t delay;	 /* ms, to wait before the answer */
	bool pending;	 /* an answer is owed, for this request: */
	bool head_only, http10, keep, expect;
	bool closing; /* close when all is sent ... */
	bool linger;  /* ... but let the client read it first */
	size_t in_len, out_len, out_done;
	char *in, *out; /* left over: not parsed, not sent. Or NULL */
};

/* Every answer that this process will give, composed once. */
static struct answer {
	size_t head_len, len;
	char text[ANSWER_MAX];
} answer_keep, answer_keep10, answer_close;

/*
 * There is one thread, so the large buffers are shared; a connection owns
 * memory only while it is stuck half-way. outbuf has room for the answers to
 * all requests that fit into inbuf: pipelined ones leave in a single write.
 */
static char inbuf[IN_SIZE];
static char outbuf[IN_SIZE / REQUEST_MIN * ANSWER_MAX];
static size_t outlen;

static struct conn conns = { .prev = &conns, .next = &conns }; /* a ring */
static int epoll_fd, listen_fd, signal_fd;
static int64_t next_due = INT64_MAX; /* no timer fires before */
static bool shared;	     /* the listening socket, with other workers */
static int64_t paused_until; /* not accepting; 0: accepting */
static int64_t drain_until;  /* stopping; 0: not */

/* Monotonic time in ms. Asked only while there is something to time. */
static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
timer(int64_t ms)
{
	int64_t due = now() + ms;

	if (due < next_due)
		next_due = due;
	return due;
}

/* -- Connections ---------------------------------------------------------- */

static void
conn_open(int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (c == NULL || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		warn("connection dropped");
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	c->events = EPOLLIN;
	c->prev = &conns;
	c->next = conns.next;
	c->prev->next = c->next->prev = c;
}

static void
conn_close(struct conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static void
conn_watch(struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (c->events != events)
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	c->events = events;
}

static bool
conn_is_idle(const struct conn *c)
{
	return !c->pending && !c->closing && c->in == NULL && c->out == NULL;
}

/* -- Requests ------------------------------------------------------------- */

/* If *p starts with text, in any case, moves *p behind it. */
static bool
take(const char **p, const char *end, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(end - *p) < len || strncasecmp(*p, text, len) != 0)
		return false;
	*p += len;
	return true;
}

static bool
contains(const char *p, const char *end, const char *text)
{
	for (; p < end; p++)
		if (take(&p, end, text))
			return true;
	return false;
}

/* Reads a number that fills p..end, with spaces around it. */
static bool
read_number(const char *p, const char *end, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	while (p < end && *p == ' ')
		p++;
	while (p < end && end[-1] == ' ')
		end--;
	if (p == end)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9' || n > max)
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	*ret = n;
	return n <= max;
}

/* "GET /path HTTP/1.1". Returns 0, or the HTTP status of an error. */
static int
parse_request_line(struct conn *c, const char *p, const char *end)
{
	uint64_t ms = 0;

	c->head_only = take(&p, end, "HEAD ");
	while (!c->head_only && p < end && *p++ != ' ')
		;
	if (end - p <= 9 || memcmp(end - 9, " HTTP/1.", 8) != 0)
		return 400;
	c->http10 = end[-1] == '0';
	c->keep = !c->http10;
	end -= 9;
	if (memchr(p, ' ', (size_t)(end - p)) != NULL)
		return 400;

	if (take(&p, end, "/crash"))
		abort(); /* asked for: see the top of this file */
	if (take(&p, end, "/slow?ms=") &&
	    !read_number(p, end, SLOW_MAX_MS, &ms))
		return 400;
	c->delay = (uint32_t)ms;
	c->skip = 0;
	c->expect = false;
	return 0;
}

/* "Name: value", of which few matter here. Returns 0 or a status. */
static int
parse_field(struct conn *c, const char *p, const char *end)
{
	if (take(&p, end, "Connection:")) {
		if (contains(p, end, "close"))
			c->keep = false;
		else if (contains(p, end, "keep-alive"))
			c->keep = true;
	} else if (take(&p, end, "Content-Length:")) {
		if (!read_number(p, end, INT64_MAX / 16, &c->skip))
			return 400;
	} else if (take(&p, end, "Expect:")) {
		c->expect = contains(p, end, "100-continue");
	} else if (take(&p, end, "Transfer-Encoding:")) {
		return 501;
	} else if (memchr(p, ':', (size_t)(end - p)) == NULL) {
		return 400;
	}
	return 0;
}

/*
 * Parses a request up to the empty line. Returns its length, 0 while it is not
 * complete, or minus the HTTP status of an error.
 */
static int
parse_head(struct conn *c, const char *p, size_t len)
{
	const char *line, *eol, *end;
	int status = 0;

	if (*p < 'A' || *p > 'Z')
		return -400; /* TLS, say: do not wait for an empty line */
	end = memmem(p, len < HEAD_MAX ? len : HEAD_MAX, "\r\n\r\n", 4);
	if (end == NULL)
		return len < HEAD_MAX ? 0 : -431;
	for (line = p; line < end + 2 && status == 0; line = eol + 2) {
		eol = memchr(line, '\r', (size_t)(end - line) + 1);
		if (eol[1] != '\n')
			status = 400;
		else if (line == p)
			status = parse_request_line(c, line, eol);
		else
			status = parse_field(c, line, eol);
	}
	c->pending = status == 0;
	return status != 0 ? -status : (int)(end + 4 - p);
}

/* -- Answers -------------------------------------------------------------- */

static void
put(const char *text, size_t len)
{
	memcpy(outbuf + outlen, text, len);
	outlen += len;
}

static void
put_answer(struct conn *c)
{
	const struct answer *a = &answer_keep;

	if (drain_until != 0)
		c->linger = true;
	if (!c->keep)
		a = &answer_close;
	else if (c->http10)
		a = &answer_keep10;
	put(a->text, c->head_only ? a->head_len : a->len);
	c->pending = false;
	c->closing = !c->keep;
}

static void
put_error(struct conn *c, int status)
{
	static const char format[] = "HTTP/1.1 %d %s\r\n"
				     "Content-Length: 0\r\n"
				     "Connection: close\r\n\r\n";
	const char *reason = "Bad Request";
	char text[ANSWER_MAX];

	if (status == 431)
		reason = "Request Header Fields Too Large";
	else if (status == 501)
		reason = "Not Implemented";
	snprintf(text, sizeof(text), format, status, reason);
	put(text, strlen(text));
	c->closing = c->linger = true;
}

/* Copies what is left over, if anything; false without memory for it. */
static bool
save(char **ret, size_t *ret_len, const char *data, size_t len)
{
	*ret_len = len;
	if (len == 0)
		return true;
	*ret = malloc(len);
	return *ret != NULL && memcpy(*ret, data, len);
}

/* All is sent. Waits for the client or the timer, or closes. */
static void
conn_next(struct conn *c)
{
	if (!c->closing) {
		conn_watch(c, c->due != 0 ? 0 : EPOLLIN);
	} else if (!c->linger) {
		conn_close(c);
	} else {
		/*
		 * close() with input unread would send a reset, which may
		 * destroy the answer on its way. So say that no more follows,
		 * and discard what the client sends until it hangs up.
		 */
		shutdown(c->fd, SHUT_WR);
		c->due = timer(LINGER_MS);
		conn_watch(c, EPOLLIN);
	}
}

/*
 * The head of a request is parsed: skips its body, waits if it asked for that,
 * and answers. Returns how far it came; if it has to wait, pending remains set.
 */
static const char *
conn_serve(struct conn *c, const char *p, const char *end)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->skip > (uint64_t)(end - p)) {
		if (c->expect && p == end)
			put(go_on, strlen(go_on));
		c->expect = false;
		c->skip -= (uint64_t)(end - p);
		return end;
	}
	p += c->skip;
	c->skip = 0;
	if (c->delay != 0) {
		c->due = timer(c->delay);
		c->delay = 0;
		return p;
	}
	if (drain_until != 0 && p == end)
		c->keep = false; /* the last answer, and it says so */
	put_answer(c);
	return p;
}

/* Answers the requests in inbuf, which has fresh bytes besides c->in. */
static void
conn_run(struct conn *c, size_t fresh)
{
	const char *p = inbuf, *end = inbuf + c->in_len + fresh;
	ssize_t sent = 0;
	int n;

	if (c->in != NULL)
		memcpy(inbuf, c->in, c->in_len);
	free(c->in);
	c->in = NULL;

	outlen = 0;
	while (c->due == 0) {
		if (c->pending)
			p = conn_serve(c, p, end);
		if (c->pending || c->closing)
			break;
		while (p < end && (*p == '\r' || *p == '\n'))
			p++;
		n = p == end ? 0 : parse_head(c, p, (size_t)(end - p));
		if (n < 0)
			put_error(c, -n);
		if (n <= 0)
			break;
		p += n;
	}

	if (outlen > 0)
		sent = write(c->fd, outbuf, outlen);
	if (sent < 0 && errno == EAGAIN)
		sent = 0;
	if (c->closing)
		p = end; /* what comes after the last request is ignored */
	if (sent < 0 || !save(&c->in, &c->in_len, p, (size_t)(end - p)) ||
	    !save(&c->out, &c->out_len, outbuf + sent, outlen - (size_t)sent))
		conn_close(c);
	else if (c->out != NULL)
		conn_watch(c, EPOLLOUT);
	else
		conn_next(c);
}

static void
conn_readable(struct conn *c)
{
	ssize_t n = read(c->fd, inbuf + c->in_len, IN_SIZE - c->in_len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_close(c);
	} else if (!c->closing) {
		c->due = 0;
		conn_run(c, (size_t)n);
	}
}

static void
conn_writable(struct conn *c)
{
	ssize_t n =
	    write(c->fd, c->out + c->out_done, c->out_len - c->out_done);

	if (n < 0 && errno != EAGAIN) {
		conn_close(c);
	} else if (n > 0 && (c->out_done += (size_t)n) == c->out_len) {
		free(c->out);
		c->out = NULL;
		c->out_done = 0;
		if (c->closing)
			conn_next(c);
		else
			conn_run(c, 0);
	}
}

static void
conn_timer(struct conn *c)
{
	c->due = 0;
	if (!c->pending)
		conn_close(c);
	else if (c->out == NULL) /* else conn_writable() comes to it */
		conn_run(c, 0);
}

/* -- What clusterd has to do with it -------------------------------------- */

/* Takes the listening socket that clusterd has bound: "3", or "3,4,5". */
static int
listen_from_env(const char *list)
{
	const char *instances = getenv("CLUSTERD_INSTANCES");
	int fd = (int)strtol(list, NULL, 10), listening = 0, own = 0;
	socklen_t len = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 ||
	    !listening)
		errx(EX_USAGE, "CLUSTERD_FD=%s: not a listening socket", list);
	getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &own, &len);
	shared = !own && instances != NULL && strcmp(instances, "1") != 0;
	return fd;
}

/* As sd_notify(3) does it; this is all that one needs of that library. */
static void
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0'; /* an abstract address */
	len += offsetof(struct sockaddr_un, sun_path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sa,
			  (socklen_t)len) < 0)
		warn("%s", path);
	if (fd >= 0)
		close(fd);
}

static void
listen_unwatch(void)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listen_fd, NULL);
}

static void
listen_watch(void)
{
	/*
	 * Without EPOLLEXCLUSIVE, a new connection would wake every worker that
	 * shares the socket, and all but one would find nothing.
	 */
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.ptr = &listen_fd,
	};

	paused_until = 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		err(EX_OSERR, "epoll_ctl");
}

/*
 * The kernel wakes the first in line that sleeps. That would be the same worker
 * again and again, so go to the end of the line, as others do in their turn.
 */
static void
listen_rewatch(void)
{
	listen_unwatch();
	listen_watch();
}

/*
 * Accepts up to max connections. In normal work that is one: workers share the
 * queue, and one that empties it alone leaves its neighbours asleep. It is no
 * slower: the next epoll_wait brings other work along, and a second accept4
 * would mostly find nothing.
 */
static void
accept_some(int max)
{
	int fd;

	for (; max > 0; max--) {
		fd = accept4(
		    listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			conn_open(fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			/*
			 * No file descriptor or no memory: the connection stays
			 * in the queue, and epoll would report it for ever. So
			 * pause; a neighbour may take it. EINVAL: the socket is
			 * shut down, until clusterd sets it up again.
			 */
			if (errno != EINVAL)
				warn("accept");
			listen_unwatch();
			paused_until = timer(ACCEPT_PAUSE_MS);
			return;
		}
	}
}

static void
drain(void)
{
	notify("STOPPING=1");
	drain_until = timer(DRAIN_MS);

	/*
	 * Who waits in the queue is connected already and wants to be served.
	 * Then let go of the socket: never by shutdown(), which would end it
	 * for all workers, and not by close() alone, which would leave it in
	 * our epoll as long as others have it open.
	 */
	accept_some(BACKLOG);
	listen_unwatch();
	close(listen_fd);
	listen_fd = -1;
	paused_until = 0;

	/*
	 * Close the idle connections, but not at once: a request may be on its
	 * way. In the meantime whoever sends one is told to close.
	 */
	for (struct conn *c = conns.next; c != &conns; c = c->next)
		if (conn_is_idle(c))
			c->due = timer(DRAIN_IDLE_MS);
}

/* -- The loop ------------------------------------------------------------- */

/* Does what is due, and finds out what comes next. */
static void
run_timers(void)
{
	int64_t t = now();

	if (t < next_due)
		return;
	if (drain_until != 0 && drain_until <= t)
		exit(0);
	if (paused_until != 0 && paused_until <= t)
		listen_watch();
	next_due = drain_until != 0 ? drain_until : INT64_MAX;
	if (paused_until != 0 && paused_until < next_due)
		next_due = paused_until;
	for (struct conn *c = conns.next, *next; c != &conns; c = next) {
		next = c->next;
		if (c->due == 0)
			continue;
		if (c->due <= t)
			conn_timer(c); /* a new timer lowers next_due */
		else if (c->due < next_due)
			next_due = c->due;
	}
}

static void
loop(void)
{
	static struct epoll_event ev[EVENTS_MAX];
	struct signalfd_siginfo si;

	while (drain_until == 0 || conns.next != &conns) {
		bool accepting = false, stopping = false;
		int64_t wait = -1; /* for ever, with nothing to time */
		int n;

		if (next_due != INT64_MAX && (wait = next_due - now()) < 0)
			wait = 0;
		n = epoll_wait(epoll_fd, ev, EVENTS_MAX, (int)wait);
		for (int i = 0; i < n; i++) {
			void *whose = ev[i].data.ptr;

			if (whose == &listen_fd)
				accepting = true;
			else if (whose == &signal_fd)
				stopping = true;
			else if (ev[i].events & (EPOLLERR | EPOLLHUP))
				conn_close(whose);
			else if (ev[i].events & EPOLLOUT)
				conn_writable(whose);
			else
				conn_readable(whose);
		}
		/* Only now: timers and drain() close what ev[] points to. */
		if (accepting) {
			accept_some(ACCEPT_BATCH);
			if (shared && paused_until == 0)
				listen_rewatch();
		}
		if (next_due != INT64_MAX)
			run_timers();
		if (stopping && read(signal_fd, &si, sizeof(si)) > 0) {
			if (drain_until != 0)
				exit(0); /* told twice: at once */
			drain();
		}
	}
}

/* Alone: binds the port on all addresses, IPv4 too. */
static int
listen_on_port(const char *text)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	int fd, on = 1, off = 0;
	uint64_t port;

	if (!read_number(text, text + strlen(text), UINT16_MAX, &port))
		errx(EX_USAGE, "%s: not a port number", text);
	sa.sin6_port = htons((uint16_t)port);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) { /* no IPv6 here; sockaddr_in has its port there as well */
		sa.sin6_family = AF_INET;
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		err(EX_UNAVAILABLE, "port %s", text);
	return fd;
}

static void
compose(struct answer *ret, const char *field)
{
	const char *instance = getenv("CLUSTERD_INSTANCE");
	char body[64];
	int len;

	if (instance == NULL)
		instance = "0";
	len = snprintf(body, sizeof(body),
	    "hello from instance %.10s, pid %d\n", instance, (int)getpid());
	ret->len = (size_t)snprintf(ret->text, sizeof(ret->text),
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	    "Content-Length: %d\r\n%s\r\n%s",
	    len, field, body);
	ret->head_len = ret->len - (size_t)len;
}

int
main(int argc, char **argv)
{
	const char *fds = getenv("CLUSTERD_FD");
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t signals;
	int on = 1;

	if (argc == 2 && argv[1][0] != '-')
		listen_fd = listen_on_port(argv[1]);
	else if (argc == 1 && fds != NULL)
		listen_fd = listen_from_env(fds);
	else
		errx(EX_USAGE,
		    "usage: clusterd -p PORT -- %s\n"
		    "    or, alone, %s PORT",
		    argv[0], argv[0]);

	/*
	 * O_NONBLOCK is a property of the socket, not of our descriptor: if
	 * workers share one, it is set for all of them. That is as it should
	 * be, for a neighbour may accept the connection that has woken us.
	 * TCP_NODELAY is inherited by the connections, which saves a call for
	 * each; a Unix socket does not have it and does not need it.
	 */
	fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK);
	setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

	compose(&answer_keep, "");
	compose(&answer_keep10, "Connection: keep-alive\r\n");
	compose(&answer_close, "Connection: close\r\n");

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = &signal_fd;
	if (signal_fd < 0 || epoll_fd < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &ev) < 0)
		err(EX_OSERR, "start");
	listen_watch();

	notify("READY=1");
	loop();
	return 0;
}

/*
 * hello-server: a small HTTP/1.1 server to run under clusterd.
 *
 *	clusterd -p 8080 -n 4 -- ./hello-server		four of them on one port
 *	./hello-server 8080				one, on its own
 *
 * What a server does in order to be clustered takes a few lines each:
 *
 *	listen_from_env()  takes the listening sockets instead of binding a port
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
	LISTENERS_MAX = 64,
	ACCEPT_PAUSE_MS = 100,	 /* when accepting fails */
	ACCEPT_QUIET_MS = 10000, /* before it is told again */
	BACKLOG = 4096,
	LINGER_MS = 1000,    /* see conn_next() */
	DRAIN_IDLE_MS = 500, /* see drain() */
	SLOW_MAX_MS = 60 * 1000,
};

struct listener {
	int fd;
	bool shared;	/* with other workers */
	int64_t resume; /* when to accept again; 0: accepting */
};

struct conn {
	struct conn *prev, *next;
	int fd;
	uint32_t events; /* what epoll watches */
	int64_t due;	 /* when to call conn_timer(); 0: never */
	uint64_t skip;	 /* bytes of request body still to come */
	uint32_t delay;	 /* ms, to wait before the answer */
	bool pending;	 /* an answer is owed, for this request: */
	bool head_only, keep, expect, has_length;
	bool closing; /* close when all is sent ... */
	bool linger;  /* ... but let the client read it first */
	size_t in_len, out_len, out_done;
	char *in, *out; /* left over: not parsed, not sent. Or NULL */
};

/* Both answers that this process will give, composed once. */
static struct answer {
	size_t head_len, len;
	char text[ANSWER_MAX];
} answer_keep, answer_close;

/*
 * There is one thread, so the large buffers are shared; a connection owns
 * memory only while it is stuck half-way. outbuf has room for the answers to
 * all requests that fit into inbuf: pipelined ones leave in a single write.
 */
static char inbuf[IN_SIZE];
static char outbuf[IN_SIZE / REQUEST_MIN * ANSWER_MAX];
static size_t outlen;

static struct conn conns = { .prev = &conns, .next = &conns }; /* a ring */
static struct listener listeners[LISTENERS_MAX];
static size_t n_listeners;
static int epoll_fd, signal_fd;
static bool draining;
static int64_t next_due = INT64_MAX; /* no timer fires before */

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

/* -- Requests ------------------------------------------------------------- */

/* Reads a number with blanks around it, and nothing else. */
static bool
read_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	text += strspn(text, " \t");
	if (*text < '0' || *text > '9')
		return false; /* strtoull() would take a sign */
	*ret = strtoull(text, &end, 10);
	return end[strspn(end, " \t")] == '\0' && *ret <= max;
}

/* The word is a member, in any case, of the list: "keep-alive, upgrade". */
static bool
has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (; *list != '\0'; list += strcspn(list, ", \t")) {
		list += strspn(list, ", \t");
		if (strcspn(list, ", \t") == len &&
		    strncasecmp(list, word, len) == 0)
			return true;
	}
	return false;
}

/* "GET /path HTTP/1.1". Returns 0, or the HTTP status of an error. */
static int
parse_request_line(struct conn *c, char *line)
{
	const char *method = strsep(&line, " "), *path = strsep(&line, " ");
	uint64_t ms = 0;

	if (line == NULL || *path == '\0' ||
	    (strcmp(line, "HTTP/1.1") != 0 && strcmp(line, "HTTP/1.0") != 0))
		return 400;
	if (strncmp(path, "/crash", 6) == 0)
		abort(); /* asked for: see the top of this file */
	if (strncmp(path, "/slow?ms=", 9) == 0 &&
	    !read_number(path + 9, SLOW_MAX_MS, &ms))
		return 400;
	c->delay = (uint32_t)ms;
	c->head_only = strcmp(method, "HEAD") == 0;
	c->keep = strcmp(line, "HTTP/1.1") == 0;
	c->expect = c->has_length = false;
	c->skip = 0;
	return 0;
}

/* "Name: value", of which few matter here. Returns 0 or a status. */
static int
parse_field(struct conn *c, char *line)
{
	const char *name = strsep(&line, ":"), *value = line;

	if (value == NULL || *name == '\0' || strpbrk(name, " \t") != NULL)
		return 400;
	if (strcasecmp(name, "Connection") == 0) {
		if (has_word(value, "close"))
			c->keep = false;
		else if (has_word(value, "keep-alive"))
			c->keep = true;
	} else if (strcasecmp(name, "Content-Length") == 0) {
		/* Of two, who is to say which one counts? */
		if (c->has_length || !read_number(value, INT64_MAX, &c->skip))
			return 400;
		c->has_length = true;
	} else if (strcasecmp(name, "Expect") == 0) {
		c->expect = has_word(value, "100-continue");
	} else if (strcasecmp(name, "Transfer-Encoding") == 0) {
		return 501;
	}
	return 0;
}

/*
 * Parses a request up to the empty line. Returns its length, 0 while it is not
 * complete, or minus the HTTP status of an error.
 */
static int
parse_head(struct conn *c, char *head, size_t len)
{
	char *line, *eol, *end;
	int status = 0;

	if (*head < 'A' || *head > 'Z')
		return -400; /* TLS, say: do not wait for an empty line */
	end = memmem(head, len < HEAD_MAX ? len : HEAD_MAX, "\r\n\r\n", 4);
	if (end == NULL)
		return len < HEAD_MAX ? 0 : -431;
	for (line = head; line < end + 2 && status == 0; line = eol + 2) {
		eol = line + strcspn(line, "\r\n");
		if (strncmp(eol, "\r\n", 2) != 0)
			return -400; /* a stray CR, LF or NUL */
		*eol = '\0';
		status = line == head ? parse_request_line(c, line)
				      : parse_field(c, line);
	}
	c->pending = status == 0;
	return status != 0 ? -status : (int)(end + 4 - head);
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
	const struct answer *a = c->keep ? &answer_keep : &answer_close;

	put(a->text, c->head_only ? a->head_len : a->len);
	c->pending = false;
	c->closing = !c->keep;
	c->linger = draining; /* the client may be sending more */
}

static void
put_error(struct conn *c, int status)
{
	char text[ANSWER_MAX];
	int len = snprintf(text, sizeof(text),
	    "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	    status,
	    status == 501   ? "Not Implemented"
	    : status == 431 ? "Headers Too Large"
			    : "Bad Request");

	put(text, (size_t)len);
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
		if (draining && !c->pending && c->due == 0)
			c->due = timer(DRAIN_IDLE_MS);
		conn_watch(c, c->pending && c->due != 0 ? 0 : EPOLLIN);
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
static char *
conn_serve(struct conn *c, char *p, char *end)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->due != 0)
		return p; /* the wait is not over */
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
	if (draining && p == end)
		c->keep = false; /* the last answer, and it says so */
	put_answer(c);
	return p;
}

/* Answers the requests in inbuf, which has fresh bytes besides c->in. */
static void
conn_run(struct conn *c, size_t fresh)
{
	char *p = inbuf, *end = inbuf + c->in_len + fresh;
	ssize_t sent = 0;
	int n;

	if (c->in != NULL)
		memcpy(inbuf, c->in, c->in_len);
	free(c->in);
	c->in = NULL;

	outlen = 0;
	for (;;) {
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
		c->due = 0; /* if drain() has set it: not idle any more */
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
	if (n <= 0)
		conn_close(c);
	else if (!c->closing)
		conn_run(c, (size_t)n);
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

static void
listener_add(int fd, bool shared)
{
	int on = 1;

	/*
	 * O_NONBLOCK is a property of the socket, not of our descriptor: if
	 * workers share one, it is set for all of them. That is as it should
	 * be, for a neighbour may accept the connection that has woken us.
	 * TCP_NODELAY is inherited by the connections, which saves a call for
	 * each; a Unix socket does not have it and does not need it.
	 */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (n_listeners == LISTENERS_MAX)
		errx(EX_USAGE, "more than %d listening sockets", LISTENERS_MAX);
	listeners[n_listeners++] =
	    (struct listener){ .fd = fd, .shared = shared };
}

/* Takes the listening sockets that clusterd has bound: "3", or "3,4,5". */
static void
listen_from_env(const char *list)
{
	const char *instances = getenv("CLUSTERD_INSTANCES");
	bool alone = instances == NULL || strcmp(instances, "1") == 0;
	char *end;

	do {
		int fd = (int)strtol(list, &end, 10), listening = 0, own = 0;
		socklen_t len = sizeof(int);

		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
		if (!listening)
			errx(EX_USAGE, "CLUSTERD_FD: %d does not listen", fd);
		getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &own, &len);
		listener_add(fd, !own && !alone);
		list = end + 1;
	} while (*end == ',');
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
listener_unwatch(struct listener *l)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
}

static void
listener_watch(struct listener *l)
{
	/*
	 * Without EPOLLEXCLUSIVE, a new connection would wake every worker that
	 * shares the socket, and all but one would find nothing.
	 */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.ptr = l };

	l->resume = 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) < 0)
		err(EX_OSERR, "epoll_ctl");
}

static void
listener_accept(struct listener *l, int max)
{
	static int64_t quiet_until;

	for (; max > 0; max--) {
		int fd =
		    accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_open(fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			/*
			 * No file descriptor or no memory: the connection stays
			 * in the queue, and epoll would report it for ever. So
			 * pause; a neighbour may take it.
			 */
			if (now() >= quiet_until)
				warn("accept");
			quiet_until = now() + ACCEPT_QUIET_MS;
			listener_unwatch(l);
			l->resume = timer(ACCEPT_PAUSE_MS);
			return;
		}
	}
}

/*
 * Accepts one connection only: workers share the queue, and one that empties it
 * alone leaves its neighbours asleep. It is no slower: the next epoll_wait
 * brings other work along, and a second accept4 would mostly find nothing.
 */
static void
listener_readable(struct listener *l)
{
	listener_accept(l, 1);
	if (!l->shared || l->resume != 0)
		return;
	/*
	 * The kernel wakes the first in line that sleeps. That would be the
	 * same worker again and again, so go to the end of the line, as others
	 * do in their turn.
	 */
	listener_unwatch(l);
	listener_watch(l);
}

/*
 * Ends when the last connection has. What is being answered gets all the time
 * it needs: how long a stop may take is clusterd's stop_timeout to say.
 */
static void
drain(void)
{
	notify("STOPPING=1");
	draining = true;

	/*
	 * Who waits in the queue is connected already and wants to be served.
	 * Then let go of the socket: never by shutdown(), which would end it
	 * for all workers, and not by close() alone, which would leave it in
	 * our epoll as long as others have it open.
	 */
	for (struct listener *l = listeners; l < listeners + n_listeners; l++) {
		listener_accept(l, BACKLOG);
		listener_unwatch(l);
		close(l->fd);
	}
	n_listeners = 0;

	/*
	 * Close the connections without a whole request, but not at once: it
	 * may be on its way. In the meantime whoever sends one is told to
	 * close.
	 */
	for (struct conn *c = conns.next; c != &conns; c = c->next)
		if (!c->closing && c->out == NULL)
			conn_next(c); /* sets the timer */
}

/* -- The loop ------------------------------------------------------------- */

/* Does what is due, and finds out what comes next. */
static void
run_timers(void)
{
	int64_t t = now();

	if (t < next_due)
		return;
	next_due = INT64_MAX;
	for (struct listener *l = listeners; l < listeners + n_listeners; l++) {
		if (l->resume != 0 && l->resume <= t)
			listener_watch(l);
		else if (l->resume != 0 && l->resume < next_due)
			next_due = l->resume;
	}
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

	while (!draining || conns.next != &conns) {
		bool stopping = false;
		int64_t wait = -1; /* for ever, with nothing to time */
		int n;

		if (next_due != INT64_MAX && (wait = next_due - now()) < 0)
			wait = 0;
		n = epoll_wait(epoll_fd, ev, EVENTS_MAX, (int)wait);
		for (int i = 0; i < n; i++) {
			void *whose = ev[i].data.ptr;

			if (whose == &signal_fd)
				stopping = true;
			else if (whose >= (void *)listeners &&
				 whose < (void *)(listeners + LISTENERS_MAX))
				listener_readable(whose);
			else if (ev[i].events & (EPOLLERR | EPOLLHUP))
				conn_close(whose);
			else if (ev[i].events & EPOLLOUT)
				conn_writable(whose);
			else
				conn_readable(whose);
		}
		/* Only now: these close what ev[] may point to. */
		if (next_due != INT64_MAX)
			run_timers();
		if (stopping && read(signal_fd, &si, sizeof(si)) > 0) {
			if (draining)
				exit(0); /* told twice: at once */
			drain();
		}
	}
}

/* Alone: binds the port on all addresses, IPv4 too. */
static void
listen_on_port(const char *text)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
	int fd, on = 1, off = 0;
	uint64_t port;

	if (!read_number(text, UINT16_MAX, &port))
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
	listener_add(fd, false);
}

static void
compose(struct answer *ret, const char *connection)
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
	    "Content-Length: %d\r\nConnection: %s\r\n\r\n%s",
	    len, connection, body);
	ret->head_len = ret->len - (size_t)len;
}

int
main(int argc, char **argv)
{
	const char *fds = getenv("CLUSTERD_FD");
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t signals;

	if (argc == 2 && argv[1][0] != '-')
		listen_on_port(argv[1]);
	else if (argc == 1 && fds != NULL)
		listen_from_env(fds);
	else
		errx(EX_USAGE,
		    "usage: clusterd -p PORT -- %s\n"
		    "    or, alone, %s PORT",
		    argv[0], argv[0]);

	compose(&answer_keep, "keep-alive");
	compose(&answer_close, "close");

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
	for (size_t i = 0; i < n_listeners; i++)
		listener_watch(&listeners[i]);

	notify("READY=1");
	loop();
	return 0;
}

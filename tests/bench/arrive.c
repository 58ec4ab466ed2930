/*
 * An open-loop load generator for the benchmark: requests come when they are
 * due, however long the ones before them take.
 *
 *	arrive PORT <SCHEDULE
 *
 * Each line of the schedule is a request: when it is due, in microseconds from
 * the start, in ascending order, and what it asks for, which is sent as it is
 * (see blocking.c):
 *
 *	DUE MICROSECONDS
 *
 * Loopback only, a connection for each, from 127.0.0.1 and its 999 successors
 * in turn. When the last answer is there it prints a line for each request, in
 * their order:
 *
 *	LATENCY LATE
 *
 * in microseconds: from when it was due until its answer had come (-1: it did
 * not), and until it was begun, which is how late this program was itself.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	REQUESTS_MAX = 1 << 20,
	EVENTS_MAX = 64,
	ADDRESSES = 1000,
	STALLED_MS = 10000, /* after the last request was sent */
};

struct request {
	int64_t due, begun, answered; /* ns */
	unsigned long us;
	int fd;
	bool has_sent;
};

static struct request *requests;
static size_t n_requests, n_begun, n_done;
static struct sockaddr_in server = { .sin_family = AF_INET };
static int epoll_fd;

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
read_schedule(void)
{
	long long due;
	unsigned long us;

	requests = calloc(REQUESTS_MAX, sizeof(*requests));
	if (requests == NULL)
		err(1, "memory");
	while (scanf("%lld %lu", &due, &us) == 2) {
		if (n_requests == REQUESTS_MAX)
			errx(64, "more than %d requests", REQUESTS_MAX);
		requests[n_requests++] =
		    (struct request){ .due = due * 1000, .us = us, .fd = -1 };
	}
	if (!feof(stdin) || n_requests == 0)
		errx(64, "usage: arrive PORT <SCHEDULE");
}

static void
done(struct request *r, bool good)
{
	r->answered = good ? now() : -1;
	close(r->fd);
	n_done++;
}

static void
begin(struct request *r)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.ptr = r };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int on = 1;

	sa.sin_addr.s_addr =
	    htonl(INADDR_LOOPBACK + (uint32_t)(n_begun % ADDRESSES));
	n_begun++;
	r->begun = now();
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0 ||
	    setsockopt(r->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		sizeof(on)) < 0 ||
	    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(r->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		err(1, "socket");
	if ((connect(r->fd, (struct sockaddr *)&server, sizeof(server)) < 0 &&
		errno != EINPROGRESS) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, r->fd, &ev) < 0)
		done(r, false);
}

static void
request_event(struct request *r, uint32_t events)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = r };
	char text[32];
	int len;

	if (r->has_sent) {
		len = (int)recv(r->fd, text, sizeof(text), 0);
		if (len < 0 && errno == EAGAIN)
			return;
		done(r, len == 3 && memcmp(text, "ok\n", 3) == 0);
	} else if ((events & EPOLLOUT) != 0) {
		len = snprintf(text, sizeof(text), "%lu\n", r->us);
		r->has_sent = true;
		if (send(r->fd, text, (size_t)len, MSG_NOSIGNAL) != len ||
		    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, r->fd, &ev) < 0)
			done(r, false);
	} else {
		done(r, false); /* refused */
	}
}

static void
run(int64_t start)
{
	struct epoll_event ev[EVENTS_MAX];

	while (n_done < n_requests) {
		struct timespec wait = { .tv_sec = STALLED_MS / 1000 };
		int n;

		if (n_begun < n_requests) {
			int64_t left = start + requests[n_begun].due - now();

			if (left <= 0) {
				begin(&requests[n_begun]);
				left = 0;
			}
			wait = (struct timespec){ .tv_sec = left / 1000000000,
				.tv_nsec = left % 1000000000 };
		}
		n = epoll_pwait2(epoll_fd, ev, EVENTS_MAX, &wait, NULL);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_pwait2");
		if (n == 0 && n_begun == n_requests &&
		    wait.tv_sec == STALLED_MS / 1000)
			return; /* those that are left have failed */
		for (int i = 0; i < n; i++)
			request_event(ev[i].data.ptr, ev[i].events);
	}
}

int
main(int argc, char **argv)
{
	int64_t start;

	if (argc != 2)
		errx(64, "usage: arrive PORT <SCHEDULE");
	server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	read_schedule();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		err(1, "epoll_create1");
	prctl(PR_SET_TIMERSLACK, 1UL);
	start = now() + 10000000; /* nothing is due at once */
	run(start);
	for (const struct request *r = requests; r < requests + n_requests;
	     r++) {
		int64_t due = start + r->due;
		int64_t latency = r->answered > 0 ? r->answered - due : -1000;

		printf("%lld %lld\n", (long long)latency / 1000,
		    (long long)(r->begun - due) / 1000);
	}
	return 0;
}

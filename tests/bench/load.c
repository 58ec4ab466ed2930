/*
 * A small closed-loop HTTP/1.1 load generator for the benchmark:
 *
 *	load -p PORT [-c CONNECTIONS] [-d MILLISECONDS | -n REQUESTS]
 *	    [-k REQUESTS_PER_CONNECTION] [-a ADDRESSES] [-w]
 *
 * Loopback only, keep-alive, one request under way per connection. With -a the
 * connections come from as many addresses in turn, 127.0.0.1 and up, each with
 * ports of its own. It runs for a fixed time or a fixed number of requests and
 * prints one line:
 *
 *	requests=N errors=N connections=N seconds=S rps=R cpu=S wait=S
 *
 * and with -w also PID=N for everyone who answered, as "pid PID" in the
 * answers' bodies tells it.
 *
 * `cpu` is its own processor time: it tells whether the generator, rather than
 * the server, was the bottleneck. `wait` is how long it was ready to run and
 * another process had the processor (0 where the kernel does not tell).
 *
 * Per request it makes one recv, one send and a share of an epoll_wait, and
 * parses no more than it takes to know that the answer is a complete 200; the
 * server does all that and more.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
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
	CONNECTIONS_MAX = 1024,
	ERRORS_MAX = 100, /* then give up: the server is not what it should be */
	ANSWER_MAX = 4096,
	STALLED_MS = 5000, /* no answer at all for so long */
	ADDRESSES_MAX = 1 << 16,
	PIDS_MAX = 256,
};

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct conn {
	int fd;
	uint64_t left; /* requests until it is closed; 0: no limit */
	size_t have;
	char answer[ANSWER_MAX];
};

static struct conn conns[CONNECTIONS_MAX];
static struct sockaddr_in server = { .sin_family = AF_INET };
static int epoll_fd;
static uint64_t per_connection; /* 0: keep them */
static uint64_t to_send = UINT64_MAX;
static uint64_t n_addresses = 1;
static struct {
	unsigned long pid;
	uint64_t answers;
} who[PIDS_MAX];
static size_t n_who;
static bool ask_who;
static uint64_t n_open, n_sent, n_answered, n_errors, n_connected;

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
seconds_of(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static double
seconds_waited(void)
{
	FILE *f = fopen("/proc/self/schedstat", "re");
	long long ns;

	if (f == NULL || fscanf(f, "%*s %lld", &ns) != 1)
		ns = 0;
	if (f != NULL)
		fclose(f);
	return (double)ns / 1e9;
}

static void
conn_close(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	n_open--;
}

static void
conn_send(struct conn *c)
{
	size_t len = sizeof(request) - 1;

	if (n_sent >= to_send) {
		conn_close(c);
		return;
	}
	/* An idle connection has room for a request: less is an error. */
	c->have = 0;
	n_sent++;
	if (send(c->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) {
		n_errors++;
		conn_close(c);
	}
}

/* The next of the addresses; the port is chosen when it connects. */
static bool
bind_in_turn(int fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int on = 1;

	sa.sin_addr.s_addr =
	    htonl(INADDR_LOOPBACK + (uint32_t)(n_connected % n_addresses));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static void
conn_open(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int on = 1;

	c->left = per_connection;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		err(1, "socket");
	if (n_addresses > 1 && !bind_in_turn(c->fd))
		err(1, "bind");
	n_open++;
	n_connected++;
	/* On loopback this does not wait unless the accept queue is full. */
	if (connect(c->fd, (struct sockaddr *)&server, sizeof(server)) < 0 ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		n_errors++;
		conn_close(c);
		return;
	}
	conn_send(c);
}

/* The length of the answer, 0 while it is incomplete, -1 when it is wrong. */
static ssize_t
answer_length(const struct conn *c)
{
	static const char length[] = "Content-Length: ";
	const char *body = memmem(c->answer, c->have, "\r\n\r\n", 4);
	const char *field;
	size_t total;

	if (body == NULL)
		return c->have < ANSWER_MAX ? 0 : -1;
	body += 4;
	field = memmem(c->answer, (size_t)(body - c->answer), length,
	    sizeof(length) - 1);
	if (memcmp(c->answer, "HTTP/1.1 200 ", 13) != 0 || field == NULL)
		return -1;
	total = (size_t)(body - c->answer) +
	    strtoul(field + sizeof(length) - 1, NULL, 10);
	if (total > ANSWER_MAX || c->have > total)
		return -1;
	return c->have == total ? (ssize_t)total : 0;
}

static void
count_answer(const struct conn *c)
{
	const char *text = memmem(c->answer, c->have, "pid ", 4);
	unsigned long pid;
	size_t i;

	/* It ends in a line feed, where strtoul() stops. */
	if (text == NULL || c->answer[c->have - 1] != '\n')
		errx(1, "the answer does not tell who gave it");
	pid = strtoul(text + 4, NULL, 10);
	for (i = 0; i < n_who && who[i].pid != pid; i++)
		;
	if (i == PIDS_MAX)
		errx(1, "more than %d processes answer", PIDS_MAX);
	who[i].pid = pid;
	who[i].answers++;
	if (i == n_who)
		n_who++;
}

static void
conn_readable(struct conn *c)
{
	ssize_t n = recv(c->fd, c->answer + c->have, ANSWER_MAX - c->have, 0);
	ssize_t len;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		c->have += (size_t)n;
	len = n > 0 ? answer_length(c) : -1;
	if (len == 0)
		return;
	if (len < 0) {
		n_errors++;
		conn_close(c);
		conn_open(c);
		return;
	}
	n_answered++;
	if (ask_who)
		count_answer(c);
	if (c->left != 0 && --c->left == 0) {
		conn_close(c);
		if (n_sent < to_send)
			conn_open(c);
	} else {
		conn_send(c);
	}
}

static uint64_t
number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || n == 0 || n > max)
		errx(64, "%s: not a number from 1 to %llu", text,
		    (unsigned long long)max);
	return n;
}

static void
run(double until)
{
	static struct epoll_event ev[CONNECTIONS_MAX];

	while (n_open > 0 && n_errors < ERRORS_MAX && seconds_now() < until) {
		int n = epoll_wait(epoll_fd, ev, CONNECTIONS_MAX, STALLED_MS);

		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		if (n == 0)
			errx(1, "no answer for %d ms", STALLED_MS);
		for (int i = 0; i < n; i++)
			conn_readable(ev[i].data.ptr);
	}
}

int
main(int argc, char **argv)
{
	uint64_t connections = 1, ms = 1000;
	struct rusage usage;
	double start, end;
	int option;

	while ((option = getopt(argc, argv, "p:c:d:n:k:a:w")) != -1) {
		switch (option) {
		case 'p':
			server.sin_port =
			    htons((uint16_t)number(optarg, UINT16_MAX));
			break;
		case 'c':
			connections = number(optarg, CONNECTIONS_MAX);
			break;
		case 'd':
			ms = number(optarg, 600 * 1000);
			break;
		case 'n':
			to_send = number(optarg, UINT32_MAX);
			ms = 600 * 1000;
			break;
		case 'k':
			per_connection = number(optarg, UINT32_MAX);
			break;
		case 'a':
			n_addresses = number(optarg, ADDRESSES_MAX);
			break;
		case 'w':
			ask_who = true;
			break;
		default:
			return 64;
		}
	}
	if (optind != argc || server.sin_port == 0)
		errx(64, "usage: load -p PORT [-c CONNECTIONS] "
		    "[-d MILLISECONDS | -n REQUESTS] [-k PER_CONNECTION] "
		    "[-a ADDRESSES] [-w]");
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		err(1, "epoll_create1");

	start = seconds_now();
	for (uint64_t i = 0; i < connections; i++)
		conn_open(&conns[i]);
	run(start + (double)ms / 1e3);
	end = seconds_now();
	getrusage(RUSAGE_SELF, &usage);
	printf("requests=%llu errors=%llu connections=%llu seconds=%.6f "
	    "rps=%.1f cpu=%.6f wait=%.6f",
	    (unsigned long long)n_answered, (unsigned long long)n_errors,
	    (unsigned long long)n_connected, end - start,
	    (double)n_answered / (end - start),
	    seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
	    seconds_waited());
	for (size_t i = 0; i < n_who; i++)
		printf(" %lu=%llu", who[i].pid,
		    (unsigned long long)who[i].answers);
	putchar('\n');
	return n_errors < ERRORS_MAX ? 0 : 1;
}

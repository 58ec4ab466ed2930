/*
 * A server as Rust's tokio makes them, on mio: epoll tells it of edges alone, so
 * that it accepts, and reads, until there is nothing more. See clients.py for what
 * is said.
 *
 *	edge PORT | -
 *
 * `-`: on the descriptor that CLUSTERD_FD names.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX	256
#define EVENTS_MAX	64

static struct client {
	int fd;				/* -1: free */
	int64_t due;			/* when the answer goes out; -1 */
	size_t len;
	char request[16];
} clients[CLIENTS_MAX];
static char greeting[64];
static int events;			/* epoll's */

static void
fail(const char *what)
{
	perror(what);
	exit(70);
}

static const char *
env_or(const char *name, const char *other)
{
	const char *value = getenv(name);

	return value != NULL ? value : other;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
find_listener(const char *where)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(where)),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd;

	if (strcmp(where, "-") == 0) {
		fd = atoi(env_or("CLUSTERD_FD", "-1"));
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == -1)
			fail("CLUSTERD_FD");
		return fd;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 },
	    sizeof(int)) == -1 ||
	    bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 1024) == -1)
		fail("bind");
	return fd;
}

/* NULL: the listener. */
static void
hear_of(int fd, struct client *c)
{
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data = { .ptr = c },
	};

	if (epoll_ctl(events, EPOLL_CTL_ADD, fd, &e) == -1)
		fail("epoll_ctl");
}

static void
drop(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static struct client *
find_room(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (clients[i].fd == -1)
			return &clients[i];
	fail("more clients than there may be");
	return NULL;
}

static void
accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *c = find_room();

		*c = (struct client){ .fd = fd, .due = -1 };
		hear_of(fd, c);
		if (send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) == -1)
			drop(c);
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		fail("accept");
}

static void
read_all(struct client *c)
{
	ssize_t n = -1;

	while (c->due < 0 && c->len < sizeof(c->request) - 1 &&
	    (n = recv(c->fd, c->request + c->len,
	    sizeof(c->request) - 1 - c->len, 0)) > 0) {
		c->len += (size_t)n;
		c->request[c->len] = '\0';
		if (strchr(c->request, '\n') != NULL)
			c->due = now_ms() + atoi(c->request);
	}
	if (c->due < 0 && (n >= 0 || errno != EAGAIN))
		drop(c);
}

/* When the next one is due, in milliseconds; -1: none is. */
static int
answer_due(void)
{
	int64_t now = now_ms(), next = -1;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &clients[i];

		if (c->fd == -1 || c->due < 0)
			continue;
		if (c->due <= now) {
			send(c->fd, "done\n", 5, MSG_NOSIGNAL);
			drop(c);
		} else if (next < 0 || c->due - now < next) {
			next = c->due - now;
		}
	}
	return (int)next;
}

int
main(int argc, char **argv)
{
	int listener;

	if (argc != 2)
		return 64;
	snprintf(greeting, sizeof(greeting), "%d %s %s\n", getpid(),
	    env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"));
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	events = epoll_create1(EPOLL_CLOEXEC);
	listener = find_listener(argv[1]);
	hear_of(listener, NULL);
	for (;;) {
		struct epoll_event e[EVENTS_MAX];
		int n = epoll_wait(events, e, EVENTS_MAX, answer_due());

		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct client *c = e[i].data.ptr;

			if (c == NULL)
				accept_all(listener);
			else if (c->fd != -1 && c->due < 0)
				read_all(c);
		}
	}
}

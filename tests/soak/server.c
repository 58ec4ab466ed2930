/*
 * The worker of soak.py: it says who it is as soon as it has accepted, so that
 * a client that is cut off later knows whose death that should have been.
 *
 *	server [--port N [--dual] [--own N]] [--start FILE] [--defer] [--listen]
 *	    [--shut-lanes] [--events FILE] [--never] [--dies]
 *	    [--exec PROGRAM ARGUMENT …]
 *
 *	--port N	bind 127.0.0.1:N by itself, instead of CLUSTERD_FD
 *	--dual		… or [::]:N, for IPv4 too
 *	--own N		… and 127.0.0.1:N with its instance's number behind N
 *	--start FILE	its first letter says how a start goes: x fails at
 *			once, h hangs, d takes 0.4 s; 0 or 1 behind it: of
 *			even or odd instances
 *	--defer		TCP_DEFER_ACCEPT
 *	--listen	call listen(2) for what it was given
 *	--shut-lanes	shut the listeners down on TERM
 *	--events FILE	… and write "shut MILLISECONDS PID", of CLOCK_MONOTONIC,
 *			behind what is there, before and after
 *	--never		is never ready, and accepts nothing
 *	--dies		fails at once, whatever the file says
 *	--exec		if the start goes well, become another server
 *
 * The greeting is "PID INSTANCE GENERATION\n"; a request is a number of
 * milliseconds and a newline, and is answered "done\n" after these. A datagram is
 * answered with the greeting. USR1: listen(2) is called again, with another
 * backlog; USR2: the listeners are shut down, and listen again.
 */
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTENERS_MAX	8
#define CLIENTS_MAX	256

static struct {
	int port, own;
	const char *start, *events;
	bool dual, defer, listen, shut_lanes, never, dies;
	char **exec;			/* what comes behind it, or NULL */
} opt;

static struct client {
	int fd;				/* -1: free */
	int64_t due;			/* when the answer goes out; -1 */
	size_t len;
	char request[16];
} clients[CLIENTS_MAX];
static int n_clients;
static int listeners[LISTENERS_MAX];
static int n_listeners;
static char greeting[64];

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const char *
env_or(const char *name, const char *other)
{
	const char *value = getenv(name);

	return value != NULL ? value : other;
}

static void
fail(const char *what)
{
	perror(what);
	_exit(70);
}

static bool
is_stream(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM;
}

static void
start_badly(void)
{
	FILE *f = opt.start != NULL ? fopen(opt.start, "r") : NULL;
	int letter = f != NULL ? fgetc(f) : EOF;
	int whose = letter != EOF ? fgetc(f) : EOF;

	if (whose != EOF && atoi(env_or("CLUSTERD_INSTANCE", "0")) % 2 !=
	    whose - '0')
		letter = EOF;
	if (letter == 'x')
		_exit(1);
	while (letter == 'h')
		pause();
	if (letter == 'd')
		usleep(400 * 1000);
	if (f != NULL)
		fclose(f);
}

static int
bind_at(const struct sockaddr *sa, socklen_t len)
{
	int one = 1, none = 0;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd == -1)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (opt.dual)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof(none));
	if (bind(fd, sa, len) == -1)
		fail("bind");
	return fd;
}

static void
bind_v4(int port)
{
	const struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };

	listeners[n_listeners++] = bind_at((const struct sockaddr *)&sin,
	    sizeof(sin));
}

static void
bind_v6(int port)
{
	const struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)port),
		.sin6_addr = IN6ADDR_ANY_INIT };

	listeners[n_listeners++] = bind_at((const struct sockaddr *)&sin6,
	    sizeof(sin6));
}

/* For N and instance 3: N3. */
static int
own_port(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%d%d", opt.own,
	    atoi(env_or("CLUSTERD_INSTANCE", "0")));
	return atoi(text);
}

static void
listen_all(int backlog)
{
	for (int i = 0; i < n_listeners; i++)
		if (is_stream(listeners[i]) &&
		    listen(listeners[i], backlog) == -1)
			fail("listen");
}

static void
bind_all(void)
{
	if (opt.dual)
		bind_v6(opt.port);
	else
		bind_v4(opt.port);
	/* IPv4 alone; of another port that matters to nobody. */
	opt.dual = false;
	if (opt.own != 0)
		bind_v4(own_port());
	if (!opt.never)
		listen_all(1024);
}

static void
find_listeners(void)
{
	const char *p = getenv("CLUSTERD_FD");

	if (opt.port != 0) {
		bind_all();
		return;
	}
	while (p != NULL && *p != '\0' && n_listeners < LISTENERS_MAX) {
		char *end;
		int fd = (int)strtol(p, &end, 10);

		if (end == p)
			break;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		listeners[n_listeners++] = fd;
		p = *end == ',' ? end + 1 : end;
	}
	if (opt.listen && !opt.never)
		listen_all(100);
}

static void
tell_ready(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (path == NULL || strlen(path) >= sizeof(sun.sun_path))
		fail("NOTIFY_SOCKET");
	memcpy(sun.sun_path, path, strlen(path));
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path))) == -1)
		fail("notify");
	close(fd);
}

static void
drop(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	n_clients--;
}

/* Of those who shut down a lane at that moment clients may be refused. */
static void
note_shut(void)
{
	char line[40];
	int fd, n;

	if (opt.events == NULL)
		return;
	fd = open(opt.events, O_WRONLY | O_APPEND | O_CLOEXEC);
	n = snprintf(line, sizeof(line), "shut %lld %d\n",
	    (long long)now_ms(), getpid());
	if (fd == -1 || write(fd, line, (size_t)n) != n)
		fail("events");
	close(fd);
}

static void
stop_listening(void)
{
	if (opt.shut_lanes)
		note_shut();
	for (int i = 0; i < n_listeners; i++) {
		if (opt.shut_lanes && is_stream(listeners[i]))
			shutdown(listeners[i], SHUT_RDWR);
		close(listeners[i]);
	}
	if (opt.shut_lanes)
		note_shut();
	n_listeners = 0;
}

/* Whatever it says: clusterd may listen again at the same time. */
static void
shut_and_listen(void)
{
	note_shut();
	for (int i = 0; i < n_listeners; i++) {
		if (!is_stream(listeners[i]))
			continue;
		shutdown(listeners[i], SHUT_RDWR);
		(void)listen(listeners[i], 50);
	}
	note_shut();
}

/* Whether it is to stop. */
static bool
take_signal(uint32_t number)
{
	static int backlog = 10;

	if (number == SIGUSR1)
		listen_all(backlog++);
	else if (number == SIGUSR2)
		shut_and_listen();
	return number == SIGTERM || number == SIGINT;
}

static void
answer_datagram(int fd)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char request[100];

	if (recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&from,
	    &len) >= 0)
		sendto(fd, greeting, strlen(greeting), 0,
		    (struct sockaddr *)&from, len);
}

static void
take(int listener)
{
	if (!is_stream(listener)) {
		answer_datagram(listener);
		return;
	}
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &clients[i];

		if (c->fd != -1)
			continue;
		c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (c->fd == -1)
			return;
		c->due = -1;
		c->len = 0;
		n_clients++;
		if (send(c->fd, greeting, strlen(greeting),
		    MSG_NOSIGNAL) == -1)
			drop(c);
		return;
	}
}

static void
hear(struct client *c)
{
	ssize_t n = recv(c->fd, c->request + c->len,
	    sizeof(c->request) - 1 - c->len, 0);

	if (n <= 0) {
		drop(c);
		return;
	}
	c->len += (size_t)n;
	c->request[c->len] = '\0';
	if (strchr(c->request, '\n') != NULL)
		c->due = now_ms() + atoi(c->request);
	else if (c->len == sizeof(c->request) - 1)
		drop(c);
}

static void
serve(int signals)
{
	bool stopping = false;

	while (!stopping || n_clients > 0) {
		struct pollfd p[1 + LISTENERS_MAX + CLIENTS_MAX];
		struct signalfd_siginfo si;
		int64_t now = now_ms(), next = now + 60000;
		nfds_t n = 0;

		p[n++] = (struct pollfd){ signals, POLLIN, 0 };
		for (int i = 0; i < n_listeners; i++)
			p[n++] = (struct pollfd){ stopping ? -1 :
				listeners[i], POLLIN, 0 };
		for (int i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &clients[i];

			p[n++] = (struct pollfd){ c->due < 0 ? c->fd : -1,
				POLLIN, 0 };
			if (c->fd != -1 && c->due >= 0 && c->due < next)
				next = c->due;
		}
		poll(p, n, (int)(next > now ? next - now : 0));
		if (read(signals, &si, sizeof(si)) == sizeof(si) &&
		    take_signal(si.ssi_signo)) {
			stopping = true;
			stop_listening();
			continue;
		}
		for (int i = 0; i < n_listeners; i++)
			if (p[1 + i].revents != 0)
				take(listeners[i]);
		now = now_ms();
		for (int i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &clients[i];

			if (c->fd == -1)
				continue;
			if (c->due >= 0 && c->due <= now) {
				send(c->fd, "done\n", 5, MSG_NOSIGNAL);
				drop(c);
			} else if (c->due < 0 &&
			    p[n - CLIENTS_MAX + (nfds_t)i].fd == c->fd &&
			    p[n - CLIENTS_MAX + (nfds_t)i].revents != 0) {
				hear(c);
			}
		}
	}
}

static bool
parse(char **argv)
{
	while (*argv != NULL) {
		const char *a = *argv++;
		const char **text = strcmp(a, "--start") == 0 ? &opt.start :
		    strcmp(a, "--events") == 0 ? &opt.events : NULL;
		bool *flag = strcmp(a, "--dual") == 0 ? &opt.dual :
		    strcmp(a, "--defer") == 0 ? &opt.defer :
		    strcmp(a, "--listen") == 0 ? &opt.listen :
		    strcmp(a, "--shut-lanes") == 0 ? &opt.shut_lanes :
		    strcmp(a, "--never") == 0 ? &opt.never :
		    strcmp(a, "--dies") == 0 ? &opt.dies : NULL;

		if (flag != NULL) {
			*flag = true;
			continue;
		}
		if (*argv == NULL)
			return false;
		if (strcmp(a, "--exec") == 0) {
			opt.exec = argv;
			return true;
		}
		if (text != NULL)
			*text = *argv++;
		else if (strcmp(a, "--port") == 0)
			opt.port = atoi(*argv++);
		else if (strcmp(a, "--own") == 0)
			opt.own = atoi(*argv++);
		else
			return false;
	}
	return true;
}

static int
take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
main(int argc, char **argv)
{
	int signals;

	if (argc < 1 || !parse(argv + 1))
		return 64;
	if (opt.dies)
		return 1;
	start_badly();
	if (opt.exec != NULL && !opt.never) {
		execvp(opt.exec[0], opt.exec);
		fail(opt.exec[0]);
	}
	snprintf(greeting, sizeof(greeting), "%d %s %s\n", getpid(),
	    env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"));
	for (int i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	signals = take_signals();
	if (!opt.never || opt.exec == NULL)
		find_listeners();
	for (int i = 0; opt.defer && i < n_listeners; i++)
		if (is_stream(listeners[i]))
			setsockopt(listeners[i], IPPROTO_TCP, TCP_DEFER_ACCEPT,
			    &(int){ 5 }, sizeof(int));
	if (opt.never) {
		poll(&(struct pollfd){ signals, POLLIN, 0 }, 1, -1);
		return 0;
	}
	tell_ready();
	serve(signals);
	return 0;
}

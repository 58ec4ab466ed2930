/*
 * The smallest server that hangs on command, in the way that HANG says: at SIGUSR2
 * it computes for ever (loop), takes connections and answers none (mute), answers
 * 500 (fail), or takes 5 MB after each tenth of a second (leak). Where the file DOWN is
 * there, it answers 503. Else the status is 200 and its instance's number. At SIGTERM
 * it adds a line to the file HELD: how many requests for / it has taken and never
 * answered.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t hangs, ends;

static void
told(int signo)
{
	if (signo == SIGUSR2)
		hangs = 1;
	else
		ends = 1;
}

static bool
hangs_as(const char *how)
{
	const char *mine = getenv("HANG");

	return hangs && mine != NULL && strcmp(mine, how) == 0;
}

static void
answer(int fd)
{
	const char *down = getenv("DOWN"), *i = getenv("CLUSTERD_INSTANCE");
	char text[128];
	int status = hangs_as("fail") ? 500 :
	    down != NULL && access(down, F_OK) == 0 ? 503 :
	    200 + (i != NULL ? atoi(i) : 0);

	snprintf(text, sizeof(text), "HTTP/1.1 %d x\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n", status);
	(void)!write(fd, text, strlen(text));
	close(fd);
}

/*
 * The pause is counted from the end: where the machine is busy, taking that much may
 * itself last longer, and before each event it would be a server that hardly serves.
 */
static void
leak(void)
{
	static struct timespec last;
	struct timespec now;
	static char *volatile more;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - last.tv_sec) * 1000 +
	    (now.tv_nsec - last.tv_nsec) / 1000000 < 100)
		return;
	more = malloc(5 << 20);
	if (more != NULL)
		memset(more, 1, 5 << 20);
	clock_gettime(CLOCK_MONOTONIC, &last);
}

static int
listening(void)
{
	const char *port = getenv("PORT");
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)atoi(port != NULL ? port : "0")),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    listen(fd, 1024) < 0) {
		perror("hanging");
		exit(1);
	}
	return fd;
}

static void
tell(int held)
{
	const char *path = getenv("HELD");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (f == NULL)
		return;
	fprintf(f, "%d\n", held);
	fclose(f);
}

int
main(void)
{
	struct sigaction act = { .sa_handler = told };
	struct epoll_event e = { .events = EPOLLIN };
	int fd = listening(), epoll = epoll_create1(0), muted = 0;
	char bytes[4096];

	sigaction(SIGUSR2, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	e.data.fd = fd;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	while (!ends) {
		int n = epoll_wait(epoll, &e, 1, hangs ? 100 : -1);

		if (hangs_as("loop"))
			while (!ends)
				;
		if (hangs_as("leak"))
			leak();
		if (n != 1)
			continue;
		if (e.data.fd == fd) {
			e.data.fd = accept(fd, NULL, NULL);
			e.events = EPOLLIN;
			if (e.data.fd >= 0)
				epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e);
		} else if (read(e.data.fd, bytes, sizeof(bytes)) > 0) {
			if (hangs_as("mute")) {
				muted += strncmp(bytes, "GET / ", 6) == 0;
				continue;
			}
			answer(e.data.fd);
		} else {
			close(e.data.fd);
		}
	}
	tell(muted);
	return 0;
}

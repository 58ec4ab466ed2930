/*
 * A worker that blocks, for the benchmark: one connection at a time, from the
 * accept to the close, and the request says for how long.
 *
 *	clusterd -p PORT -- blocking
 *
 *	request: "MICROSECONDS\n", which it sleeps		answer: "ok\n"
 *
 * The client decides about the time so that it can ask the same of another
 * cluster, whichever worker it comes to.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
say_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (path == NULL || fd < 0 || strlen(path) >= sizeof(sun.sun_path))
		errx(1, "NOTIFY_SOCKET");
	memcpy(sun.sun_path, path, strlen(path));
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	(void)sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	close(fd);
}

static void
serve(int fd)
{
	char text[32];
	ssize_t len = read(fd, text, sizeof(text) - 1);
	struct timespec ts;
	unsigned long us;

	/* Not a thing to guard against: a dozen bytes come in one piece. */
	if (len <= 0 || text[len - 1] != '\n')
		return;
	text[len] = '\0';
	us = strtoul(text, NULL, 10);
	ts = (struct timespec){ .tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000 };
	nanosleep(&ts, NULL);
	if (write(fd, "ok\n", 3) != 3)
		warn("write");
}

int
main(void)
{
	const char *listener = getenv("CLUSTERD_FD");

	if (listener == NULL)
		errx(64, "usage: clusterd -p PORT -- blocking");
	prctl(PR_SET_TIMERSLACK, 1UL); /* sleep no longer than asked */
	say_ready();
	for (;;) {
		int fd = accept(atoi(listener), NULL, NULL);

		if (fd < 0) {
			if (errno != EINTR && errno != ECONNABORTED)
				err(1, "accept");
			continue;
		}
		serve(fd);
		close(fd);
	}
}

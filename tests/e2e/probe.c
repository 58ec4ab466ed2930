/*
 * The probe worker: a small server that the end-to-end tests run under
 * clusterd. It tells what it was given (environment, descriptors, credentials
 * …) and misbehaves on request. `probe --help` lists the arguments; the
 * answers are lines of `name value`, with backslash, newline and other
 * control bytes of the value written as \xNN.
 *
 * Requests (HTTP/1.0, one per connection):
 *	/		pid, instance, generation
 *	/dump		everything, as it was when main() began
 *	/slow/MS	the short answer after MS, other clients served meanwhile
 *	/busy/MS	the same, but the whole worker sleeps
 *	/until/PATH	the short answer when PATH exists, others served meanwhile
 *	/exit/N		answer, then end with code N
 *	/notify/TEXT	send TEXT to NOTIFY_SOCKET
 *	/barrier	as sd_notify_barrier(3), which waits for clusterd
 *	/forge/PID	send READY=1 to the NOTIFY_SOCKET of process PID
 *	/forge-dead/PID	the same, through a child that is gone when the
 *			answer comes
 * A datagram on a UDP listener is answered with the short answer.
 */
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTENERS_MAX	64
#define CLIENTS_MAX	256
#define REQUEST_MAX	2048
#define NEVER		INT64_MAX

extern char **environ;

static struct {
	int64_t ready_after;		/* ms; NEVER */
	const char *ready_file;		/* ready once this exists */
	int64_t exit_after;		/* ms; NEVER */
	int exit_code;
	int64_t crash_after;		/* ms; NEVER */
	int crash_signal;
	bool ignore_term;
	int64_t term_delay;
	bool shut_lanes;
	bool hang;
	bool fork_child;
	int64_t escape;			/* ms that it lives, 0 forever; NEVER */
	bool daemonize;
	int64_t garbage;		/* ms; 0 none */
	const char *fail_if_file;
	const char *events;
	const char *say_out;
	const char *say_err;
	int only_instance;		/* -1: every one misbehaves */
} opt = {
	.exit_after = NEVER,
	.crash_after = NEVER,
	.crash_signal = SIGABRT,
	.escape = NEVER,
	.only_instance = -1,
};

struct client {
	int fd;				/* -1: free */
	int64_t answer_at;		/* NEVER: request not complete yet */
	const char *until;		/* at this file's birth; NULL: none */
	size_t len;
	char request[REQUEST_MAX];
};

static FILE *dump;			/* into dump_text */
static char *dump_text;
static size_t dump_len;
static struct client clients[CLIENTS_MAX];
static int listeners[LISTENERS_MAX];
static bool is_datagram[LISTENERS_MAX];
static size_t n_listeners;

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
sleep_ms(int64_t ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		continue;
}

static const char *
env_or(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL ? value : otherwise;
}

/* One line to the events file; O_APPEND keeps each worker's lines whole. */
static void __attribute__((format(printf, 1, 2)))
event(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int fd, n, m;

	if (opt.events == NULL)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 64, fmt, ap);
	va_end(ap);
	m = snprintf(line + n, sizeof(line) - (size_t)n,
	    " pid=%d instance=%s generation=%s at=%lld\n", getpid(),
	    env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"), (long long)now_ms());
	fd = open(opt.events, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd == -1)
		return;
	if (write(fd, line, (size_t)(n + m)) == -1)
		_exit(70);
	close(fd);
}

static void
dump_put(const char *name, const char *value)
{
	fprintf(dump, "%s ", name);
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c < 0x20 || c == '\\' || c == 0x7f)
			fprintf(dump, "\\x%02x", c);
		else
			putc(c, dump);
	}
	putc('\n', dump);
}

static void __attribute__((format(printf, 2, 3)))
dump_printf(const char *name, const char *fmt, ...)
{
	char value[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	dump_put(name, value);
}

static void
dump_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		char path[300], target[300];
		ssize_t n;

		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		dump_printf("fd", "%s %s", e->d_name, target);
	}
	closedir(dir);
}

static void
dump_status(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[512];

	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *colon = strchr(line, ':');

		if (colon == NULL || (strncmp(line, "Sig", 3) != 0 &&
		    strncmp(line, "ShdPnd", 6) != 0))
			continue;
		*colon = '\0';
		colon[strcspn(colon + 1, "\n") + 1] = '\0';
		dump_put(line, colon + 1 + strspn(colon + 1, "\t "));
	}
	fclose(f);
}

/* What exec gave us; the first thing that main() does. */
static void
take_snapshot(int argc, char **argv)
{
	char cwd[4096];
	gid_t groups[1024];
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	struct rlimit nofile;
	mode_t mask;
	int n;

	dump = open_memstream(&dump_text, &dump_len);
	if (dump == NULL)
		_exit(70);
	dump_fds();
	dump_status();
	dump_printf("ppid", "%d", getppid());
	dump_printf("sid", "%d", getsid(0));
	dump_printf("pgid", "%d", getpgid(0));
	for (int i = 0; i < argc; i++)
		dump_put("arg", argv[i]);
	for (char **e = environ; *e != NULL; e++)
		dump_put("env", *e);
	dump_put("cwd", getcwd(cwd, sizeof(cwd)) != NULL ? cwd : "?");
	mask = umask(0);
	umask(mask);
	dump_printf("umask", "%04o", (unsigned)mask);
	getresuid(&ruid, &euid, &suid);
	getresgid(&rgid, &egid, &sgid);
	dump_printf("uid", "%u %u %u", ruid, euid, suid);
	dump_printf("gid", "%u %u %u", rgid, egid, sgid);
	n = getgroups(1024, groups);
	for (int i = 0; i < n; i++)
		dump_printf("group", "%u", groups[i]);
	getrlimit(RLIMIT_NOFILE, &nofile);
	dump_printf("nofile", "%llu %llu", (unsigned long long)nofile.rlim_cur,
	    (unsigned long long)nofile.rlim_max);
	fflush(dump);
}

/* 0, or errno. `n_fds` copies of `fd_sent` go along. */
static int
notify_to(const char *path, const char *bytes, size_t len, int n_fds,
    int fd_sent)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes,
		.iov_len = len };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * 253)];
	} control;
	struct msghdr msg = { .msg_name = &sun, .msg_iov = &iov,
		.msg_iovlen = 1 };
	int fd, error = 0;

	if (strlen(path) >= sizeof(sun.sun_path))
		return ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path));
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	if (n_fds > 0) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
		for (int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i,
			    &fd_sent, sizeof(int));
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return errno;
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) == -1)
		error = errno;
	close(fd);
	return error;
}

static int
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path != NULL ? notify_to(path, text, strlen(text), 0, -1) :
	    ENOENT;
}

/* Our end of the pipe hangs up when the receiver has closed what it got. */
static int
barrier(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct pollfd wait_for = { .events = 0 };
	int p[2], error;

	if (path == NULL || pipe(p) == -1)
		return ENOENT;
	error = notify_to(path, "BARRIER=1", 9, 1, p[1]);
	close(p[1]);
	wait_for.fd = p[0];
	if (error == 0 && poll(&wait_for, 1, 10000) == 0)
		error = ETIMEDOUT;
	close(p[0]);
	return error;
}

/* READY=1 to the socket in the environment of another process. */
static int
forge(const char *pid)
{
	static char text[256 * 1024];
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", atoi(pid));
	f = fopen(path, "re");
	if (f == NULL)
		return errno;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (char *p = text; p < text + n; p += strlen(p) + 1) {
		if (strncmp(p, "NOTIFY_SOCKET=", 14) == 0)
			return notify_to(p + 14, "READY=1", 7, 0, -1);
	}
	return ENOENT;
}

static int
forge_dead(const char *target)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(forge(target));
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	return WEXITSTATUS(status);
}

/* Everything but READY=1, as fast as it goes, with descriptors attached. */
static void
flood_garbage(int64_t ms)
{
	static const struct {
		const char *bytes;
		size_t len;
	} odd[] = {
		{ "", 0 },
		{ "\0", 1 },
		{ "\n\n\n\n", 4 },
		{ "=", 1 },
		{ "READY", 5 },
		{ "READY=2", 7 },
		{ "XREADY=1", 8 },
		{ "READY=0\nMAINPID=1\nMAINPID=-1", 28 },
		{ "MAINPID=99999999999999999999", 28 },
		{ "STATUS=\xff\xfe\x1b[31m%s%n%d", 20 },
		{ "FDSTORE=1\nFDNAME=../../x", 24 },
		{ "WATCHDOG_USEC=1\nWATCHDOG=trigger\nERRNO=2", 40 },
		{ "STOPPING=1\nRELOADING=1\nMONOTONIC_USEC=x", 39 },
	};
	const char *path = getenv("NOTIFY_SOCKET");
	int64_t end = now_ms() + ms;
	static char big[150000];
	unsigned turn = 0;

	if (path == NULL)
		_exit(0);
	memset(big, 'S', sizeof(big));
	memcpy(big, "STATUS=", 7);
	while (now_ms() < end) {
		size_t i = turn % (sizeof(odd) / sizeof(odd[0]));

		notify_to(path, odd[i].bytes, odd[i].len,
		    turn % 3 == 0 ? 253 : (int)(turn % 3), 0);
		if (turn % 16 == 0)
			notify_to(path, big, sizeof(big), 0, -1);
		turn++;
	}
	_exit(0);
}

static void
linger(const char *what, int64_t ms)
{
	event("%s", what);
	if (ms > 0)
		sleep_ms(ms);
	else
		while (true)
			pause();
	_exit(0);
}

static void
block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/* Descendants; the signals are blocked already, so only KILL ends them. */
static void
start_descendants(void)
{
	if (opt.fork_child && fork() == 0)
		linger("child", 0);
	if (opt.escape != NEVER) {
		pid_t pid = fork();

		if (pid == 0) {
			setsid();
			if (fork() == 0)
				linger("escaped", opt.escape);
			_exit(0);
		}
		while (pid > 0 && waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			continue;
	}
	for (int i = 0; opt.garbage > 0 && i < 4; i++) {
		if (fork() == 0)
			flood_garbage(opt.garbage);
	}
}

/* The first process exits when the second one has its own session. */
static void
daemonize(void)
{
	int p[2];
	char c;

	if (pipe(p) == -1)
		_exit(70);
	if (fork() != 0) {
		close(p[1]);
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	setsid();
	event("daemonized");
	close(p[0]);
	close(p[1]);
}

static void
find_listeners(void)
{
	const char *p = getenv("CLUSTERD_FD");

	while (p != NULL && *p != '\0' && n_listeners < LISTENERS_MAX) {
		char *end;
		int fd = (int)strtol(p, &end, 10);
		int type = 0;
		socklen_t len = sizeof(type);

		if (end == p)
			break;
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1) {
			fprintf(stderr, "probe: CLUSTERD_FD %d: %s\n", fd,
			    strerror(errno));
			_exit(71);
		}
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		is_datagram[n_listeners] = type == SOCK_DGRAM;
		listeners[n_listeners++] = fd;
		p = *end == ',' ? end + 1 : end;
	}
}

static int
short_answer(char *text, size_t size)
{
	return snprintf(text, size, "pid %d\ninstance %s\ngeneration %s\n",
	    getpid(), env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"));
}

static void
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

/* Answers, and ends the connection. */
static void
client_answer(struct client *c)
{
	const char *path = c->request + 4;	/* behind "GET " */
	char body[8192], head[256];
	int len = short_answer(body, sizeof(body));
	bool all = strncmp(path, "/dump ", 6) == 0;
	int exit_code = -1;

	if (strncmp(path, "/notify/", 8) == 0) {
		char text[512];

		snprintf(text, sizeof(text), "%.*s",
		    (int)strcspn(path + 8, " "), path + 8);
		len += snprintf(body + len, sizeof(body) - (size_t)len,
		    "errno %d\n", notify(text));
	} else if (strncmp(path, "/barrier ", 9) == 0) {
		len += snprintf(body + len, sizeof(body) - (size_t)len,
		    "errno %d\n", barrier());
	} else if (strncmp(path, "/forge/", 7) == 0) {
		len += snprintf(body + len, sizeof(body) - (size_t)len,
		    "errno %d\n", forge(path + 7));
	} else if (strncmp(path, "/forge-dead/", 12) == 0) {
		len += snprintf(body + len, sizeof(body) - (size_t)len,
		    "errno %d\n", forge_dead(path + 12));
	} else if (strncmp(path, "/exit/", 6) == 0) {
		exit_code = atoi(path + 6);
	}
	snprintf(head, sizeof(head), "HTTP/1.0 200 OK\r\n"
	    "Content-Type: text/plain\r\nConnection: close\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    (size_t)len + (all ? dump_len : 0));
	write_all(c->fd, head, strlen(head));
	write_all(c->fd, body, (size_t)len);
	if (all)
		write_all(c->fd, dump_text, dump_len);
	shutdown(c->fd, SHUT_WR);
	close(c->fd);
	c->fd = -1;
	if (exit_code >= 0)
		_exit(exit_code);
}

static void
client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->request + c->len,
	    sizeof(c->request) - 1 - c->len, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(c->fd);
		c->fd = -1;
		return;
	}
	c->len += (size_t)n;
	c->request[c->len] = '\0';
	if (strstr(c->request, "\r\n\r\n") == NULL)
		return;
	c->answer_at = now_ms();
	if (strncmp(c->request, "GET /slow/", 10) == 0) {
		c->answer_at += atoi(c->request + 10);
		event("slow");
	} else if (strncmp(c->request, "GET /busy/", 10) == 0) {
		event("busy");
		sleep_ms(atoi(c->request + 10));
	} else if (strncmp(c->request, "GET /until/", 11) == 0) {
		c->until = c->request + 10;
		c->request[10 + strcspn(c->until, " ")] = '\0';
		c->answer_at = NEVER - 1;
		event("until");
	}
}

static struct client *
client_find_free(void)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i].fd == -1)
			return &clients[i];
	}
	return NULL;
}

static void
serve_listener(size_t i)
{
	if (is_datagram[i]) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		char text[1024];

		if (recvfrom(listeners[i], text, sizeof(text), 0,
		    (struct sockaddr *)&from, &from_len) >= 0) {
			int len = short_answer(text, sizeof(text));

			sendto(listeners[i], text, (size_t)len, 0,
			    (struct sockaddr *)&from, from_len);
		}
	} else {
		struct client *c = client_find_free();

		if (c == NULL)
			return;
		c->fd = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC);
		c->len = 0;
		c->answer_at = NEVER;
		c->until = NULL;
	}
}

static int64_t
min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
serve(int signals)
{
	int64_t start = now_ms(), stop_at = NEVER;
	int64_t ready_at = opt.ready_after == NEVER ? NEVER :
	    start + opt.ready_after;
	int64_t exit_at = opt.exit_after == NEVER ? NEVER :
	    start + opt.exit_after;
	int64_t crash_at = opt.crash_after == NEVER ? NEVER :
	    start + opt.crash_after;
	bool stopping = false;

	while (true) {
		struct pollfd p[1 + LISTENERS_MAX + CLIENTS_MAX];
		struct client *who[CLIENTS_MAX];
		int64_t now = now_ms(), next = min64(stop_at,
		    min64(ready_at, min64(exit_at, crash_at)));
		size_t n = 0, n_open = 0;
		int timeout;

		if (opt.ready_file != NULL) {
			next = min64(next, now + 10);
			if (access(opt.ready_file, F_OK) == 0) {
				opt.ready_file = NULL;
				ready_at = now;
			}
		}
		if (now >= exit_at)
			_exit(opt.exit_code);
		if (now >= crash_at) {
			sigset_t all;

			sigfillset(&all);
			signal(opt.crash_signal, SIG_DFL);
			sigprocmask(SIG_UNBLOCK, &all, NULL);
			kill(getpid(), opt.crash_signal);
		}
		if (now >= ready_at) {
			event("ready");
			notify("READY=1\nSTATUS=probing");
			ready_at = NEVER;
		}
		p[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
		for (size_t i = 0; i < n_listeners; i++)
			p[n++] = (struct pollfd){ .events = POLLIN,
			    .fd = stopping ? -1 : listeners[i] };
		for (size_t i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &clients[i];

			if (c->fd != -1 && c->until != NULL) {
				next = min64(next, now + 10);
				if (access(c->until, F_OK) == 0)
					c->answer_at = now;
			}
			if (c->fd != -1 && now >= c->answer_at)
				client_answer(c);
			if (c->fd == -1)
				continue;
			next = min64(next, c->answer_at);
			who[n_open++] = c;
			p[n++] = (struct pollfd){ .events = POLLIN,
			    .fd = c->answer_at == NEVER ? c->fd : -1 };
		}
		if (stopping && now >= stop_at)
			_exit(0);
		if (stopping && n_open == 0 && opt.term_delay == 0)
			_exit(0);
		now = now_ms();
		timeout = next == NEVER ? -1 : next <= now ? 0 :
		    (int)min64(next - now, 60000);
		if (poll(p, n, timeout) == -1 && errno != EINTR)
			_exit(72);
		if (p[0].revents != 0) {
			struct signalfd_siginfo si;

			if (read(signals, &si, sizeof(si)) == sizeof(si)) {
				event("signal %u", si.ssi_signo);
				for (size_t i = 0; i < n_listeners &&
				    opt.shut_lanes; i++)
					shutdown(listeners[i], SHUT_RDWR);
				if (!opt.ignore_term && !stopping) {
					stopping = true;
					stop_at = now_ms() + (opt.term_delay > 0
					    ? opt.term_delay : 5000);
				}
			}
			continue;
		}
		for (size_t i = 0; i < n_listeners; i++) {
			if (p[1 + i].revents != 0)
				serve_listener(i);
		}
		for (size_t i = 0; i < n_open; i++) {
			if (p[1 + n_listeners + i].revents != 0)
				client_read(who[i]);
		}
	}
}

static void
usage(FILE *out)
{
	fputs("usage: probe [option]...\n"
	    "  --ready now|never|MS|file:PATH  when to send READY=1 (now)\n"
	    "  --exit-after MS, --exit-code N  end by itself\n"
	    "  --crash-after MS, --crash-signal N\n"
	    "  --ignore-term                   go on serving on TERM etc.\n"
	    "  --term-delay MS                 take MS to end on TERM\n"
	    "  --shut-lanes                    shut its listeners down on TERM\n"
	    "  --hang                          do nothing at all\n"
	    "  --fork-child                    a child that only KILL ends\n"
	    "  --escape MS                     the same in a session of its\n"
	    "                                  own, orphaned; 0 forever\n"
	    "  --daemonize                     fork away, first process exits\n"
	    "  --notify-garbage MS             flood NOTIFY_SOCKET\n"
	    "  --fail-if-file PATH             exit 1 where PATH exists\n"
	    "  --only-instance N               misbehave only as instance N\n"
	    "  --events PATH                   append what happens\n"
	    "  --stdout TEXT, --stderr TEXT    say something\n"
	    "  --note TEXT                     no effect\n", out);
}

static int64_t
parse_ms(const char *text)
{
	char *end;
	long long ms = strtoll(text, &end, 10);

	if (end == text || *end != '\0' || ms < 0) {
		fprintf(stderr, "probe: %s: not a number\n", text);
		exit(64);
	}
	return ms;
}

static void
parse_ready(const char *text)
{
	if (strncmp(text, "file:", 5) == 0) {
		opt.ready_file = text + 5;
		opt.ready_after = NEVER;
	} else if (strcmp(text, "never") == 0) {
		opt.ready_after = NEVER;
	} else if (strcmp(text, "now") == 0) {
		opt.ready_after = 0;
	} else {
		opt.ready_after = parse_ms(text);
	}
}

static void
parse_options(int argc, char **argv)
{
	enum { READY = 1, EXIT_AFTER, EXIT_CODE, CRASH_AFTER, CRASH_SIGNAL,
	    IGNORE_TERM, TERM_DELAY, SHUT_LANES, HANG, FORK_CHILD, ESCAPE,
	    DAEMONIZE,
	    GARBAGE, FAIL_IF_FILE, EVENTS, SAY_OUT, SAY_ERR, ONLY, NOTE, HELP };
	static const struct option longs[] = {
		{ "ready", required_argument, NULL, READY },
		{ "exit-after", required_argument, NULL, EXIT_AFTER },
		{ "exit-code", required_argument, NULL, EXIT_CODE },
		{ "crash-after", required_argument, NULL, CRASH_AFTER },
		{ "crash-signal", required_argument, NULL, CRASH_SIGNAL },
		{ "ignore-term", no_argument, NULL, IGNORE_TERM },
		{ "term-delay", required_argument, NULL, TERM_DELAY },
		{ "shut-lanes", no_argument, NULL, SHUT_LANES },
		{ "hang", no_argument, NULL, HANG },
		{ "fork-child", no_argument, NULL, FORK_CHILD },
		{ "escape", required_argument, NULL, ESCAPE },
		{ "daemonize", no_argument, NULL, DAEMONIZE },
		{ "notify-garbage", required_argument, NULL, GARBAGE },
		{ "fail-if-file", required_argument, NULL, FAIL_IF_FILE },
		{ "events", required_argument, NULL, EVENTS },
		{ "stdout", required_argument, NULL, SAY_OUT },
		{ "stderr", required_argument, NULL, SAY_ERR },
		{ "only-instance", required_argument, NULL, ONLY },
		{ "note", required_argument, NULL, NOTE },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case READY:
			parse_ready(optarg);
			break;
		case EXIT_AFTER:
			opt.exit_after = parse_ms(optarg);
			break;
		case EXIT_CODE:
			opt.exit_code = (int)parse_ms(optarg);
			break;
		case CRASH_AFTER:
			opt.crash_after = parse_ms(optarg);
			break;
		case CRASH_SIGNAL:
			opt.crash_signal = (int)parse_ms(optarg);
			break;
		case IGNORE_TERM:
			opt.ignore_term = true;
			break;
		case TERM_DELAY:
			opt.term_delay = parse_ms(optarg);
			break;
		case SHUT_LANES:
			opt.shut_lanes = true;
			break;
		case HANG:
			opt.hang = true;
			break;
		case FORK_CHILD:
			opt.fork_child = true;
			break;
		case ESCAPE:
			opt.escape = parse_ms(optarg);
			break;
		case DAEMONIZE:
			opt.daemonize = true;
			break;
		case GARBAGE:
			opt.garbage = parse_ms(optarg);
			break;
		case FAIL_IF_FILE:
			opt.fail_if_file = optarg;
			break;
		case EVENTS:
			opt.events = optarg;
			break;
		case SAY_OUT:
			opt.say_out = optarg;
			break;
		case SAY_ERR:
			opt.say_err = optarg;
			break;
		case ONLY:
			opt.only_instance = (int)parse_ms(optarg);
			break;
		case NOTE:
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(64);
		}
	}
}

/* --only-instance: the others are well-behaved. */
static void
behave(void)
{
	opt.exit_after = opt.crash_after = opt.escape = NEVER;
	opt.ignore_term = opt.hang = opt.fork_child = opt.daemonize = false;
	opt.term_delay = opt.garbage = 0;
	opt.fail_if_file = opt.ready_file = NULL;
	opt.ready_after = 0;
}

int
main(int argc, char **argv)
{
	sigset_t set;
	int signals;

	take_snapshot(argc, argv);
	parse_options(argc, argv);
	if (opt.only_instance >= 0 &&
	    atoi(env_or("CLUSTERD_INSTANCE", "-1")) != opt.only_instance)
		behave();
	event("start");
	if (opt.say_out != NULL)
		dprintf(1, "%s\n", opt.say_out);
	if (opt.say_err != NULL)
		dprintf(2, "%s\n", opt.say_err);
	if (opt.fail_if_file != NULL && access(opt.fail_if_file, F_OK) == 0)
		return 1;
	while (opt.hang)
		pause();
	if (opt.daemonize)
		daemonize();
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	find_listeners();
	block_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals == -1)
		_exit(70);
	start_descendants();
	serve(signals);
	return 0;
}

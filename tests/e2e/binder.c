/*
 * A server that knows nothing of clusterd, for the tests of adoption and
 * readiness: it makes its sockets by itself, in whichever odd way its
 * arguments say, and tells what became of them.
 *
 *	binder [--events FILE] STEP...
 *
 * The steps are done in order; what follows a colon are their arguments.
 * Sockets have names of one letter (S, T).
 *	socket:S:KIND[,nonblock][,cloexec]
 *			KIND: tcp4, tcp6, mptcp4, mptcp6, udp4, udp6, unix
 *	set:S:OPTION:VALUE	see the table `options`
 *	bind:S:ADDRESS		127.0.0.1:80, [::1]:80, a path, @abstract
 *	bind-short:S:ADDRESS	with a length of 3
 *	bind-long:S:ADDRESS	with the length of a sockaddr_storage
 *	bind-fault:S		with an address that is not there
 *	bind-fd:N:ADDRESS	on that descriptor, as TCP over IPv4
 *	bind-netlink
 *	listen:S:BACKLOG
 *	need:S			exit with 1 unless bind and listen went well
 *	dup:S:T			T becomes a duplicate of S
 *	close:S
 *	take:S:N		the Nth descriptor of CLUSTERD_FD
 *	block:S, nonblock:S	take away O_NONBLOCK, or set it
 *	epoll:S			register with the epoll instance
 *	epoll-mod:S		change that; fails if it is not registered
 *	rebind:S:COUNT:KIND:ADDRESS
 *			COUNT times socket, bind, listen and close (the last
 *			one stays open); a bind that EINTR ends is repeated
 *	parallel:S:COUNT:KIND:ADDRESS
 *			the same in COUNT threads at once; one becomes S
 *	spin:KIND:ADDRESS	socket, bind, listen, close, for ever
 *	die-in-bind:KIND:ADDRESS
 *			_exit(3) while a thread does that
 *	storm:restart, storm:interrupt, calm
 *			a signal every 200 us, with or without SA_RESTART
 *	unlink:PATH
 *	at-term:PATH		unlink that on SIGTERM, and exit
 *	sleep:MS  until:FILE  touch:FILE  notify:TEXT  pause  exit:N
 *	in:WHERE		the steps from here on happen in
 *			thread, fork, session (a grandchild with a session
 *			of its own), vfork (a program executed after vfork)
 *	thread:STEP		this one step happens in a thread
 *	serve:HOW[:S[T...]]	answer; without names, on all that listen. HOW:
 *			epoll, epoll_pwait, poll, ppoll, select, pselect,
 *			accept, accept4, recvfrom, recvmsg
 *
 * A request (HTTP/1.0, one per connection) or a datagram is answered with
 * lines of `name value`: who and where the server is, what each bind and
 * listen returned (0, or the errno; `bind.S`, `listen.S`, one line for each),
 * the addresses and options of the listening socket (`l.*`) and of the
 * connection (`c.*`), and the address, number and inode of each socket
 * (`at.S.name`, `number.S`, `inode.S`). Requests: / , /busy/MS (sleep first), /epoll (change,
 * delete and add the registration of the listening socket), /dump (the
 * environment and the descriptors that main() began with), /exit/N.
 *
 *	binder --sandbox notify PROGRAM...
 *	binder --sandbox ERRNO=SYSCALL,... PROGRAM...
 *
 * runs the program where another process has a seccomp listener already, or
 * where these system calls fail with eperm or enosys.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <pthread.h>
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

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK	72
#endif

#define SLOTS		26
#define TEXT_MAX	60000	/* fits a datagram */
#define THREADS_MAX	64

extern char **environ;

struct slot {
	int fd;			/* -1: none */
	char name;
	bool is_datagram;
	bool is_waiting;	/* for connections or datagrams */
	bool has_failed;	/* to bind or listen */
};

struct text {
	size_t len;
	char bytes[TEXT_MAX];
};

static struct slot slots[SLOTS];
static struct text results;	/* of bind and listen */
static pthread_mutex_t results_lock = PTHREAD_MUTEX_INITIALIZER;
static struct text snapshot;	/* environment and descriptors at the start */
static int epoll_fd = -1;
static const char *events;
static const char *program;
static const char *at_term;
static pid_t worker;		/* whom clusterd started */

static void run_steps(char **steps);
static void run_step(char *step);

static void __attribute__((format(printf, 1, 2), noreturn))
die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "binder: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(errno));
	_exit(70);
}

static void __attribute__((format(printf, 2, 3)))
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(t->bytes) - t->len)
		t->len += (size_t)n;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
sleep_us(int64_t us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

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
static void
event(const char *what)
{
	char line[512];
	int fd, n;

	if (events == NULL)
		return;
	n = snprintf(line, sizeof(line),
	    "%.300s pid=%d instance=%.20s generation=%.20s at=%lld\n", what,
	    getpid(), env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"), (long long)now_ms());
	fd = open(events, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd == -1 || write(fd, line, (size_t)n) != n)
		die("%s", events);
	close(fd);
}

/* Nothing else than 0 and -1 may come back. */
static void
result(const char *call, char name, int returned, int error)
{
	char what[64];

	if (returned == 0 || returned == -1)
		snprintf(what, sizeof(what), "%s.%c %d", call, name,
		    returned == 0 ? 0 : error);
	else
		snprintf(what, sizeof(what), "%s.%c returned:%d", call, name,
		    returned);
	pthread_mutex_lock(&results_lock);
	put(&results, "%s\n", what);
	pthread_mutex_unlock(&results_lock);
	event(what);
}

/* ---- steps: sockets ---- */

static struct slot *
slot_of(const char *name)
{
	if (name[0] < 'a' || name[0] > 'z') {
		errno = EINVAL;
		die("socket %s", name);
	}
	return &slots[name[0] - 'a'];
}

static void
slot_set(struct slot *s, int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (fd == -1)
		die("socket %c", s->name);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1)
		die("socket %c, descriptor %d", s->name, fd);
	s->fd = fd;
	s->is_datagram = type == SOCK_DGRAM;
	s->is_waiting = false;
}

/* A socket of `tcp4,nonblock` and the like. */
static int
socket_make(const char *kind)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} kinds[] = {
		{ "tcp4", AF_INET, SOCK_STREAM, 0 },
		{ "tcp6", AF_INET6, SOCK_STREAM, 0 },
		{ "mptcp4", AF_INET, SOCK_STREAM, IPPROTO_MPTCP },
		{ "mptcp6", AF_INET6, SOCK_STREAM, IPPROTO_MPTCP },
		{ "udp4", AF_INET, SOCK_DGRAM, 0 },
		{ "udp6", AF_INET6, SOCK_DGRAM, 0 },
		{ "unix", AF_UNIX, SOCK_STREAM, 0 },
	};
	int flags = (strstr(kind, ",nonblock") != NULL ? SOCK_NONBLOCK : 0) |
	    (strstr(kind, ",cloexec") != NULL ? SOCK_CLOEXEC : 0);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(kind, kinds[i].name, strcspn(kind, ",")) == 0)
			return socket(kinds[i].family, kinds[i].type | flags,
			    kinds[i].protocol);
	}
	errno = EINVAL;
	die("%s", kind);
}

static socklen_t
address_parse(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_un *sun = (struct sockaddr_un *)ss;
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t len;

	memset(ss, 0, sizeof(*ss));
	if (colon == NULL || text[0] == '/' || text[0] == '@') {
		len = strlen(text);
		if (len >= sizeof(sun->sun_path)) {
			errno = ENAMETOOLONG;
			die("%s", text);
		}
		sun->sun_family = AF_UNIX;
		memcpy(sun->sun_path, text, len);
		if (text[0] == '@')
			sun->sun_path[0] = '\0';
		else
			len++;
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    len);
	}
	if (text[0] == '[') {
		snprintf(host, sizeof(host), "%.*s",
		    (int)strcspn(text + 1, "]"), text + 1);
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons((uint16_t)atoi(colon + 1));
		if (inet_pton(AF_INET6, host, &sin6->sin6_addr) != 1)
			die("%s", text);
		return sizeof(*sin6);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	sin->sin_family = AF_INET;
	sin->sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &sin->sin_addr) != 1)
		die("%s", text);
	return sizeof(*sin);
}

static int
bind_to(int fd, const char *address)
{
	struct sockaddr_storage ss;
	socklen_t len = address_parse(address, &ss);

	return bind(fd, (struct sockaddr *)&ss, len);
}

static void
do_bind(struct slot *s, const char *address, socklen_t other_len)
{
	struct sockaddr_storage ss;
	socklen_t len = address_parse(address, &ss);
	int r = bind(s->fd, (struct sockaddr *)&ss,
	    other_len > 0 ? other_len : len);

	result("bind", s->name, r, errno);
	s->has_failed |= r != 0;
	if (r == 0 && s->is_datagram)
		s->is_waiting = true;
}

static void
do_listen(struct slot *s, int backlog)
{
	int r = listen(s->fd, backlog);

	result("listen", s->name, r, errno);
	s->has_failed |= r != 0;
	if (r == 0)
		s->is_waiting = true;
}

/* clang-format off */
static const struct sockopt {
	const char *name;
	int level, number;
} options[] = {
	{ "reuseaddr", SOL_SOCKET, SO_REUSEADDR },
	{ "reuseport", SOL_SOCKET, SO_REUSEPORT },
	{ "v6only", IPPROTO_IPV6, IPV6_V6ONLY },
	{ "keepalive", SOL_SOCKET, SO_KEEPALIVE },
	{ "keepidle", IPPROTO_TCP, TCP_KEEPIDLE },
	{ "keepintvl", IPPROTO_TCP, TCP_KEEPINTVL },
	{ "keepcnt", IPPROTO_TCP, TCP_KEEPCNT },
	{ "nodelay", IPPROTO_TCP, TCP_NODELAY },
	{ "rcvbuf", SOL_SOCKET, SO_RCVBUF },
	{ "sndbuf", SOL_SOCKET, SO_SNDBUF },
	{ "defer", IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ "fastopen", IPPROTO_TCP, TCP_FASTOPEN },
	{ "usertimeout", IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ "buflock", SOL_SOCKET, SO_BUF_LOCK },
	{ "protocol", SOL_SOCKET, SO_PROTOCOL },
};
/* clang-format on */
#define N_OPTIONS	(sizeof(options) / sizeof(options[0]))

static void
do_set(struct slot *s, const char *name, int value)
{
	struct linger l = { .l_onoff = 1, .l_linger = value };
	size_t i = 0;
	int r;

	if (strcmp(name, "linger") == 0) {
		r = setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	} else {
		while (i < N_OPTIONS && strcmp(name, options[i].name) != 0)
			i++;
		errno = EINVAL;
		r = i == N_OPTIONS ? -1 : setsockopt(s->fd, options[i].level,
		    options[i].number, &value, sizeof(value));
	}
	if (r == -1)
		die("set %c %s", s->name, name);
}

static void
do_take(struct slot *s, int n)
{
	const char *p = env_or("CLUSTERD_FD", "");

	for (; n > 0 && *p != '\0'; n--)
		p += strcspn(p, ",") + 1;
	if (*p == '\0') {
		errno = ENOENT;
		die("CLUSTERD_FD");
	}
	slot_set(s, atoi(p));
	s->is_waiting = true;
}

static void
epoll_change(int operation, struct slot *s)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };

	if (epoll_fd == -1)
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll_fd, operation, s->fd, &e) == -1)
		die("epoll_ctl %c", s->name);
}

/* ---- steps: many binds ---- */

/* socket, bind and listen; -1 and a result where one fails. */
static int
serve_on(char name, const char *kind, const char *address)
{
	int fd = socket_make(kind), one = 1, r;

	if (fd == -1)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	do {
		r = bind_to(fd, address);
	} while (r == -1 && errno == EINTR);
	if (r != 0) {
		result("bind", name, r, errno);
		close(fd);
		return -1;
	}
	do {
		r = listen(fd, 5);
	} while (r == -1 && errno == EINTR);
	if (r != 0) {
		result("listen", name, r, errno);
		close(fd);
		return -1;
	}
	return fd;
}

static void
do_rebind(struct slot *s, int count, const char *kind, const char *address)
{
	int fd = -1;

	for (int i = 0; i < count; i++) {
		if (fd != -1)
			close(fd);
		fd = serve_on(s->name, kind, address);
	}
	if (fd != -1) {
		slot_set(s, fd);
		s->is_waiting = true;
		result("bind", s->name, 0, 0);
	}
}

struct parallel {
	pthread_barrier_t *barrier;
	char name;
	const char *kind, *address;
	int fd;
};

static void *
parallel_main(void *arg)
{
	struct parallel *p = arg;

	pthread_barrier_wait(p->barrier);
	p->fd = serve_on(p->name, p->kind, p->address);
	return NULL;
}

static void
do_parallel(struct slot *s, int count, const char *kind, const char *address)
{
	struct parallel p[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		p[i] = (struct parallel){ &barrier, s->name, kind, address,
			-1 };
		if (pthread_create(&threads[i], NULL, parallel_main, &p[i]))
			die("pthread_create");
	}
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		if (p[i].fd == -1)
			continue;
		result("bind", s->name, 0, 0);
		if (s->fd != -1) {
			close(p[i].fd);
			continue;
		}
		slot_set(s, p[i].fd);
		s->is_waiting = true;
	}
}

static void __attribute__((noreturn))
spin(const char *kind, const char *address)
{
	while (true) {
		int fd = socket_make(kind);

		if (fd != -1 && bind_to(fd, address) == 0)
			listen(fd, 5);
		close(fd);
	}
}

struct spinner {
	const char *kind, *address;
};

static void *
spin_main(void *arg)
{
	struct spinner *s = arg;

	spin(s->kind, s->address);
}

static void __attribute__((noreturn))
die_in_bind(const char *kind, const char *address)
{
	struct spinner s = { kind, address };
	pthread_t thread;

	if (pthread_create(&thread, NULL, spin_main, &s) != 0)
		die("pthread_create");
	/* Not always at the same point. */
	sleep_us(1000 + getpid() * 37 % 5000);
	_exit(3);
}

/* ---- steps: signals ---- */

static void
on_alarm(int number)
{
	(void)number;
}

static void
on_term(int number)
{
	(void)number;
	unlink(at_term);
	_exit(0);
}

static void
do_storm(bool restart)
{
	struct sigaction sa = { .sa_handler = on_alarm,
		.sa_flags = restart ? SA_RESTART : 0 };
	struct itimerval each = { { 0, 200 }, { 0, 200 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &each, NULL);
}

static void
do_calm(void)
{
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &never, NULL);
}

/* ---- steps: places ---- */

static void
notify(const char *message)
{
	const char *path = env_or("NOTIFY_SOCKET", "");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || len == 0 || len >= sizeof(sun.sun_path))
		die("NOTIFY_SOCKET");
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	if (sendto(fd, message, strlen(message), 0, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == -1)
		die("%s", path);
	close(fd);
}

/* As the child does: its end is the parent's. */
static void __attribute__((noreturn))
follow(pid_t pid)
{
	int status = 0;

	if (pid == -1)
		die("fork");
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void *
thread_steps(void *arg)
{
	run_steps(arg);
	return NULL;
}

static void *
thread_step(void *arg)
{
	run_step(arg);
	return NULL;
}

static void
in_thread(void *(*start)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, start, arg) != 0)
		die("pthread_create");
	pthread_join(thread, NULL);
}

/* Start again, with these steps and nothing of what was done so far. */
static void __attribute__((noreturn))
in_vfork(char **steps)
{
	char *argv[64] = { (char *)(uintptr_t)program };
	size_t n = 1;
	pid_t pid;

	if (events != NULL) {
		argv[n++] = (char *)(uintptr_t)"--events";
		argv[n++] = (char *)(uintptr_t)events;
	}
	while (*steps != NULL && n < 63)
		argv[n++] = *steps++;
	pid = vfork();
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	follow(pid);
}

static void __attribute__((noreturn))
in_place(const char *where, char **steps)
{
	pid_t pid;

	if (strcmp(where, "vfork") == 0)
		in_vfork(steps);
	if (strcmp(where, "thread") == 0) {
		in_thread(thread_steps, steps);
		_exit(0);
	}
	pid = fork();
	if (pid != 0)
		follow(pid);
	if (strcmp(where, "session") == 0) {
		setsid();
		pid = fork();
		if (pid != 0)
			follow(pid);
	}
	run_steps(steps);
	_exit(0);
}

/* ---- answers ---- */

static void
put_address(struct text *t, const char *name, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_un *sun = (const struct sockaddr_un *)ss;
	char host[INET6_ADDRSTRLEN] = "";

	switch (ss->ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host));
		put(t, "%s.family inet\n%s.name %s:%u\n", name, name, host,
		    ntohs(sin->sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
		put(t, "%s.family inet6\n%s.name [%s]:%u\n", name, name, host,
		    ntohs(sin6->sin6_port));
		break;
	case AF_UNIX:
		put(t, "%s.family unix\n%s.name %s\n", name, name,
		    sun->sun_path);
		break;
	default:
		put(t, "%s.family %d\n", name, ss->ss_family);
	}
}

static void
put_slot(struct text *t, const struct slot *s)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	char name[] = { 'a', 't', '.', s->name, '\0' };
	struct stat st;

	if (s->fd == -1 || fstat(s->fd, &st) == -1)
		return;
	getsockname(s->fd, (struct sockaddr *)&ss, &len);
	put_address(t, name, &ss);
	put(t, "number.%c %d\ninode.%c %llu\n", s->name, s->fd, s->name,
	    (unsigned long long)st.st_ino);
}

static void
put_socket(struct text *t, const char *name, int fd)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	struct linger l = { 0, 0 };
	struct tcp_info info;

	getsockname(fd, (struct sockaddr *)&ss, &len);
	put_address(t, name, &ss);
	put(t, "%s.nonblock %d\n%s.cloexec %d\n", name,
	    (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, name,
	    (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		int value = 0;

		len = sizeof(value);
		if (getsockopt(fd, options[i].level, options[i].number, &value,
		    &len) == 0)
			put(t, "%s.%s %d\n", name, options[i].name, value);
	}
	len = sizeof(l);
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0)
		put(t, "%s.linger %d\n", name, l.l_onoff ? l.l_linger : -1);
	/* Of a listening socket, this is the length of its queue. */
	len = sizeof(info);
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    info.tcpi_state == TCP_LISTEN)
		put(t, "%s.backlog %u\n", name, info.tcpi_sacked);
}

/* `connection` is -1 for a datagram. */
static void
put_answer(struct text *t, struct slot *s, int connection,
    const struct sockaddr_storage *peer)
{
	put(t, "pid %d\ntid %ld\nworker %d\ninstance %s\ngeneration %s\n"
	    "socket %c\n", getpid(), syscall(SYS_gettid), worker,
	    env_or("CLUSTERD_INSTANCE", "-"),
	    env_or("CLUSTERD_GENERATION", "-"), s->name);
	put(t, "%.*s", (int)results.len, results.bytes);
	for (size_t i = 0; i < SLOTS; i++)
		put_slot(t, &slots[i]);
	put_address(t, "peer", peer);
	put_socket(t, "l", s->fd);
	if (connection != -1)
		put_socket(t, "c", connection);
}

static void
put_epoll(struct text *t, struct slot *s)
{
	static const struct {
		const char *name;
		int operation;
	} all[] = { { "mod", EPOLL_CTL_MOD }, { "del", EPOLL_CTL_DEL },
		{ "add", EPOLL_CTL_ADD } };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };

	for (size_t i = 0; i < 3; i++)
		put(t, "epoll.%s %d\n", all[i].name, epoll_ctl(epoll_fd,
		    all[i].operation, s->fd, &e) == -1 ? errno : 0);
}

static void
take_snapshot(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	for (char **v = environ; *v != NULL; v++) {
		if (strpbrk(*v, "\n\\") == NULL)
			put(&snapshot, "env %s\n", *v);
	}
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		char path[300], target[300];
		ssize_t n;

		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		put(&snapshot, "fd %s %s\n", e->d_name, target);
	}
	if (dir != NULL)
		closedir(dir);
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

/* The request's path, or NULL; a client that says nothing gets 5 s. */
static const char *
read_request(int fd, char *request, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 5000) == 0)
			return NULL;
		n = recv(fd, request + len, size - 1 - len, MSG_DONTWAIT);
		if (n == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return NULL;
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n") != NULL)
			return strncmp(request, "GET /", 5) == 0 ? request + 4
								 : NULL;
	}
	return NULL;
}

static void
serve_connection(struct slot *s, int fd, const struct sockaddr_storage *peer)
{
	char request[2048], head[128];
	const char *path = read_request(fd, request, sizeof(request));
	struct text *t = calloc(1, sizeof(*t));

	if (t == NULL)
		die("calloc");
	if (path != NULL) {
		if (strncmp(path, "/busy/", 6) == 0)
			sleep_us((int64_t)atoi(path + 6) * 1000);
		put_answer(t, s, fd, peer);
		if (strncmp(path, "/epoll ", 7) == 0)
			put_epoll(t, s);
		if (strncmp(path, "/dump ", 6) == 0)
			put(t, "%.*s", (int)snapshot.len, snapshot.bytes);
		snprintf(head, sizeof(head),
		    "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", t->len);
		write_all(fd, head, strlen(head));
		write_all(fd, t->bytes, t->len);
	}
	free(t);
	close(fd);
	if (path != NULL && strncmp(path, "/exit/", 6) == 0)
		_exit(atoi(path + 6));
}

static void
serve_datagram(struct slot *s, const struct sockaddr_storage *peer,
    socklen_t len)
{
	struct text *t = calloc(1, sizeof(*t));

	if (t == NULL)
		die("calloc");
	put_answer(t, s, -1, peer);
	sendto(s->fd, t->bytes, t->len, 0, (const struct sockaddr *)peer, len);
	free(t);
}

/* ---- waiting ---- */

/* One connection or datagram, by this call. */
static void
serve_one(struct slot *s, const char *call)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(peer);
	char datagram[2048];
	struct iovec iov = { datagram, sizeof(datagram) };
	struct msghdr msg = { .msg_name = &peer, .msg_namelen = len,
		.msg_iov = &iov, .msg_iovlen = 1 };
	int fd;

	if (s->is_datagram) {
		ssize_t n;

		if (strcmp(call, "recvmsg") == 0) {
			n = recvmsg(s->fd, &msg, 0);
			len = msg.msg_namelen;
		} else {
			n = recvfrom(s->fd, datagram, sizeof(datagram), 0,
			    (struct sockaddr *)&peer, &len);
		}
		if (n >= 0)
			serve_datagram(s, &peer, len);
		return;
	}
	if (strcmp(call, "accept4") == 0)
		fd = accept4(s->fd, (struct sockaddr *)&peer, &len,
		    SOCK_CLOEXEC);
	else
		fd = accept(s->fd, (struct sockaddr *)&peer, &len);
	if (fd != -1)
		serve_connection(s, fd, &peer);
}

static void
wait_epoll(struct slot **wanted, size_t n, bool pwait)
{
	if (epoll_fd == -1) {
		for (size_t i = 0; i < n; i++)
			epoll_change(EPOLL_CTL_ADD, wanted[i]);
	}
	while (true) {
		struct epoll_event e[SLOTS];
		sigset_t none;
		int k;

		sigemptyset(&none);
		k = pwait ? epoll_pwait(epoll_fd, e, SLOTS, -1, &none)
			  : epoll_wait(epoll_fd, e, SLOTS, -1);
		for (int i = 0; i < k; i++)
			serve_one(e[i].data.ptr, "accept4");
	}
}

/* glibc makes the newer calls of the older ones where it can. */
static int
poll_by(const char *how, struct pollfd *fds, size_t n)
{
#ifdef SYS_poll
	if (strcmp(how, "poll") == 0)
		return (int)syscall(SYS_poll, fds, n, -1);
#endif
	(void)how;
	return (int)syscall(SYS_ppoll, fds, n, NULL, NULL, 8);
}

static int
select_by(const char *how, int n, fd_set *set)
{
#ifdef SYS_select
	if (strcmp(how, "select") == 0)
		return (int)syscall(SYS_select, n, set, NULL, NULL, NULL);
#endif
	(void)how;
	return (int)syscall(SYS_pselect6, n, set, NULL, NULL, NULL, NULL);
}

static void
wait_poll(struct slot **wanted, size_t n, const char *how)
{
	while (true) {
		struct pollfd fds[SLOTS];

		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = wanted[i]->fd,
				.events = POLLIN };
		if (poll_by(how, fds, n) <= 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (fds[i].revents != 0)
				serve_one(wanted[i], "accept");
		}
	}
}

static void
wait_select(struct slot **wanted, size_t n, const char *how)
{
	while (true) {
		int top = 0;
		fd_set set;

		FD_ZERO(&set);
		for (size_t i = 0; i < n; i++) {
			FD_SET(wanted[i]->fd, &set);
			if (wanted[i]->fd >= top)
				top = wanted[i]->fd + 1;
		}
		if (select_by(how, top, &set) <= 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (FD_ISSET(wanted[i]->fd, &set))
				serve_one(wanted[i], "accept");
		}
	}
}

static void __attribute__((noreturn))
serve(const char *how, const char *names)
{
	struct slot *wanted[SLOTS];
	size_t n = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		if (names != NULL ? strchr(names, slots[i].name) != NULL
				  : slots[i].is_waiting)
			wanted[n++] = &slots[i];
	}
	errno = 0;
	if (n == 0)
		die("nothing to serve");
	event("serve");
	if (strncmp(how, "epoll", 5) == 0)
		wait_epoll(wanted, n, strcmp(how, "epoll_pwait") == 0);
	if (strstr(how, "poll") != NULL)
		wait_poll(wanted, n, how);
	if (strstr(how, "select") != NULL)
		wait_select(wanted, n, how);
	/* It is to sleep in this call, and not to go round and round. */
	if (fcntl(wanted[0]->fd, F_GETFL) & O_NONBLOCK)
		die("%s with O_NONBLOCK", how);
	while (true)
		serve_one(wanted[0], how);
}

/* ---- the steps ---- */

/* Cuts the next field off; the last one keeps its colons. */
static char *
field(char **rest)
{
	char *text = *rest;
	size_t n;

	if (text == NULL) {
		errno = EINVAL;
		die("too few arguments");
	}
	n = strcspn(text, ":");
	*rest = text[n] == ':' ? text + n + 1 : NULL;
	text[n] = '\0';
	return text;
}

static char *
last(char **rest)
{
	if (*rest == NULL) {
		errno = EINVAL;
		die("too few arguments");
	}
	return *rest;
}

/* Steps that concern one socket; false where it is none of them. */
static bool
socket_step(const char *what, char *rest)
{
	struct slot *s, *t;
	int r;

	if (strcmp(what, "socket") == 0) {
		s = slot_of(field(&rest));
		slot_set(s, socket_make(last(&rest)));
	} else if (strcmp(what, "set") == 0) {
		const char *name;

		s = slot_of(field(&rest));
		name = field(&rest);
		do_set(s, name, atoi(last(&rest)));
	} else if (strcmp(what, "bind") == 0) {
		s = slot_of(field(&rest));
		do_bind(s, last(&rest), 0);
	} else if (strcmp(what, "bind-short") == 0) {
		s = slot_of(field(&rest));
		do_bind(s, last(&rest), 3);
	} else if (strcmp(what, "bind-long") == 0) {
		s = slot_of(field(&rest));
		do_bind(s, last(&rest), sizeof(struct sockaddr_storage));
	} else if (strcmp(what, "bind-fault") == 0) {
		s = slot_of(last(&rest));
		r = (int)syscall(SYS_bind, s->fd, (void *)8,
		    sizeof(struct sockaddr_in));
		result("bind", s->name, r, errno);
	} else if (strcmp(what, "listen") == 0) {
		s = slot_of(field(&rest));
		do_listen(s, atoi(last(&rest)));
	} else if (strcmp(what, "need") == 0) {
		if (slot_of(last(&rest))->has_failed)
			_exit(1);
	} else if (strcmp(what, "dup") == 0) {
		s = slot_of(field(&rest));
		t = slot_of(last(&rest));
		slot_set(t, dup(s->fd));
		t->is_waiting = s->is_waiting;
	} else if (strcmp(what, "close") == 0) {
		s = slot_of(last(&rest));
		close(s->fd);
		s->fd = -1;
		s->is_waiting = false;
	} else if (strcmp(what, "take") == 0) {
		s = slot_of(field(&rest));
		do_take(s, atoi(last(&rest)));
	} else if (strcmp(what, "block") == 0) {
		s = slot_of(last(&rest));
		fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) & ~O_NONBLOCK);
	} else if (strcmp(what, "nonblock") == 0) {
		s = slot_of(last(&rest));
		fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
	} else if (strcmp(what, "epoll") == 0) {
		epoll_change(EPOLL_CTL_ADD, slot_of(last(&rest)));
	} else if (strcmp(what, "epoll-mod") == 0) {
		epoll_change(EPOLL_CTL_MOD, slot_of(last(&rest)));
	} else {
		return false;
	}
	return true;
}

/* Steps that bind in other ways. */
static bool
bind_step(const char *what, char *rest)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	const char *kind;
	struct slot *s;
	int fd, count, r;

	if (strcmp(what, "bind-fd") == 0) {
		fd = atoi(field(&rest));
		r = bind_to(fd, last(&rest));
		result("bind", '-', r, errno);
	} else if (strcmp(what, "bind-netlink") == 0) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
		r = bind(fd, (struct sockaddr *)&nl, sizeof(nl));
		result("bind", '-', r, errno);
	} else if (strcmp(what, "rebind") == 0 ||
	    strcmp(what, "parallel") == 0) {
		s = slot_of(field(&rest));
		count = atoi(field(&rest));
		kind = field(&rest);
		(what[0] == 'r' ? do_rebind : do_parallel)(s, count, kind,
		    last(&rest));
	} else if (strcmp(what, "spin") == 0) {
		kind = field(&rest);
		event("spin");
		spin(kind, last(&rest));
	} else if (strcmp(what, "die-in-bind") == 0) {
		kind = field(&rest);
		event("die");
		die_in_bind(kind, last(&rest));
	} else {
		return false;
	}
	return true;
}

static void
run_step(char *step)
{
	char *rest = step;
	const char *what = field(&rest);

	if (socket_step(what, rest) || bind_step(what, rest))
		return;
	if (strcmp(what, "storm") == 0) {
		do_storm(strcmp(last(&rest), "restart") == 0);
	} else if (strcmp(what, "calm") == 0) {
		do_calm();
	} else if (strcmp(what, "unlink") == 0) {
		unlink(last(&rest));
	} else if (strcmp(what, "at-term") == 0) {
		at_term = last(&rest);
		signal(SIGTERM, on_term);
	} else if (strcmp(what, "sleep") == 0) {
		sleep_us((int64_t)atoi(last(&rest)) * 1000);
	} else if (strcmp(what, "until") == 0) {
		while (access(last(&rest), F_OK) == -1)
			sleep_us(5000);
	} else if (strcmp(what, "touch") == 0) {
		close(open(last(&rest), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
	} else if (strcmp(what, "notify") == 0) {
		notify(last(&rest));
	} else if (strcmp(what, "pause") == 0) {
		event("pause");
		while (true)
			pause();
	} else if (strcmp(what, "exit") == 0) {
		_exit(atoi(last(&rest)));
	} else if (strcmp(what, "thread") == 0) {
		in_thread(thread_step, last(&rest));
	} else if (strcmp(what, "serve") == 0) {
		const char *how = field(&rest);

		serve(how, rest);
	} else {
		errno = EINVAL;
		die("%s", what);
	}
}

static void
run_steps(char **steps)
{
	for (; *steps != NULL; steps++) {
		if (strncmp(*steps, "in:", 3) == 0)
			in_place(*steps + 3, steps + 1);
		run_step(*steps);
	}
}

/* ---- sandboxes ---- */

/* Without privilege, a filter needs no_new_privs. */
static int
install_filter(struct sock_filter *code, size_t n, unsigned flags)
{
	struct sock_fprog filter = { .len = (unsigned short)n,
		.filter = code };
	int r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
	    &filter);

	if (r == -1 && errno == EACCES) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
		    &filter);
	}
	if (r == -1)
		die("seccomp");
	return r;
}

/* Another program holds the listener as long as this process lives. It has
 * nothing in its environment, so that nobody takes it for one of the test's. */
static void
sandbox_notify(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 9999, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int listener = install_filter(code, 4,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER);
	char fds[2][16], c;
	int executed[2];
	pid_t pid;

	if (self == -1)
		die("pidfd_open");
	if (pipe2(executed, O_CLOEXEC) == -1)
		die("pipe2");
	snprintf(fds[0], sizeof(fds[0]), "%d", listener);
	snprintf(fds[1], sizeof(fds[1]), "%d", self);
	pid = fork();
	if (pid == 0) {
		static char *const none[] = { NULL };

		/* A grandchild: the program has no child that it did not
		 * start. */
		if (fork() != 0)
			_exit(0);
		setsid();
		fcntl(listener, F_SETFD, 0);
		fcntl(self, F_SETFD, 0);
		execle("/proc/self/exe", "binder", "--hold", fds[0], fds[1],
		    NULL, none);
		_exit(127);
	}
	if (pid == -1 || waitpid(pid, NULL, 0) == -1)
		die("fork");
	/* Until it is the other program: the end of the pipe. */
	close(executed[1]);
	if (read(executed[0], &c, 1) != 0)
		die("pipe");
	close(executed[0]);
	close(listener);
	close(self);
}

static int
hold(int process)
{
	struct pollfd p = { .fd = process, .events = POLLIN };

	while (poll(&p, 1, -1) == -1 && errno == EINTR)
		continue;
	return 0;
}

/* Processes that are no threads, and share their descriptors. */
static void
deny_clone(unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, args[0])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, CLONE_FILES | CLONE_VM),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLONE_FILES, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	install_filter(code, sizeof(code) / sizeof(code[0]), 0);
}

static void
sandbox_deny(const char *what)
{
	static const struct {
		const char *name;
		unsigned number;
	} calls[] = {
		{ "seccomp", SYS_seccomp },
		{ "pidfd_getfd", SYS_pidfd_getfd },
		{ "pidfd_open", SYS_pidfd_open },
		{ "process_vm_readv", SYS_process_vm_readv },
		{ "kcmp", SYS_kcmp },
		{ "memfd_create", SYS_memfd_create },
		{ "eventfd", SYS_eventfd2 },
		{ "getxattr", SYS_getxattr },
	};
	unsigned error = strncmp(what, "enosys=", 7) == 0 ? ENOSYS : EPERM;

	if (strstr(what, "clone") != NULL)
		deny_clone(error);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			    offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0,
			    1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};

		/* seccomp(2) itself is the last of them. */
		if (i > 0 && strstr(what, calls[i].name) != NULL)
			install_filter(code, 4, 0);
		if (i + 1 == sizeof(calls) / sizeof(calls[0]) &&
		    strstr(what, calls[0].name) != NULL) {
			code[1].k = calls[0].number;
			install_filter(code, 4, 0);
		}
	}
}

int
main(int argc, char **argv)
{
	char **steps = argv + 1;
	char pid[16];

	program = argv[0];
	if (argc == 4 && strcmp(argv[1], "--hold") == 0)
		return hold(atoi(argv[3]));
	if (argc > 3 && strcmp(argv[1], "--sandbox") == 0) {
		if (strcmp(argv[2], "notify") == 0)
			sandbox_notify();
		else
			sandbox_deny(argv[2]);
		execvp(argv[3], argv + 3);
		die("%s", argv[3]);
	}
	take_snapshot();
	for (size_t i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){ .fd = -1, .name = (char)('a' + i) };
	if (argc > 2 && strcmp(argv[1], "--events") == 0) {
		events = argv[2];
		steps += 2;
	}
	/* Whoever is executed later still knows. */
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("BINDER_WORKER", pid, 0);
	worker = atoi(env_or("BINDER_WORKER", "0"));
	event("start");
	run_steps(steps);
	return 0;
}

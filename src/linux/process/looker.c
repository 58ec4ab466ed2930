#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "linux/process/birth.h"
#include "linux/process/caps.h"
#include "linux/process/helper.h"
#include "linux/process/looker.h"
#include "linux/process/process.h"
#include "linux/process/raw_call.h"
#include "linux/process/yama.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

#define NAME	"clusterd-look"

/* One that nobody asks ends after so long; the first question is waited for longer. */
#define REST_US	200000
#define FIRST_S	1

/* What it says first: whether it has the rights that we have. */
struct rights {
	uint64_t caps;
	uint32_t uid, gid;
	uint64_t kept_out;	/* who is no ancestor may not look, it seems */
};

/* ---- in the child ---- */

static struct rights
our_rights(void)
{
	struct rights ours = { .uid = geteuid(), .gid = getegid() };

	(void)caps_effective(&ours.caps);
	return ours;
}

int
looker_fd(int argc, char *argv[])
{
	uint64_t fd;

	return argc == 2 && strcmp(argv[0], NAME) == 0 &&
	    num_parse(argv[1], 0, INT32_MAX, &fd) ? (int)fd : -1;
}

/* What whoever started us had blocked came to us with that; and where our file has
   capabilities, to execute it has made the kernel forget that we end with them. False:
   they have ended. */
static bool
be_mortal(int fd)
{
	struct ucred peer = { .pid = 0 };
	socklen_t len = sizeof(peer);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal's, where we share its group: they are meant for who asks. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    peer.pid == getppid();
}

int
looker_serve(int fd, size_t (*fn)(const void *question, size_t len,
    void *answer))
{
	const struct timeval first = { .tv_sec = FIRST_S };
	const struct timeval rest = { .tv_usec = REST_US };
	bool asked = false;
	struct rights rights = our_rights();
	_Alignas(max_align_t) char question[LOOKER_BYTES_MAX];
	_Alignas(max_align_t) char answer[LOOKER_BYTES_MAX];
	ssize_t n;

	(void)prctl(PR_SET_NAME, NAME, 0, 0, 0);
	if (!be_mortal(fd))
		return 1;
	helper_keep_only(&fd, 1);
	rights.kept_out = yama_for_children(YAMA_SYSCTLS) == YAMA_HIDDEN &&
	    !yama_lets_look(getppid());
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &first, sizeof(first)) < 0 ||
	    send(fd, &rights, sizeof(rights), MSG_NOSIGNAL) < 0)
		return 1;
	while ((n = recv(fd, question, sizeof(question), 0)) > 0 ||
	    (n < 0 && errno == EINTR)) {
		size_t len = n > 0 ? fn(question, (size_t)n, answer) : 0;

		if (!asked)
			(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rest,
			    sizeof(rest));
		asked = true;
		if (n > 0 && send(fd, answer, len, MSG_NOSIGNAL) < 0)
			return 1;
	}
	return 0;
}

/* ---- its birth ---- */

struct job {
	int fd;
	pid_t parent;
	char *argv[3];
};

/* What a child stands on that shares our memory, until it has executed. */
static struct {
	_Alignas(16) char stack[16 * 1024];
	struct job job;
	char number[16];
	pid_t last;		/* 0: nobody has not, as far as we know */
} room;

static bool can_be;

/* The number that one has its socket by which shares our table of descriptors. */
static struct {
	int fd;			/* -1: there is none */
	int blank;		/* what it stands for else */
	pid_t to;		/* whose it is, as it may not have a table of its own
				   yet; 0: nobody's */
} low = { .fd = -1, .blank = -1 };

void
looker_can_be(void)
{
	can_be = true;
}

void
looker_lend(int fd, int blank)
{
	low.fd = fd;
	low.blank = blank;
	low.to = 0;
}

static void
blank_low(void)
{
	(void)dup3(low.blank, low.fd, O_CLOEXEC);
	low.to = 0;
}

/* It has its own, or does not need it any more. */
static void
take_back(pid_t pid)
{
	if (pid != 0 && low.to == pid)
		blank_low();
}

/* Since Linux 5.9, where no filter of system calls is in the way: numbers that are none
   are found before anything is done. */
static bool
can_unshare(void)
{
	static enum { NOT_ASKED, CAN, CANNOT } answer;

	if (answer == NOT_ASKED)
		answer = syscall(SYS_close_range, 1, 0, CLOSE_RANGE_UNSHARE) <
		    0 && errno == EINVAL ? CAN : CANNOT;
	return answer == CAN;
}

/* It shares our memory (birth.h). All else that we have open is closed by that; also
   where what is executed is the dynamic linker, as that was for us, and would tell of
   what it cannot load. */
static int
execute(void *ctx)
{
	const struct job *job = ctx;

	(void)RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) != job->parent)
		return 1;
	(void)RAW(fcntl, STDERR_FILENO, F_SETFD, FD_CLOEXEC);
	if (RAW(fcntl, job->fd, F_SETFD, 0) >= 0)
		(void)RAW(execve, "/proc/self/exe", job->argv, environ);
	return 1;
}

/* The same with our table of descriptors, of which it leaves what is behind its own:
   to copy and close that would be to wait for each file system that a file of ours is
   on, with all others open for as long. */
static int
execute_alone(void *ctx)
{
	const struct job *job = ctx;

	return raw_call(SYS_close_range, job->fd + 1, UINT_MAX,
	    CLOSE_RANGE_UNSHARE, 0, 0) < 0 ? 1 : execute(ctx);
}

static void
furnish(int fd)
{
	snprintf(room.number, sizeof(room.number), "%d", fd);
	room.job = (struct job){
		.fd = fd, .parent = getpid(),
		.argv = { (char *)NAME, room.number, NULL },
	};
}

/* -errno: it has to have copies. */
static pid_t
give_birth_alone(int fd)
{
	pid_t pid;

	if (low.fd < 0 || low.to != 0 || !can_unshare())
		return -ENOTSUP;
	if (dup3(fd, low.fd, O_CLOEXEC) < 0)
		return -errno;
	furnish(low.fd);
	pid = birth_without_copies(execute_alone, &room.job,
	    room.stack + sizeof(room.stack));
	if (pid < 0)
		blank_low();
	else
		low.to = pid;
	return pid;
}

/* While the last one may still stand there, a fork has its own of all. */
static pid_t
give_birth(int fd)
{
	void *top = room.stack + sizeof(room.stack);
	pid_t pid;

	if (room.last != 0 && helper_has_ended(room.last))
		room.last = 0;
	if (room.last != 0) {
		char number[16];
		struct job job = {
			.fd = fd, .parent = getpid(),
			.argv = { (char *)NAME, number, NULL },
		};

		snprintf(number, sizeof(number), "%d", fd);
		return birth(execute, &job, NULL);
	}
	pid = give_birth_alone(fd);
	if (pid < 0) {
		furnish(fd);
		pid = birth(execute, &room.job, top);
	}
	room.last = pid > 0 ? pid : 0;
	return pid;
}

int
looker_start(struct looker *k)
{
	int pair[2];
	pid_t pid;

	if (!can_be ||
	    yama_for_children(YAMA_SYSCTLS) == YAMA_ANCESTORS)
		return -ENOTSUP;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = give_birth(pair[1]);
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return pid;
	}
	*k = (struct looker){ .fd = pair[0], .pid = pid };
	return 0;
}

/* ---- who asks ---- */

int
looker_ask(const struct looker *k, const void *question, size_t len)
{
	return send(k->fd, question, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ?
	    -errno : 0;
}

/* That it has ended without reading all is told before what it has said. */
static ssize_t
receive(const struct looker *k, void *buf, size_t size)
{
	ssize_t n = recv(k->fd, buf, size, MSG_DONTWAIT);

	return n < 0 && errno == ECONNRESET ?
	    recv(k->fd, buf, size, MSG_DONTWAIT) : n;
}

/* What it says first: it has executed. */
static ssize_t
begin(struct looker *k)
{
	const struct rights ours = our_rights();
	struct rights theirs;
	ssize_t n = receive(k, &theirs, sizeof(theirs));

	if (n != (ssize_t)sizeof(theirs))
		return n;
	k->begun = true;
	take_back(k->pid);
	if (room.last == k->pid)
		room.last = 0;
	if (theirs.kept_out == 0 && theirs.caps == ours.caps &&
	    theirs.uid == ours.uid && theirs.gid == ours.gid)
		return n;
	errno = EPERM;
	return -1;
}

ssize_t
looker_receive(struct looker *k, void *answer)
{
	ssize_t n = k->begun ? 1 : begin(k);

	if (n > 0)
		n = receive(k, answer, LOOKER_BYTES_MAX);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n == 0 ? -EPIPE : n;
}

void
looker_reaped(pid_t pid)
{
	take_back(pid);
	if (room.last == pid)
		room.last = 0;
}

void
looker_leave(struct looker *k)
{
	take_back(k->pid);
	fd_close(&k->fd);
	k->pid = 0;
}

void
looker_kill(struct looker *k)
{
	if (k->pid != 0)
		process_kill(k->pid, SIGKILL);
	looker_leave(k);
}

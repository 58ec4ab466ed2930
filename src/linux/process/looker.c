#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "linux/process/helper.h"
#include "linux/process/inspect.h"
#include "linux/process/looker.h"
#include "linux/process/process.h"

/* How long an answer may take: of one that sleeps, and of one that would go on
   if it had the CPU. */
#define WAIT_MS		5
#define STARVED_MS	40

/* One that was held up before may take this part of the time between two of its
   kind, and no longer than a starved one: what maps memory all the time lets
   nobody look in less. */
#define WAIT_PART	5

/* Without questions it ends. */
#define IDLE_MS		200

/* How long it may take to end: it has nothing to do. */
#define END_MS		100

/* One that was given up, or has just ended, and then a fresh one. */
#define TRIES		2

/* Until the next look at a process that has held one up: at first, at last. And
   so many are known; of more, the oldest is forgotten. */
#define GAP_MIN_MS	50
#define GAP_MAX_MS	5000
#define HELD_UP_MAX	64

/* A process, and what was to be seen of it: other looks may do well. */
struct held_up {
	pid_t whom;		/* 0: a free place */
	looker_fn *fn;
	pid_t child;		/* that was held up, and is there; or 0 */
	struct mono since;
	struct mono until;
	int gap_ms;
};

static struct {
	int fd;
	pid_t pid;		/* the child at hand; 0: none */
	pid_t whom;		/* that it has looked at last, and … */
	looker_fn *fn;		/* … how */
	struct held_up held_up[HELD_UP_MAX];
} looker = { .fd = -1 };

/* A function is at the same place there. Names of users are of no use. */
struct question {
	looker_fn *fn;
	bool as_other;
	bool has_user;
	uint32_t uid, gid;
	size_t ret_len;
};

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(LOOKER_FDS_MAX * sizeof(int))];
};

/* ---- in the child ---- */

static void
answer(int fd, int code, const void *ret, size_t ret_len,
    const struct looker_fds *fds)
{
	struct iovec iov[] = {
		{ .iov_base = &code, .iov_len = sizeof(code) },
		{ .iov_base = (void *)(uintptr_t)ret, .iov_len = ret_len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	union control control;
	struct cmsghdr *head;

	memset(&control, 0, sizeof(control));
	if (fds->n > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds->n * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fds->n * sizeof(int));
		memcpy(CMSG_DATA(head), fds->v, fds->n * sizeof(int));
	}
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void
look_and_answer(int fd, const struct question *q, const void *arg)
{
	static char name[] = "?";
	const struct conf_creds creds = {
		.set = q->as_other, .uid = q->uid, .gid = q->gid,
		.name = q->has_user ? name : NULL,
	};
	_Alignas(max_align_t) char ret[LOOKER_BYTES_MAX] = { 0 };
	struct looker_fds fds = { .n = 0 };
	struct fsids ids = inspect_begin(&creds);
	int code = q->fn(arg, ret, &fds);

	inspect_end(&ids);
	answer(fd, code, ret, q->ret_len, &fds);
	for (size_t i = 0; i < fds.n; i++)
		fd_close(&fds.v[i]);
}

/* Until nobody has asked for a while, or the other end is closed. */
static void
serve(void *ctx)
{
	const struct timeval idle = { .tv_usec = IDLE_MS * 1000 };
	int fd = *(const int *)ctx;
	_Alignas(max_align_t) char arg[LOOKER_BYTES_MAX];
	struct question q;
	struct iovec iov[] = {
		{ .iov_base = &q, .iov_len = sizeof(q) },
		{ .iov_base = arg, .iov_len = sizeof(arg) },
	};

	(void)prctl(PR_SET_NAME, "clusterd-look", 0, 0, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	for (;;) {
		ssize_t n = readv(fd, iov, 2);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(q))
			break;
		look_and_answer(fd, &q, arg);
	}
}

/* ---- who holds up ---- */

static struct held_up *
find_held_up(pid_t whom, looker_fn *fn)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (whom != 0 && looker.held_up[i].whom == whom &&
		    looker.held_up[i].fn == fn)
			return &looker.held_up[i];
	return NULL;
}

/* As long as one child of ours sleeps there, no other one is to. */
static bool
holds_up(pid_t whom, looker_fn *fn)
{
	const struct held_up *h = find_held_up(whom, fn);

	return h != NULL &&
	    (h->child != 0 || mono_before(mono_now(), h->until));
}

/* Now, or not long ago. */
static bool
is_recent(const struct held_up *h, struct mono now)
{
	return h->child != 0 || (h->whom != 0 &&
	    mono_before(now, mono_add_ms(h->until, GAP_MAX_MS)));
}

static bool
anybody_holds_up(void)
{
	const struct mono now = mono_now();

	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (is_recent(&looker.held_up[i], now))
			return true;
	return false;
}

static int64_t
patience(pid_t whom, looker_fn *fn)
{
	const struct held_up *h = find_held_up(whom, fn);
	int64_t ms = h == NULL ? WAIT_MS : h->gap_ms / WAIT_PART;

	return ms > STARVED_MS ? STARVED_MS : ms;
}

/* A free place, or that of the one who may be looked at first. */
static struct held_up *
place_for_another(void)
{
	struct held_up *place = &looker.held_up[0];

	for (size_t i = 0; i < HELD_UP_MAX && place->whom != 0; i++)
		if (looker.held_up[i].whom == 0 ||
		    mono_before(looker.held_up[i].until, place->until))
			place = &looker.held_up[i];
	return place;
}

static void
blame(pid_t whom, looker_fn *fn)
{
	struct held_up *h = find_held_up(whom, fn);
	int gap_ms = h == NULL ? GAP_MIN_MS : 2 * h->gap_ms;
	struct mono now = mono_now(), since = now;

	if (whom == 0)
		return;
	if (gap_ms > GAP_MAX_MS)
		gap_ms = GAP_MAX_MS;
	if (h != NULL && is_recent(h, now))
		since = h->since;
	if (h == NULL)
		h = place_for_another();
	*h = (struct held_up){
		.whom = whom, .fn = fn, .child = looker.pid,
		.gap_ms = gap_ms, .since = since,
		.until = mono_add_ms(now, gap_ms),
	};
}

static void
forgive(pid_t whom, looker_fn *fn)
{
	struct held_up *h = find_held_up(whom, fn);

	if (h != NULL)
		*h = (struct held_up){ .whom = 0 };
}

/* ---- the child at hand ---- */

static int
begin(void)
{
	int pair[2];
	pid_t pid;

	if (looker.fd >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = helper_fork(serve, &pair[1], &pair[1], 1);
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return pid;
	}
	looker.fd = pair[0];
	looker.pid = pid;
	looker.whom = 0;
	return 0;
}

/* What it has sent at the last moment is dropped by somebody else: that may be
   the last descriptor of it. */
static void
leave(void)
{
	int unread = 0;

	(void)shutdown(looker.fd, SHUT_RDWR);
	if (ioctl(looker.fd, SIOCINQ, &unread) == 0 && unread > 0)
		helper_close(&looker.fd);
	fd_close(&looker.fd);
	looker.pid = 0;
}

/* Its end of the socket is open, so that the number is its own. */
static void
give_up(void)
{
	process_kill(looker.pid, SIGKILL);
	leave();
}

/* By its state (proc(5)), for which no memory is needed. */
static bool
is_starved(void)
{
	char path[32], text[128], *end;
	ssize_t n = -1;
	int fd;

	if (!process_proc_is_ours())
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)looker.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end != NULL && strncmp(end, ") R", 3) == 0;
}

/* When we do not get the CPU ourselves, as where a cgroup's quota is used up, nor
   may it: of each step no more is counted than was to be waited. */
static bool
await(int64_t wait_ms)
{
	struct pollfd p = { .fd = looker.fd, .events = POLLIN };
	int64_t waited_ms = 0;

	for (;;) {
		int64_t step_ms = waited_ms < wait_ms ? wait_ms - waited_ms : 1;
		struct mono begin = mono_now();
		int64_t took_ms;

		if (poll(&p, 1, (int)step_ms) > 0)
			return true;
		took_ms = mono_ms_between(begin, mono_now());
		waited_ms += took_ms < step_ms ? took_ms : step_ms;
		if (waited_ms >= STARVED_MS ||
		    (waited_ms >= wait_ms && !is_starved()))
			return poll(&p, 1, 0) > 0;
	}
}

/* It has not come to our question: whom it looked at before holds it up. */
static bool
is_untaken(void)
{
	int unread = 0;

	return ioctl(looker.fd, SIOCOUTQ, &unread) == 0 && unread > 0;
}

static bool
ask(const struct looker_whom *whom, const struct looker_question *question)
{
	const struct conf_creds *creds = whom->creds;
	struct question q;
	struct iovec iov[] = {
		{ .iov_base = &q, .iov_len = sizeof(q) },
		{ .iov_base = (void *)(uintptr_t)question->arg,
		    .iov_len = question->arg_len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	memset(&q, 0, sizeof(q));
	q.fn = question->fn;
	q.ret_len = question->ret_len;
	if (creds != NULL && creds->set) {
		q.as_other = true;
		q.has_user = creds->name != NULL;
		q.uid = creds->uid;
		q.gid = creds->gid;
	}
	return sendmsg(looker.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

static void
take_fds(struct msghdr *msg, struct looker_fds *ret_fds)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(msg);

	ret_fds->n = 0;
	if (head == NULL || head->cmsg_type != SCM_RIGHTS)
		return;
	ret_fds->n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(ret_fds->v, CMSG_DATA(head), ret_fds->n * sizeof(int));
}

/* -EPIPE: the child has ended. */
static int
receive(const struct looker_question *question, int *ret_code)
{
	char ret[LOOKER_BYTES_MAX];
	struct looker_fds fds;
	union control control;
	struct iovec iov[] = {
		{ .iov_base = ret_code, .iov_len = sizeof(*ret_code) },
		{ .iov_base = ret, .iov_len = question->ret_len },
	};
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2,
		.msg_control = question->fds != NULL ? &control : NULL,
		.msg_controllen = question->fds != NULL ? sizeof(control) : 0,
	};
	ssize_t n = recvmsg(looker.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n != (ssize_t)(sizeof(*ret_code) + question->ret_len))
		return -EPIPE;
	if (question->fds != NULL) {
		take_fds(&msg, &fds);
		*question->fds = fds;
	}
	if (question->ret_len > 0)
		memcpy(question->ret, ret, question->ret_len);
	/* There was no room for all descriptors. */
	if ((msg.msg_flags & MSG_CTRUNC) != 0 && *ret_code == 0)
		*ret_code = -EMFILE;
	return 0;
}

/* Where there can be no child, as when the table of processes is full. But if
   somebody holds up others, it may be full for that. */
static int
look_here(const struct looker_whom *whom,
    const struct looker_question *question, int *ret_code)
{
	const struct conf_creds us = { .set = false };
	_Alignas(max_align_t) char ret[LOOKER_BYTES_MAX] = { 0 };
	struct looker_fds fds = { .n = 0 };
	struct fsids ids;

	if (anybody_holds_up())
		return -EAGAIN;
	ids = inspect_begin(whom->creds != NULL ? whom->creds : &us);
	*ret_code = question->fn(question->arg, ret, &fds);
	inspect_end(&ids);
	if (question->ret_len > 0)
		memcpy(question->ret, ret, question->ret_len);
	if (question->fds != NULL)
		*question->fds = fds;
	return 0;
}

/* -EPIPE: another one may do better. */
static int
try(const struct looker_whom *whom, const struct looker_question *question,
    int *ret_code)
{
	int code = begin();

	if (code < 0)
		return look_here(whom, question, ret_code);
	if (!ask(whom, question)) {
		leave();
		return -EPIPE;
	}
	if (!await(patience(whom->pid, question->fn))) {
		bool untaken = is_untaken(), starved = is_starved();

		if (untaken)
			blame(looker.whom, looker.fn);
		else
			blame(whom->pid, question->fn);
		give_up();
		return untaken ? -EPIPE : starved ? -EAGAIN : -ETIMEDOUT;
	}
	looker.whom = whom->pid;
	looker.fn = question->fn;
	code = receive(question, ret_code);
	if (code < 0)
		leave();
	return code;
}

int
looker_ask(const struct looker_whom *whom,
    const struct looker_question *question)
{
	int code = -EPIPE, ret = 0;

	if (holds_up(whom->pid, question->fn))
		return -EBUSY;
	for (int i = 0; i < TRIES && code == -EPIPE; i++)
		code = try(whom, question, &ret);
	if (code < 0)
		return code == -EPIPE ? -ETIMEDOUT : code;
	forgive(whom->pid, question->fn);
	return ret;
}

bool
looker_is_held_up(int code)
{
	return code == -ETIMEDOUT || code == -EBUSY || code == -EAGAIN;
}

int64_t
looker_held_up_ms(pid_t whom)
{
	struct mono now = mono_now();
	int64_t most_ms = 0;

	for (size_t i = 0; i < HELD_UP_MAX; i++) {
		const struct held_up *h = &looker.held_up[i];
		int64_t ms = h->whom == whom && is_recent(h, now) ?
		    mono_ms_between(h->since, now) : 0;

		most_ms = ms > most_ms ? ms : most_ms;
	}
	return most_ms;
}

bool
looker_is(pid_t pid)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (looker.held_up[i].child == pid)
			return pid != 0;
	return pid != 0 && looker.pid == pid;
}

void
looker_reaped(pid_t pid)
{
	for (size_t i = 0; i < HELD_UP_MAX; i++)
		if (looker.held_up[i].child == pid)
			looker.held_up[i].child = 0;
	if (looker.pid == pid && pid != 0)
		leave();
}

void
looker_end(void)
{
	struct pollfd end = { .fd = -1, .events = POLLIN };
	siginfo_t info;

	if (looker.fd < 0)
		return;
	end.fd = (int)syscall(SYS_pidfd_open, looker.pid, 0);
	if (waitid(P_PID, (id_t)looker.pid, &info,
	    WEXITED | WNOHANG | WNOWAIT) == 0)
		process_kill(looker.pid, SIGKILL);
	(void)poll(&end, 1, END_MS);
	process_reap(looker.pid);
	fd_close(&end.fd);
	leave();
}

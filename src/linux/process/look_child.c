#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "linux/process/helper.h"
#include "linux/process/inspect.h"
#include "linux/process/look_child.h"
#include "linux/process/process.h"

/* An answer that nobody fetches is given up after so long, and the child with it:
   sooner where descriptors are in it, which keep addresses. */
#define UNFETCHED_MS		2000
#define UNFETCHED_FDS_MS	200

/* What it asks of the scheduler. */
#define HURRY_NICE		10
#define HURRY_SLICE_NS		100000

/* One that rests ends after so long. */
#define REST_MS			2000

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(LOOKER_FDS_MAX * sizeof(int))];
};

/* ---- in the child ---- */

static bool
send_answer(int fd, int code, const void *ret, size_t ret_len,
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
	if (fds != NULL && fds->n > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds->n * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fds->n * sizeof(int));
		memcpy(CMSG_DATA(head), fds->v, fds->n * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0;
}

/* Of descriptors that are on their way a user has no more than it may have open
   (unix(7), ETOOMANYREFS): another process may have sent them. */
static void
answer(int fd, int code, const void *ret, size_t ret_len,
    const struct looker_fds *fds)
{
	if (!send_answer(fd, code, ret, ret_len, fds) && fds->n > 0)
		(void)send_answer(fd, -ETOOMANYREFS, ret, ret_len, NULL);
}

/* How long the next question is waited for; 0: for ever. */
static void
set_patience(int fd, int64_t *was_ms, int64_t ms)
{
	const struct timeval t = {
		.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000,
	};

	if (ms != *was_ms)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	*was_ms = ms;
}

/* Is there anything that was sent, and not been taken? */
static bool
is_unfetched(int fd)
{
	int unread = 0;

	return ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0;
}

/* Returns how long it may not be fetched. */
static int64_t
look_and_answer(int fd, const struct look_asked *asked, const void *arg)
{
	static char name[] = "?";
	const struct conf_creds creds = {
		.set = asked->as_other, .uid = asked->uid, .gid = asked->gid,
		.name = asked->has_user ? name : NULL,
	};
	_Alignas(max_align_t) char ret[LOOKER_BYTES_MAX] = { 0 };
	struct looker_fds fds = { .n = 0 };
	struct fsids ids = inspect_begin(&creds);
	int code = asked->fn(arg, ret, &fds);

	inspect_end(&ids);
	answer(fd, code, ret, asked->ret_len, &fds);
	for (size_t i = 0; i < fds.n; i++)
		fd_close(&fds.v[i]);
	return fds.n == 0 ? UNFETCHED_MS : UNFETCHED_FDS_MS;
}

/* Until the other end is closed, or nobody fetches what was sent. */
static void
serve(void *ctx)
{
	const int fd = *(const int *)ctx;
	int64_t patience_ms = 0;
	bool rests = false;
	_Alignas(max_align_t) char arg[LOOKER_BYTES_MAX];
	struct look_asked asked;
	struct iovec iov[] = {
		{ .iov_base = &asked, .iov_len = sizeof(asked) },
		{ .iov_base = arg, .iov_len = sizeof(arg) },
	};

	(void)prctl(PR_SET_NAME, "clusterd-look", 0, 0, 0);
	if (send(fd, "", 1, MSG_NOSIGNAL) < 0)
		return;
	for (;;) {
		ssize_t n = readv(fd, iov, 2);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && !rests && !is_unfetched(fd)) {
			set_patience(fd, &patience_ms, 0);
			continue;
		}
		rests = n == 1;
		if (rests) {
			set_patience(fd, &patience_ms, REST_MS);
			continue;
		}
		if (n < (ssize_t)sizeof(asked))
			break;
		set_patience(fd, &patience_ms,
		    look_and_answer(fd, &asked, arg));
	}
}

/* ---- who asks ---- */

/* Whoever asks waits: where many want the CPU, the child is to have it soon, for as
   little as it takes. Where we have a real-time policy, it gets it as we do, which is
   not inherited with SCHED_RESET_ON_FORK. Else a short slice is given to anybody
   (sched_setattr(2), from Linux 6.12 on), a lower nice value to root. */
static void
hurry(pid_t pid)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr) };
	const int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
	struct sched_param param;

	if (policy == SCHED_RR || policy == SCHED_FIFO) {
		if (sched_getparam(0, &param) == 0)
			(void)sched_setscheduler(pid, policy, &param);
		return;
	}
	attr.policy = (uint32_t)policy;
	(void)setpriority(PRIO_PROCESS, (id_t)pid,
	    getpriority(PRIO_PROCESS, 0) - HURRY_NICE);
	attr.nice = getpriority(PRIO_PROCESS, (id_t)pid);
	attr.runtime = HURRY_SLICE_NS;
	(void)syscall(SYS_sched_setattr, pid, &attr, 0);
}

int
look_child_start(struct look_child *c)
{
	struct mono since = mono_now();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = helper_fork(serve, &pair[1], &pair[1], 1);
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return pid;
	}
	hurry(pid);
	*c = (struct look_child){
		.fd = pair[0], .pid = pid, .since = since,
	};
	return 0;
}

bool
look_child_begins(struct look_child *c)
{
	char byte;

	c->begun = recv(c->fd, &byte, 1, MSG_DONTWAIT) == 1;
	return c->begun;
}

/* A function is at the same place there. Names of users are of no use. */
void
look_child_asked(const struct looker_whom *whom,
    const struct looker_question *question, struct look_asked *ret_asked)
{
	const struct conf_creds *creds = whom->creds;

	memset(ret_asked, 0, sizeof(*ret_asked));
	ret_asked->fn = question->fn;
	ret_asked->ret_len = question->ret_len;
	ret_asked->arg_len = question->arg_len;
	ret_asked->with_fds = question->fds != NULL;
	ret_asked->occasion = whom->occasion;
	if (creds != NULL && creds->set) {
		ret_asked->as_other = true;
		ret_asked->has_user = creds->name != NULL;
		ret_asked->uid = creds->uid;
		ret_asked->gid = creds->gid;
	}
}

bool
look_child_ask(const struct look_child *c, const struct look_asked *asked,
    const struct looker_question *question)
{
	struct iovec iov[] = {
		{ .iov_base = (void *)(uintptr_t)asked,
		    .iov_len = sizeof(*asked) },
		{ .iov_base = (void *)(uintptr_t)question->arg,
		    .iov_len = question->arg_len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

bool
look_child_rest(const struct look_child *c)
{
	return send(c->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

bool
look_child_is_runnable(const struct look_child *c)
{
	return helper_is_runnable(c->pid);
}

/* What it has had of the CPU. */
static int64_t
cpu_ns(const struct look_child *c)
{
	struct timespec t = { .tv_nsec = 0 };
	clockid_t clock;

	if (clock_getcpuclockid(c->pid, &clock) != 0 ||
	    clock_gettime(clock, &t) < 0)
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* When we do not get the CPU ourselves, as where a cgroup's quota is used up, nor
   may it: of each step no more is counted than was to be waited. */
int
look_child_await(const struct look_child *c, int64_t wait_ms,
    int64_t starved_ms, bool works)
{
	const int64_t enough = cpu_ns(c) + wait_ms * 1000000;
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int64_t waited_ms = 0;

	for (;;) {
		int64_t step_ms = waited_ms < wait_ms ? wait_ms - waited_ms : 1;
		struct mono begin = mono_now();
		int64_t took_ms;
		bool runs, starved;

		if (poll(&p, 1, (int)step_ms) > 0)
			return 0;
		took_ms = mono_ms_between(begin, mono_now());
		waited_ms += took_ms < step_ms ? took_ms : step_ms;
		if (waited_ms < wait_ms)
			continue;
		runs = look_child_is_runnable(c);
		starved = runs && cpu_ns(c) < enough;
		if (poll(&p, 1, 0) > 0)
			return 0;
		if (waited_ms >= starved_ms || !(starved || (runs && works)))
			return starved ? -EAGAIN : -ETIMEDOUT;
	}
}

bool
look_child_answered(const struct look_child *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

bool
look_child_has_sent(const struct look_child *c)
{
	int unread = 0;

	return ioctl(c->fd, SIOCINQ, &unread) == 0 && unread > 0;
}

bool
look_child_is_untaken(const struct look_child *c)
{
	return is_unfetched(c->fd);
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

bool
look_child_receive(const struct look_child *c,
    const struct looker_question *question, int *ret_code)
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
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n != (ssize_t)(sizeof(*ret_code) + question->ret_len))
		return false;
	if (question->fds != NULL) {
		take_fds(&msg, &fds);
		*question->fds = fds;
	}
	if (question->ret_len > 0)
		memcpy(question->ret, ret, question->ret_len);
	/* There was no room for all descriptors. */
	if ((msg.msg_flags & MSG_CTRUNC) != 0 && *ret_code == 0)
		*ret_code = -EMFILE;
	return true;
}

/* What it has sent at the last moment is dropped by somebody else: that may be
   the last descriptor of it. */
void
look_child_leave(struct look_child *c)
{
	if (c->fd < 0)
		return;
	(void)shutdown(c->fd, SHUT_RDWR);
	if (c->begun && look_child_has_sent(c))
		helper_close(&c->fd);
	fd_close(&c->fd);
}

/* It may be dead, but is not reaped as long as its number is known. */
void
look_child_kill(struct look_child *c)
{
	if (c->pid != 0)
		process_kill(c->pid, SIGKILL);
	look_child_leave(c);
}

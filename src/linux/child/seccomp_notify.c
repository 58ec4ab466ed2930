#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/error.h"
#include "base/fd.h"
#include "linux/process/raw_call.h"
#include "linux/child/seccomp_notify.h"

/* The filter compares numbers of this build's own system call table. */
#if defined(__x86_64__) && defined(__LP64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#else
#define NATIVE_ARCH 0	/* not tried out: always refused */
#endif

/* Linux 5.19; an older linux/seccomp.h does not have it. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* How long seccomp_notify_place() waits for the caller's thread. */
#define PLACE_MS 20

/* As raw_call(). */
static long
install(unsigned long flags)
{
	/* Number first: it settles nearly every call, and the kernel keeps the
	   answer for those that no argument decides. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags,
	    (long)&program, 0, 0);
}

int
seccomp_notify_install(void)
{
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER |
	    SECCOMP_FILTER_FLAG_SPEC_ALLOW |
	    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long fd;

	if (NATIVE_ARCH == 0)
		return -ENOSYS;
	fd = install(flags);
	/* A caller whose handler runs in mid-call comes again: answered too. */
	if (fd == -EINVAL) {
		flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
		fd = install(flags);
	}
	if (fd == -EACCES) {
		long code = raw_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0,
		    0);

		fd = code < 0 ? code : install(flags);
	}
	return (int)fd;
}

/* Kernel and headers may differ in the size of these; what is longer than our
   struct is the kernel's own and of no interest. */
union request {
	struct seccomp_notif notif;
	char room[512];
};
union response {
	struct seccomp_notif_resp resp;
	char room[256];
};

/* 0 or an errno, small enough for an exit code. */
static int
try_out(void)
{
	struct seccomp_notif_sizes sizes;
	struct seccomp_notif_addfd nobody = { .id = 0 };
	int fd;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return errno;
	if (sizes.seccomp_notif > sizeof(union request) ||
	    sizes.seccomp_notif_resp > sizeof(union response))
		return E2BIG;
	fd = seccomp_notify_install();
	if (fd < 0)
		return -fd;
	/* A kernel that has it looks for the caller, and finds none. */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &nobody) < 0 &&
	    errno != ENOENT)
		return ENOSYS;
	return 0;
}

static const char *
probe_words(int code)
{
	switch (code) {
	case EBUSY:
		return "Device or resource busy (the sandbox around clusterd "
		    "has a seccomp listener already, and there can be one)";
	case ENOSYS:
		return "Function not implemented (the kernel is older than "
		    "5.9, or this machine's system calls are not known)";
	case EPERM:
	case EACCES:
		return "Operation not permitted (the sandbox around clusterd "
		    "forbids seccomp filters)";
	default:
		return strerror(code);
	}
}

pid_t
seccomp_notify_probe_begin(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(try_out() & 0xff);
	return pid < 0 ? -errno : pid;
}

int
seccomp_notify_probe_end(pid_t pid, struct error *err)
{
	int status = 0;

	if (pid < 0)
		return error_set(err, pid, "cannot try it out: %s",
		    strerror(-pid));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, -errno, "cannot try it out: %s",
			    strerror(errno));
	/* A sandbox may kill who installs a filter. */
	if (!WIFEXITED(status))
		return error_set(err, -EPERM, "%s", probe_words(EPERM));
	if (WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, -WEXITSTATUS(status), "%s",
	    probe_words(WEXITSTATUS(status)));
}

int
seccomp_notify_receive(int listener, struct seccomp_call *ret_call)
{
	union request r;

	/* The kernel demands that it is zero (seccomp_unotify(2)). */
	memset(&r, 0, sizeof(r));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &r.notif) < 0)
		return -errno;
	*ret_call = (struct seccomp_call){
		.id = r.notif.id,
		.tid = (pid_t)r.notif.pid,
		.is_bind = r.notif.data.nr == SYS_bind,
		.fd = (int)r.notif.data.args[0],
		.address = r.notif.data.args[1],
		.len = (uint32_t)r.notif.data.args[2],
	};
	return 0;
}

bool
seccomp_notify_is_there(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0;
}

/* No call has this number. */
bool
seccomp_notify_is(int fd)
{
	uint64_t none = 0;
	int code;

	do {
		code = ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none);
	} while (code < 0 && errno == EINTR);
	return code == 0 || errno == ENOENT;
}

bool
seccomp_notify_valid(int listener, const struct seccomp_call *call)
{
	uint64_t id = call->id;
	int code;

	/* A signal ends the kernel's wait for its own lock. */
	do {
		code = ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
	} while (code < 0 && errno == EINTR);
	return code == 0;
}

static void
respond(int listener, const struct seccomp_call *call, int err, uint32_t flags)
{
	union response r;

	memset(&r, 0, sizeof(r));
	r.resp.id = call->id;
	r.resp.error = -err;
	r.resp.flags = flags;
	while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r.resp) < 0 &&
	    errno == EINTR)
		continue;
}

void
seccomp_notify_continue(int listener, const struct seccomp_call *call)
{
	respond(listener, call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

void
seccomp_notify_answer(int listener, const struct seccomp_call *call, int err)
{
	respond(listener, call, err, 0);
}

int
seccomp_notify_place(int listener, const struct seccomp_call *call, int fd,
    int number, bool cloexec)
{
	struct seccomp_notif_addfd place = {
		.id = call->id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)fd,
		.newfd = (uint32_t)number,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int code;

	alarm_set(PLACE_MS);
	code = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &place) < 0 ?
	    -errno : 0;
	alarm_set(0);
	return code;
}

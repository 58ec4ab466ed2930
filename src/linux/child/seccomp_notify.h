/*
 * Trapping bind(2) and listen(2) of a process tree by seccomp user notification
 * (seccomp_unotify(2)): the child installs a filter, the supervisor gets its
 * listener, answers each trapped call, and can put a descriptor of its own in
 * the place of the caller's.
 *
 * Not trapped: io_uring's binds, and calls through another architecture's
 * system call table, such as those of 32-bit programs.
 */
#ifndef LINUX_CHILD_SECCOMP_NOTIFY_H
#define LINUX_CHILD_SECCOMP_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/*
 * For the child before its exec (errno is left alone): every program that it and
 * its descendants execute has bind and listen trapped. Without CAP_SYS_ADMIN
 * this sets no_new_privs. Returns the listener (close-on-exec) or
 * -errno: -EBUSY when a sandbox around us has a listener already.
 */
int seccomp_notify_install(void);

/*
 * Can all that be done here? Tried out in a forked child: _begin() starts it, and
 * returns its pid or -errno; _end() takes that and waits for it, which is due once,
 * later, when something else has been done. 0, or -errno with words that say what
 * stands in the way.
 */
pid_t seccomp_notify_probe_begin(void);
int seccomp_notify_probe_end(pid_t pid, struct error *err);

struct seccomp_call {
	uint64_t id;
	pid_t tid;		/* of the caller; 0: in no pid namespace of
				   ours */
	bool is_bind;		/* else listen */
	int fd;
	uint64_t address;	/* bind: in the caller's memory */
	uint32_t len;		/* bind: of the address */
};

/*
 * Take one trapped call; to be called when the listener polls readable, then it
 * does not block. -ENOENT when the caller has gone meanwhile, or other -errno.
 */
int seccomp_notify_receive(int listener, struct seccomp_call *ret_call);

/* Would seccomp_notify_receive() have one? */
bool seccomp_notify_is_there(int listener);

/* Is it such a listener at all? */
bool seccomp_notify_is(int fd);

/* Does the caller still wait, so that its tid is not somebody else's? */
bool seccomp_notify_valid(int listener, const struct seccomp_call *call);

/* Let the kernel carry the call out. Answers may fail: the caller is gone. */
void seccomp_notify_continue(int listener, const struct seccomp_call *call);

/* The call returns 0, or fails with the errno `err`. */
void seccomp_notify_answer(int listener, const struct seccomp_call *call,
    int err);

/*
 * Make `fd` the caller's descriptor number `number` in the place of what it was
 * there. The caller's own thread does it on the way, so a caller without any
 * CPU time could hold us up: after a short while this gives up, -EINTR (with
 * the help of base/alarm). -errno when the caller is gone or has no room.
 */
int seccomp_notify_place(int listener, const struct seccomp_call *call, int fd,
    int number, bool cloexec);

#endif

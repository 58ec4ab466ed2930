/*
 * Looking into another process: its memory, descriptors and system calls.
 *
 * The kernel asks for the rights of ptrace(2): the same user, or
 * CAP_SYS_PTRACE, which containers withhold. Without it, and where root's
 * rights over files were taken away (a unit's CapabilityBoundingSet=), files of
 * /proc are opened with the file system uid and gid of the process
 * (setfsuid(2)), which satisfies the checks there and lets nobody signal us.
 * Only pidfd_getfd(2), which goes by the real uid, takes CAP_SYS_PTRACE.
 */
#ifndef LINUX_PROCESS_INSPECT_H
#define LINUX_PROCESS_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "linux/file/fsids.h"

struct conf_creds;

/* Look as `creds` until inspect_end(), if that is needed; what is opened in
   between is opened with less rights than ours. Not to be nested. */
struct fsids inspect_begin(const struct conf_creds *creds);
void inspect_end(struct fsids *fsids);

/*
 * Copy memory; returns how many bytes, fewer at the end of a mapping, or
 * -errno. Through /proc/PID/mem, where the kernel does not wait for a page that
 * a userfaultfd(2) holds back, as it would in process_vm_readv(2).
 */
ssize_t inspect_memory(pid_t tid, uint64_t address, void *buf, size_t len);

/* The process of a thread; -errno. */
pid_t inspect_process_of(pid_t tid);

/* What kind a descriptor is, by its link in /proc. */
enum inspect_kind {
	INSPECT_NOTHING,	/* closed, or not to be looked at */
	INSPECT_OTHER,
	INSPECT_SOCKET,
	INSPECT_EPOLL,
	INSPECT_IO_URING,
};

/* *ret_ino: the inode, of a socket; else untouched. */
enum inspect_kind inspect_fd(pid_t tid, int fd, uint64_t *ret_ino);

/* Open flags of a descriptor, O_CLOEXEC included (proc(5), fdinfo). -errno. */
int inspect_fd_flags(pid_t tid, int fd, unsigned *ret_flags);

/* Call `fn` for each open descriptor of the thread's table, until it returns
   false. -errno: the table cannot be read. */
int inspect_each_fd(pid_t tid, bool (*fn)(void *ctx, int fd), void *ctx);

/* One target of an epoll instance. */
struct inspect_epoll_target {
	int fd;			/* as it was numbered when it was added */
	uint32_t events;
	uint64_t data;
	uint64_t ino;		/* 0: a kernel that does not tell */
};

/* Call `fn` for each target of the epoll instance behind a descriptor, until
   it returns false. */
void inspect_each_epoll_target(pid_t tid, int epoll_fd,
    bool (*fn)(void *ctx, const struct inspect_epoll_target *target),
    void *ctx);

/* The system call that a thread sleeps in, and its arguments. False: it runs,
   or cannot be looked at (*ret_refused then). */
struct inspect_call {
	long nr;
	uint64_t args[6];
};
bool inspect_syscall(pid_t pid, pid_t tid, struct inspect_call *ret_call,
    bool *ret_refused);

/* Call `fn` for each process, until it returns false. */
void inspect_each_process(bool (*fn)(void *ctx, pid_t pid), void *ctx);

/* Call `fn` for each thread of a process, until it returns false. */
void inspect_each_thread(pid_t pid, bool (*fn)(void *ctx, pid_t tid),
    void *ctx);

/* Call `fn` for each child that a thread has made (CONFIG_PROC_CHILDREN), until
   it returns false. -errno: they cannot be told; -ENOENT also: it is gone. */
int inspect_each_child(pid_t pid, pid_t tid, bool (*fn)(void *ctx, pid_t child),
    void *ctx);

/* A duplicate of a process's descriptor (close-on-exec, the caller's), or
   -errno; -EPERM also by the real uid, see above. */
int inspect_take_fd(pid_t pid, int fd);

/* The kernel's name for a socket's protocol, such as "TCPv6", which it tells to
   whoever may see the descriptor (`system.sockprotoname`). False: unknown. */
bool inspect_protocol_name(pid_t tid, int fd, char *name, size_t size);

/* Is it in the network namespace that we are in; is its root directory ours?
   Yes, where that cannot be told. */
bool inspect_same_network(pid_t tid);
bool inspect_same_root(pid_t tid);

/* The working directory; the caller frees. NULL: unknown. */
char *inspect_cwd(pid_t tid);

#endif

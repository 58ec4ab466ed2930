#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/steering_loader.h"
#include "linux/process/birth.h"

/* Two system calls deep. */
#define STACK_SIZE	((size_t)16 * 1024)

static int
run(void *load)
{
	return bpf_load_run(load) < 0;
}

int
steering_loader_begin(struct steering_loader *l,
    const struct bpf_program *program, const int *maps, int programs,
    uint32_t key)
{
	const size_t size = STACK_SIZE + bpf_load_size(program);
	char *room = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct bpf_load *load;
	pid_t pid;

	if (room == MAP_FAILED)
		return -errno;
	load = (struct bpf_load *)(void *)(room + STACK_SIZE);
	bpf_load_prepare(load, program, maps, programs, key);
	/* The stack grows down from there. */
	pid = birth(run, load, load);
	if (pid < 0) {
		(void)munmap(room, size);
		return pid;
	}
	*l = (struct steering_loader){
		.pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
		.room = room, .size = size,
	};
	return 0;
}

static bool
has_ended(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

bool
steering_loader_is_over(const struct steering_loader *l)
{
	return l->pid == 0 || l->pidfd < 0 || has_ended(l->pidfd, 0);
}

void
steering_loader_end(struct steering_loader *l)
{
	if (l->pid == 0)
		return;
	while (l->pidfd >= 0 && !has_ended(l->pidfd, -1))
		continue;
	while (waitpid(l->pid, NULL, l->pidfd >= 0 ? WNOHANG : 0) < 0 &&
	    errno == EINTR)
		continue;
	fd_close(&l->pidfd);
	(void)munmap(l->room, l->size);
	*l = (struct steering_loader)STEERING_LOADER_INIT;
}

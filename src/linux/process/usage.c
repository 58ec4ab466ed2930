#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "linux/process/inspect.h"
#include "linux/process/usage.h"

struct tree {
	pid_t pids[USAGE_PROCESSES_MAX];
	size_t n;
	pid_t parent;	/* whose threads are being looked at */
	size_t threads;	/* that have been */
};

static bool
add_child(void *ctx, pid_t child)
{
	struct tree *t = ctx;

	if (t->n == USAGE_PROCESSES_MAX)
		return false;
	t->pids[t->n++] = child;
	return true;
}

static bool
look_at_thread(void *ctx, pid_t tid)
{
	struct tree *t = ctx;

	(void)inspect_each_child(t->parent, tid, add_child, t);
	return t->n < USAGE_PROCESSES_MAX && ++t->threads < USAGE_THREADS_MAX;
}

/* The CPU clock of another process has nanoseconds, where /proc has ticks;
   whoever may see the process may read it. */
uint64_t
usage_cpu(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool
read_stat(pid_t pid, char *text, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

/* Add one process: cutime and cstime are fields 16 and 17 of proc(5), rss 24;
   the state, behind the name, is field 3. */
static bool
add_process(pid_t pid, struct usage *usage)
{
	long long cutime, cstime, rss;
	char text[1024], *fields;

	if (!read_stat(pid, text, sizeof(text)))
		return false;
	fields = strrchr(text, ')');
	if (fields == NULL || sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d "
	    "%*u %*u %*u %*u %*u %*u %*u %lld %lld %*d %*d %*d %*d %*u %*u "
	    "%lld", &cutime, &cstime, &rss) != 3)
		return false;
	usage->cpu_ns += usage_cpu(pid) + (uint64_t)(cutime + cstime) *
	    (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	usage->memory_bytes += (uint64_t)rss *
	    (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

bool
usage_of_tree(pid_t pid, struct usage *ret_usage)
{
	struct tree t = { .pids = { pid }, .n = 1 };
	struct usage usage = { 0 };

	if (!add_process(pid, &usage))
		return false;
	for (size_t i = 0; i < t.n; i++) {
		t.parent = t.pids[i];
		inspect_each_thread(t.parent, look_at_thread, &t);
	}
	for (size_t i = 1; i < t.n; i++)
		(void)add_process(t.pids[i], &usage);
	*ret_usage = usage;
	return true;
}

struct usage
usage_of_self(void)
{
	struct usage usage = { 0 };

	(void)add_process(getpid(), &usage);
	/* Without those that it has reaped. */
	usage.cpu_ns = usage_cpu(getpid());
	return usage;
}

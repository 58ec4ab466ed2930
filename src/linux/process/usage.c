#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "linux/process/executing.h"
#include "linux/process/usage.h"

/* More than so many processes have in a list of children: 11 bytes each. */
#define CHILDREN_SIZE 4096

struct usage_walk {
	pid_t pids[USAGE_PROCESSES_MAX];
	size_t n;
	size_t at;	/* whose threads are being looked at … */
	DIR *tasks;	/* … NULL: it begins */
	size_t threads;	/* that have been */
	struct usage usage;
};

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
read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
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

/* Without what its children have used that it has reaped, as that stands there. */
static bool
add_executing(pid_t pid, struct usage *usage)
{
	usage->cpu_ns += usage_cpu(pid);
	usage->partial = true;
	return true;
}

/* Add one process: cutime and cstime are fields 16 and 17 of proc(5), rss 24;
   the state, behind the name, is field 3. */
static bool
add_process(pid_t pid, struct usage *usage)
{
	long long cutime, cstime, rss;
	char text[1024], *fields;

	if (executing_is(pid))
		return add_executing(pid, usage);
	if (!read_proc(pid, "stat", text, sizeof(text)))
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

int
usage_walk_new(pid_t pid, struct usage_walk **ret_walk)
{
	struct usage_walk *walk = malloc(sizeof(*walk));

	if (walk == NULL)
		return -ENOMEM;
	walk->pids[0] = pid;
	walk->n = 1;
	walk->at = walk->threads = 0;
	walk->tasks = NULL;
	walk->usage = (struct usage){ 0 };
	if (!add_process(pid, &walk->usage)) {
		free(walk);
		return -ESRCH;
	}
	*ret_walk = walk;
	return 0;
}

/* "12 345 ", as far as there is room; one that is cut is none. */
static void
add_children(struct usage_walk *walk, char *text)
{
	char *end;

	for (; (end = strchr(text, ' ')) != NULL &&
	    walk->n < USAGE_PROCESSES_MAX; text = end + 1) {
		uint64_t pid;

		*end = '\0';
		if (num_parse(text, 1, INT_MAX, &pid))
			walk->pids[walk->n++] = (pid_t)pid;
	}
}

static void
look_at_thread(struct usage_walk *walk, const char *tid)
{
	char path[NAME_MAX + sizeof("/children")], text[CHILDREN_SIZE];
	ssize_t n;
	int fd;

	walk->threads++;
	snprintf(path, sizeof(path), "%s/children", tid);
	fd = openat(dirfd(walk->tasks), path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0) {
		text[n] = '\0';
		add_children(walk, text);
	}
}

static bool
looks_for_more(const struct usage_walk *walk)
{
	return walk->n < USAGE_PROCESSES_MAX &&
	    walk->threads < USAGE_THREADS_MAX;
}

static void
begin_process(struct usage_walk *walk)
{
	char path[32];

	/* The first one has been, to see that it is there. */
	if (walk->at > 0)
		(void)add_process(walk->pids[walk->at], &walk->usage);
	snprintf(path, sizeof(path), "/proc/%d/task",
	    (int)walk->pids[walk->at]);
	if (looks_for_more(walk))
		walk->tasks = opendir(path);
	if (walk->tasks == NULL)
		walk->at++;
}

static void
end_process(struct usage_walk *walk)
{
	closedir(walk->tasks);
	walk->tasks = NULL;
	walk->at++;
}

bool
usage_walk_go_on(struct usage_walk *walk, unsigned files,
    struct usage *ret_usage)
{
	const struct dirent *entry;

	for (; files > 0 && walk->at < walk->n; files--) {
		if (walk->tasks == NULL) {
			begin_process(walk);
			continue;
		}
		do
			entry = looks_for_more(walk) ? readdir(walk->tasks) :
			    NULL;
		while (entry != NULL && entry->d_name[0] == '.');
		if (entry != NULL)
			look_at_thread(walk, entry->d_name);
		else
			end_process(walk);
	}
	if (walk->at < walk->n)
		return false;
	*ret_usage = walk->usage;
	return true;
}

void
usage_walk_free(struct usage_walk *walk)
{
	if (walk != NULL && walk->tasks != NULL)
		closedir(walk->tasks);
	free(walk);
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
